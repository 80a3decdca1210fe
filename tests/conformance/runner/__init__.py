"""Runs the files of the vendors, and compares what their clients send with what our modules send."""
