"""What an audit reports where provider and ledger differ. Pure, except for the last tests."""

import asyncio
import inspect
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from pipeline.ledger.operators import Operators
from pipeline.ledger.records import JobSource, Run, State
from pipeline.operator_text import incomplete_words
from pipeline.purchase.audit import Audited, audit, audit_if_due, last_audit
from pipeline.purchase.comparison import compare
from pipeline.purchase.differences import Comparison, Kind
from pipeline.purchase.matching import KnownJobs, Owner
from pipeline.run import admit, run
from providers import list_jobs
from providers.job import Job, JobStatus
from providers.list_jobs import Look
from providers.openai_videos import list_page
from steps.check_limits import Admitted
from tests.cli.runs import NOW, run_in
from tests.support.fixtures import Simulator, open_test_context, order_request, quick_waits

DONE = JobStatus.COMPLETED


def a_run(state: State, number: int = 1, job_id: str | None = None, **changes: object) -> Run:
    row = run_in(state, run_id=UUID(int=number), ref=f"RUN{number:03}", improved_prompt="a boat")
    failed_at = NOW + timedelta(seconds=5) if state is State.FAILED else None
    source = JobSource.ANSWER if job_id else None
    row = replace(row, submitting_at=NOW, failed_at=failed_at, job_id=job_id, job_source=source)
    return replace(row, **changes)  # type: ignore[arg-type]  # any field


def a_job(job_id: str = "j1", status: JobStatus = DONE, prompt: str | None = "a boat", **changes: object) -> Job:
    job = Job(job_id, status, None, prompt, "sim-1", 8, "720x1280", NOW.timestamp() + 1)
    return replace(job, **changes)  # type: ignore[arg-type]  # any field


def yesterdays(state: State) -> Run:
    """It was open at the last audit and has ended since, or has not ended."""
    return a_run(state, submitting_at=NOW - timedelta(days=1))


def yesterdays_job(prompt: str = "a boat") -> Job:
    return a_job(prompt=prompt, created_at=(NOW - timedelta(days=1)).timestamp() + 1)


def sides(runs: list[Run], jobs: list[Job], *, complete: bool = True, asked: tuple[Job, ...] = ()) -> Comparison:
    owned = {
        run.job_id: Owner(run.run_id, run.job_source, run.order(), run.submitting_at, run.submitting_at)
        for run in runs
        if run.job_id and run.submitting_at
    }
    without_job = tuple(run for run in runs if run.job_id is None and (run.in_doubt or run.state is State.FAILED))
    first = min((run.submitting_at for run in runs if run.submitting_at), default=None)
    books = KnownJobs(without_job, owned, ours_since=first)
    since, skew = NOW - timedelta(hours=1), timedelta(minutes=2)
    shown = {job.job_id: job for job in asked}
    why = "" if complete else "repeated_page"
    return Comparison(tuple(runs), Look(tuple(jobs), complete, why), books, since, skew, True, shown)


