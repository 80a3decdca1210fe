"""One machine at a time: its name is made once, and a short outage of the ledger does not end its work."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.ledger.host_lease import HostLease, HostTaken, host_name
from pipeline.ledger.transports.common import Json, LedgerForbidden, LedgerUnavailable


def test_concurrent_first_calls_get_the_same_host_name(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        names = set(threads.map(lambda _: host_name(tmp_path / "home"), range(8)))
    assert names == {host_name(tmp_path / "home")}


def test_empty_host_file_gets_a_new_name(tmp_path: Path) -> None:
    (tmp_path / "host").write_text("")
    name = host_name(tmp_path)
    assert name
    assert host_name(tmp_path) == name


@pytest.mark.parametrize("trouble", [LedgerUnavailable("away"), LedgerForbidden("a gateway that is restarting")])
async def test_work_survives_ledger_errors_and_stops_when_another_machine_holds_the_lease(trouble: Exception) -> None:
    answers: list[Exception | dict[str, Json]] = [
        trouble,
        {"mine": True},
        trouble,
        {"mine": False, "host": "other 1f", "until": "2026-01-01T00:00:00+00:00"},
    ]

    async def rpc(name: str, args: Mapping[str, Json]) -> Json:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def work() -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(60):
        with pytest.raises(HostTaken, match=r"^other works on this ledger"):
            await HostLease(rpc, "me", lease_seconds=0.2).hold(work())
    assert not answers
