"""The bot under load: how soon a card appears, and whether it respects Telegram's limits, by the simulator's log.

(c) ten updates a second from fifty users: time from handing out an update to receiving its card's sendMessage
(d) a hundred renders in flight: visible calls in any second, in any chat within a minute, and flood refusals
"""

import asyncio
import itertools
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.bot.chat import House, Person, calls, open_house, person
from tests.support.fixtures import Simulator

CARD_MS_MAX = 300.0
CALLS_PER_SECOND_MAX = 30.0
CHAT_CALLS_PER_MINUTE_MAX = 20.0
USERS, UPDATES_PER_SECOND, LOAD_SECONDS = 50, 10, 20
RENDERS, WATCHED_SECONDS = 100, 75
VISIBLE = {"sendMessage", "sendVideo", "editMessageText", "editMessageReplyMarkup", "sendChatAction"}


@dataclass(frozen=True)
class Manners:
    """For one load: the busiest second, the busiest minute of a chat, and the number of flood refusals."""

    per_second: int
    per_chat_minute: int
    floods: int
    renders: int


async def card_ms(dsn: str, at: Simulator, home: Path) -> list[float]:
    people = [person(at, f"user {number}") for number in range(USERS)]
    lift_limits(dsn)
    async with open_house(dsn, at, home):
        begun = time.monotonic()
        for number, each in zip(range(UPDATES_PER_SECOND * LOAD_SECONDS), itertools.cycle(people), strict=False):
            await asyncio.sleep(max(0.0, begun + number / UPDATES_PER_SECOND - time.monotonic()))
            await asyncio.to_thread(each.say, f"/create boat number {number} on a quiet lake")
        await asyncio.sleep(2)
    return latencies(at)


def latencies(at: Simulator) -> list[float]:
    """Milliseconds from handing out an update to its card, one for each update."""
    cards: dict[int, list[float]] = defaultdict(list)
    for call in calls(at):
        if call["method"] == "sendMessage":
            cards[call["chat_id"]].append(call["at"])
    found = []
    for update in at.control("GET", "/_sim/telegram/updates")["updates"]:
        handed = update["handed_out"][0]
        later = [sent for sent in cards[update["chat_id"]] if sent >= handed]
        assert later, f"no card for update {update['update_id']}"
        found.append((later[0] - handed) * 1000)
    return found


async def manners(dsn: str, at: Simulator, home: Path) -> Manners:
    people = [person(at, f"user {number}") for number in range(RENDERS)]
    lift_limits(dsn)
    at.control("POST", "/_sim/telegram/limits", {"enforce": True})
    async with open_house(dsn, at, home) as house:
        await asyncio.gather(*(_order(each, number) for number, each in enumerate(people)))
        renders = await _most_in_flight(house)
    return Manners(
        per_second=most(times(at), 1.0),
        per_chat_minute=max(most(times(at, each.id), 60.0) for each in people),
        floods=sum(call["error_code"] == 429 for call in calls(at)),
        renders=renders,
    )


async def _order(each: Person, number: int) -> None:
    await asyncio.sleep(number / UPDATES_PER_SECOND)
    await each.create(f"boat number {number} on a quiet lake")


async def _most_in_flight(house: House) -> int:
    found, until = 0, time.monotonic() + WATCHED_SECONDS
    while time.monotonic() < until:
        states = [run.state for run in await house.runs()]
        found = max(found, states.count("rendering"))  # type: ignore[arg-type]  # states are strings, too
        if states.count("delivered") == RENDERS:  # type: ignore[arg-type]  # as above
            break
        await asyncio.sleep(1)
    return found


def times(at: Simulator, chat_id: int | None = None) -> list[float]:
    visible = [call for call in calls(at) if call["method"] in VISIBLE]
    return [call["at"] for call in visible if chat_id is None or call["chat_id"] == chat_id]


def most(found: list[float], seconds: float) -> int:
    """The most calls within any window of this length."""
    return max((sum(1 for each in found if start <= each < start + seconds) for start in found), default=0)


def lift_limits(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "update onetake.limits set value = '1000000000' where key not in ('rollout', 'rollout_percent', "
            "'cooldown_seconds', 'duplicate_window_seconds')"
        )
        connection.execute("update onetake.limits set value = '0' where key = 'cooldown_seconds'")


def describe(found: list[float]) -> dict[str, Any]:
    ordered = sorted(found)
    return {"median": statistics.median(ordered), "p95": ordered[int(len(ordered) * 0.95)], "worst": ordered[-1]}
