"""`onetake audit`: do the provider's records and ours agree? Adopts late jobs, closes explained differences."""

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from app.exits import Exit, Stop, run_async

if TYPE_CHECKING:
    from pipeline.purchase.audit import Audit

UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
SINCE_MAX = timedelta(days=366)


def audit(
    since: Annotated[str, typer.Option(help="How far back: 90m, 24h or 7d.")] = "24h",
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    subject: Annotated[
        str | None,
        typer.Option("--explain", metavar="SUBJECT", help="Instead, close open differences about this job id or REF."),
    ] = None,
    why: Annotated[str | None, typer.Option(help="With --explain: the explanation, kept on record.")] = None,
) -> None:
    """Compare the provider's jobs with the ledger, in both directions. Buys nothing.

    Lists all open differences, including those of earlier audits. Exit 1 if there is one, or if the provider's list
    could not be read to its end.
    """
    if subject is not None or why is not None:
        raise typer.Exit(_explained(subject, why))
    back = read_back(since)
    from cli.output.audit_page import print_audit
    from cli.output.pages import print_object

    found, began = run_async(_audit(back))
    if as_json:
        print_object(found.to_json())
    else:
        print_audit(found, began)
    raise typer.Exit(Exit.DONE if found.clean else Exit.ENDED_OTHERWISE)


def _explained(subject: str | None, why: str | None) -> Exit:
    """Closes the open differences about a job or a run. Does not call the provider."""
    asked, reason = (subject or "").strip(), (why or "").strip()
    if not asked or not reason:
        raise Stop('an explanation needs both --explain JOB_ID (or REF) and --why "..."')
    from app.ledger_session import open_to_change
    from cli.request_parsing import user_id
    from pipeline.formatting import many
    from pipeline.settings.config import load_settings

    async def work() -> Exit:
        async with open_to_change(load_settings()) as session:
            closed = await session.operators.explain(asked, user_id(None), reason)
            if closed:
                typer.echo(f"Explained: {many(closed, 'difference')} about {asked} closed, for good.")
            else:
                typer.echo(f"No difference about {asked} is open. Nothing was changed.")
        return Exit.DONE if closed else Exit.ENDED_OTHERWISE

    return run_async(work())


def read_back(text: str) -> timedelta:
    """Parses a duration such as `24h`. Raises Stop."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*([mhd])\s*", text.lower())
    back = int(match[1]) * UNITS[match[2]] if match else timedelta()
    if not timedelta() < back <= SINCE_MAX:
        raise Stop(f"--since: must be a duration such as 90m, 24h or 7d, at most 366d, not {text}")
    return back


async def _audit(back: timedelta) -> "tuple[Audit, datetime]":
    """The audit, and when it began by the ledger's clock."""
    from app.context import open_shop
    from app.ledger_session import open_ledger
    from app.model_choice import choose_for_accounts
    from pipeline.purchase.audit import audit, last_audit, together
    from pipeline.settings.config import load_settings

    settings = load_settings()
    catalogue, model = choose_for_accounts(settings)
    async with open_shop(settings, catalogue, model) as account, open_ledger(settings) as session:
        now = (await last_audit(session.ledger.rpc, account)).now
        found = [await audit(session.ledger, each, settings.waits, now - back) for each in account.all]
        return together(found), now
