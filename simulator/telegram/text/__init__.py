"""Formatted text, as the Bot API counts and shows it."""
