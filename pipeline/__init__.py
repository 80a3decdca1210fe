"""The fixed order of the steps, and the paid call that must never happen twice."""
