"""Calls to Telegram, within its rate limits, and updates from it, by polling or webhook."""
