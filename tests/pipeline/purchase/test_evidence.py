"""The rules of docs/design.md, "Evidence", as rows: what a look may prove, what may be adopted, what may end a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ledger.records import JobSource, Run, State
from pipeline.purchase.evidence import Ending, ending_of, judge, never_made
from pipeline.purchase.matching import KnownJobs, Owner
from pipeline.purchase.verdicts import Absent, Adopt, InDoubt, ListFacts, Verdict
from providers.job import Job, JobStatus
from providers.list_jobs import Look
from providers.order_match import is_order_of
from tests.pipeline.purchase.evidence_rows import (
    AFTER,
    BEFORE,
    EARLIER,
    FOREIGN,
    HIDDEN,
    MINUTE,
    NEWER,
    NOON,
    OLDER,
    PATIENCE,
    SECOND,
    WITNESSES,
    ZERO_DATE,
    job,
    owner,
    run,
)


@dataclass(frozen=True)
class Case:
    """One look: the list, newest first, and what else is known.

    `verdict`: Absent, the adopted ids, or the word of doubt.
    """

    rule: int
    jobs: tuple[Job, ...]
    verdict: type[Absent] | tuple[str, ...] | str
    run: Run = field(default_factory=run)
    others: tuple[Run, ...] = ()
    owned: Mapping[str, Owner] = field(default_factory=dict)
    witnesses: Mapping[str, Owner] = field(default_factory=lambda: WITNESSES)
    facts: ListFacts = field(default_factory=ListFacts)
    complete: bool = True
    odd_rows: int = 0
    running_shown_at: datetime | None = NOON + MINUTE
    rivals: int = 0
    explained: frozenset[str] = frozenset()
    seen_since: datetime | None = NOON - 60 * MINUTE  # when all these jobs were first seen in the list

    def judged(self) -> Verdict:
        owned = {name: each for name, each in self.witnesses.items() if any(j.job_id == name for j in self.jobs)}
        books = KnownJobs(
            (self.run, *self.others),
            {**owned, **self.owned},
            self.witnesses,
            began=self.run.read_at,
            running_shown_at=self.running_shown_at,
            rivals=self.rivals,
            explained=self.explained,
            first_seen={each.key: self.seen_since for each in self.jobs} if self.seen_since else {},
        )
        why = "" if self.complete else "list_unreadable: HTTP 500"
        look = Look(self.jobs, self.complete, why, self.odd_rows)
        return judge(self.run, look, books, self.facts, PATIENCE)


HOUR = 60 * MINUTE
GIVEN = owner(7, SECOND, JobSource.PERSON, prompt="a green train")
VEO = replace(BEFORE, order=replace(BEFORE.order, model="veo"))
ALONE = ListFacts(exclusive_key=True)
T_RULES = ListFacts(absent_after=5 * MINUTE, absence_without_witness=True)
TWIN = run(2, submitting_at=NOON + MINUTE)

CASES: dict[str, Case] = {
    # rule 4: what may be adopted
    "the shown prompt is ours": Case(4, (NEWER, job(), OLDER), ("video_1",)),
    "also in a list with a row that cannot be read": Case(4, (NEWER, job(), OLDER), ("video_1",), odd_rows=1),
    "two runs of one request and two jobs": Case(4, (NEWER, job(), job("b"), OLDER), ("b", "video_1"), others=(TWIN,)),
    "two runs, one job": Case(4, (NEWER, job(), OLDER), "not_one_job_for_each_run", others=(TWIN,)),
    "one run, two jobs": Case(4, (NEWER, job(), job("b"), OLDER), "not_one_job_for_each_run"),
    "a run that failed after its POST may own the job, too": Case(
        4, (NEWER, job(), OLDER), "not_one_job_for_each_run", others=(run(2, state=State.FAILED),)
    ),
    "a run of that request still waits for its answer": Case(
        4,
        (NEWER, job(), job("b"), OLDER),
        "not_one_job_for_each_run",
        others=(replace(TWIN, state=State.SUBMITTING),),
    ),
    "a run of another request holds nothing up": Case(
        4, (NEWER, job(), OLDER), ("video_1",), others=(run(2, improved_prompt="a red kite", state=State.SUBMITTING),)
    ),
    "another length of the same prompt is another request": Case(
        4, (NEWER, job(), OLDER), ("video_1",), others=(run(2, seconds=4, state=State.SUBMITTING),)
    ),
    "the prompt is hidden": Case(4, (NEWER, HIDDEN, OLDER), "prompts_hidden"),
    "six hidden jobs for six runs are six guesses": Case(
        4, (HIDDEN, job("b", prompt=None)), "prompts_hidden", others=(TWIN,)
    ),
    "the prompt is rewritten": Case(
        4, (NEWER, job(prompt="A cinematic paper boat"), OLDER), "unowned_job", witnesses={}
    ),
    "our words at another length are not the request, and not nobody's either": Case(
        4, (NEWER, job(seconds=4), OLDER), "unowned_job"
    ),
    "a hidden prompt and another length": Case(
        6, (NEWER, replace(HIDDEN, seconds=4), OLDER), Absent, witnesses=WITNESSES
    ),
    "somebody's older job with our words, in a list whose times are true": Case(
        4, (NEWER, OLDER, replace(job(), created_at=NOON.timestamp() - 3600)), "not_one_job_for_each_run"
    ),
    "beside it, our own": Case(4, (NEWER, job(), OLDER, job("b", created_at=NOON.timestamp() - 3600)), ("video_1",)),
    "an incomplete look": Case(4, (NEWER, job()), "list_unreadable: HTTP 500", complete=False),
    "a job of another run": Case(4, (NEWER, job(), OLDER), Absent, owned={"video_1": owner(7, SECOND)}),
    # rule 4's exception
    "a key of our own alone: the only job it can be": Case(4, (NEWER, HIDDEN, OLDER), ("video_1",), facts=ALONE),
    "not if another run was sent at that time": Case(
        4, (NEWER, HIDDEN, OLDER), "prompts_hidden", facts=ALONE, rivals=1
    ),
    "not with two such jobs": Case(4, (NEWER, HIDDEN, job("b", prompt=None), OLDER), "prompts_hidden", facts=ALONE),
    "not at another time": Case(4, (NEWER, replace(HIDDEN, created_at=1.0), OLDER), "prompts_hidden", facts=ALONE),
    "not where witnesses show false times": Case(
        4, (NEWER, HIDDEN, replace(OLDER, created_at=1.0)), "prompts_hidden", facts=ALONE
    ),
    "not without a witness of the times": Case(4, (HIDDEN,), "prompts_hidden", facts=ALONE, witnesses={}),
    "not without being told so": Case(4, (NEWER, HIDDEN, OLDER), "prompts_hidden"),
    # rule 5
    "a job that failed is not adopted": Case(5, (NEWER, job(status=JobStatus.FAILED), OLDER), "found_but_failed"),
    "nor one that this run saw fail before": Case(
        5, (NEWER, job(), OLDER), "found_but_failed", run=run(failed_jobs=("video_1",))
    ),
    # rule 6: what absence proves
    "a list that shows our jobs around it, and not this one": Case(6, (NEWER, OLDER), Absent),
    "an empty list": Case(6, (), "witness_missing"),
    "a list that lacks a job we own": Case(6, (NEWER,), "witness_missing"),
    "a list that shows a job of ours otherwise": Case(6, (replace(NEWER, seconds=4), OLDER), "witness_changed"),
    "a list in another order": Case(6, (OLDER, NEWER), "list_out_of_order"),
    "nothing of ours before it": Case(6, (NEWER,), "no_witness_before", witnesses={"newer": AFTER}),
    "nothing of ours after it": Case(6, (OLDER,), "no_witness_after", witnesses={"older": BEFORE}),
    "an answer so fresh that the list may lag": Case(
        6,
        (NEWER, OLDER),
        "no_witness_after",
        witnesses={"older": BEFORE, "newer": replace(AFTER, known_at=NOON + 11 * MINUTE)},
    ),
    "a quiet account": Case(6, (), "no_witness_before", witnesses={}),
    "an adopted job is no witness": Case(
        6,
        (NEWER, OLDER),
        "no_witness_after",
        witnesses={"older": BEFORE, "newer": replace(AFTER, source=JobSource.LIST)},
    ),
    "an incomplete look proves nothing": Case(6, (NEWER, OLDER), "list_unreadable: HTTP 500", complete=False),
    "a row that cannot be read": Case(6, (NEWER, OLDER), "unreadable_row", odd_rows=1),
    "a list that hides jobs": Case(6, (NEWER, OLDER), "list_hides_jobs", facts=ListFacts(shows_all=False)),
    "a list that never showed a running job": Case(6, (NEWER, OLDER), "running_never_shown", running_shown_at=None),
    "one that showed running jobs before it was sent, and perhaps no more": Case(
        6, (NEWER, OLDER), "running_never_shown", running_shown_at=NOON - SECOND
    ),
    "one that shows a running job now": Case(
        6, (replace(NEWER, status=JobStatus.IN_PROGRESS), OLDER), Absent, running_shown_at=None
    ),
    "before the request is over": Case(6, (NEWER, OLDER), "too_early", run=run(submitting_at=NOON + 10 * MINUTE)),
    "before T": Case(6, (NEWER, OLDER), "too_early", facts=ListFacts(absent_after=12 * MINUTE)),
    "after T, with witnesses": Case(
        6, (NEWER, OLDER), Absent, facts=ListFacts(absent_after=5 * MINUTE), running_shown_at=None
    ),
    "T alone replaces no witness": Case(
        6, (), "no_witness_before", facts=ListFacts(absent_after=5 * MINUTE), witnesses={}
    ),
    "T replaces the witness where an operator says so": Case(6, (), Absent, facts=T_RULES, witnesses={}),
    "but not one that is missing": Case(6, (), "witness_missing", facts=T_RULES),
    "a real answer named a job, whoever owns it": Case(
        6, (NEWER, OLDER), "answer_named_a_job", run=run(answered_job_id="x")
    ),
    "a job of nobody's with another prompt": Case(6, (NEWER, FOREIGN, OLDER), "unowned_job"),  # ours, translated?
    "and of another length": Case(6, (NEWER, replace(FOREIGN, seconds=4), OLDER), Absent),
    # rule 4: a server may list a done job by another id
    "a twin of ours is not listed": Case(
        4, (job(), OLDER), "not_one_job_for_each_run", witnesses=WITNESSES | {"twin": owner(92, -MINUTE)}
    ),
    "a twin of ours is listed": Case(
        4,
        (NEWER, job(), job("twin"), OLDER),
        ("video_1",),
        witnesses=WITNESSES | {"twin": owner(92, -MINUTE)},
        owned={"twin": owner(92, -MINUTE)},
    ),
    "a job that a person has explained is adopted by nobody": Case(
        4, (NEWER, job(), OLDER), "not_one_job_for_each_run", explained=frozenset({"video_1"})
    ),
    "an older job of our words, and nothing of ours to tell how true its time is": Case(
        4, (job(created_at=NOON.timestamp() - 36_000),), "not_one_job_for_each_run", witnesses={}
    ),
    "a job of our words behind an older one of ours": Case(
        4, (NEWER, OLDER, job(created_at=None)), "not_one_job_for_each_run"
    ),
    "a job of nobody's in a list that shows prompts otherwise than ordered": Case(
        6, (replace(NEWER, prompt="A grey owl, cinematic"), FOREIGN, OLDER), "unowned_job"
    ),
    "a job of nobody's and no witness of what the list shows": Case(
        6, (FOREIGN,), "unowned_job", facts=T_RULES, witnesses={}
    ),
    "a job listed before it was sent": Case(6, (NEWER, OLDER, EARLIER), Absent),
    "one that stands there with such a time, and was never seen before": Case(
        6, (NEWER, OLDER, EARLIER), "prompts_hidden", seen_since=None
    ),
    "or was first seen after it was sent": Case(6, (NEWER, OLDER, EARLIER), "prompts_hidden", seen_since=NOON + MINUTE),
    "one that stands there, dated before there were such servers": Case(
        6, (NEWER, OLDER, replace(EARLIER, created_at=0.0)), "prompts_hidden"
    ),
    "one that stands there, and renders still": Case(
        6, (NEWER, OLDER, replace(EARLIER, status=JobStatus.QUEUED)), "prompts_hidden"
    ),
    "a job with our words that a person gave to another run": Case(
        6, (NEWER, job(), OLDER), "not_one_job_for_each_run", owned={"video_1": GIVEN}
    ),
    "one that is that run's by its words": Case(
        6, (NEWER, job(), OLDER), Absent, owned={"video_1": replace(GIVEN, order=run().order())}
    ),
    "our words in a list that shows a job of ours with others": Case(
        4, (replace(NEWER, prompt="a stranger's castle"), job(), OLDER), "not_one_job_for_each_run"
    ),
    "one that stands there and shows a later time": Case(6, (NEWER, OLDER, HIDDEN), "prompts_hidden"),
    "one that stands there and shows no time": Case(
        6, (NEWER, OLDER, replace(EARLIER, created_at=None)), "prompts_hidden"
    ),
    "one of an earlier time, where jobs of ours show false times": Case(
        6, (replace(NEWER, created_at=1.0), OLDER, EARLIER), "prompts_hidden"
    ),
    "one of an earlier time, that does not stand there": Case(6, (NEWER, EARLIER, OLDER), "prompts_hidden"),
    **{
        f"our prompt, {name}": Case(6, (NEWER, job(prompt=shown), OLDER), "unowned_job", run=run(improved_prompt=ours))
        for name, (ours, shown) in {
            "escaped": ("a boat & <b>a fox</b>", "a boat &amp; &lt;b&gt;a fox&lt;/b&gt;"),
            "without its emoji": ("a paper boat 🚤 at dawn", "a paper boat at dawn"),
            "composed otherwise": ("ﬁne ﬂowers № 5", "fine flowers No 5"),
            "without accents": ("un niño cruza la montaña", "un nino cruza la montana"),
            "cut in the middle": ("a paper boat sails down a river of stars", "a paper boat … of stars"),
            "without its vowels' bytes": ("el pingüino más pequeño baila", "el ping?ino m?s peque?o baila"),
            "censored": ("a paper boat on fire", "[redacted]"),
            "embellished": ("a paper boat on a lake", "Cinematic, 35 mm: a paper boat on a lake, volumetric light"),
        }.items()
    },
    "no witness of its model before it": Case(
        6, (NEWER, replace(OLDER, model="veo")), "no_witness_before", witnesses={"older": VEO, "newer": AFTER}
    ),
    "nor after it": Case(
        6,
        (replace(NEWER, model="veo"), OLDER),
        "no_witness_after",
        witnesses={"older": BEFORE, "newer": replace(AFTER, order=replace(AFTER.order, model="veo"))},
    ),
    "an id of ours that shows another order": Case(
        6, (NEWER, replace(OLDER, job_id="saved"), OLDER), "witness_changed", owned={"saved": owner(7, -HOUR)}
    ),
    "an id of ours that was made after we knew it": Case(
        6,
        (NEWER, job("saved", prompt=None), OLDER),
        "witness_changed",
        owned={"saved": owner(7, -HOUR)},
    ),
    "an id whose clip we have, rendering again": Case(
        6,
        (NEWER, job("saved", prompt=None, created_at=None, status=JobStatus.IN_PROGRESS), OLDER),
        "witness_changed",
        owned={"saved": owner(7, -HOUR, saved=True)},
    ),
    # rule 7: no time, however odd, makes a job with this very prompt vanish
    **{
        f"created {name}": Case(7, (NEWER, job(created_at=at, status=JobStatus.FAILED), OLDER), "found_but_failed")
        for name, at in {
            "never": ZERO_DATE,
            "at zero": 0.0,
            "eight hours later": NOON.timestamp() + 8 * 3600,
            "ten minutes before": NOON.timestamp() - 600,
            "at no time": None,
        }.items()
    },
    "a job with our prompt and an impossible date is adopted": Case(
        7, (NEWER, job(created_at=ZERO_DATE), OLDER), ("video_1",)
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_look_gives_the_expected_verdict(name: str) -> None:
    case = CASES[name]
    verdict = case.judged()
    if case.verdict is Absent:
        assert verdict == Absent()
    elif isinstance(case.verdict, tuple):
        assert isinstance(verdict, Adopt)
        assert tuple(sorted(job_id for _, job_id in verdict.pairs)) == case.verdict
    else:
        assert isinstance(verdict, InDoubt)
        assert verdict.why == case.verdict


def test_only_verdicts_about_a_possible_job_carry_candidates() -> None:
    for verdict in (case.judged() for case in CASES.values()):
        if isinstance(verdict, InDoubt) and verdict.why in {"prompts_hidden", "unowned_job", "found_but_failed"}:
            assert verdict.candidates != ()
        if isinstance(verdict, InDoubt) and verdict.why.startswith(("no_witness", "witness", "too_early")):
            assert verdict.candidates == ()


def test_two_runs_get_the_same_jobs_whichever_run_is_judged() -> None:
    early, late = run(1), run(2, submitting_at=NOON + MINUTE)
    older, newer = job("z"), job("a", created_at=NOON.timestamp() + 62)
    pairs = Adopt(((early.run_id, "z"), (late.run_id, "a")))
    assert Case(4, (newer, older), (), run=early, others=(late,), witnesses={}).judged() == pairs
    assert Case(4, (older, newer), (), run=late, others=(early,), witnesses={}).judged() == pairs


@given(
    st.lists(st.sampled_from(["a paper boat", "a red kite", None]), max_size=5),
    st.lists(st.sampled_from(["a paper boat", "a red kite"]), max_size=4),
    st.lists(st.sampled_from([None, 0.0, ZERO_DATE, NOON.timestamp(), 9e9]), min_size=5, max_size=5),
    st.randoms(use_true_random=False),
)
def test_no_run_adopts_a_job_with_another_prompt_whatever_the_list_order(
    shown: list[str | None], wished: list[str], times: list[float | None], chance: Any
) -> None:
    jobs = [job(f"v{n}", prompt=prompt, created_at=times[n]) for n, prompt in enumerate(shown)]
    others = tuple(run(n + 2, improved_prompt=order_request) for n, order_request in enumerate(wished))
    verdict = Case(4, tuple(jobs), (), others=others, witnesses={}).judged()
    shuffled = tuple(chance.sample(jobs, len(jobs)))
    assert Case(4, shuffled, (), others=tuple(chance.sample(others, len(others))), witnesses={}).judged() == verdict
    if isinstance(verdict, Adopt):
        by_id = {each.run_id: each for each in (run(), *others)}
        owners, given_away = zip(*verdict.pairs, strict=True)
        assert len(set(owners)) == len(set(given_away)) == len(verdict.pairs)
        for run_id, job_id in verdict.pairs:
            assert is_order_of(next(j for j in jobs if j.job_id == job_id), by_id[run_id].order())


# -- how many looks prove it

LOOKED: dict[str, Any] = {"looks_complete": 5, "first_look_at": NOON + MINUTE, "last_look_at": NOON + 11 * MINUTE}


@pytest.mark.parametrize(
    ("changes", "proved"),
    [
        ({}, True),
        ({"looks_complete": 4}, False),
        ({"last_look_at": NOON + 11 * MINUTE - timedelta(microseconds=1)}, False),
        ({"first_look_at": None}, False),
        ({"last_look_at": None}, False),
        ({"answered_job_id": "video_1"}, False),
        ({"doubt": "rate_limited", "looks_complete": 2}, False),
        *[({"state": state}, False) for state in State if state is not State.UNCERTAIN],
    ],
)
def test_five_complete_looks_over_the_grace_period_prove_a_job_was_never_made(
    changes: dict[str, Any], proved: bool
) -> None:
    assert never_made(run(**LOOKED | changes), 5, 10 * MINUTE) is proved


# -- rules 2 and 5: what a failed job may end


@pytest.mark.parametrize(
    ("ago", "source", "ending"),
    [
        (None, JobSource.ANSWER, Ending.WAIT),
        (timedelta(0), JobSource.ANSWER, Ending.WAIT),
        (29 * SECOND, JobSource.ANSWER, Ending.WAIT),
        (30 * SECOND, JobSource.ANSWER, Ending.FAIL),
        (30 * SECOND, JobSource.PERSON, Ending.FAIL),
        (30 * SECOND, JobSource.LIST, Ending.BACK_TO_DOUBT),
        (29 * SECOND, JobSource.LIST, Ending.WAIT),
    ],
)
def test_failed_job_ends_its_run_after_two_looks_apart_unless_it_was_matched_by_list(
    ago: timedelta | None, source: JobSource, ending: Ending
) -> None:
    since = None if ago is None else run().read_at - ago
    row = run(state=State.RENDERING, job_id="v", job_source=source, failing_since=since)
    assert ending_of(row, PATIENCE.apart) is ending
