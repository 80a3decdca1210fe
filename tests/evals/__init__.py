"""The prompt workbench."""
