"""Faults on demand: their kinds, how they are armed, and what they do on the wire."""
