"""Fetching a clip: from the provider, or from an address that a job names."""
