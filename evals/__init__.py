"""The prompt workbench: shows, tries, checks and records templates. Nothing here can buy a video: no module imports
a video provider's client (`tests/test_tidy.py` checks that)."""
