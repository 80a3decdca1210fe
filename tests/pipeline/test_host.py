"""One machine at a time: its name is made once, and a short outage of the ledger does not end its work."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.ledger.host_lease import HostLease, HostTaken, host_name
from pipeline.ledger.transports.common import Json, LedgerForbidden, LedgerUnavailable


def test_a_data_folder_keeps_its_name_even_if_many_ask_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        names = set(threads.map(lambda _: host_name(tmp_path / "home"), range(8)))
    assert names == {host_name(tmp_path / "home")}


def test_a_name_that_a_power_cut_left_empty_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "host").write_text("")
    name = host_name(tmp_path)
    assert name
    assert host_name(tmp_path) == name


@pytest.mark.parametrize("trouble", [LedgerUnavailable("away"), LedgerForbidden("a gateway that is restarting")])
async def test_work_goes_on_through_trouble_and_ends_when_another_machine_has_the_lease(trouble: Exception) -> None:
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
