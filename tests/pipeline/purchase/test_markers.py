"""What is certain about a run in doubt: a job with the run's own marker, its callback, a look-up by our own id."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipeline.ledger.records import JobSource, Run, State
from pipeline.purchase.evidence import candidates_for, judge, never_made
from pipeline.purchase.markers import by_marker, judge_callback, judge_lookup, marked_jobs, why_not_now
from pipeline.purchase.matching import KnownJobs, Owner
from pipeline.purchase.verdicts import Absent, Adopt, InDoubt, ListFacts, Verdict
from providers.apis import api_of
from providers.job import Job, JobStatus
from providers.list_jobs import Look
from providers.orders import SEED, seed_of
from providers.port import ReadError
from tests.pipeline.purchase import evidence_rows
from tests.pipeline.purchase.evidence_rows import MINUTE, NOON, PATIENCE, SECOND, job

FAL: dict[str, Any] = {"provider": "fal", "input": {"seed": SEED}}
LOOKED_UP = ListFacts(looked_up=True, has_list=False, lookup_proves_absence=True, absent_after=5 * MINUTE)


def run(n: int = 1, **changes: Any) -> Run:
    return evidence_rows.run(n, **(FAL | changes))


def seed(n: int = 1) -> str:
    return str(seed_of(str(run(n).run_id)))


def ours(name: str = "video_1", n: int = 1, **changes: Any) -> Job:
    """A job as a list shows that repeats the whole order of run number n."""
    return job(name, marker=seed(n), request={"seed": int(seed(n))}, **changes)


def books(*runs: Run, **changes: Any) -> KnownJobs:
    return replace(KnownJobs(runs or (run(),), {}), **changes)


def look(*jobs: Job, complete: bool = True) -> Look:
    return Look(jobs, complete, "" if complete else "too_many_pages")


def adopted(job_id: str = "video_1", n: int = 1) -> Adopt:
    return Adopt(((run(n).run_id, job_id),), by_marker=True)


def judged(row: Run, seen: Look, known: KnownJobs | None = None, facts: ListFacts | None = None) -> Verdict:
    return judge(row, seen, known or books(), facts or ListFacts(newest_first=False), PATIENCE)


# -- a job that shows the run's marker


def test_job_with_the_runs_seed_is_adopted_by_it() -> None:
    assert judged(run(), look(job("foreign", prompt="a castle", marker="7"), ours())) == adopted()


def test_look_that_did_not_reach_the_end_may_adopt_by_the_marker() -> None:
    """Unlike a prompt, a marker needs no count of the others."""
    assert judged(run(), look(ours(), complete=False)) == adopted()


def test_two_jobs_with_one_runs_marker_are_two_paid_calls_for_a_person() -> None:
    verdict = judged(run(), look(ours("video_2"), ours("video_1")))
    assert verdict == InDoubt("two_jobs_of_one_run", ("video_1", "video_2"))


def test_job_that_another_run_owns_or_a_person_explained_is_not_taken() -> None:
    owner = Owner(run(2).run_id, JobSource.ANSWER, run(2).order(), NOON, NOON)
    assert marked_jobs(run(), look(ours()), books(owned={"video_1": owner})) == ()
    assert marked_jobs(run(), look(ours()), books(explained=frozenset({"video_1"}))) == ()
    assert marked_jobs(run(), look(ours()), books()) == (ours(),)


@pytest.mark.parametrize("other", [{"prompt": "a castle"}, {"seconds": 4}, {"model": "another"}, {"request": {}}])
def test_job_with_our_marker_that_contradicts_the_order_is_not_adopted_and_not_ruled_out(other: dict[str, Any]) -> None:
    shown = replace(ours(), **other)
    verdict = judged(run(), look(shown))
    assert isinstance(verdict, InDoubt) and verdict.candidates == ("video_1",)


def test_job_of_another_orders_marker_is_not_this_runs_although_the_prompt_is() -> None:
    verdict = judged(run(), look(ours(n=2)))
    assert isinstance(verdict, InDoubt) and verdict.candidates == ("video_1",), "a list may garble markers"


def test_list_that_shows_our_markers_faithfully_rules_other_markers_out() -> None:
    own = ours("video_2", 2)
    owner = Owner(run(2).run_id, JobSource.ANSWER, run(2).order(), NOON, NOON)
    assert candidates_for(run(), look(own, ours("video_3", 3)), books(owned={"video_2": owner}), PATIENCE) == ()


def test_job_that_failed_for_this_run_before_is_not_adopted_again() -> None:
    assert by_marker(run(failed_jobs=("video_1",)), [ours()]) == InDoubt("found_but_failed", ("video_1",))


# -- markers with few values, such as Ark's


def ark(n: int = 1) -> Run:
    return evidence_rows.run(n, provider="ark")


def expiry(**changes: Any) -> Job:
    marker = api_of("ark", "").marker(ark().order())
    return job(prompt=None, size=None, marker=marker, **changes)


@pytest.mark.parametrize("where", ["runs", "elsewhere"])
def test_marker_that_another_unfinished_run_shares_adopts_nothing(where: str) -> None:
    """Also one that was ordered with another key, or at another address of the same server."""
    shared = {"provider": "luma", "input": {}, "callback_url": "https://o.test/callbacks/luma/token"}
    first, second = run(1, **shared), run(2, **shared)
    shown = look(job(marker="token"))
    assert judged(first, shown, books(first)) == adopted()
    known = books(first, second) if where == "runs" else books(first, elsewhere=(second,))
    assert judged(first, shown, known) == InDoubt("marker_of_two_runs", ("video_1",))


def test_run_without_an_approved_prompt_shares_no_marker() -> None:
    assert by_marker(run(), [ours()], [replace(run(2), improved_prompt=None)]) == adopted()


def test_job_dated_before_the_order_is_not_adopted_although_it_shows_the_marker() -> None:
    """Somebody else with this key had the same marker. It stays a candidate: clocks go wrong."""
    earlier = expiry(created_at=NOON.timestamp() - 3600)
    assert judged(ark(), look(expiry()), books(ark())) == adopted()
    assert judged(ark(), look(earlier), books(ark())) == InDoubt("not_one_job_for_each_run", ("video_1",))
    assert judged(ark(), look(replace(earlier, job_id="old"), expiry()), books(ark())) == adopted()


def test_dates_count_only_in_a_list_that_shows_our_own_jobs_at_their_times() -> None:
    earlier = expiry(created_at=NOON.timestamp() - 3600)
    owner = Owner(run(2).run_id, JobSource.ANSWER, ark(2).order(), NOON, NOON + SECOND)
    wrong = job("video_2", prompt=None, created_at=NOON.timestamp() - 3600)
    assert judged(ark(), look(wrong, earlier), books(ark(), owned={"video_2": owner})) == adopted()


# -- lists of single models


def test_list_of_one_model_proves_nothing_by_what_another_models_list_showed() -> None:
    """Neither another model's jobs nor that it once showed one rendering."""
    row = evidence_rows.run()
    both = Look((evidence_rows.NEWER, evidence_rows.OLDER), True)
    known = books(
        row,
        owned=evidence_rows.WITNESSES,
        witnesses=evidence_rows.WITNESSES,
        began=row.read_at,
        running_shown_at=NOON + MINUTE,
    )
    facts = ListFacts(newest_first=False)
    assert judged(row, both, known, facts) == Absent()
    assert judged(row, both, known, replace(facts, per_model=True)) == InDoubt("running_never_shown")

    other = replace(evidence_rows.owner(92, -MINUTE), order=replace(evidence_rows.ORDER, model="another"))
    more = replace(known, witnesses={**evidence_rows.WITNESSES, "not in this list": other})
    assert judged(row, both, more, facts) == InDoubt("witness_missing")
    assert judged(row, both, more, replace(facts, per_model=True)) == InDoubt("running_never_shown")


