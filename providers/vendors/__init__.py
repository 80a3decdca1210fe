"""One pure module per provider of videos, besides the OpenAI Videos protocol."""
