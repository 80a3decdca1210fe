"""What the audit makes of markers, charges, gateways and callbacks; and audits of several accounts."""

import asyncio
import inspect
import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from pipeline.context import ProviderAccount
from pipeline.ledger.client import Ledger
from pipeline.ledger.records import Run, State
from pipeline.ledger.transports.common import Json, LedgerRefused
from pipeline.operator_text import incomplete_words
from pipeline.purchase.audit import Audit, audit, audit_if_due, last_audit
from pipeline.purchase.comparison import CHARGE_TOLERANCE_MICROUSD, compare
from pipeline.purchase.differences import Comparison, Kind
from pipeline.run import admit
from pipeline.run import run as advance
from providers.apis import api_of
from providers.job import Job
from providers.transport import open_provider
from providers.vendors import ark, fal, kling, luma, replicate
from steps.check_limits import Admitted
from tests.cli.runs import NOW
from tests.pipeline.purchase.test_audit import FAILED, SAVED, UNCERTAIN, a_job, a_run, sides
from tests.pipeline.purchase.test_reconcile import Place, age, place_at
from tests.providers.scripted import Reply, answer, scripted
from tests.support.fixtures import Simulator, open_test_context, order_request

PRICE = 800_000


def kinds(both: Comparison) -> list[Kind]:
    return [difference.kind for difference in compare(both)[0]]


# -- markers


def marked(run: Run, job_id: str = "j1", **changes: Any) -> Job:
    """A job of this run at a provider that shows its marker and no prompt, as Ark does."""
    marker = api_of("ark", "").marker(run.order())
    return a_job(job_id, prompt=None, size=None, marker=marker, **changes)


def ark_run(state: State, number: int = 1, **changes: Any) -> Run:
    return a_run(state, number, provider="ark", **changes)


def test_late_jobs_of_equal_orders_go_to_the_runs_whose_markers_they_show() -> None:
    first, second = ark_run(FAILED), ark_run(FAILED, 2, submitting_at=NOW + timedelta(seconds=10))
    both = sides([first, second], [marked(second, "j2", created_at=NOW.timestamp() + 11), marked(first)])
    assert compare(both)[1] == ((first.run_id, "j1"), (second.run_id, "j2"))

    swapped = sides([first, second], [marked(second, "j2"), marked(first, created_at=NOW.timestamp() + 11)])
    assert compare(swapped)[1] == (), "by their times they would be exchanged"
    assert kinds(swapped) == [Kind.LATE_JOB, Kind.LATE_JOB]


def test_job_that_shows_another_failed_runs_marker_is_not_adopted_for_this_one() -> None:
    first, second = ark_run(FAILED), ark_run(FAILED, 2)
    differences, adoptions = compare(sides([first, second], [marked(second)]))
    assert (adoptions, [each.kind for each in differences]) == ((), [Kind.LATE_JOB])


@pytest.mark.parametrize("state", [UNCERTAIN, FAILED])
def test_second_job_with_one_runs_marker_is_a_second_paid_call_even_beside_an_equal_order(state: State) -> None:
    first, second = ark_run(state), ark_run(state, 2)
    jobs = [marked(first, "j2", created_at=NOW.timestamp() + 9), marked(first)]
    [difference] = [each for each in compare(sides([first, second], jobs))[0] if each.kind is Kind.TWO_PAID_CALLS]
    assert (difference.ref, difference.job_id) == (first.ref, "j2")


def test_job_with_the_marker_from_before_the_order_is_no_second_paid_call() -> None:
    """Ark's markers have few values: somebody else's order may have had it."""
    run = ark_run(UNCERTAIN)
    old = marked(run, "old", created_at=NOW.timestamp() - 1800)
    assert Kind.TWO_PAID_CALLS not in kinds(sides([run], [marked(run), old]))


def test_unsorted_list_is_compared_from_end_to_end() -> None:
    """One job of ours at its front says nothing of the jobs behind it."""
    ours = a_run(SAVED, job_id="j1", submitting_at=NOW - timedelta(hours=2))
    jobs = [a_job(created_at=None), a_job("j2", created_at=None)]
    both = sides([ours], jobs)
    assert kinds(replace(both, newest_first=False)) == [Kind.TWO_PAID_CALLS]


# -- what the provider says beside the job


