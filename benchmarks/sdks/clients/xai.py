"""xai-sdk. It speaks gRPC, here without TLS."""

import sys

from xai_sdk import Client

Client(api_key="test-key", api_host=sys.argv[1].removeprefix("http://"), use_insecure_channel=True).video.start(
    prompt="A lighthouse", model="grok-imagine-video", duration=8
)
