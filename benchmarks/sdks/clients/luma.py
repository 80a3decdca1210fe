"""lumaai."""

import sys

from lumaai import LumaAI

LumaAI(base_url=sys.argv[1], auth_token="test-key").generations.video.create(
    model="ray-2", prompt="A lighthouse", duration="5s"
)