@pytest.mark.parametrize(
    ("spent", "charged", "differs"),
    [
        (PRICE, None, False),
        (PRICE, PRICE, False),
        (PRICE, PRICE + max(CHARGE_TOLERANCE_MICROUSD, PRICE // 50), False),
        (PRICE, PRICE + max(CHARGE_TOLERANCE_MICROUSD, PRICE // 50) + 1, True),
        (PRICE, PRICE - PRICE // 50 - 1, True),
        (PRICE, 0, True),
        (0, PRICE, True),
        (0, CHARGE_TOLERANCE_MICROUSD, False),
        (0, 10**12, True),
    ],
)
def test_charge_that_differs_by_more_than_a_cent_or_two_per_cent_is_reported(
    spent: int, charged: int | None, differs: bool
) -> None:
    state = SAVED if spent else FAILED
    run = a_run(state, job_id="j1", spent_microusd=spent, charged_microusd=charged, price_microusd=PRICE, file="a.mp4")
    job = a_job() if spent else a_job(status=a_job().status.FAILED)
    assert (Kind.CHARGED_OTHERWISE in kinds(sides([run], [job]))) is differs


def test_charge_of_a_run_that_has_not_ended_is_not_compared() -> None:
    run = a_run(State.RENDERING, job_id="j1", charged_microusd=10**9)
    assert Kind.CHARGED_OTHERWISE not in kinds(sides([run], [a_job()]))


@pytest.mark.parametrize(("attempts", "told"), [(0, []), (1, ["2 times"]), (4, ["5 times"])])
def test_order_that_a_gateway_repeated_may_have_been_bought_as_often(attempts: int, told: list[str]) -> None:
    run = a_run(SAVED, job_id="j1", gateway_attempts=attempts)
    found = [each for each in compare(sides([run], [a_job()]))[0] if each.kind is Kind.PERHAPS_TWO_PAID_CALLS]
    assert [re.findall(r"\d+ times", each.words)[0] for each in found] == told


def test_second_job_that_a_callback_named_is_reported_with_its_run() -> None:
    run = a_run(SAVED, job_id="j1")
    both = replace(sides([run], [a_job()]), called_back={run.run_id: a_job("j9")})
    [difference] = compare(both)[0]
    assert (difference.kind, difference.ref, difference.job_id) == (Kind.PERHAPS_TWO_PAID_CALLS, run.ref, "j9")


async def test_audit_asks_for_jobs_that_callbacks_named_beside_the_runs_own(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    """One is real, one is made up, and one is another run's."""
    async with place_at("openrouter", ledger_dsn, simulator, tmp_path) as place:
        rows = [await bought(place, n) for n in range(3)]
        real = place.foreign_job()
        for row, job_id in zip(rows, (real, "made-up", rows[0].job_id), strict=True):
            await place.call_back(row, job_id)
        found = await audited(place)
    named = [(each.ref, each.job_id) for each in found.differences if each.kind is Kind.PERHAPS_TWO_PAID_CALLS]
    assert named == [(rows[0].ref, real)]


async def bought(place: Place, n: int = 0) -> Run:
    address = f"https://o.test/callbacks/x/{uuid4().hex}"
    asked = order_request(place.sim, f"a boat, number {n}", user_id=f"cli:{n}", callback_url=address)
    admitted = await admit(asked, place.context.ledger)
    assert isinstance(admitted, Admitted), admitted
    row = await advance(admitted.run_id, place.context)
    assert row is not None and row.state is State.SAVED, row
    return row


async def audited(place: Place, back: timedelta = timedelta(hours=1)) -> Audit:
    context = place.context
    now = (await last_audit(context.ledger.rpc, context.account)).now
    return await audit(context.ledger, context.account, context.waits, now - back)


# -- lists of single models, from a moment on


async def test_audit_of_a_list_that_begins_at_a_time_asks_back_to_our_job_before_it(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    """At fal: three days ago we bought another model's clip, and since then this one's."""
    async with place_at("fal", ledger_dsn, simulator, tmp_path) as place:
        older = await bought(place)
        age(place, older, timedelta(days=3))
        await bought(place, 1)
        found = await audited(place)
    assert (found.complete, found.why_incomplete, found.jobs) == (True, "", 3)


async def test_job_whose_record_has_expired_is_not_missed_in_the_list(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    """Ark shows a week: an account that rested for eight days is audited all the same."""
    async with place_at("ark", ledger_dsn, simulator, tmp_path) as place:
        older = await bought(place)
        with psycopg.connect(ledger_dsn, autocommit=True) as connection:
            stamps = ("submitting_at", "answered_at", "rendering_at", "saved_at")
            moved = ", ".join(f"{stamp} = {stamp} - interval '8 days'" for stamp in stamps)
            connection.execute(f"update onetake.runs set {moved}, job_id = 'expired'".encode())
        assert older.job_id is not None
        await bought(place, 1)
        found = await audited(place)
    assert found.why_incomplete == ""


def test_every_reason_of_a_vendors_list_has_a_sentence() -> None:
    parts = [inspect.getsource(module._flaw) for module in (ark, fal, kling, luma, replicate)]
    parts += [inspect.getsource(each) for each in (luma._gap, ark.Ark.page, fal.Fal.page)]
    fields = {"has_more", "next_cursor", "page_num", "page_size", "last_id", "endpoint_id"}
    whys = {why for text in parts for why in re.findall(r'"([a-z]+(?:_[a-z]+)+)"', text)} - fields
    assert {"rows_were_removed", "another_page", "next_page_unreadable", "pages_too_short"} <= whys
    assert {why for why in whys if incomplete_words(why) == why} == set()


# -- several accounts


async def test_each_account_is_audited_and_one_that_hangs_or_is_refused_holds_up_no_other(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.purchase.audit.AUTOMATIC_SECONDS_MAX", 1.0)
    hangs = Reply(b"", then_hang=True)
    async with AsyncExitStack() as opened:
        context = await opened.enter_async_context(open_test_context(ledger_dsn, simulator, tmp_path))
        slow = await opened.enter_async_context(scripted(lambda _: hangs))
        broken = await opened.enter_async_context(scripted(lambda _: answer(500)))
        others = [replace(context.account, base_url=server.url) for server in (slow, broken)]
        others = [await _at(account, opened) for account in others]
        real = context.ledger.rpc

        async def refusing(name: str, args: Mapping[str, Json]) -> Json:
            if name == "store_audit" and args["base_url"] == broken.url:
                raise LedgerRefused("LG003", "no")
            return await real(name, args)

        first = replace(others[1], others=(others[0], context.account))
        begun = asyncio.get_running_loop().time()
        with pytest.raises(LedgerRefused):
            await audit_if_due(replace(context, account=first, ledger=Ledger(refusing)))
        assert asyncio.get_running_loop().time() - begun < 10
        kept: Any = await real("list_audits", {"at_most": 9})
    said = {each["base_url"]: each["result"] for each in kept}
    assert said[context.account.base_url]["complete"] is True
    assert "timed out" in said[slow.url]["why_incomplete"]
    assert broken.url not in said


async def _at(account: ProviderAccount, opened: AsyncExitStack) -> ProviderAccount:
    return replace(account, provider=await opened.enter_async_context(open_provider(account.base_url, "a-key")))
