"""Telegram: translates between chats and the pipeline, decides nothing."""
