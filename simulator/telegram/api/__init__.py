"""The Bot API: methods, updates, webhook."""