BOAT = "a red boat on a lake"
OLD_CASTLE = a_job("x", prompt="one grey castle in fog", seconds=12, created_at=NOW.timestamp() - 3 * 86_400)
SAVED, FAILED, UNCERTAIN = State.SAVED, State.FAILED, State.UNCERTAIN
CASES: dict[str, tuple[list[Run], list[Job], list[Kind]]] = {
    "books that agree": ([a_run(SAVED, job_id="j1")], [a_job()], []),
    "a job that no run owns": ([], [a_job()], [Kind.JOB_WITHOUT_RUN]),
    "a run whose job is not shown": ([a_run(SAVED, job_id="j1")], [], [Kind.RUN_WITHOUT_JOB]),
    "another length": ([a_run(SAVED, job_id="j1")], [a_job(seconds=12)], [Kind.NOT_AS_ORDERED]),
    "another size": ([a_run(SAVED, job_id="j1")], [a_job(size="1280x720")], [Kind.NOT_AS_ORDERED]),
    "a length that is not shown": ([a_run(SAVED, job_id="j1")], [a_job(seconds=None, size="720p")], []),
    "released, and made": ([a_run(FAILED, job_id="j1")], [a_job()], [Kind.RELEASED_BUT_MADE]),
    "released, and failed": ([a_run(FAILED, job_id="j1")], [a_job(status=JobStatus.FAILED)], []),
    "charged, and failed": (
        [a_run(SAVED, job_id="j1")],
        [a_job(status=JobStatus.FAILED)],
        [Kind.CHARGED_BUT_FAILED],
    ),
    "two jobs for one order": ([a_run(SAVED, job_id="j1")], [a_job("j2"), a_job()], [Kind.TWO_PAID_CALLS]),
    "two jobs for one run in doubt": ([a_run(UNCERTAIN)], [a_job(), a_job("j2")], [Kind.TWO_PAID_CALLS]),
    "a job for a run in doubt": ([a_run(UNCERTAIN)], [a_job()], []),
    "a run in doubt that is parked": ([a_run(UNCERTAIN, parked_at=NOW)], [], [Kind.IN_DOUBT]),
    "a late job": ([a_run(FAILED)], [a_job()], [Kind.LATE_JOB]),
    "one late job, two failed runs": ([a_run(FAILED), a_run(FAILED, 2)], [a_job()], [Kind.LATE_JOB]),
    "a second job, whatever its time": (
        [a_run(SAVED, job_id="j1")],
        [a_job("j2", created_at=NOW.timestamp() + 900), a_job()],
        [Kind.TWO_PAID_CALLS],
    ),
    "one of a date that cannot be": (
        [a_run(SAVED, job_id="j1")],
        [a_job("j2", created_at=-62135596800.0), a_job()],
        [Kind.TWO_PAID_CALLS],
    ),
    "one listed before our first order": (
        [a_run(SAVED, job_id="j1")],
        [a_job(), a_job("j2", prompt="a train", created_at=NOW.timestamp() - 7200)],
        [],
    ),
    "a second job beside a typo": (
        [a_run(State.RENDERING, job_id="nope", job_source=JobSource.PERSON)],
        [a_job()],
        [Kind.RUN_WITHOUT_JOB, Kind.JOB_WITHOUT_RUN],
    ),
    "charged, and no clip here": (
        [a_run(FAILED, job_id="j1", spent_microusd=800_000, bills_failed=True)],
        [a_job(status=JobStatus.EXPIRED)],
        [Kind.CHARGED_WITHOUT_CLIP],
    ),
    "a job from before": ([], [a_job(created_at=NOW.timestamp() - 8000)], []),
    "a job that hides its prompt": ([a_run(FAILED)], [a_job(prompt=None)], [Kind.JOB_WITHOUT_RUN]),
    "a job that hides its prompt and may be a second one": (
        [a_run(SAVED, job_id="j1")],
        [a_job("j2", prompt=None), a_job()],
        [Kind.PERHAPS_TWO_PAID_CALLS],
    ),
    "a job that hides its prompt, beside an id that the provider never showed": (
        [a_run(State.RENDERING, job_id="req_9")],
        [a_job("j2", prompt=None)],
        [Kind.RUN_WITHOUT_JOB, Kind.JOB_WITHOUT_RUN],
    ),
    "a job that hides its prompt, beside a run in doubt": (
        [a_run(SAVED, job_id="j1"), a_run(UNCERTAIN, 2)],
        [a_job("j2", prompt=None), a_job()],
        [Kind.JOB_WITHOUT_RUN],
    ),
    "a second job that hides its prompt, listed behind our first order": (
        [a_run(SAVED, job_id="j1")],
        [a_job(), a_job("j2", prompt=None)],
        [Kind.PERHAPS_TWO_PAID_CALLS],
    ),
    "one without a time there": (
        [a_run(SAVED, job_id="j1")],
        [a_job(), a_job("j2", prompt=None, created_at=0.0)],
        [Kind.PERHAPS_TWO_PAID_CALLS],
    ),
    "one from before our first order there": (
        [a_run(SAVED, job_id="j1")],
        [a_job(), a_job("j2", prompt=None, created_at=NOW.timestamp() - 7200)],
        [],
    ),
    "somebody's job with our words from a week before": (
        [a_run(SAVED, job_id="j1")],
        [a_job(), a_job("j2", created_at=NOW.timestamp() - 7 * 86_400)],
        [Kind.JOB_WITHOUT_RUN],
    ),
    "one job by two names": (
        [a_run(SAVED, job_id="task_1")],
        [a_job("video_1")],
        [Kind.RUN_WITHOUT_JOB, Kind.JOB_WITHOUT_RUN],
    ),
    "one from days before, by its time alone": (
        [a_run(SAVED, job_id="j1", improved_prompt=BOAT)],
        [OLD_CASTLE, a_job(prompt=BOAT)],
        [Kind.JOB_WITHOUT_RUN],
    ),
    "one from days before, by its place as well": (
        [a_run(SAVED, job_id="j1", improved_prompt=BOAT)],
        [a_job(prompt=BOAT), OLD_CASTLE],
        [],
    ),
    "one of another length": (
        [a_run(SAVED, job_id="j1")],
        [a_job("j2", prompt=None, seconds=4), a_job()],
        [Kind.JOB_WITHOUT_RUN],
    ),
    "an older job of a run that ended meanwhile": ([yesterdays(FAILED)], [yesterdays_job()], [Kind.LATE_JOB]),
    "an older job of a run that is still in doubt": ([yesterdays(UNCERTAIN)], [yesterdays_job()], []),
    "two older jobs of one run in doubt": (
        [yesterdays(UNCERTAIN)],
        [yesterdays_job(), replace(yesterdays_job(), job_id="j2")],
        [Kind.TWO_PAID_CALLS],
    ),
    "an older job with other words, which a list may have rewritten": (
        [yesterdays(FAILED)],
        [yesterdays_job(prompt="a train")],
        [Kind.JOB_WITHOUT_RUN],
    ),
    "an older job of nobody's in a list that shows our words": (
        [
            replace(yesterdays(FAILED), improved_prompt="a red boat"),
            a_run(SAVED, 2, job_id="j2", improved_prompt="a red boat"),
        ],
        [a_job("j2", prompt="a red boat"), yesterdays_job(prompt="one black train")],
        [],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_comparison_reports_the_expected_kinds_of_difference(case: str) -> None:
    runs, jobs, kinds = CASES[case]

    differences, _ = compare(sides(runs, jobs))

    assert [difference.kind for difference in differences] == kinds


@pytest.mark.parametrize(
    ("runs", "jobs", "adopted"),
    [
        ([a_run(FAILED)], [a_job()], 1),
        ([a_run(FAILED)], [a_job(status=JobStatus.IN_PROGRESS)], 0),
        ([a_run(FAILED), a_run(FAILED, 2)], [a_job()], 0),
        ([a_run(FAILED)], [a_job(), a_job("j2")], 0),
        ([a_run(FAILED)], [a_job(prompt=None)], 0),
        ([a_run(FAILED), a_run(UNCERTAIN, 2)], [a_job()], 0),
    ],
)
def test_late_job_is_adopted_only_if_its_run_is_unambiguous(runs: list[Run], jobs: list[Job], adopted: int) -> None:
    assert len(compare(sides(runs, jobs))[1]) == adopted
    assert compare(sides(runs, jobs, complete=False))[1] == ()


def test_job_with_our_exact_prompt_before_our_first_order_is_reported_not_adopted() -> None:
    """In a list in another order, it would be a hidden second paid call. It is reported, and adopted for no run."""
    differences, _ = compare(sides([a_run(SAVED, job_id="j1")], [a_job(), a_job("j2")]))
    assert [(each.kind, each.job_id) for each in differences] == [(Kind.TWO_PAID_CALLS, "j2")]
    runs = [a_run(SAVED, job_id="j1"), a_run(FAILED, 2, improved_prompt="a train")]
    differences, adoptions = compare(
        sides(runs, [a_job(), a_job("j2", prompt="a train", created_at=NOW.timestamp() - 7200)])
    )
    assert [(each.kind, each.could_be_ours) for each in differences] == [(Kind.JOB_WITHOUT_RUN, True)]
    assert adoptions == ()


def test_a_job_without_a_prompt_is_matched_to_the_run_in_doubt_first() -> None:
    runs = [a_run(SAVED, job_id="j1"), a_run(UNCERTAIN, 2, improved_prompt="a train")]
    (difference,) = compare(sides(runs, [a_job("j2", prompt=None), a_job()]))[0]
    assert "it may be the order of run RUN002" in difference.words


def test_incomplete_list_reports_no_missing_jobs() -> None:
    assert compare(sides([a_run(SAVED, job_id="j1")], [], complete=False))[0] == ()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"shows_all": False}, "list_hides_jobs"),
        ({"look": Look((), False, "no_paging")}, "no_paging"),
        ({"look": Look((), True, odd_rows=1)}, "unreadable_row"),
        ({"look": Look((a_job("j1"), a_job("j2")), True)}, "list_out_of_order"),
        ({"true_times": False}, "times_not_true"),
        ({"reaches_back": False}, "older_job_not_listed"),
        ({"look": Look((a_job("j2", created_at=None), a_job("x", created_at=None)), True)}, "order_not_shown"),
        ({"look": Look((a_job("j2", created_at=None), a_job("j1", created_at=0.0)), True)}, ""),
    ],
)
def test_an_audit_is_complete_only_if_its_list_shows_everything_in_order(changes: dict[str, Any], why: str) -> None:
    newer = a_run(SAVED, 2, job_id="j2", submitting_at=NOW + timedelta(minutes=9))
    both = sides([a_run(SAVED, job_id="j1"), newer], [a_job("j2"), a_job("j1")])
    assert replace(both, **changes).why_incomplete == why


