"""The answer matrix: every behavior of a provider on the one paid request x how far its list can be trusted.

    python -m tests.guarantee.answers [--json FILE]

Each cell is one run through every real part, over real HTTP, at its own simulator. Checked from outside: at most
one POST (the simulator's books), the state and the money (the ledger), and the sentence shown to a person.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cli.output import sentences
from pipeline.ledger.migrate import install_queue, migrate
from pipeline.ledger.operators import LimitSet, Operators
from pipeline.ledger.records import Run, State
from pipeline.ledger.transports.over_psycopg import open_transport
from pipeline.operator_text import DOUBTS
from pipeline.postgres.embedded import open_server
from pipeline.run import admit, run
from providers.transport import open_provider
from simulator.app import serve
from simulator.faults.arming import Fault
from simulator.settings import INSTANT, Habits, Settings
from steps.check_limits import Admitted
from tests.providers.openai_videos.test_videos_protocol import CLEAR_NO
from tests.support.fixtures import (
    KEY,
    PRICE_MICROUSD,
    PROVES_ABSENCE,
    Simulator,
    open_test_context,
    order_request,
    quick_waits,
)

AT_ONCE = 12
TRIES, FREEZE_SECONDS = 4, 0.5  # a cell is repeated if the machine stalled meanwhile
CELL_SECONDS_MAX = 45
WAITS = quick_waits(
    SUBMIT_DEADLINE_SECONDS="2",
    CONNECT_TIMEOUT_SECONDS="2",  # all cells share one loop, which is busy
    REQUEST_TIMEOUT_SECONDS="1",
    LOOK_SECONDS="0.4",
    RECONCILE_GRACE_SECONDS="2",
    RENDER_DEADLINE_SECONDS="30",
)
TOO_SLOW_SECONDS = 4  # longer than the connect and request timeouts together
LATE_SECONDS = 2  # after the client has disconnected, before a list could prove anything
CLOSED = "http://127.0.0.1:9/v1"  # nothing listens there
NO_LIMIT = 1_000_000_000_000
UNLIMITED = (
    *("budget_day_microusd", "budget_month_microusd"),
    *("breaker_failures", "breaker_all_submissions", "breaker_user_submissions"),
)


class Listing(StrEnum):
    """How far the provider's list can be trusted."""

    TRUSTED = "trusted list"
    NO_PROMPTS = "list without prompts"
    NONE = "no list"


@dataclass(frozen=True)
class Behaviour:
    """The provider's behavior. `says`: made, a clear no ("no:reason") or a doubt ("?:doubt"); `made`: by its books."""

    name: str
    kind: str
    says: str
    made: bool = False
    how: Mapping[str, Any] = field(default_factory=dict)
    posts: int = 1
    refuses_429: bool = False


def _status(status: int, says: str, *, made: bool = False, **how: Any) -> Behaviour:
    name = f"HTTP {status}{', made' if made else ''}"
    return Behaviour(name, "status", says, made, {"status": status, "made": made} | how)


UNCLEAR = (300, 304, 405, 406, 408, 409, 410, 418, 423, 425, 451, 499, 500, 501, 502, 503, 504, 507, 520, 524, 529)
MADE_ALL_THE_SAME = (408, 409, 425, 500, 502, 503, 504)
KEY_USED = {"name": "idempotency_key_reuse", "made": True}
LOST_ANSWER = {"name": "lost_answer", "made": True}
GATEWAYS = (
    *(("x-envoy-attempt-count", "2"), ("x-portkey-retry-attempt-count", "1")),
    *(("Ngrok-AIG-Attempts", "3"), ("cf-aig-step", "1"), ("cf-aig-step", "fallback")),
)

BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour("200 with a job", "", "made", True),
    Behaviour("slow headers, in time", "slow_headers", "made", True, {"seconds": 0.3}),
    Behaviour("slow body, in time", "slow", "made", True, {"seconds": 0.3}),
    *(_status(status, f"no:{reason}") for status, reason in CLEAR_NO.items()),
    Behaviour("connection refused", "closed", "no:never_connected", posts=0),
    Behaviour("HTTP 429, refused before work", "status", "no:rate_limited", how={"status": 429}, refuses_429=True),
    _status(429, "?:rate_limited", retry_after=1),
    _status(429, "?:rate_limited", made=True, retry_after=1),
    *(_status(status, f"?:http_{status}") for status in UNCLEAR),
    *(_status(status, f"?:http_{status}", made=True) for status in MADE_ALL_THE_SAME),
    *(
        Behaviour(f"redirect {status}{', made' if made else ''}", "redirect", f"?:http_{status}", made, how)
        for status in (301, 302, 303, 307, 308)
        for made in (False, True)
        for how in ({"status": status, "made": made},)
    ),
    _status(202, "?:unreadable"),
    _status(204, "?:unreadable", made=True),
    Behaviour("timeout before creation", "timeout_before", "?:lost"),
    Behaviour("timeout after creation", "made_then_timeout", "?:lost", True),
    Behaviour("made after the client has gone", "made_late", "?:lost", True, {"after": LATE_SECONDS}),
    Behaviour("slow headers, too late", "slow_headers", "?:lost", True, {"seconds": TOO_SLOW_SECONDS}),
    Behaviour("slow body, too late", "slow", "?:lost", True, {"seconds": TOO_SLOW_SECONDS}),
    Behaviour("reset before creation", "drop_before", "?:lost"),
    Behaviour("reset after creation", "made_then_drop", "?:lost", True),
    Behaviour("half an answer", "half_answer", "?:lost", True),
    Behaviour("200 with garbage", "garbage_json", "?:unreadable", True),
    Behaviour("200 without an id", "id_missing", "?:unreadable", True),
    Behaviour("200 with an error", "error_body", "?:unreadable"),
    Behaviour("200 with an error, made", "error_body", "?:unreadable", True, {"made": True}),
    *(
        Behaviour(f"200 in another envelope: {envelope}", "enveloped", "made", True, {"envelope": envelope})
        for envelope in ("data", "code", "code_task", "code_lone", "code_request", "task", "lone_task")
    ),
    Behaviour("200 after a byte order mark", "bom", "made", True),
    Behaviour("200 in a charset that nobody has", "charset", "made", True),
    Behaviour("200 cut within a character", "cut_utf8", "?:unreadable", True),
    Behaviour("200 with a web page", "html", "?:unreadable", True),
    Behaviour("200 without an id, upstream busy", "idless", "?:unreadable", True),
    Behaviour("200 that unpacks to fifty megabytes", "gzip_bomb", "?:lost", True, {"megabytes": 50}),
    Behaviour("200 without end", "endless", "?:lost", True, {"bytes": 20_000_000}),
    Behaviour("422, the prompt is refused", "refused", "no:prompt_refused", how={"name": "content_policy_violation"}),
    Behaviour("400, the prompt is refused", "refused", "no:prompt_refused", how={"name": "sensitive_content"}),
    Behaviour("403, the prompt is refused", "refused", "no:prompt_refused", how={"name": "moderation"}),
    Behaviour("429, the budget is used", "refused", "?:rate_limited", how={"name": "budget_exceeded"}),
    Behaviour("422, our key was used before, made", "refused", "?:key_used_before", True, KEY_USED),
    Behaviour(
        "400 of a server that broke inside, made",
        "refused",
        "?:refusal_of_nothing",
        True,
        {"name": "broken_inside", "made": True},
    ),
    Behaviour("400 that tells of a lost answer, made", "refused", "?:refusal_of_a_lost_answer", True, LOST_ANSWER),
    Behaviour("400 after a gateway's own tries, made", "gateway_retried", "?:gateway_retried", True),
    *(
        Behaviour(f"400 with {name}: {tries}, made", "gateway_retried", "?:gateway_retried", True, how)
        for name, tries in GATEWAYS
        for how in ({"headers": {name: tries}},)
    ),
    *(
        Behaviour(f"{status} with the job in it", "job_in_error", "made", True, {"status": status})
        for status in (400, 403, 500)
    ),
    *(
        Behaviour(f"{status}, its job {word}", "job_in_error", "?:refusal_names_a_job", True, {"status": status} | said)
        for status, word in ((400, "failed"), (422, "error"), (503, "lost"), (409, "queued"))
        for said in ({"word": word},)
    ),
    *(
        Behaviour(
            f"{status} with a proxy's page", "html", "?:refusal_unreadable", made, {"status": status, "made": made}
        )
        for status, made in ((403, True), (404, True), (401, False))
    ),
    *(
        Behaviour(f"{status} and {text}, made", "status", "?:refusal_unreadable", True, {"status": status} | how)
        for status, text, body in ((400, "nothing else", ""), (413, "plain text", "too large"), (422, "no words", "{}"))
        for how in ({"made": True, "body": body},)
    ),
    Behaviour(
        "429 with a proxy's page", "html", "?:refusal_unreadable", how={"status": 429, "made": False}, refuses_429=True
    ),
    *(
        Behaviour(f"200 with our own key{form and ', ' + form}", "echoes_key", "?:echoes_our_key", True, {"form": form})
        for form in ("", "upper", "bare")
    ),
)
SHORT = (
    *("200 with a job", "HTTP 400", "connection refused", "HTTP 429", "HTTP 500, made", "redirect 307, made"),
    *("timeout after creation", "reset before creation", "half an answer", "200 with an error"),
    *("400 with the job in it", "403 with a proxy's page", "200 with our own key"),
)


