"""The OpenAI Videos protocol: requests as data, answers as values. Pure."""
