"""byteplus-python-sdk-v2, its Ark runtime."""

import sys

from byteplussdkarkruntime import Ark

Ark(base_url=sys.argv[1], api_key="test-key").content_generation.tasks.create(
    model="seedance-1-5-pro-251215", content=[{"type": "text", "text": "A lighthouse"}]
)
