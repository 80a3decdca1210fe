"""The simulated video provider: its API, its jobs, its books."""
