"""Verbs for existing runs: show, list, stats, cancel, settle."""

from typing import Annotated

import typer

from app.exits import Exit, Stop, run_async

Ref = Annotated[str, typer.Argument(metavar="REF", help="Six characters, or the run id.", show_default=False)]


def show(
    ref: Ref,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    receipt: Annotated[
        bool, typer.Option("--receipt", help="Only its one order: time, hash, keys, job, price.")
    ] = False,
    messages: Annotated[
        bool, typer.Option("--messages", help="Only the exact messages that the text model was sent.")
    ] = False,
) -> None:
    """One run: what it is, what it cost, and its timeline."""
    from app.ledger_session import open_ledger
    from cli.output.pages import print_object, print_receipt, print_run
    from cli.output.sent_page import print_sent
    from pipeline.prompts.sent import sent_for
    from pipeline.settings.config import load_settings

    async def work() -> None:
        async with open_ledger(load_settings(), reads=True) as session:
            run = await session.find(ref)
            events = await session.operators.events(run.run_id)
            breakers = (await session.operators.controls()).breakers if run.deferred_by else ()
            sent = await sent_for(run, events, session.ledger.rpc) if messages else ()
        if messages:
            print_sent(run, sent, as_json=as_json)
        elif receipt:
            print_receipt(run, as_json=as_json)
        elif as_json:
            print_object(run, events)
        else:
            print_run(run, events, breakers=breakers)

    run_async(work())


def list_(
    at_most: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, newest first.")] = 20,
    state: Annotated[str | None, typer.Option(help="Only runs in this state.")] = None,
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """The latest runs."""
    from app.ledger_session import open_ledger
    from cli.output.outcome import of_run
    from cli.output.pages import print_lines, print_runs
    from cli.request_parsing import user_id
    from pipeline.ledger.records import State
    from pipeline.settings.config import load_settings

    if state is not None and state not in {known.value for known in State}:
        raise Stop(f"--state: must be one of {', '.join(State)}, not {state}")

    async def work() -> None:
        async with open_ledger(load_settings(), reads=True) as session:
            wanted = State(state) if state else None
            runs = await session.operators.runs(at_most, wanted, user_id(user) if user else None)
        if as_json:
            print_lines([of_run(run).as_object() for run in runs])
        else:
            print_runs(runs, session.name)

    run_async(work())


def stats(as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False) -> None:
    """Videos made; money spent, set aside and saved."""
    from app.ledger_session import open_ledger
    from cli.output.pages import print_metrics, print_stats
    from pipeline.ledger.dashboard import Dashboard
    from pipeline.settings.config import load_settings

    async def work() -> None:
        async with open_ledger(load_settings(), reads=True) as session:
            found = await Dashboard(session.ledger.rpc).metrics()
        if as_json:
            print_metrics(found)
        else:
            print_stats(found)

    run_async(work())


def cancel(ref: Ref) -> None:
    """Cancel a run before its video is ordered."""
    from app.ledger_session import open_to_change
    from cli.output import sentences
    from cli.request_parsing import user_id
    from pipeline.settings.config import load_settings

    async def work() -> Exit:
        async with open_to_change(load_settings(), reads=True) as session:
            run = await session.find(ref)
            canceled = await session.ledger.cancel(run.run_id, user_id(None))
            run = await session.find(run.ref)
            if canceled or run.ended:
                typer.echo(sentences.ending(run))
            else:
                typer.echo(f"It is too late to cancel run {run.ref}: {sentences.STATE_WORDS[run.state]}.")
        return Exit.DONE if canceled else Exit.ENDED_OTHERWISE

    raise typer.Exit(run_async(work()))


def settle(
    ref: Ref,
    job: Annotated[str | None, typer.Option(metavar="ID", help="The video was made: the provider's job id.")] = None,
    not_charged: Annotated[bool, typer.Option("--not-charged", help="Nothing was charged.")] = False,
    take_back: Annotated[bool, typer.Option("--take-back", help="Undo the last settlement.")] = False,
    why: Annotated[str | None, typer.Option(help="The reason, kept in the timeline.")] = None,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="With --job and --why: even if the provider does not show it.")
    ] = False,
    despite: Annotated[bool, typer.Option("--despite", help="With --job: even if it differs from the order.")] = False,
    early: Annotated[
        bool, typer.Option("--early", help="With --not-charged and --why: even if it may still turn up.")
    ] = False,
) -> None:
    """Settle a run in doubt, after checking the provider's records.

    A job is looked up at the provider first. Exit 1 if nothing was changed.
    """
    _check_settle(job, why, not_charged=not_charged, take_back=take_back, unseen=unseen, despite=despite, early=early)
    from cli.commands import settle

    if job is not None:
        raise typer.Exit(run_async(settle.settle_found(ref, job, why, unseen=unseen, despite=despite)))
    if not_charged:
        raise typer.Exit(run_async(settle.settle_not_charged(ref, why, early=early)))
    raise typer.Exit(run_async(settle.take_back(ref, why)))


def _check_settle(
    job: str | None, why: str | None, *, not_charged: bool, take_back: bool, unseen: bool, despite: bool, early: bool
) -> None:
    """Raises Stop if the options do not fit together."""
    if [job is not None, not_charged, take_back].count(True) != 1:
        raise Stop(
            "settle needs one of --job ID (the video was made), --not-charged (nothing was charged), --take-back "
            "(undo the last settlement)"
        )
    if (unseen or despite) and job is None:
        raise Stop("--unseen and --despite need --job ID")
    if early and not not_charged:
        raise Stop("--early needs --not-charged")
    if (unseen or early) and not (why or "").strip():
        raise Stop(f"{'--unseen' if unseen else '--early'} needs --why: say how you know")
