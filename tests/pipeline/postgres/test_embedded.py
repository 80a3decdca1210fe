"""The embedded server in bad conditions: killed owners, stale pids, odd paths, several users. Real processes."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from pipeline.postgres import server
from pipeline.postgres.embedded import DatabaseUnavailable, open_server

ROOT = Path(__file__).parents[3]
USE_IT = """
import sys
from pathlib import Path
from pipeline.postgres.embedded import open_server
with open_server(Path(sys.argv[1])):
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a database in it, made once for this module."""
    folder = tmp_path_factory.mktemp("home")
    with open_server(folder):
        pass
    return folder


@pytest.fixture
def lived_in(made: Path) -> Iterator[Path]:
    """The same, with no server running over it before and after."""
    yield made
    assert server.running(data_of(made)) is None, "a server was left running"
    (data_of(made) / "postmaster.pid").unlink(missing_ok=True)


def data_of(home: Path) -> Path:
    return (home / "postgres").resolve()


def server_pid(home: Path) -> int:
    process = server.running(data_of(home))
    assert process is not None
    return process.pid


def servers(home: Path) -> list[int]:
    """The pids of all servers that run over this folder, also of earlier ones."""
    found = psutil.process_iter(["cmdline"])
    return [process.pid for process in found if str(data_of(home)) in (process.info["cmdline"] or [])]


def works(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        return connection.execute("select 1").fetchone() == (1,)


@contextmanager
def user(home: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process that uses the server until its standard input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", USE_IT, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def is_up(process: subprocess.Popen[str]) -> bool:
    assert process.stdout is not None
    return process.stdout.readline() == "up\n"


def leave(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(20) == 0


def test_embedded_server_has_utf8_durable_writes_and_a_socket_only(lived_in: Path) -> None:
    asked = ["server_encoding", "listen_addresses", "fsync", "synchronous_commit", "max_connections"]
    with open_server(lived_in) as dsn, psycopg.connect(dsn) as connection:
        assert connection.info.dbname == "onetake"
        told = [connection.execute("select current_setting(%s)", (name,)).fetchone() for name in asked]
    assert told == [("UTF8",), ("",), ("on",), ("on",), ("100",)]


def test_data_persists_across_server_starts(lived_in: Path) -> None:
    with open_server(lived_in) as dsn, psycopg.connect(dsn) as connection:
        connection.execute("create table kept as select 7 as i")
    with open_server(lived_in) as dsn, psycopg.connect(dsn) as connection:
        assert connection.execute("select i from kept").fetchone() == (7,)
        connection.execute("drop table kept")


def test_server_stops_when_its_last_user_leaves_and_not_before(lived_in: Path) -> None:
    with user(lived_in) as first, user(lived_in) as second:
        assert is_up(first)
        assert is_up(second)
        pid = server_pid(lived_in)
        leave(first)
        assert server_pid(lived_in) == pid
        leave(second)
    assert server.running(data_of(lived_in)) is None


def test_two_uses_in_one_process_share_one_server(lived_in: Path) -> None:
    with open_server(lived_in) as outer:
        with open_server(lived_in) as inner:
            assert works(inner)
        assert works(outer)


def test_processes_started_together_on_an_empty_folder_share_one_server(home: Path) -> None:
    with user(home) as one, user(home) as two, user(home) as three:
        assert all(map(is_up, (one, two, three)))
        assert servers(home) == [server_pid(home)]
        for process in (one, two, three):
            leave(process)
    assert server.running(data_of(home)) is None


def test_server_of_a_killed_owner_is_reused_and_stopped_by_the_next_user(lived_in: Path) -> None:
    with user(lived_in) as owner:
        assert is_up(owner)
        pid = server_pid(lived_in)
        owner.kill()
        owner.wait()
    assert server_pid(lived_in) == pid
    with open_server(lived_in) as dsn:
        assert works(dsn)
        assert server_pid(lived_in) == pid
    assert server.running(data_of(lived_in)) is None


def test_kill_9_of_one_user_does_not_stop_the_server_for_the_other(lived_in: Path) -> None:
    with user(lived_in) as killed, open_server(lived_in) as dsn:
        assert is_up(killed)
        killed.kill()
        killed.wait()
        with open_server(lived_in):
            pass
        assert works(dsn)


@pytest.mark.parametrize("whose", ["nobody's", "this process's", "a truncated file", "an empty file", "not a number"])
def test_stale_pid_file_does_not_prevent_a_start(lived_in: Path, whose: str) -> None:
    data = data_of(lived_in)
    rest = f"{data}\n1700000000\n5432\n{data}\n\n  1234567         0\nready   \n"
    (data / "postmaster.pid").write_text(
        {
            "nobody's": f"{server.NOBODY}\n{rest}",
            "this process's": f"{os.getpid()}\n{rest}",
            "a truncated file": f"{os.getpid()}\n",
            "an empty file": "",
            "not a number": f"x\n{rest}",
        }[whose]
    )
    (data / ".s.PGSQL.5432.lock").write_text(f"{os.getpid()}\n{data}\n1700000000\n5432\n{data}\n")
    with open_server(lived_in) as dsn:
        assert works(dsn)
    assert psutil.pid_exists(os.getpid()), "the process whose pid it was is left in peace"


def test_killed_server_is_started_again_for_the_next_user(lived_in: Path) -> None:
    with user(lived_in) as other:
        assert is_up(other)
        os.kill(server_pid(lived_in), 9)
        with open_server(lived_in) as dsn:
            assert works(dsn)
        leave(other)


def test_a_folder_in_use_by_another_machine_is_refused(lived_in: Path) -> None:
    """On a network folder, the other machine's processes hold the lock, but its server is not visible here."""
    with open_server(lived_in):
        os.kill(server_pid(lived_in), 9)
        before = (lived_in / "postgres.machine").read_text()
        (lived_in / "postgres.machine").write_text("another-machine 1b9d")
        with pytest.raises(DatabaseUnavailable, match="another machine is using this folder"), open_server(lived_in):
            pass
        (lived_in / "postgres.machine").write_text(before)
        with open_server(lived_in) as dsn:
            assert works(dsn)
    (lived_in / "postgres.machine").write_text("another-machine 1b9d")
    with open_server(lived_in) as dsn:
        assert works(dsn), "nobody uses it any more: it may be carried to another machine"