def test_job_missing_from_an_earlier_list_is_reported_when_it_appears() -> None:
    """Part of the list was missing when its day was audited. A row that was merely never read before is not late."""
    yesterday = replace(OLD_CASTLE, job_id="late")
    newer = a_run(SAVED, 2, job_id="j2", improved_prompt=BOAT, submitting_at=NOW)
    both = sides([newer], [a_job("j2", prompt=BOAT), yesterday, a_job("old", prompt="one", seconds=12), OLD_CASTLE])
    day = timedelta(days=1)

    def told(**first_seen: datetime) -> list[str | None]:
        books = replace(both.books, first_seen=first_seen)
        return [each.job_id for each in compare(replace(both, books=books))[0] if each.job_id in {"late", "x"}]

    assert told() == []
    assert told(j2=NOW, late=NOW, old=NOW - day, x=NOW) == ["late"]
    assert told(j2=NOW, late=NOW - day, old=NOW - day, x=NOW - day) == []
    assert told(j2=NOW, late=NOW, old=NOW, x=NOW) == []


async def test_automatic_audit_runs_once_a_day_and_is_recorded(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as context:
        simulator.control("POST", "/_sim/jobs", {})
        first, second = await audit_if_due(context), await audit_if_due(context)
        kept: Any = await context.ledger.rpc("list_audits", {"at_most": 9})

    assert first is not None and [difference.kind for difference in first.differences] == [Kind.JOB_WITHOUT_RUN]
    assert second is None
    assert [(each["differences"], each["result"]["complete"]) for each in kept] == [(1, True)]


@pytest.mark.parametrize(
    ("tried", "until", "due"),
    [
        (None, None, True),
        (0.1, 0.1, False),
        (23.9, 23.9, False),
        (24.1, 24.1, True),
        (0.1, None, False),  # the list could not be read: not at once again
        (3.1, None, True),
        (0.1, 24.1, False),
        (3.1, 27.1, True),
        (3.1, 4.0, False),
    ],
)
def test_audit_is_due_a_day_after_a_complete_one_and_sooner_after_an_incomplete_one(
    tried: float | None, until: float | None, due: bool
) -> None:
    def ago(hours: float | None) -> datetime | None:
        return None if hours is None else NOW - timedelta(hours=hours)

    assert Audited(ago(tried), ago(until), NOW).is_due(timedelta(hours=24)) is due


def test_an_audit_dated_in_the_future_is_repeated_from_a_day_ago() -> None:
    """The host's clock was an hour ahead and was corrected: no audit has covered that hour yet."""
    ahead = Audited(NOW + timedelta(minutes=59), NOW + timedelta(hours=1), NOW)
    assert ahead.next_since == NOW - timedelta(days=1)
    assert ahead.is_due(timedelta(hours=24))
    assert replace(ahead, at=NOW - timedelta(hours=4)).is_due(timedelta(hours=24))
    assert Audited(NOW, NOW - timedelta(hours=2), NOW).next_since == NOW - timedelta(hours=2)


async def test_audit_of_the_last_hour_does_not_delay_or_shorten_the_daily_audit(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as context:
        ledger, account, waits = context.ledger, context.account, context.waits
        assert await audit_if_due(context) is not None
        async with await psycopg.AsyncConnection.connect(ledger_dsn) as connection:
            await connection.execute(b"update onetake.audited set tried_at = tried_at - interval '4 days',"
                                     b" until = until - interval '4 days'")  # fmt: skip
        before = await last_audit(ledger.rpc, account)
        await audit(ledger, account, waits, before.now - timedelta(hours=1))

        found = await audit_if_due(context)

        assert found is not None and found.since == before.until == before.next_since
        assert (await last_audit(ledger.rpc, account)).now - found.since > timedelta(days=4)
        assert await audit_if_due(context) is None


async def test_run_settled_by_hand_after_its_audit_is_compared_with_the_list_again(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run was released, but the provider made and charged it: the next audit reports it, though it begins later."""
    waits = quick_waits(RENDER_DEADLINE_SECONDS="5")
    async with open_test_context(ledger_dsn, simulator, tmp_path, waits) as context:
        simulator.control("POST", "/_sim/speed", {"speed": 0.001})
        admitted = await admit(order_request(simulator), context.ledger)
        assert isinstance(admitted, Admitted)
        waiting = asyncio.create_task(run(admitted.run_id, context))
        while (row := await context.ledger.load(admitted.run_id)) is None or row.state is not State.RENDERING:
            await asyncio.sleep(0.02)
        first = await audit_if_due(context)
        assert first is not None and first.clean
        await context.ledger.park(row.run_id, "render_deadline", row.read_at)
        assert (await Operators(context.ledger.rpc).settle_not_charged(row.run_id, "op")).settled
        await waiting
        simulator.control("POST", "/_sim/speed", {"speed": "instant"})
        since = (await last_audit(context.ledger.rpc, context.account)).next_since

        found = await audit(context.ledger, context.account, replace(context.waits, clock_skew=timedelta()), since)

        monkeypatch.setattr(
            "pipeline.purchase.audit.FARTHER_SECONDS_MAX", 0.0
        )  # the list takes us no farther in that time
        nearer = await audit(context.ledger, context.account, replace(context.waits, clock_skew=timedelta()), since)

    assert row.submitting_at is not None and since > row.submitting_at
    assert [difference.kind for difference in found.differences] == [Kind.RELEASED_BUT_MADE]
    assert nearer.complete


def test_every_incomplete_reason_has_a_sentence() -> None:
    """Operators read a sentence; a stable word is for scripts."""
    sources = (
        inspect.getsource(list_jobs),
        inspect.getsource(list_page._flaw),
        inspect.getsource(list_page._flaw_in),
        inspect.getsource(Comparison),
    )
    whys = {why for source in sources for why in re.findall(r'"([a-z]+(?:_[a-z]+)+)"', source)} - {"video_jobs"}
    known = {"no_paging", "list_goes_on", "fewer_rows_than_it_says", "empty_page_after_more", "times_not_true"}
    assert known <= whys
    fields = {"last_id", "has_more", "total_pages"}
    assert {why for why in whys - fields if incomplete_words(why) == why} == set()
