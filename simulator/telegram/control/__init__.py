"""People, the test's own calls, and the chat page."""
