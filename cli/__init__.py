"""The `onetake` command: parses arguments, opens what each command needs, and prints the result."""
