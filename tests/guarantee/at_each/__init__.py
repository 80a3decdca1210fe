"""What holds at the OpenAI Videos protocol, played at every other provider's double."""