@dataclass(frozen=True)
class Expected:
    state: State
    reason: str | None = None


def expected(behaviour: Behaviour, listing: Listing) -> Expected:
    """docs/design.md, "What the answer means", and how the list resolves a doubt."""
    says, _, word = behaviour.says.partition(":")
    if says == "no":
        return Expected(State.FAILED, word)
    if says == "made":
        return Expected(State.SAVED)
    if behaviour.made and listing is Listing.TRUSTED:  # a list without prompts only proposes; a person decides
        return Expected(State.SAVED)
    if not behaviour.made and listing is Listing.TRUSTED:
        return Expected(State.FAILED, "not_made")
    return Expected(State.UNCERTAIN)


@dataclass(frozen=True)
class Cell:
    behaviour: str
    listing: str
    posts: int
    paid_calls: int
    state: str
    reason: str | None
    money: str
    sentence: str
    violations: tuple[str, ...]


def judge(behaviour: Behaviour, listing: Listing, row: Run, posts: int, paid_calls: int) -> Cell:
    wanted = expected(behaviour, listing)
    money = {"held": row.held_microusd, "spent": row.spent_microusd, "released": row.released_microusd}
    sentence = sentences.ending(row) if row.ended else sentences.in_doubt(row)
    checks = {
        f"{posts} POSTs, not {behaviour.posts}": posts == behaviour.posts,
        f"{paid_calls} paid calls": paid_calls == int(behaviour.made),
        f"ended {row.state}, not {wanted.state}": row.state is wanted.state,
        f"because of {row.reason}, not {wanted.reason}": row.reason == wanted.reason,
        f"money {money}": money == dict.fromkeys(money, 0) | {pocket(wanted.state): PRICE_MICROUSD},
        "not parked": row.ended or row.parked,
        "wrong sentence": all(words in sentence for words in words_for(behaviour, wanted)),
    }
    violations = tuple(words for words, holds in checks.items() if not holds)
    kept = next((name for name, amount in money.items() if amount), "-")
    return Cell(
        behaviour.name, listing.value, posts, paid_calls, row.state.value, row.reason, kept, sentence, violations
    )


def pocket(state: State) -> str:
    return {State.SAVED: "spent", State.FAILED: "released"}.get(state, "held")


def words_for(behaviour: Behaviour, wanted: Expected) -> tuple[str, ...]:
    """What happened, whether money was spent, and what to do."""
    match wanted.state:
        case State.SAVED:
            return "is saved", "$0.80 was charged"
        case State.FAILED:
            happened, todo = sentences.FAILURES[wanted.reason or ""]
            return happened, "Nothing was charged.", todo
    doubt = behaviour.says.partition(":")[2]
    happened = DOUBTS.get(doubt) or f"answered HTTP {doubt.removeprefix('http_')}"
    return happened, "$0.80 stays set aside", "will not be bought a second time", "--job ID", "--not-charged"


