"""Judges a case only from outside: the provider's books, the ledger's tables, the chat as its person sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.guarantee.chat.life import House, Place
from tests.guarantee.chat.visitor import Visitor, says_the_end
from tests.guarantee.crash.judge import budget_differences, ends_unbought
from tests.support.fixtures import PRICE_MICROUSD

BOT_ID = 4242
CONFIRMED = "ledger.confirm.before"


@dataclass(frozen=True)
class Facts:
    """The outcome of one /create and one button press."""

    creates: int
    paid: int
    state: str
    reason: str | None
    cards: int
    videos: int
    last_word: bool  # a card shows the outcome
    handed_out: int  # deliveries of the two updates in total
    wrong: tuple[str, ...]


def judge(house: House, place: Place, visitor: Visitor, lives: int, *, tap_answered: bool) -> Facts:
    """Check what happened against the promise in docs/design.md."""
    totals = place.sim.books()["totals"]
    rows = _rows(place)
    row = rows[0] if rows else {"state": "unknown", "reason": None, "audience": {}}
    views = visitor.me.views()
    videos = [view for view in views if view.get("video")]
    cards = visitor.cards(views)
    seen = _since_the_tap([house.points(life) for life in range(1, lives + 1)])
    wrong = [
        *_bought_once(totals["creates"], totals["paid_calls"]),
        *_ledger(rows, visitor, totals["paid_calls"], ends_unbought(seen, woken=False)),
        *_chat(row, cards, videos, totals["paid_calls"]),
        *_updates(visitor),
        *(_tap(place, visitor) if tap_answered else []),
        *budget_differences(place.dsn),
    ]
    last_word = any(map(says_the_end, cards))
    handed_out = sum(len(fate["handed_out"]) for fate in visitor.fates())
    return Facts(
        totals["creates"], totals["paid_calls"], row["state"], row["reason"],
        len(cards), len(videos), last_word, handed_out, tuple(wrong),
    )  # fmt: skip


def _since_the_tap(lives: Sequence[Sequence[str]]) -> list[list[str]]:
    """The points of each life, without their counts, from the press on: nobody wins the fence before it."""
    points = [[point.partition(" #")[0] for point in life] for life in lives]
    first = next((n for n, life in enumerate(points) if CONFIRMED in life), None)
    return [] if first is None else [points[first][points[first].index(CONFIRMED) :], *points[first + 1 :]]


def _rows(place: Place) -> list[dict[str, Any]]:
    with psycopg.connect(place.dsn, row_factory=dict_row) as connection:
        return connection.execute("select * from onetake.runs").fetchall()


def _bought_once(creates: int, paid: int) -> list[str]:
    wrong = [f"{creates} create requests reached the provider"] if creates > 1 else []
    return wrong + ([f"{paid} paid calls"] if paid > 1 else [])


def _ledger(rows: list[dict[str, Any]], visitor: Visitor, paid: int, ends: set[str]) -> list[str]:
    """One run for the one request; delivered, or ended unbought for a reason that its crashes explain."""
    if len(rows) != 1:
        return [f"{len(rows)} runs in the ledger"]
    row = rows[0]
    end, pockets = (
        (row["state"], row["reason"]),
        tuple(row[f"{each}_microusd"] for each in ("held", "spent", "released")),
    )
    wanted = (0, PRICE_MICROUSD, 0) if paid else (0, 0, PRICE_MICROUSD)
    well = end[0] == "delivered" if paid else end[0] == "failed" and end[1] in ends
    key = f"tg:{BOT_ID}:{visitor.me.id}:{visitor.order_request['message_id']}"
    return [
        *([] if row["request_key"] == key else [f"the run's key is {row['request_key']}"]),
        *([] if well else [f"{paid} paid calls, and the run is {end}"]),
        *([] if row["told_state"] == row["state"] else [f"the run is {end[0]}, told {row['told_state']}"]),
        *([] if pockets == wanted else [f"held, spent, released are {pockets}, not {wanted}"]),
    ]


def _chat(row: dict[str, Any], cards: Sequence[Any], videos: Sequence[Any], paid: int) -> list[str]:
    """The card exists; so does the video if one was bought, and the row has its message."""
    wrong = [] if cards else ["there is no card"]
    if not paid:
        told = any(says_the_end(card) for card in cards)
        return [*wrong, *([] if told else ["nothing in the chat says that it failed"])]
    if not videos:
        return [*wrong, "the video never came"]
    if any(view["video"]["file_size"] != row["file_bytes"] for view in videos):
        wrong.append("what came is not the file that was bought")
    known = (row["audience"].get("card_id"), row["audience"].get("video_id"))
    if known[0] not in {card["message_id"] for card in cards}:
        wrong.append(f"the row knows a card {known[0]} that is not there")
    if known[1] not in {view["message_id"] for view in videos}:
        wrong.append(f"the row knows a video {known[1]} that is not there")
    return wrong


def _updates(visitor: Visitor) -> list[str]:
    fates = visitor.fates()
    wrong = [] if len(fates) == 2 else [f"{len(fates)} updates, not two"]
    return wrong + [f"the update {fate['kind']} was never handled" for fate in fates if fate["confirmed_at"] is None]


def _tap(place: Place, visitor: Visitor) -> list[str]:
    if visitor.tap is None:
        return ["nobody was ever asked to tap"]
    answers = place.sim.control("GET", "/_sim/telegram/answers")["answers"]
    answered = any(each["callback_query_id"] == visitor.tap["callback_query_id"] for each in answers)
    return [] if answered else ["the tap was never answered"]