def test_start_waits_for_running_sessions_of_a_killed_server(lived_in: Path) -> None:
    """Sessions of two servers over the same files would destroy them."""
    with user(lived_in) as other:
        assert is_up(other)
        address = server.answering(data_of(lived_in))
        assert address is not None
        busy = threading.Thread(target=_busy, args=(address, 2))
        begun = time.monotonic()
        busy.start()
        _wait_until_busy(address)
        os.kill(server_pid(lived_in), 9)
        with open_server(lived_in) as dsn:
            assert time.monotonic() - begun > 2
            assert works(dsn)
        busy.join()
        leave(other)


def _busy(address: str, seconds: float) -> None:
    """A session in a busy loop: it notices only at its end that its server is gone, unless it commits first."""
    loop = """do $$ declare v_end timestamptz := clock_timestamp() + interval '{} s'; begin
        while clock_timestamp() < v_end loop end loop; end $$"""
    with suppress(psycopg.OperationalError), psycopg.connect(address) as connection:
        connection.execute(loop.format(seconds).encode())


def _wait_until_busy(address: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        looping = "select 1 from pg_stat_activity where state = 'active' and query like 'do $$%'"
        while not connection.execute(looping).fetchone():
            time.sleep(0.01)


def test_unresponsive_server_without_users_is_restarted(lived_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PING_SECONDS", 5)
    monkeypatch.setattr(server, "STOP_SECONDS", 1)
    with user(lived_in) as owner:
        assert is_up(owner)
    owner.wait()
    mute = psutil.Process(server_pid(lived_in))
    mute.suspend()
    with open_server(lived_in) as dsn:
        assert works(dsn)
        assert server_pid(lived_in) != mute.pid


def test_unresponsive_server_with_other_users_is_not_stopped(lived_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PING_SECONDS", 5)
    with user(lived_in) as other:
        assert is_up(other)
        mute = psutil.Process(server_pid(lived_in))
        mute.suspend()
        with pytest.raises(DatabaseUnavailable, match="others use it"), open_server(lived_in):
            pass
        mute.resume()
        leave(other)


def test_database_creation_killed_halfway_is_redone_by_the_next_start(home: Path) -> None:
    with user(home) as first:
        while not list(home.glob(".postgres-*/PG_VERSION")):
            time.sleep(0.01)
    first.wait()
    for process in psutil.process_iter(["cmdline"]):  # as when the machine goes down, initdb goes down, too
        if any(str(home / ".postgres-") in word for word in process.info["cmdline"] or []):
            process.kill()
    with open_server(home) as dsn:
        assert works(dsn)
    assert not list(home.glob(".postgres-*"))


@pytest.mark.parametrize("name", ["my data", "100%20", "x" * 110], ids=["space", "percent", "too long for a socket"])
def test_data_folder_path_may_have_spaces_or_percent_signs_or_exceed_the_socket_limit(home: Path, name: str) -> None:
    with open_server(home / name) as dsn, psycopg.connect(dsn) as connection:
        socket_folder = Path(str(psycopg.conninfo.conninfo_to_dict(dsn)["host"]))
        assert connection.execute("select 1").fetchone() == (1,)
        assert socket_folder.stat().st_mode & 0o077 == 0, "other users of this machine cannot come in"
    assert socket_folder == data_of(home / name) or not socket_folder.exists()


def test_postgres_environment_variables_are_ignored(lived_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = {"PGPORT": "6543", "PGHOST": "db.example", "PGUSER": "somebody", "PGDATABASE": "other"}
    with user(lived_in, **foreign, LANG="xx_YY.UTF-8") as other:
        assert is_up(other)
        with open_server(lived_in) as dsn:
            assert works(dsn)
        for name, value in foreign.items():
            monkeypatch.setenv(name, value)
        with open_server(lived_in) as dsn:
            assert works(dsn)
        leave(other)


def test_data_folder_deleted_under_its_server_gets_a_new_server(home: Path) -> None:
    with user(home) as owner:
        assert is_up(owner)
        orphan = server_pid(home)
    owner.wait()
    shutil.rmtree(home)
    with open_server(home) as dsn:
        assert works(dsn)
        assert servers(home) == [server_pid(home)] != [orphan]


def test_copied_data_folder_does_not_lead_to_the_originals_server(lived_in: Path, tmp_path: Path) -> None:
    with open_server(lived_in):
        shutil.copy(data_of(lived_in) / "postmaster.pid", tmp_path)
        assert server.answering(tmp_path) is None
        assert server.running(tmp_path) is None


def test_unusable_data_folder_error_names_the_path_and_onetake_home(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = pytest.raises(DatabaseUnavailable, match=r"file/home.*Choose another with ONETAKE_HOME")
    with said, open_server(tmp_path / "file" / "home"):
        pass


def test_data_folder_of_another_postgres_version_is_refused_and_left_unchanged(lived_in: Path) -> None:
    version = data_of(lived_in) / "PG_VERSION"
    version.write_text("16\n")
    try:
        said = pytest.raises(DatabaseUnavailable, match=r"expecting version 18 but found version 16.*ONETAKE_HOME")
        with said, open_server(lived_in):
            pass
        assert version.read_text() == "16\n"
    finally:
        version.write_text("18\n")


def test_start_failure_is_one_sentence_with_the_servers_own_error(
    lived_in: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = data_of(lived_in) / "postgresql.conf"
    good = settings.read_text()
    settings.write_text(good + "\nshared_buffers = nonsense\n")
    try:
        with pytest.raises(DatabaseUnavailable, match=r"does not start .*FATAL") as unavailable, open_server(lived_in):
            pass
    finally:
        settings.write_text(good)
    assert str(data_of(lived_in)) in str(unavailable.value)
    assert "\n" not in str(unavailable.value)
    assert capfd.readouterr() == ("", ""), "nobody but the caller speaks to the user"


def test_opening_a_server_leaves_the_environment_unchanged(lived_in: Path, home: Path) -> None:
    before = dict(os.environ)
    with open_server(home):
        pass
    assert dict(os.environ) == before
