"""Answer files: on disk before the ledger records them, and one damaged file never hides the others."""

import errno
import os
import stat
import time
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.purchase.answer_files import AnswerFiles, KeptAnswer
from providers.orders import Answer, Fault

MADE = Answer(200, '{"id": "video_1"}')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "home" / "answers"


def kept_answer(answer: Answer = MADE, run_id: UUID | None = None) -> KeptAnswer:
    return KeptAnswer(run_id or uuid4(), "token", answer)


@pytest.mark.parametrize(
    "answer", [MADE, Answer(None, "hung up", Fault.LOST), Answer(None, "", Fault.NEVER_SENT), Answer(500, "")]
)
def test_kept_answer_reads_back_unchanged_until_it_is_dropped(folder: Path, answer: Answer) -> None:
    files, kept = AnswerFiles(folder), kept_answer(answer)
    files.keep(kept)
    assert AnswerFiles(folder).get(kept.run_id) == kept
    assert list(files.all()) == [kept]
    files.drop(kept.run_id)
    assert files.get(kept.run_id) is None
    assert list(files.all()) == []
    assert list(folder.iterdir()) == []


@given(st.text(st.characters()))
def test_any_response_body_round_trips_through_its_answer_file(
    tmp_path_factory: pytest.TempPathFactory, body: str
) -> None:
    files, kept = AnswerFiles(tmp_path_factory.getbasetemp() / "answers"), kept_answer(Answer(200, body))
    files.keep(kept)
    assert files.get(kept.run_id) == kept
    files.drop(kept.run_id)


def test_missing_folder_reads_as_empty_and_dropping_is_no_error(folder: Path) -> None:
    files = AnswerFiles(folder)
    assert list(files.all()) == []
    assert files.get(uuid4()) is None
    files.drop(uuid4())


def test_failed_delete_is_logged_once_and_keeps_the_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As if read-only since: the sweep that replays the answer continues with everything else."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    files, kept = AnswerFiles(folder), kept_answer()
    files.keep(kept)
    with monkeypatch.context() as broken:
        broken.setattr(os, "unlink", refuse)
        for _ in range(3):
            files.drop(kept.run_id)
    assert list(files.all()) == [kept]
    assert len([record for record in caplog.records if getattr(record, "action", "") == "not_dropped"]) == 1
    files.drop(kept.run_id)
    assert list(files.all()) == []


def test_answer_file_is_readable_only_by_its_owner_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        AnswerFiles(folder).keep(kept_answer())
    finally:
        os.umask(before)
    [path] = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keeping_a_second_answer_replaces_the_first(folder: Path) -> None:
    files, kept = AnswerFiles(folder), kept_answer()
    files.keep(kept)
    later = replace(kept, answer=Answer(400, "no"))
    files.keep(later)
    assert list(files.all()) == [later]


def test_partial_file_of_a_killed_process_is_not_read_as_an_answer(folder: Path) -> None:
    files, kept = AnswerFiles(folder), kept_answer()
    files.keep(kept)
    killed = uuid4()
    (folder / f".{killed}.4711").write_text('{"token": "t", "answer": {"sta')
    assert list(files.all()) == [kept]
    assert files.get(killed) is None


def test_answer_file_gets_its_name_only_after_fsync(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill or an error at any point, there is a whole answer or none."""
    happened: list[str] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        happened.append(f"fsync of {len([p for p in folder.iterdir() if p.suffix == '.json'])} named files")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    AnswerFiles(folder).keep(kept_answer())
    assert happened == ["fsync of 0 named files", "fsync of 1 named files"]


def test_full_disk_raises_and_leaves_no_partial_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    files, kept = AnswerFiles(folder), kept_answer()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.keep(kept)
    assert files.get(kept.run_id) is None
    assert list(files.all()) == []


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"token": "t"}',
        b'{"token": "t", "answer": 7}',
        b'{"token": "t", "answer": {"status": 200}}',
        b'{"token": "t", "answer": {"status": "200", "body": ""}}',
        b'{"token": "t", "answer": {"status": 200, "body": {}}}',
        b'{"token": "t", "answer": {"status": null, "body": "", "fault": "a word of a later version"}}',
        b"[" * 100_000,
    ],
)
def test_damaged_answer_file_is_kept_and_does_not_hide_the_others(
    folder: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    files = AnswerFiles(folder)
    first, last = kept_answer(run_id=UUID(int=1)), kept_answer(run_id=UUID(int=3))
    files.keep(first)
    files.keep(last)
    damaged = folder / f"{UUID(int=2)}.json"
    damaged.write_bytes(damage)
    assert list(files.all()) == [first, last]
    assert files.get(UUID(int=2)) is None
    assert damaged.read_bytes() == damage
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def test_foreign_files_in_the_answers_folder_are_ignored(folder: Path) -> None:
    files, kept = AnswerFiles(folder), kept_answer()
    files.keep(kept)
    (folder / "notes.json").write_text('{"token": "t", "answer": {"status": 200, "body": ""}}')
    (folder / "README").write_text("")
    (folder / f"{uuid4()}.json").mkdir()
    assert list(files.all()) == [kept]


def test_drop_drafts_removes_only_old_partial_answer_files(folder: Path) -> None:
    files, kept = AnswerFiles(folder), kept_answer()
    files.drop_drafts(time.time())
    files.keep(kept)
    old, young = folder / f".{uuid4()}.4711", folder / f".{uuid4()}.4712"
    for path in (old, young, folder / ".probe", folder / "notes.1"):
        path.write_text("{")
    now = time.time()
    for path in folder.iterdir():
        os.utime(path, (1, 1) if path != young else (now, now))
    files.drop_drafts(now - 60)
    assert not old.exists() and young.exists()
    assert (folder / ".probe").exists() and (folder / "notes.1").exists()
    assert list(files.all()) == [kept]
