"""The fixed order, and what must never happen twice."""
