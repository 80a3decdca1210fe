"""higgsfield-client."""

import sys

from higgsfield_client import SyncClient

SyncClient(base_url=sys.argv[1], api_key="test-id:test-secret").submit(
    "/kling-video/v2.1/pro/text-to-video", {"prompt": "A lighthouse", "duration": 5}
)
