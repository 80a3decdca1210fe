"""dashscope."""

import sys

import dashscope

dashscope.base_http_api_url = sys.argv[1]
dashscope.VideoSynthesis.async_call(
    model="wan2.6-t2v", prompt="A lighthouse", api_key="test-key", size="720*1280", duration=5
)
