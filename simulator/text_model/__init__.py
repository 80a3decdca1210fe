"""The simulated text model."""
