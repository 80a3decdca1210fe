"""How a bot gets its updates: getUpdates, and the webhook methods.

In       a call
Out      updates, or the webhook's settings
Raises   Refused with a 409 where polls and webhooks exclude each other
Effects  confirms updates; starts and stops the webhook sender
"""

import re
from typing import Any
from urllib.parse import urlsplit

from simulator.telegram.api.calls import Ask
from simulator.telegram.api.refusals import Refused, bad_request
from simulator.telegram.api.updates import BATCH_MAX, POLL_SECONDS_MAX
from simulator.telegram.api.webhook import CONNECTIONS_DEFAULT, CONNECTIONS_MAX, Address, Webhook

WEBHOOK_ACTIVE = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)
WEBHOOK_CAME = "Conflict: terminated by setWebhook request"
SECRET_CHARACTERS_MAX = 256

_SECRET = re.compile(r"[A-Za-z0-9_-]*")


async def get_updates(ask: Ask) -> list[dict[str, Any]]:
    """Return unconfirmed updates; waits for one if there is none."""
    if ask.bot.webhook is not None:
        raise Refused(409, WEBHOOK_ACTIVE)
    _remember_allowed(ask)
    limit = min(max(ask.args.integer("limit", BATCH_MAX), 1), BATCH_MAX)
    seconds = min(max(ask.args.integer("timeout"), 0), POLL_SECONDS_MAX)
    return await ask.bot.updates.poll(ask.args.integer("offset"), limit, seconds, ask.gone)


async def set_webhook(ask: Ask) -> bool:
    """Push updates from now on; an empty address stops that."""
    url, secret = ask.args.text("url").strip(), ask.args.text("secret_token")
    if not url:
        return await delete_webhook(ask)
    if len(secret) > SECRET_CHARACTERS_MAX:
        raise bad_request("secret token is too long")
    if not _SECRET.fullmatch(secret):
        raise bad_request("secret token contains unallowed characters")
    connections = min(max(ask.args.integer("max_connections", CONNECTIONS_DEFAULT), 1), CONNECTIONS_MAX)
    address = Address(_checked(url), secret, connections)
    _remember_allowed(ask)
    if ask.args.flag("drop_pending_updates"):
        ask.bot.updates.forget_all()
    # A bot that sets the same webhook at every start must not get updates in flight twice.
    if ask.bot.webhook is None or ask.bot.webhook.address != address:
        await _replace(ask, Webhook(address, ask.bot.updates, ask.execute, ask.telegram.upload_bytes_max))
    return True


async def delete_webhook(ask: Ask) -> bool:
    """Remove the webhook; pending updates stay for polls unless they are to be dropped."""
    if ask.args.flag("drop_pending_updates"):
        ask.bot.updates.forget_all()
    await _replace(ask, None)
    return True


async def webhook_info(ask: Ask) -> dict[str, Any]:
    """The webhook's address, pending updates and last error."""
    shown: dict[str, Any] = {
        "url": "",
        "has_custom_certificate": False,
        "pending_update_count": len(ask.bot.updates.pending),
    }
    if ask.bot.webhook is not None:
        shown |= ask.bot.webhook.info()
    if ask.bot.updates.allowed is not None:
        shown["allowed_updates"] = sorted(ask.bot.updates.allowed)
    return shown


async def _replace(ask: Ask, fresh: Webhook | None) -> None:
    before, ask.bot.webhook = ask.bot.webhook, fresh
    if before is not None:
        await before.stop()
    # Another call may have come in while the old sender stopped; the last call wins.
    if fresh is not None and ask.bot.webhook is fresh:
        ask.bot.updates.interrupt(WEBHOOK_CAME)
        fresh.start()


def _checked(url: str) -> str:
    """Validate a URL; Telegram requires https, except that a simulator on the same machine may use http."""
    full = url if "://" in url else f"https://{url}"
    try:
        parts = urlsplit(full)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or " " in full:
        raise bad_request("invalid webhook URL specified")
    return full


def _remember_allowed(ask: Ask) -> None:
    told = ask.args.structure("allowed_updates", "allowed updates")
    if isinstance(told, list):
        ask.bot.updates.allowed = frozenset(str(kind) for kind in told) or None
