"""A clip gets its final name only when it is whole, and only once."""

import hashlib
from pathlib import Path

import pytest

from media.clip_file import Facts, Kind
from steps.generate_video import Clip
from steps.save_video import free_bytes, save, stored
from tests.media.builders import mp4

CLIP = mp4()


def draft(folder: Path, name: str, content: bytes = CLIP) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_save_moves_the_part_file_and_returns_its_size_and_hash(tmp_path: Path) -> None:
    target = tmp_path / "run.mp4"
    clip = save(draft(tmp_path, ".part"), target)
    assert clip == Clip(target, len(CLIP), hashlib.sha256(CLIP).hexdigest(), Facts(Kind.MP4, 720, 1280, 8.0))
    assert [path.name for path in tmp_path.iterdir()] == ["run.mp4"]


def test_second_save_keeps_the_first_clip(tmp_path: Path) -> None:
    target = tmp_path / "run.mp4"
    first = save(draft(tmp_path, ".1"), target)
    other = save(draft(tmp_path, ".2", CLIP + b"\0\0\0\x08free"), target)
    assert other == first == stored(target), "another process may be recording the first one"


def test_part_file_is_not_a_stored_clip(tmp_path: Path) -> None:
    draft(tmp_path, ".part")
    assert stored(tmp_path / "run.mp4") is None


def test_failed_move_leaves_no_stored_clip(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        save(draft(tmp_path, ".part"), tmp_path / "no folder" / "run.mp4")
    assert stored(tmp_path / "no folder" / "run.mp4") is None


def test_incomplete_file_is_not_a_stored_clip(tmp_path: Path) -> None:
    assert stored(draft(tmp_path, "run.mp4", CLIP[:-1])) is None


def test_free_space_is_known_before_the_folder_exists(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "yet") == pytest.approx(free_bytes(tmp_path), rel=0.1)
