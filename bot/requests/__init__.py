"""Turns messages and taps into runs."""
