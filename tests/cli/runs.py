"""Runs as the ledger would show them, for tests of words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pipeline.ledger.records import Run, State

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
PRICE = 800_000


def run_in(state: State, **changes: Any) -> Run:
    """A run in this state, ten seconds old, its money where that state keeps it."""
    kept = state in {State.SAVED, State.DELIVERED}
    ended = state in {State.REJECTED, State.CANCELED, State.FAILED}
    run = Run(
        run_id=UUID(int=7),
        ref="A7K2QX",
        request_key="cli:k",
        user_id="cli:ana",
        audience={"kind": "terminal"},
        language="en",
        prompt="a boat",
        model="sim-1",
        seconds=8,
        size="720x1280",
        create_body="multipart",
        price_microusd=PRICE,
        bills_failed=False,
        base_url="http://provider.test/v1",
        key_fingerprint="fp",
        state=state,
        state_since=NOW,
        read_at=NOW + timedelta(seconds=10),
        reserved_at=NOW,
        attempts=1,
        held_microusd=0 if kept or ended else PRICE,
        spent_microusd=PRICE if kept else 0,
        released_microusd=PRICE if ended else 0,
        text_microusd=0,
        looks_complete=0,
        needs_confirmation=False,
        rendering_at=NOW,
        uncertain_at=NOW,
    )
    return replace(run, **changes)
