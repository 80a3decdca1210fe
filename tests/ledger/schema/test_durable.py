"""The fence's commit is durable, whatever the session, role or database sets, even if the server crashes."""

import os
import signal
from pathlib import Path

import psycopg
import pytest

from pipeline.ledger.answers import Cost
from pipeline.ledger.migrate import migrate
from pipeline.ledger.records import State
from pipeline.postgres.embedded import open_server
from pipeline.run import admit
from steps.check_limits import Admitted
from tests.support.fixtures import Simulator, open_test_context, order_request


@pytest.mark.parametrize(
    ("asked", "kept"), [("off", "on"), ("local", "on"), ("on", "on"), ("remote_apply", "remote_apply")]
)
def test_state_change_overrides_a_weaker_synchronous_commit(ledger_dsn: str, asked: str, kept: str) -> None:
    with psycopg.connect(ledger_dsn) as connection:
        connection.execute(f"set synchronous_commit = {asked}".encode())
        connection.execute("update onetake.runs set state = state where false")
        assert connection.execute("show synchronous_commit").fetchone() == (kept,)
        connection.commit()
        assert connection.execute("show synchronous_commit").fetchone() == (asked,)


async def test_begun_submission_survives_a_database_crash(tmp_path: Path, simulator: Simulator) -> None:
    folder = tmp_path / "database"
    for number in range(3):
        with open_server(folder) as dsn:
            migrate(dsn)
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(b"alter database " + _name(connection) + b" set synchronous_commit = off")
                found = connection.execute("show data_directory").fetchone()
            assert found is not None
            server = int((Path(found[0]) / "postmaster.pid").read_text().splitlines()[0])
            async with open_test_context(dsn, simulator, tmp_path / f"machine {number}") as context:
                answer = await admit(
                    order_request(simulator, f"boat {number}", user_id=f"cli:{number}"), context.ledger
                )
                assert isinstance(answer, Admitted)
                await context.ledger.approve(
                    answer.run_id,
                    improved_prompt="a boat",
                    title="A boat",
                    category="nature",
                    language="en",
                    template={},
                    confirm_seconds=60,
                    cost=Cost(),
                )
                begun = await context.ledger.begin_submission(answer.run_id, "a token of one attempt")
                os.kill(server, signal.SIGQUIT)  # as a crash: nothing more is written
        assert begun is not None
        with open_server(folder) as dsn:
            async with open_test_context(dsn, simulator, tmp_path / f"other {number}") as context:
                row = await context.ledger.load(answer.run_id)
        assert row is not None
        assert row.state is State.SUBMITTING


def _name(connection: psycopg.Connection) -> bytes:
    row = connection.execute("select quote_ident(current_database())").fetchone()
    assert row is not None
    return str(row[0]).encode()
