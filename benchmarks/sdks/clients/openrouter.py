"""openrouter."""

import sys

from openrouter import OpenRouter

OpenRouter(server_url=sys.argv[1], api_key="test-key").video_generation.generate(
    model="google/veo-3.1-fast", prompt="A lighthouse", duration=8
)
