"""Simulated people, the control API for tests, and the chat page."""
