"""Operators in chat: /admin, settling, alerts."""
