"""LiteLLM's adapter to BytePlus and Volcengine Ark against the double.

Written for litellm 1.110.2, which adds `/api/v3` to every base URL: its constant with the path is replaced.
"""

import os
import time
from collections.abc import Mapping
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else importing it downloads a price list
import litellm
from litellm.llms.volcengine.videos import transformation

KEY = "test-ark-key"
MODEL = "dreamina-seedance-2-0-260128"
INPUT = {"prompt": "A lighthouse", "duration": 5, "ratio": "9:16", "resolution": "720p", "seed": 7}
TASKS = "/contents/generations/tasks"
LOOKS_MAX = 600
LOOK_SECONDS = 0.1
MP4_BRAND = slice(4, 8)  # where an MP4 file has `ftyp`


def walk(base_url: str) -> list[str]:
    """Buys one video and fetches it through LiteLLM."""
    at: dict[str, Any] = {"api_base": base_url, "api_key": KEY}
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
    transformation.VOLCENGINE_VIDEO_TASKS_PATH = TASKS
    return litellm.video_generation(model=f"volcengine/{model}", api_base=base_url, api_key=KEY, **asked)
