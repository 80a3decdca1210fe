"""Telegram: translates between chats and the pipeline, and makes no decisions."""
