"""What tests order at each simulated provider: a model, its inputs for 8 s of 720x1280, a key."""

from collections.abc import Mapping
from typing import Any

from providers.orders import SEED

MODEL_OF: Mapping[str, str] = {
    "fal": "fal-ai/veo3.1/fast",
    "replicate": "google/veo-3.1-fast",
    "ark": "seedance-1-0-pro-250528",
    "runware": "google:3@3",
    "kling": "kling-v2-5-turbo",
    "higgsfield": "kling-video/v2.5-turbo/pro",
    "runway": "veo3.1_fast",
    "openrouter": "google/veo-3.1-fast",
    "luma": "ray-2",
}
INPUT_OF: Mapping[str, Mapping[str, Any]] = {
    "fal": {"aspect_ratio": "9:16", "resolution": "720p", "duration": "8s", "seed": SEED},
    "replicate": {"aspect_ratio": "9:16", "resolution": "720p", "duration": 8, "seed": SEED},
    "ark": {"ratio": "9:16", "resolution": "720p", "duration": 8, "watermark": False},
    "runware": {"width": 720, "height": 1280, "duration": 8},
    "kling": {"mode": "pro", "aspect_ratio": "9:16", "duration": "8"},
    "higgsfield": {"aspect_ratio": "9:16", "resolution": "720p", "duration": 8},
    "runway": {"ratio": "720:1280", "duration": 8},
    "openrouter": {"aspect_ratio": "9:16", "resolution": "720p", "duration": 8},
    "luma": {"aspect_ratio": "9:16", "resolution": "720p", "duration": "8s"},
}
KEY_OF: Mapping[str, str] = {"kling": "test-access:test-secret", "higgsfield": "test-id:test-secret"}
