"""runwayml."""

import sys

from runwayml import RunwayML

RunwayML(base_url=sys.argv[1], api_key="test-key").text_to_video.create(
    model="veo3.1_fast", prompt_text="A lighthouse", ratio="720:1280", duration=8
)
