"""The answer matrix at each provider: what it may answer to the one paid request, and how a lost answer ends there.

In       a provider, a behaviour, and whether the longest render is over
Out      one row per cell
Effects  a simulator of its own per cell; one run through every real part
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.ledger.records import Run, State
from pipeline.run import admit, run
from providers.apis import FACTS
from providers.port import Facts, Marker
from providers.transport import open_provider
from simulator.app import serve
from simulator.faults.arming import Fault
from simulator.settings import INSTANT, Settings
from steps.check_limits import Admitted
from tests.guarantee.answers import CLOSED, LATE_SECONDS, TOO_SLOW_SECONDS, WAITS
from tests.support.fixtures import KEY, PRICE_MICROUSD, Simulator, open_test_context, order_request

AT_ONCE = 8
CELL_SECONDS_MAX = 45
HEALS = frozenset({Marker.OWN_ID, Marker.ECHOED_REQUEST, Marker.ECHOED_FIELD})
# The operator says that the list never hides a job, and the longest render is over.
RENDER_OVER: Mapping[str, Any] = {"absent_after": timedelta(0), "absence_without_witness": True}


@dataclass(frozen=True)
class Behaviour:
    """`says`: made, no, or a doubt ("?"). `made`: by the provider's books. `late`: the longest render is over."""

    name: str
    kind: str
    says: str
    made: bool = False
    how: Mapping[str, Any] = field(default_factory=dict)
    posts: int = 1
    late: bool = False
    prompt: str = ""


BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour("made", "", "made", True),
    Behaviour("slow headers, in time", "slow_headers", "made", True, {"seconds": 0.3}),
    Behaviour("connection refused", "closed", "no", posts=0),
    Behaviour("the prompt is refused", "", "no", prompt="provider-refuse"),
    Behaviour("the key is refused", "status", "no", how={"status": 401, "made": False}),
    Behaviour("reset after creation", "made_then_drop", "?", True),
    Behaviour("timeout after creation", "made_then_timeout", "?", True),
    Behaviour("made after the client has gone", "made_late", "?", True, {"after": LATE_SECONDS}),
    Behaviour("slow body, too late", "slow", "?", True, {"seconds": TOO_SLOW_SECONDS}),
    Behaviour("half an answer", "half_answer", "?", True),
    Behaviour("200 with garbage", "garbage_json", "?", True),
    Behaviour("200 with a web page", "html", "?", True),
    *(Behaviour(f"{each}, made", "status", "?", True, {"status": each, "made": True}) for each in (408, 409, 429, 500)),
    *(Behaviour(f"{each}, made", "status", "?", True, {"status": each, "made": True}) for each in (502, 503, 504, 524)),
    Behaviour("redirect 307, made", "redirect", "?", True, {"status": 307, "made": True}),
    Behaviour("a proxy's page with 403, made", "html", "?", True, {"status": 403, "made": True}),
    Behaviour("reset before creation", "drop_before", "?"),
    Behaviour("500, not made", "status", "?", how={"status": 500, "made": False}),
    Behaviour("reset before creation, the longest render over", "drop_before", "?", late=True),
    Behaviour("500, not made, the longest render over", "status", "?", how={"status": 500, "made": False}, late=True),
)
SHORT = ("made", "the prompt is refused", "reset after creation", "500, made", "reset before creation")


@dataclass(frozen=True)
class Cell:
    provider: str
    behaviour: str
    posts: int
    paid_calls: int
    state: str
    reason: str | None
    violations: tuple[str, ...]


def expected(behaviour: Behaviour, facts: Facts) -> State:
    """What the facts of the provider promise."""
    if behaviour.says == "made":
        return State.SAVED
    if behaviour.says == "no":
        return State.FAILED
    if behaviour.made:
        return State.SAVED if facts.marker in HEALS else State.UNCERTAIN
    proves = facts.lookup_proves_absence if facts.marker is Marker.OWN_ID and not facts.has_list else facts.has_list
    return State.FAILED if behaviour.late and proves else State.UNCERTAIN


def judge(provider: str, behaviour: Behaviour, row: Run, posts: int, paid_calls: int) -> Cell:
    wanted = expected(behaviour, FACTS[provider])
    pocket = {State.SAVED: "spent", State.FAILED: "released"}.get(wanted, "held")
    money = {"held": row.held_microusd, "spent": row.spent_microusd, "released": row.released_microusd}
    checks = {
        f"{posts} POSTs, not {behaviour.posts}": posts == behaviour.posts,
        f"{paid_calls} paid calls": paid_calls == int(behaviour.made),
        f"ended {row.state} ({row.reason}, {row.doubt}, {row.look_says}), not {wanted}": row.state is wanted,
        f"money {money}": money == dict.fromkeys(money, 0) | {pocket: PRICE_MICROUSD},
        "not parked": row.ended or row.parked,
    }
    violations = tuple(words for words, holds in checks.items() if not holds)
    return Cell(provider, behaviour.name, posts, paid_calls, row.state.value, row.reason, violations)


async def play(provider: str, behaviour: Behaviour, dsn: str, home: Path) -> Cell:
    """One order at its own double, processed until it has ended or nothing more can be learned."""
    async with serve(settings=Settings(speed=INSTANT, tiny_clips=True, refund_failed=True)) as running:
        sim = Simulator(running.base_url, provider)
        if behaviour.kind not in {"", "closed"}:
            running.state.faults.arm(Fault("create", behaviour.kind, params=behaviour.how))
        rules = dict(RENDER_OVER) if behaviour.late else {}
        async with (
            open_test_context(dsn, sim, home, WAITS, **rules) as opened,
            open_provider(CLOSED, KEY, api=opened.account.provider.api, connect_seconds=1) as nobody,
        ):
            account = replace(opened.account, key_fingerprint=home.name)
            if behaviour.kind == "closed":
                account = replace(account, provider=_unreachable(nobody, provider))
            context = replace(opened, account=account)
            prompt = f"a paper boat, {home.name} {behaviour.prompt}".strip()
            asked = order_request(sim, prompt, user_id=f"cli:{home.name}", key_fingerprint=home.name)
            admitted = await admit(asked, context.ledger)
            assert isinstance(admitted, Admitted), admitted
            row = await _carried(admitted, context, expected(behaviour, FACTS[provider]))
        totals = running.state.books.as_json(entries=False)["totals"]
    return judge(provider, behaviour, row, totals["creates"], totals["paid_calls"])


def _unreachable(nobody: Any, provider: str) -> Any:
    """The same client, whose API is at an address where nothing listens."""
    from providers.apis import api_of

    nobody.api = api_of(provider, CLOSED)
    return nobody


async def _carried(admitted: Admitted, context: Any, wanted: State) -> Run:
    until = time.monotonic() + CELL_SECONDS_MAX
    proved = WAITS.request_over + WAITS.reconcile_grace
    while True:
        row = await run(admitted.run_id, context)
        assert row is not None
        rests = wanted is State.UNCERTAIN and row.parked and row.age(row.submitting_at) > proved
        if row.ended or rests or time.monotonic() > until:
            return row
        await asyncio.sleep(0.25)


async def matrix(providers: Sequence[str], behaviours: Sequence[Behaviour], dsn: str, folder: Path) -> list[Cell]:
    room = asyncio.Semaphore(AT_ONCE)

    async def cell(number: int, provider: str, behaviour: Behaviour) -> Cell:
        async with room:
            return await play(provider, behaviour, dsn, folder / f"cell-{number}")

    pairs = [(provider, behaviour) for behaviour in behaviours for provider in providers]
    return await asyncio.gather(*(cell(number, *pair) for number, pair in enumerate(pairs)))
