"""Which whole files are taken as a run's clip, and which wait for a person."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from media.clip_file import Facts, Kind
from pipeline.clips.ownership import why_not_taken
from pipeline.ledger.records import JobSource, State
from providers.job import Job, JobStatus
from tests.pipeline.purchase.evidence_rows import NOON, job, run

PARKED = timedelta(days=1)
ENDLESS = Facts(Kind.MP4, 720, 1280, 4.0, ends=False)
OTHER = Facts(Kind.MP4, 1280, 720, 4.0)
DONE = job()
UNSAID = job(seconds=None, size=None)


@pytest.mark.parametrize(
    ("facts", "shown", "changes", "taken"),
    [
        (replace(ENDLESS, seconds=8.0), DONE, {}, True),
        (ENDLESS, DONE, {}, False),
        (replace(ENDLESS, ends=True), DONE, {}, True),
        (ENDLESS, DONE, {"job_source": JobSource.PERSON}, True),
        (ENDLESS, DONE, {"parked_at": NOON - 2 * PARKED, "state": State.RENDERING}, True),
        (OTHER, DONE, {}, False),
        (Facts(Kind.MP4, 320, 568, 2.0), DONE, {}, False),
        (Facts(Kind.MP4, 320, 568, 8.0), DONE, {}, True),
        (OTHER, UNSAID, {}, True),
        (OTHER, job(seconds=4, size="1280x720"), {}, True),
        (replace(OTHER, seconds=8.0), DONE, {}, True),
        (replace(OTHER, width=720, height=1280), DONE, {}, True),
        (OTHER, DONE, {"job_source": JobSource.PERSON}, True),
        (OTHER, job(status=JobStatus.IN_PROGRESS), {"job_source": JobSource.PERSON}, False),
    ],
)
def test_complete_file_is_taken_only_if_it_can_be_the_ordered_clip(
    facts: Facts, shown: Job, changes: dict[str, Any], taken: bool
) -> None:
    assert (why_not_taken(run(**changes), shown, facts, PARKED) is None) is taken
