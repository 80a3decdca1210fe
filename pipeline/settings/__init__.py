"""Settings from the environment and `.env`, and where files are."""
