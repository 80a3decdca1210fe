"""LiteLLM's adapter to Runway against the double. Written for litellm 1.110.2."""

import os
import time
from collections.abc import Mapping
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else importing it downloads a price list
import litellm

KEY = "test-runway-key"
MODEL = "gen4.5"
INPUT = {"prompt": "A lighthouse", "duration": 5, "ratio": "720:1280", "seed": 7}
LOOKS_MAX = 600
LOOK_SECONDS = 0.1
MP4_BRAND = slice(4, 8)  # where an MP4 file has `ftyp`


def walk(base_url: str) -> list[str]:
    """Buys one video and fetches it through LiteLLM."""
    at: dict[str, Any] = {"api_base": f"{base_url}/v1", "api_key": KEY}
    video = _create(base_url, MODEL, INPUT)
    words = [video.status]
    while words[-1] in {"queued", "in_progress"}:
        assert len(words) < LOOKS_MAX, f"no end after {LOOKS_MAX} looks: {words[-1]}"
        time.sleep(LOOK_SECONDS)
        words.append(litellm.video_status(video_id=video.id, **at).status)
    assert words[-1] == "completed", words
    clip = litellm.video_content(video_id=video.id, **at)
    assert clip[MP4_BRAND] == b"ftyp", clip[:16]
    return ["create", f"status: {', '.join(dict.fromkeys(words))}", f"content: {len(clip)} bytes"]


def sdk_create(base_url: str, fields: Mapping[str, Any]) -> None:
    """Sends LiteLLM's create for an order of ours."""
    _create(base_url, fields["model"], {**fields["params"], "prompt": fields["prompt"]})


def _create(base_url: str, model: str, asked: Mapping[str, Any]) -> Any:
    return litellm.video_generation(model=f"runwayml/{model}", api_base=f"{base_url}/v1", api_key=KEY, **asked)
