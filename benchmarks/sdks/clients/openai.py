"""openai."""

import sys

from openai import OpenAI

OpenAI(base_url=sys.argv[1], api_key="test-key").videos.create(
    model="sora-2", prompt="A lighthouse", seconds="8", size="720x1280"
)