def test_nothing_is_absent_where_there_is_no_list() -> None:
    facts = ListFacts(absent_after=timedelta(), absence_without_witness=True)
    assert judged(run(), look(), facts=facts) == Absent()
    assert judged(run(), look(), facts=replace(facts, has_list=False)) == InDoubt("no_list")


# -- what a callback named


CALLED = run(callback_job_id="video_1")
SHOWN = job(prompt=None, described=True)


@pytest.mark.parametrize(
    ("row", "reported", "verdict"),
    [
        (CALLED, SHOWN, adopted()),
        (CALLED, ours(described=True), adopted()),
        (CALLED, replace(SHOWN, status=JobStatus.FAILED), adopted()),
        (CALLED, ReadError(404, "unknown"), InDoubt("callback_unread", ("video_1",))),
        (CALLED, ReadError(None, "timeout"), InDoubt("callback_unread", ("video_1",))),
        (CALLED, replace(SHOWN, named=False), InDoubt("callback_names_no_job_of_ours", ("video_1",))),
        (
            CALLED,
            Job("video_1", JobStatus.FAILED),
            InDoubt("callback_names_no_job_of_ours", ("video_1",)),
        ),
        (CALLED, ours(n=2, described=True), InDoubt("callback_names_no_job_of_ours", ("video_1",))),
        (CALLED, replace(SHOWN, seconds=4), InDoubt("callback_names_no_job_of_ours", ("video_1",))),
        (CALLED, replace(SHOWN, prompt="a castle"), InDoubt("callback_names_no_job_of_ours", ("video_1",))),
        (replace(CALLED, failed_jobs=("video_1",)), SHOWN, InDoubt("found_but_failed", ("video_1",))),
        (replace(CALLED, answered_job_id="video_0"), SHOWN, InDoubt("answer_named_a_job")),
    ],
)
def test_job_that_a_callback_names_is_adopted_if_it_exists_and_fits_else_kept_as_a_candidate(
    row: Run, reported: Job | ReadError, verdict: Verdict
) -> None:
    assert judge_callback(row, reported) == verdict


