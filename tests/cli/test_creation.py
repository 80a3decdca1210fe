"""What `create` says when the ledger goes away after the order has left."""

from typing import Any
from uuid import UUID

import pytest

from cli import drive_run
from pipeline.ledger.client import Ledger
from pipeline.ledger.records import Run
from pipeline.ledger.transports.common import LedgerUnavailable
from pipeline.purchase import submission
from tests.cli.conftest import Terminal


def test_create_reports_the_order_as_sent_if_the_ledger_is_lost_after_the_answer(
    onetake: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last look showed a run whose prompt is being checked."""
    is_away, load = False, Ledger.load

    async def book(*_: Any, **__: Any) -> None:
        nonlocal is_away
        is_away = True
        raise LedgerUnavailable("the server was killed")

    async def load_while_there(ledger: Ledger, run_id: UUID) -> Run | None:
        if is_away:
            raise LedgerUnavailable("the server was killed")
        return await load(ledger, run_id)

    with monkeypatch.context() as killed:
        killed.setattr(submission, "book", book)
        killed.setattr(Ledger, "load", load_while_there)
        killed.setattr(drive_run, "LOOK_SECONDS", 60.0)
        killed.setattr(drive_run, "LEDGER_PATIENCE_SECONDS", -1.0)
        said = onetake.create("a paper boat", "--key", "monday")

    assert (said.code, said.object["state"], said.object["cost_usd"]) == (4, "submitting", 0.0)
    assert "was ordered, and the provider's answer is kept on this machine. $0.80 is set aside" in said.object["error"]
    assert "onetake cancel" not in said.words, "what has left cannot be canceled"
    assert onetake.paid_calls() == 1

    again = onetake.create("a paper boat", "--key", "monday")
    assert (again.code, again.object["state"], onetake.paid_calls()) == (0, "saved", 1)
