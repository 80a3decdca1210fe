"""A video that did not arrive, on the page of its run: redelivery, and its outcome."""

import asyncio
from typing import Any

import pytest

from pipeline.ledger.notifications import Notifications
from tests.ledger.client import LedgerClient
from tests.web.site import Site, shown
from web import changes

IN_CHAT: dict[str, Any] = {"audience": {"kind": "telegram", "chat_id": 42}, "user_id": "tg:42"}


async def test_deliver_again_schedules_a_redelivery(
    inside: Site, client: LedgerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "DELIVERY_SECONDS_MAX", 0.1)  # no worker delivers here
    row = await inside.driven(await inside.order("a boat", **IN_CHAT))
    client.write("update onetake.runs set told_state = state, next_look_at = 'infinity' where run_id = %s", row.run_id)
    assert "Deliver again" in await inside.read(f"/admin/runs/{row.ref}")

    said = await inside.submit(f"/admin/runs/{row.ref}/deliver")

    assert said.startswith(f"{row.ref}: Delivery is under way")
    assert shown(await inside.read(f"/admin/runs/{row.ref}"), "delivery").startswith("Delivery is under way")
    assert str(row.run_id) in await inside.context.ledger.due_runs(10)
    assert ("deliver", "asked_again") in client.events(str(row.run_id))


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ({"delivered": True}, "Delivered: the user has the video."),
        (
            {"why": "Unreachable"},
            "It could not be delivered: the user has blocked the bot, or the chat no longer exists.",
        ),
        ({"why": "TooLarge"}, "It could not be delivered: Telegram does not accept a file of this size."),
        ({"why": "TelegramBadRequest"}, "It could not be delivered: Telegram refused it (TelegramBadRequest)."),
    ],
)
async def test_deliver_again_reports_the_outcome(
    inside: Site, outcome: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "DELIVERY_SECONDS_MAX", 60.0)
    notifications = Notifications(inside.context.ledger.rpc)
    row = await inside.driven(await inside.order("a boat", **IN_CHAT))
    await notifications.mark_notified(row, why="Unreachable")

    async def deliver() -> None:
        while (run := await inside.context.ledger.load(row.run_id)) is None or run.told_state is not None:
            await asyncio.sleep(0.05)
        await notifications.mark_notified(run, **outcome)

    said, _ = await asyncio.gather(inside.submit(f"/admin/runs/{row.ref}/deliver"), deliver())

    assert said.startswith(f"{row.ref}: {says}")
    assert shown(await inside.read(f"/admin/runs/{row.ref}"), "delivery").startswith(says)


async def test_run_page_shows_why_a_delivery_failed(inside: Site) -> None:
    row = await inside.driven(await inside.order("a boat", **IN_CHAT))
    assert 'data-testid="delivery"' not in await inside.read(f"/admin/runs/{row.ref}")
    await Notifications(inside.context.ledger.rpc).mark_notified(row, why="Unreachable")
    page = await inside.read(f"/admin/runs/{row.ref}")
    assert "blocked the bot" in shown(page, "delivery") and "The video stays here" in shown(page, "delivery")
