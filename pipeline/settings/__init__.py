"""Settings from the environment and `.env`, and the locations of files."""
