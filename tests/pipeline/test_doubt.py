"""What a look through the provider's list says of a run in doubt: adopt only what can be nothing else."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.doubt import (
    Adopt,
    Proof,
    StillInDoubt,
    could_be,
    group_of,
    judge,
    never_made,
    proof_needed,
    proves_list,
)
from pipeline.ledger import Doubts, Owner
from pipeline.records import JobSource, Run, State
from steps.list_jobs import Look
from steps.videos_protocol import Job, JobStatus

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SKEW = timedelta(seconds=120)
MINUTE = timedelta(minutes=1)
GRACE = timedelta(minutes=10)
APART = timedelta(seconds=30)
REQUEST_OVER = timedelta(seconds=80)


def run(n: int = 1, **changes: Any) -> Run:
    """Run number n: submitted at noon, its answer lost, looked at eleven minutes later."""
    row = Run(
        run_id=UUID(int=n),
        ref=f"RUN{n:03}",
        request_key=f"cli:{n}",
        user_id="ana",
        audience={},
        language="es",
        prompt="un barco",
        improved_prompt="a paper boat",
        model="sim-1",
        seconds=8,
        size="720x1280",
        create_body="json",
        price_microusd=800_000,
        bills_failed=False,
        base_url="http://127.0.0.1:1/v1",
        key_fingerprint="f",
        state=State.UNCERTAIN,
        state_since=NOON,
        read_at=NOON + 11 * MINUTE,
        reserved_at=NOON,
        submitting_at=NOON,
        attempts=0,
        held_microusd=800_000,
        spent_microusd=0,
        released_microusd=0,
        text_microusd=0,
        looks_complete=0,
        needs_confirmation=False,
    )
    return replace(row, **changes)


def job(name: str = "video_1", **changes: Any) -> Job:
    shown = Job(name, JobStatus.COMPLETED, 100, "a paper boat", "sim-1", 8, "720x1280", NOON.timestamp() + 2)
    return replace(shown, **changes)


def owner(source: JobSource | None) -> Owner:
    return Owner(source, "a paper boat", NOON, NOON + MINUTE)


def judged(
    one: Run,
    *jobs: Job,
    others: tuple[Run, ...] = (),
    owned: Mapping[str, JobSource | None] | None = None,
    complete: bool = True,
) -> Adopt | StillInDoubt:
    owners = {name: owner(source) for name, source in (owned or {}).items()}
    doubts = Doubts((one, *others), owners, trusted=False)
    return judge(one, Look(jobs, complete), doubts, SKEW)


def test_the_one_job_that_fits_the_one_run_is_its() -> None:
    assert judged(run(), job()) == Adopt(((UUID(int=1), "video_1"),))


def test_a_list_without_such_a_job_leaves_it_in_doubt_with_no_candidates() -> None:
    assert judged(run()) == StillInDoubt(0)
    assert judged(run(), job(created_at=NOON.timestamp() - 121)) == StillInDoubt(0)


@pytest.mark.parametrize(
    "shown",
    [
        job(prompt="A paper boat, rewritten."),
        job(seconds=5),
        job(size="704x1280"),
        job(model="another-name"),
        job(prompt="somebody else's", created_at=None),
    ],
    ids=["prompt", "seconds", "size", "model", "time"],
)
def test_a_job_of_its_time_that_nobody_explains_speaks_against_never_made(shown: Job) -> None:
    """The provider may show the run's own job by another prompt, length, size or name."""
    assert judged(run(), shown) == StillInDoubt(1)
    assert judged(run(), shown, owned={"video_1": JobSource.ANSWER}) == StillInDoubt(0)


def test_a_job_that_another_run_in_doubt_explains_speaks_against_nothing() -> None:
    other = run(2, improved_prompt="a red fox")
    assert judged(run(), job(prompt="a red fox"), others=(other,)) == StillInDoubt(0)


def test_a_job_that_shows_nothing_of_itself_may_be_anybodys_and_still_counts() -> None:
    sparse = Job("video_1", JobStatus.QUEUED)
    assert judged(run(), sparse) == Adopt(((UUID(int=1), "video_1"),))
    assert judged(run(), sparse, job()) != Adopt(((UUID(int=1), "video_1"),))


@pytest.mark.parametrize("complete", [True, False])
def test_an_incomplete_look_never_adopts(complete: bool) -> None:
    """On the page that was not read may stand a second job that fits."""
    assert isinstance(judged(run(), job(), complete=complete), Adopt) is complete


