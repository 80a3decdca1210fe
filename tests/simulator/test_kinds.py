"""The tables of faults and habits agree with each other and with the README."""

import dataclasses
from pathlib import Path

import aiohttp
import pytest

import simulator
from simulator.faults.arming import Fault, FaultBox
from simulator.faults.kinds import KINDS, SEEDED
from simulator.settings import Habits
from simulator.videos.lies import habits_of
from tests.simulator.conftest import Open

README = (Path(simulator.__file__).parent / "README.md").read_text(encoding="utf-8")
PROVIDER_TARGETS = ("create", "retrieve", "list", "content", "file")
# What a client that trusts the answers may raise.
BROKEN = (aiohttp.ClientError, ValueError, LookupError, TypeError)


@pytest.mark.parametrize("target", SEEDED)
def test_every_seeded_fault_can_be_armed(target: str) -> None:
    for kind, params in SEEDED[target]:
        fault = Fault(target, kind, params=params)
        FaultBox(None, {}).arm(fault)
        Habits(**habits_of(fault))


def test_the_readme_names_every_habit_and_every_fault() -> None:
    names = {field.name for field in dataclasses.fields(Habits)}
    names |= {kind for target in PROVIDER_TARGETS for kind in KINDS[target]}
    assert [name for name in sorted(names) if f"`{name}`" not in README] == []


async def test_books_record_every_order_and_job_under_seeded_faults(open_provider: Open) -> None:
    """Every request under drawn faults ends, and every job that was made is in the books, whatever the answer was."""
    rates = dict.fromkeys(PROVIDER_TARGETS, 0.8)
    async with open_provider(seed=11, fault_rates=rates, hang_seconds=0.02) as provider:
        for number in range(40):
            try:
                _, video = await provider.buy(prompt=f"fox {number}")
                path = f"/v1/videos/{video['id']}"
                for where in ("/v1/videos", path, f"{path}/content"):
                    await provider.raw("GET", where)
            except BROKEN:
                continue
        await provider.ask("DELETE", "/_sim/faults")
        books, jobs = await provider.books(), await provider.truth()
        ours = [job for job in jobs if job["owner"] == "client"]
        assert len(books["creates"]) == 40
        assert len(ours) == books["totals"]["paid_calls"] > 10
