"""wavespeed."""

import sys

from wavespeed import Client

Client(base_url=sys.argv[1], api_key="test-key").run("wavespeed-ai/wan-2.2/t2v-720p", {"prompt": "A lighthouse"})
