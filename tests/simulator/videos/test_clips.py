"""Clips are real H.264 that shows the prompt, rendered once."""

import builtins
import io
from pathlib import Path
from typing import Any

import av
import pytest

from simulator.videos import clips
from tests.simulator.conftest import Open


async def test_clip_is_moving_h264_of_the_ordered_size_and_length(open_provider: Open, tmp_path: Path) -> None:
    async with open_provider(tiny_clips=False, clip_folder=tmp_path) as provider:
        _, video = await provider.buy(model="sim-open", seconds="2", size="96x160", prompt="un ñandú bajo la luna")
        status, clip = await provider.ask("GET", f"/v1/videos/{video['id']}/content")
    assert status == 200
    with av.open(io.BytesIO(clip), "r") as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert (stream.codec_context.name, frames[0].width, frames[0].height) == ("h264", 96, 160)
        assert container.metadata["title"] == "un ñandú bajo la luna"
        assert stream.duration is not None
        assert stream.time_base is not None
        assert float(stream.duration * stream.time_base) == pytest.approx(2.0)
    assert bytes(frames[0].planes[0]) != bytes(frames[-1].planes[0])


async def test_the_picture_shows_the_prompt(tmp_path: Path) -> None:
    store = clips.ClipShelf(tmp_path, tiny=False)
    first, second = [await store.clip(words, 1, "256x256", "job") for words in ("fox", "a very different owl")]
    assert _lit(first) != _lit(second)
    assert min(len(_lit(first)), len(_lit(second))) > 20


def _lit(clip: bytes) -> set[int]:
    """Positions in the first picture that are as bright as its letters."""
    with av.open(io.BytesIO(clip), "r") as container:
        plane = bytes(next(iter(container.decode(video=0))).planes[0])
    return {place for place, light in enumerate(plane) if light > 200}


async def test_a_clip_is_rendered_once_and_kept_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await clips.ClipShelf(tmp_path, tiny=False).clip("fox", 4, "720x1280", "job")
    (kept,) = tmp_path.glob("*.mp4")
    assert kept.read_bytes() == first
    monkeypatch.delattr(clips, "render")
    assert await clips.ClipShelf(tmp_path, tiny=False).clip("fox", 4, "720x1280", "job") == first


async def test_the_folder_keeps_a_bounded_number_of_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "CLIPS_ON_DISK_MAX", 2)
    store = clips.ClipShelf(tmp_path, tiny=False)
    for number in range(5):
        await store.clip(f"fox {number}", 1, "64x64", "job")
    assert len(list(tmp_path.glob("*.mp4"))) <= 3


async def test_missing_sim_extra_returns_501_naming_the_extra(
    open_provider: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return real(name, *rest, **more)

    async with open_provider(clip_folder=tmp_path) as provider:
        _, video = await provider.buy()
        monkeypatch.setattr(builtins, "__import__", absent)
        status, answer = await provider.ask("GET", f"/v1/videos/{video['id']}/content")
        monkeypatch.undo()
    assert (status, "onetake[sim]" in answer["error"]["message"]) == (501, True)
