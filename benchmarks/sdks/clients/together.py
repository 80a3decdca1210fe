"""together."""

import sys

from together import Together

Together(base_url=sys.argv[1], api_key="test-key").videos.create(model="google/veo-3.1-fast", prompt="A lighthouse")
