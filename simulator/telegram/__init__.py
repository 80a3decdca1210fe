"""Telegram, simulated: the Bot API, people who write to bots, and the chat page that shows them."""
