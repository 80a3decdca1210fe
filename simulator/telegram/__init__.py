"""Telegram, simulated: the Bot API, the people who write to bots, and the chat page that shows both."""