def test_run_whose_callback_named_a_job_was_not_never_made() -> None:
    proved = run(looks_complete=5, first_look_at=NOON, last_look_at=NOON + 10 * MINUTE, state=State.UNCERTAIN)
    assert never_made(proved, 5, 5 * MINUTE)
    assert not never_made(replace(proved, callback_job_id="video_1"), 5, 5 * MINUTE)
    assert not never_made(replace(proved, answered_job_id="video_1"), 5, 5 * MINUTE)


# -- a look-up by our own id


KLING = evidence_rows.run(provider="kling")
FOUND = job(marker=str(KLING.run_id), prompt=None, described=True)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (FOUND, Adopt(((KLING.run_id, "video_1"),), by_marker=True)),
        (replace(FOUND, marker="another run's id"), InDoubt("unowned_job", ("video_1",))),
        (replace(FOUND, marker=None), InDoubt("unowned_job", ("video_1",))),
        (replace(FOUND, seconds=4), InDoubt("unowned_job", ("video_1",))),
        (
            Job("video_1", JobStatus.FAILED, marker=str(KLING.run_id)),
            InDoubt("unowned_job", ("video_1",)),
        ),
        (ReadError(503, "busy"), InDoubt("list_unreadable: busy")),
        (ReadError(None, "x" * 500), InDoubt(f"list_unreadable: {'x' * 183}")),
        (None, Absent()),
    ],
)
def test_look_up_adopts_our_job_and_no_other(found: Job | ReadError | None, verdict: Verdict) -> None:
    assert judge_lookup(KLING, found, LOOKED_UP, PATIENCE) == verdict


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lookup_proves_absence": False}, "lookup_proves_nothing"),
        ({"absent_after": None}, "lookup_proves_nothing"),
        ({"absent_after": 11 * MINUTE}, "too_early"),
        ({"record": 11 * MINUTE}, "record_expired"),
    ],
)
def test_unknown_id_proves_absence_only_where_and_while_it_can(changes: dict[str, Any], why: str) -> None:
    assert judge_lookup(KLING, None, replace(LOOKED_UP, **changes), PATIENCE) == InDoubt(why)


def test_answer_that_named_a_job_ends_the_search() -> None:
    named = replace(KLING, answered_job_id="video_0")
    assert judge_lookup(named, FOUND, LOOKED_UP, PATIENCE) == InDoubt("answer_named_a_job")


@pytest.mark.parametrize(
    ("age", "facts", "why"),
    [
        (PATIENCE.request_over, ListFacts(), "too_early"),
        (PATIENCE.request_over + SECOND, ListFacts(), None),
        (5 * MINUTE, ListFacts(absent_after=5 * MINUTE), "too_early"),
        (5 * MINUTE + SECOND, ListFacts(absent_after=5 * MINUTE), None),
        (SECOND, ListFacts(absent_after=timedelta()), "too_early"),
        (timedelta(days=7) - SECOND, ListFacts(record=timedelta(days=7)), None),
        (timedelta(days=7), ListFacts(record=timedelta(days=7)), "record_expired"),
    ],
)
def test_absence_counts_after_the_longest_render_and_before_the_record_expires(
    age: timedelta, facts: ListFacts, why: str | None
) -> None:
    assert why_not_now(run(read_at=NOON + age), facts, PATIENCE) == why