async def play(behaviour: Behaviour, listing: Listing, dsn: str, home: Path) -> Cell:
    """One request at its own simulator, processed until it has ended or is parked."""
    habits = {
        Listing.TRUSTED: Habits(),
        Listing.NO_PROMPTS: Habits(null_prompts=True),
        Listing.NONE: Habits(no_list_status=404),
    }[listing]
    settings = Settings(speed=INSTANT, tiny_clips=True, habits=habits)
    rules: dict[str, Any] = {"refuses_429_before_work": behaviour.refuses_429}
    if listing is Listing.TRUSTED:
        rules |= PROVES_ABSENCE
    async with serve(settings=settings) as running:
        sim = Simulator(running.base_url)
        if behaviour.kind not in {"", "closed"}:
            running.state.faults.arm(Fault("create", behaviour.kind, params=behaviour.how))
        async with (
            open_test_context(dsn, sim, home, WAITS, **rules) as opened,
            open_provider(CLOSED, KEY, connect_seconds=1) as nobody,
        ):
            name = home.name  # its own API key as well: a port may be reused
            account = replace(opened.account, key_fingerprint=name)
            if behaviour.kind == "closed":
                account = replace(account, provider=nobody, base_url=CLOSED)
            context = replace(opened, account=account)
            bought_at = {"base_url": account.base_url, "key_fingerprint": name}
            # A unique prompt: to the ledger, the cells' providers may be one, and equal orders block each other.
            asked = order_request(sim, f"a paper boat, {name}", user_id=f"cli:{name}", **bought_at)
            admitted = await admit(asked, context.ledger)
            assert isinstance(admitted, Admitted), admitted
            wanted, until = expected(behaviour, listing), time.monotonic() + CELL_SECONDS_MAX
            while True:
                row = await run(admitted.run_id, context)
                assert row is not None
                if row.ended or at_rest(row, wanted) or time.monotonic() > until:
                    break
                await asyncio.sleep(0.25)
        totals = running.state.books.as_json(entries=False)["totals"]
        return judge(behaviour, listing, row, totals["creates"], totals["paid_calls"])


def at_rest(row: Run, wanted: Expected) -> bool:
    """Parked, and past the time in which a list could have proved anything. Parked alone is not final: looks go on."""
    proved = WAITS.request_over + WAITS.reconcile_grace
    return wanted.state is State.UNCERTAIN and row.parked and row.age(row.submitting_at) > proved


async def matrix(behaviours: Sequence[Behaviour], dsn: str, folder: Path) -> list[Cell]:
    """Every behavior x every list, on a fresh ledger without limits."""
    async with open_transport(dsn) as rpc:
        for limit in UNLIMITED:
            assert isinstance(await Operators(rpc).set_limit(limit, NO_LIMIT, "answers"), LimitSet)
    room = asyncio.Semaphore(AT_ONCE)
    freezes: list[float] = []

    async def cell(number: int, behaviour: Behaviour, listing: Listing) -> Cell:
        async with room:
            for again in range(TRIES):
                began = time.monotonic()
                played = await play(behaviour, listing, dsn, folder / f"cell-{number}-{again}")
                # A stalled machine looks like a slow provider. More than one POST is never excused.
                frozen = any(at >= began for at in freezes)
                if not played.violations or played.posts > 1 or not frozen:
                    break
            return played

    watching = asyncio.create_task(watch_freezes(freezes))
    pairs = [(behaviour, listing) for behaviour in behaviours for listing in Listing]
    try:
        return await asyncio.gather(*(cell(number, *pair) for number, pair in enumerate(pairs)))
    finally:
        watching.cancel()


async def watch_freezes(freezes: list[float]) -> None:
    """Record when this process did not run for half a second."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.1)
        if time.monotonic() - before > FREEZE_SECONDS:
            freezes.append(time.monotonic())


def print_matrix(cells: Sequence[Cell], seconds: float) -> None:
    console = Console(highlight=False, markup=False)
    table = Table("the provider's behaviour", *Listing, box=None, header_style="bold")
    by_name: dict[str, list[Cell]] = {}
    for cell in cells:
        by_name.setdefault(cell.behaviour, []).append(cell)
    for name, row in by_name.items():
        table.add_row(name, *(shown(cell) for cell in row))
    console.print(table)
    violations = sum(bool(cell.violations) for cell in cells)
    most = max(cell.posts for cell in cells)
    console.print(f"{len(cells)} cells, {violations} violations, at most {most} POST per run, {seconds:.0f} s")


def shown(cell: Cell) -> str:
    words = f"{cell.state}, {cell.money}, {cell.posts} POST"
    return words + "".join(f"\nVIOLATION: {violation}" for violation in cell.violations)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.guarantee.answers", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the cells to this file")
    options = parser.parse_args()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # the simulator's clients disconnect on purpose
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, open_server(Path(folder) / "postgres") as dsn:
        migrate(dsn)
        install_queue(dsn)
        cells = asyncio.run(matrix(BEHAVIOURS, dsn, Path(folder)))
    seconds = time.monotonic() - began
    print_matrix(cells, seconds)
    violations = sum(bool(cell.violations) for cell in cells)
    if options.json:
        summary = {
            "matrix": "answers",
            "cells": len(cells),
            "violations": violations,
            "posts_most": max(cell.posts for cell in cells),
            "seconds": round(seconds, 1),
            "rows": [asdict(cell) for cell in cells],
        }
        options.json.write_text(json.dumps(summary, indent=1))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
