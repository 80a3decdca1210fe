"""What a list proves about itself by showing jobs of ours."""

from dataclasses import replace

from pipeline.purchase.evidence import candidates_for
from pipeline.purchase.matching import KnownJobs, faithful_fields, in_order, known_by_their_runs
from providers.job import Job
from providers.list_jobs import Look
from providers.order_match import Shown
from tests.pipeline.purchase.evidence_rows import (
    BEFORE,
    EARLIER,
    FOREIGN,
    MINUTE,
    NEWER,
    OLDER,
    PATIENCE,
    SECOND,
    WITNESSES,
    job,
    owner,
    run,
)


def test_list_is_faithful_only_in_fields_that_all_our_jobs_show_as_ordered() -> None:
    assert faithful_fields(Look((NEWER, OLDER), True), WITNESSES) == frozenset(Shown) - {Shown.INPUT, Shown.MARKER}
    assert faithful_fields(Look((FOREIGN,), True), WITNESSES) == frozenset()
    half = Look((NEWER, replace(OLDER, prompt=None, size="720p")), True)
    assert faithful_fields(half, WITNESSES) == {Shown.SECONDS, Shown.MODEL}


def test_jobs_submitted_at_the_same_time_may_be_listed_in_any_order() -> None:
    at_once = {"a": owner(1, SECOND), "b": owner(2, 2 * SECOND), "c": owner(3, MINUTE)}
    assert in_order(Look((job("c"), job("a"), job("b")), True), at_once)
    assert in_order(Look((job("c"), job("b"), job("a")), True), at_once)
    assert not in_order(Look((job("a"), job("c"), job("b")), True), at_once)


def test_position_in_a_list_out_of_order_does_not_prove_a_job_is_older() -> None:
    seen = {each.key: BEFORE.sent_at for each in (NEWER, OLDER, EARLIER)}
    books = KnownJobs((run(),), WITNESSES, WITNESSES, began=run().read_at, first_seen=seen)
    assert candidates_for(run(), Look((NEWER, OLDER, EARLIER), True), books, PATIENCE) == ()
    assert candidates_for(run(), Look((OLDER, NEWER, EARLIER), True), books, PATIENCE) != ()


def test_job_is_matched_by_any_of_its_ids_that_no_other_job_claims() -> None:
    owned, shown = {"t1": owner(1, SECOND)}, job("v1", also=("t1", "x"))

    def keys(*jobs: Job) -> list[str]:
        return [each.key for each in known_by_their_runs(Look(jobs, True), owned).jobs]

    assert keys(shown, job("v2")) == ["t1", "v2"]
    assert keys(shown, job("t1")) == ["v1", "t1"]  # a remix names its source
    assert keys(shown, job("v2", also=("t1",))) == ["v1", "v2"]
    assert keys(replace(shown, seconds=4)) == ["v1"]
