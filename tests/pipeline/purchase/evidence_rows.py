"""Runs, jobs and owners for the tests of evidence, at noon of one day."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pipeline.ledger.records import JobSource, Run, State
from pipeline.purchase.matching import Owner
from pipeline.purchase.verdicts import Patience
from providers.job import Job, JobStatus
from providers.orders import Order

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
PATIENCE = Patience(request_over=80 * SECOND, apart=30 * SECOND, skew=120 * SECOND)
ORDER = Order("", "a paper boat", "sim-1", 8, "720x1280", "json")
ZERO_DATE = -62135596800.0  # what a Go server sends for a date that it does not have


def run(n: int = 1, **changes: Any) -> Run:
    """Run number n: sent at noon, its answer lost, read eleven minutes later."""
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


def owner(
    n: int, sent: timedelta, source: JobSource | None = JobSource.ANSWER, *, saved: bool = False, **order: Any
) -> Owner:
    return Owner(UUID(int=n), source, replace(ORDER, **order), NOON + sent, NOON + sent + 2 * SECOND, saved)


# Two purchases of ours around the doubt: what a list must show before its silence means anything.
BEFORE, AFTER = owner(90, -5 * MINUTE, prompt="a red fox"), owner(91, 5 * MINUTE, prompt="a grey owl")
OLDER = job("older", prompt="a red fox", created_at=BEFORE.sent_at.timestamp())
NEWER = job("newer", prompt="a grey owl", created_at=AFTER.sent_at.timestamp())
WITNESSES = {"older": BEFORE, "newer": AFTER}
FOREIGN = job("foreign", prompt="somebody else's castle")
HIDDEN = job(prompt=None)
EARLIER = replace(HIDDEN, created_at=NOON.timestamp() - 3600)
