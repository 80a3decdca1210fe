"""The `onetake` command: builds the world, hands out its parts, and says what happened."""
