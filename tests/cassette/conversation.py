"""A recorded conversation: where it is held, with which keys and models, and what was said on the wire.

When replaying, nothing but constants. When recording, `python -m tests.record` says in the environment where.
"""

import asyncio
import json
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.settings.resources import models_file, prompts_folder
from providers.catalogue import VideoModel, load_catalogue, text_cost_microusd
from steps.text_model.templates import Template, load_template
from steps.validate_prompt import Brief
from tests.cassette.scrubbing import REPLAY_URL, TINY_CLIP, read_body

NOTE = Path(__file__).parents[2] / "cassettes" / "recorded.json"
TEST_KEY = "test-key"
CATALOGUE = load_catalogue(models_file())
BOAT = Brief(
    "A paper boat drifts along a gutter in the rain, low tracking shot.",
    "A paper boat in the rain",
    "nature",
    "en",
)
BARCO = Brief(
    "Un barco de papel navega bajo la lluvia, plano bajo.", "Un barco de papel bajo la lluvia", "nature", "es"
)


@dataclass(frozen=True)
class Talk:
    """One conversation. `cassette` knows what was said; the rest says where and with what."""

    cassette: Any
    recording: bool
    text_url: str
    text_key: str
    text_model: str
    video_url: str
    video_key: str
    video_model: str

    def model(self) -> VideoModel:
        model = listed(self.video_model)
        assert model is not None, f"{self.video_model} is not in models.toml"
        return model

    @property
    def shape(self) -> tuple[int, str]:
        return shape_of(self.model())

    def requests(self) -> list[Any]:
        """The bodies that went out, in order."""
        return [read_body(request) for request in self.cassette.requests]

    def answers(self) -> list[Any]:
        """The JSON that came back, in order; clips are left out."""
        bodies = [response["body"]["string"] for response in self.cassette.responses]
        return [json.loads(body) for body in bodies if body[:1] == b"{"]

    def text_cost(self, tokens_in: int, tokens_out: int) -> int:
        """In micro-dollars, after checking the tokens against the totals that the answers give."""
        assert tokens_in + tokens_out == sum(answer["usage"]["total_tokens"] for answer in self.answers())
        return text_cost_microusd(CATALOGUE, self.text_model, tokens_in, tokens_out)

    async def pause(self) -> None:
        """Between two looks at a render that is being recorded; a replay does not wait."""
        if self.recording:
            await asyncio.sleep(0.3 if self.video_url.startswith("http://127.0.0.1") else 10)

    def control(self, door: str, body: dict[str, object]) -> None:
        """Trouble, when recording against the simulator; the recording remembers it."""
        if not self.recording:
            return
        request = urllib.request.Request(
            self.video_url.removesuffix("/v1") + door,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=5).close()

    def is_recorded_clip(self, path: Path) -> bool:
        """The recording holds a tiny real clip in place of the bought one."""
        return self.recording or path.read_bytes() == TINY_CLIP.read_bytes()


def listed(name: str) -> VideoModel | None:
    """The model of this name, wherever it is sold: a recording no longer knows where it was made."""
    return next((model for model in CATALOGUE.videos if model.name == name), None)


def shape_of(model: VideoModel) -> tuple[int, str]:
    """The shortest and smallest that is sold: recording should cost little."""
    return min(model.seconds, default=4), min(model.sizes, key=_pixels, default="720x1280")


def _pixels(size: str) -> tuple[int, str]:
    width, _, height = size.partition("x")
    return int(width) * int(height), width  # of two that are turned, the one that stands


def replayed(cassette: Any) -> Talk:
    """A conversation from its recording, asked with the models it was recorded with."""
    note = json.loads(NOTE.read_text()) if NOTE.exists() else {}
    path = Path(cassette.path)
    models = note.get(f"{path.parent.name}/{path.stem}", {})
    text, video = models.get("text_model", "gpt-6-luna"), models.get("video_model", "sim-1")
    return Talk(cassette, False, REPLAY_URL, TEST_KEY, text, REPLAY_URL, TEST_KEY, video)


def recorded(cassette: Any) -> Talk:
    of = os.environ
    return Talk(
        cassette,
        True,
        of["ONETAKE_RECORD_TEXT_URL"],
        of["ONETAKE_RECORD_TEXT_KEY"],
        of["ONETAKE_RECORD_TEXT_MODEL"],
        of["ONETAKE_RECORD_VIDEO_URL"],
        of["ONETAKE_RECORD_VIDEO_KEY"],
        of["ONETAKE_RECORD_VIDEO_MODEL"],
    )


def template(name: str) -> Template:
    return load_template(prompts_folder() / f"{name}.md")
