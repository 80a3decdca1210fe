"""`onetake audit`: do the provider's books and ours agree? Reads only; adopts what turned up late."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exits import Exit, Stop, run_async

if TYPE_CHECKING:
    from pipeline.audit import Audit

UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
SINCE_MAX = timedelta(days=366)


def audit(
    since: Annotated[str, typer.Option(help="How far back: 90m, 24h or 7d.")] = "24h",
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Compare the provider's jobs with the ledger, in both directions. Buys nothing.

    Exit 1 on any difference, and when the provider's list could not be read to its end.
    """
    back = read_back(since)
    from cli.auditing_page import print_audit
    from cli.pages import print_object

    found = run_async(_audit(back))
    if as_json:
        print_object(found.to_json())
    else:
        print_audit(found)
    raise typer.Exit(Exit.DONE if found.clean else Exit.ENDED_OTHERWISE)


def read_back(text: str) -> timedelta:
    """`24h` as a length of time."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*([mhd])\s*", text.lower())
    back = int(match[1]) * UNITS[match[2]] if match else timedelta()
    if not timedelta() < back <= SINCE_MAX:
        raise Stop(f"--since: a length of time such as 90m, 24h or 7d, at most 366d, not {text}")
    return back


async def _audit(back: timedelta) -> "Audit":
    from cli.desks import open_ledger
    from cli.wishes import choose
    from cli.worlds import open_shop
    from pipeline.audit import audit, last_audit
    from pipeline.config import load_settings

    settings = load_settings()
    catalogue, model = choose(settings)
    async with open_shop(settings, catalogue, model) as shop, open_ledger(settings) as desk:
        now = (await last_audit(desk.ledger.rpc, shop)).now
        return await audit(desk.ledger, shop, settings.waits, now - back)
