"""How the bot reaches Telegram and Telegram reaches it: calls, rate limits, polling, webhook."""