def test_a_job_that_another_run_owns_is_not_up_for_adoption() -> None:
    assert judged(run(), job(), owned={"video_1": JobSource.ANSWER}) == StillInDoubt(0)
    assert judged(run(), job(), job("b"), owned={"video_1": None}) == Adopt(((UUID(int=1), "b"),))


def test_two_runs_for_the_same_wish_share_two_jobs_in_the_order_of_their_age() -> None:
    """One look settles both, and from whichever of the two it is taken, it settles them alike."""
    early, late = run(1), run(2, submitting_at=NOON + MINUTE)
    older, newer = job("z"), job("a", created_at=NOON.timestamp() + 62)
    pairs = Adopt(((early.run_id, "z"), (late.run_id, "a")))
    assert judged(early, newer, older, others=(late,)) == pairs
    assert judged(late, older, newer, others=(early,)) == pairs


@pytest.mark.parametrize(("runs", "jobs"), [(1, 2), (2, 1), (2, 3), (3, 2), (1, 3)])
def test_more_or_fewer_jobs_than_runs_are_left_to_a_person(runs: int, jobs: int) -> None:
    wishes = [run(n) for n in range(1, runs + 1)]
    shown = [job(f"video_{n}") for n in range(jobs)]
    assert judged(wishes[0], *shown, others=tuple(wishes[1:])) == StillInDoubt(jobs)


def test_while_one_of_the_group_may_still_get_its_answer_nobody_adopts() -> None:
    waiting = run(2, state=State.SUBMITTING)
    assert judged(run(), job(), job("b"), others=(waiting,)) == StillInDoubt(2)
    assert judged(run(), job(), others=(waiting,)) == StillInDoubt(1)
    assert judged(run(state=State.SUBMITTING), job()) == StillInDoubt(1)


def test_a_run_for_another_wish_does_not_hold_this_one_up() -> None:
    other = run(2, improved_prompt="a red kite", state=State.SUBMITTING)
    assert judged(run(), job(), job("k", prompt="a red kite"), others=(other,)) == Adopt(((UUID(int=1), "video_1"),))


def test_runs_tied_by_a_job_that_fits_both_are_settled_together_or_not_at_all() -> None:
    """The sparse job could be either's: two jobs for two runs, but not every job fits every run."""
    kite = run(2, improved_prompt="a red kite")
    sparse = job("video_2", prompt=None)
    assert judged(run(), job(), sparse, others=(kite,)) == StillInDoubt(2)
    assert judged(kite, job(), sparse, others=(run(),)) == StillInDoubt(2)


def test_the_group_grows_through_jobs_and_runs_alike() -> None:
    boat, kite, far = run(1), run(2, improved_prompt="a red kite"), run(3, improved_prompt="a far star")
    tie = job("tie", prompt=None)
    only_kite = job("kite", prompt="a red kite")
    alone = job("star", prompt="a far star", created_at=0.0)
    runs, jobs = group_of(boat, [kite], [only_kite, tie, alone], SKEW)
    assert ({r.run_id for r in runs}, {j.job_id for j in jobs}) == ({boat.run_id, kite.run_id}, {"tie", "kite"})
    runs, _ = group_of(boat, [kite, far], [tie], SKEW)
    assert len(runs) == 3


@pytest.mark.parametrize(
    ("created_at", "fits"),
    [
        (NOON - SKEW, True),
        (NOON - SKEW - timedelta(milliseconds=1), False),
        (NOON + 11 * MINUTE + SKEW, True),
        (NOON + 11 * MINUTE + SKEW + timedelta(milliseconds=1), False),
    ],
)
def test_a_job_may_be_as_old_as_the_submission_and_as_young_as_now_give_or_take_the_clocks(
    created_at: datetime, fits: bool
) -> None:
    assert could_be(job(created_at=created_at.timestamp()), run(), SKEW) is fits


def test_a_run_that_failed_can_only_have_made_what_was_there_when_it_failed() -> None:
    failed = run(failed_at=NOON + MINUTE)
    assert could_be(job(created_at=(NOON + 3 * MINUTE).timestamp()), failed, SKEW)
    assert not could_be(job(created_at=(NOON + 4 * MINUTE).timestamp()), failed, SKEW)


def test_what_was_never_submitted_made_nothing() -> None:
    assert not could_be(job(), run(submitting_at=None), SKEW)
    assert not could_be(job(), run(improved_prompt=None), SKEW)


