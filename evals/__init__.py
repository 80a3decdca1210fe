"""The prompt workbench: templates seen, tried, proven and recorded. Nothing here can buy a video: none of it imports
what speaks to a video provider (`tests/test_tidy.py` sees to that)."""
