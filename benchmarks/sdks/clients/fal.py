"""fal-client. It has no setting for a plain HTTP address, so its constant is replaced."""

import sys

import fal_client
from fal_client import client

client.QUEUE_URL_FORMAT = sys.argv[1] + "/"
fal_client.SyncClient(key="test-key").submit("fal-ai/veo3.1/fast", {"prompt": "A lighthouse", "duration": "8s"})