@given(
    st.lists(st.sampled_from(["a paper boat", "a red kite", None]), max_size=5),
    st.lists(st.sampled_from(["a paper boat", "a red kite"]), max_size=4),
    st.randoms(use_true_random=False),
)
def test_no_look_gives_a_job_to_two_or_a_run_two_jobs_and_its_order_does_not_matter(
    shown: list[str | None], wished: list[str], chance: Any
) -> None:
    jobs = [job(f"v{n}", prompt=prompt, created_at=NOON.timestamp() + n) for n, prompt in enumerate(shown)]
    others = tuple(run(n + 2, improved_prompt=wish) for n, wish in enumerate(wished))
    verdict = judged(run(), *jobs, others=others)
    shuffled = chance.sample(jobs, len(jobs))
    assert judged(run(), *shuffled, others=tuple(chance.sample(others, len(others)))) == verdict
    if isinstance(verdict, Adopt):
        by_id = {r.run_id: r for r in (run(), *others)}
        owners, given_away = zip(*verdict.pairs, strict=True)
        assert run().run_id in owners
        assert len(set(owners)) == len(set(given_away)) == len(verdict.pairs)
        assert all(could_be(next(j for j in jobs if j.job_id == v), by_id[r], SKEW) for r, v in verdict.pairs)


@pytest.mark.parametrize(
    ("shown", "source", "proves"),
    [
        (job(), JobSource.ANSWER, True),
        (job(), JobSource.LIST, False),
        (job(), JobSource.PERSON, False),
        (job(), None, False),
        (job(prompt=None), JobSource.ANSWER, False),
        (job(prompt=""), JobSource.ANSWER, False),
        (job("another"), JobSource.ANSWER, False),
        (job(prompt="a paper boat, rewritten"), JobSource.ANSWER, False),
        (job(created_at=None), JobSource.ANSWER, True),
        (job(created_at=NOON.timestamp() - 121), JobSource.ANSWER, False),
        (job(created_at=NOON.timestamp() + 60 + 121), JobSource.ANSWER, False),
    ],
)
def test_a_list_is_proved_by_a_job_of_a_real_answer_shown_as_we_know_it(
    shown: Job, source: JobSource | None, proves: bool
) -> None:
    """Its prompt and its time: a list that rewrites prompts, or a clock that is off, would hide a job from us."""
    doubts = Doubts((), {"video_1": owner(source)}, trusted=False)
    assert proves_list(Look((shown,), complete=False), doubts, SKEW) is proves


def test_five_looks_over_the_grace_prove_it_and_after_a_429_two_that_are_apart() -> None:
    assert proof_needed(run(doubt="lost"), 5, GRACE, APART) == Proof(5, GRACE)
    assert proof_needed(run(doubt=None), 5, GRACE, APART) == Proof(5, GRACE)
    assert proof_needed(run(doubt="rate_limited"), 5, GRACE, APART) == Proof(2, APART)


LOOKED: dict[str, Any] = {"looks_complete": 5, "first_look_at": NOON + MINUTE, "last_look_at": NOON + 11 * MINUTE}


def proved(*, trusted: bool = True, proof: Proof | None = None, **changes: Any) -> bool:
    return never_made(run(**LOOKED | changes), proof or Proof(5, GRACE), trusted, REQUEST_OVER)


def test_never_made_is_proved_exactly_at_its_bounds() -> None:
    assert proved()
    assert not proved(looks_complete=4)
    assert not proved(last_look_at=NOON + 11 * MINUTE - timedelta(microseconds=1))
    assert not proved(trusted=False)
    after_429 = Proof(2, APART)
    assert proved(proof=after_429, looks_complete=2, first_look_at=NOON, last_look_at=NOON + APART)
    assert not proved(proof=after_429, looks_complete=1, first_look_at=NOON, last_look_at=NOON + APART)


@pytest.mark.parametrize("state", [state for state in State if state is not State.UNCERTAIN])
def test_only_a_run_in_doubt_can_be_proved_never_made(state: State) -> None:
    assert not proved(state=state)


@pytest.mark.parametrize("missing", ["first_look_at", "last_look_at", "submitting_at"])
def test_without_looks_or_a_submission_nothing_is_proved(missing: str) -> None:
    changes: dict[str, Any] = {missing: None}
    assert not proved(**changes)


def test_while_the_request_may_be_under_way_nothing_is_proved() -> None:
    early = replace(run(**LOOKED), looks_complete=2, first_look_at=NOON, last_look_at=NOON + APART)
    for over, is_proved in ((REQUEST_OVER, False), (REQUEST_OVER + timedelta(microseconds=1), True)):
        later = replace(early, read_at=NOON + over)
        assert never_made(later, Proof(2, APART), trusted=True, request_over=REQUEST_OVER) is is_proved
