"""The operators' switches: pause, resume, limits, users. Every change is recorded with its author."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from app.exits import Stop, run_async

if TYPE_CHECKING:
    from app.ledger_session import LedgerSession
    from pipeline.ledger.operators import Limit

limits = typer.Typer(help="What may be bought, and how often.", invoke_without_command=True)
users = typer.Typer(help="Who may order.", no_args_is_help=True)

UserArgument = Annotated[str, typer.Argument(metavar="USER", help="A Telegram id, or cli:NAME.", show_default=False)]


def pause(reason: Annotated[str | None, typer.Argument(help="Shown to users.")] = None) -> None:
    """The kill switch: nothing is bought until `onetake resume`."""
    from app.ledger_session import open_to_change
    from cli.request_parsing import user_id
    from pipeline.settings.config import load_settings

    async def work() -> None:
        async with open_to_change(load_settings()) as session:
            before = await session.operators.controls()
            kept = before.pause_reason if reason is None else None  # of the current pause
            await session.operators.pause(reason or kept, user_id(None))
            if kept:
                typer.echo(f"Already paused; the reason is unchanged: {kept}")
            typer.echo("Paused: nothing is bought from now on. Videos already ordered will still be finished.")
            typer.echo("`onetake resume` ends the pause.")

    run_async(work())


def resume() -> None:
    """End a pause, and close every breaker."""
    from app.ledger_session import open_to_change
    from cli.request_parsing import user_id
    from pipeline.settings.config import load_settings

    async def work() -> None:
        async with open_to_change(load_settings()) as session:
            before = await session.operators.controls()
            await session.operators.resume(user_id(None))
            if before.paused or before.breakers:
                typer.echo("Resumed: orders are accepted again.")
            else:
                typer.echo("Nothing was paused; orders are accepted.")

    run_async(work())


@limits.callback()
def limits_callback(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        show_limits()


@limits.command("show")
def show_limits() -> None:
    """All limits, the pause, and open breakers."""
    from app.ledger_session import open_ledger
    from app.limits_view import print_limits
    from pipeline.settings.config import load_settings

    async def work() -> None:
        async with open_ledger(load_settings(), reads=True) as session:
            found, controls = await session.operators.limits(), await session.operators.controls()
        print_limits(found, controls)
        typer.echo(f"In {session.name}.")

    run_async(work())


@limits.command("set", context_settings={"ignore_unknown_options": True})  # -5 is read as a value, and refused
def set_limit(
    key: Annotated[str, typer.Argument(help="The name, as `onetake limits` shows it.", show_default=False)],
    value: Annotated[str, typer.Argument(help="A whole number; money in dollars: 5, 5.50.", show_default=False)],
    user: Annotated[str | None, typer.Option(help="Only for this user; the value `default` removes it.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a budget changes more than tenfold.")] = False,
) -> None:
    """Change one limit, for all or for one user. It applies at once."""
    from app.ledger_session import open_to_change
    from app.limits_view import limit_words, set_words, why_not_set
    from cli.request_parsing import person, user_id
    from pipeline.ledger.operators import LimitNotSet
    from pipeline.settings.config import load_settings
    from pipeline.settings.limit_values import read_typed

    try:
        wanted = None if user and value == "default" else read_typed(key, value)
    except ValueError as error:
        raise Stop(f"{key} was not changed: {error}") from error

    async def work() -> None:
        async with open_to_change(load_settings()) as session:
            whose = person(user) if user else None
            if not yes and whose is None:
                _ask_first(key, wanted, await session.operators.limits())
            answer = await session.operators.set_limit(key, wanted, user_id(None), whose)
            if isinstance(answer, LimitNotSet):
                known = [limit.key for limit in await session.operators.limits()]
                raise Stop(why_not_set(key, value, answer, known))
            typer.echo(set_words(key, answer, limit_words, whose))
            if whose:
                await _say_if_new(session, whose)

    run_async(work())


def _ask_first(key: str, wanted: int | str | None, limits: Sequence["Limit"]) -> None:
    """Asks before a budget changes more than tenfold. Raises Stop unless the answer is yes."""
    from pipeline.settings.limit_values import big_change

    present = next((limit.value for limit in limits if limit.key == key), None)
    if not (question := big_change(key, wanted, present)):
        return
    if not sys.stdin.isatty():
        raise Stop(f"{key} was not changed: {question}. Amounts are in dollars; if this is intended, add --yes")
    if not typer.confirm(f"{question}. Change it?"):
        raise Stop(f"{key} was not changed")


async def _say_if_new(session: "LedgerSession", user: str) -> None:
    """Points out a user who has not ordered yet: the name may be mistyped."""
    if not await session.operators.runs(1, None, user):
        typer.echo(f"Saved, but {user} has never ordered here. Check the name with `onetake users list`.")


@users.command("list")
def list_users(at_most: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000)] = 100) -> None:
    """All users who ever sent a request."""
    from app.ledger_session import open_ledger
    from app.limits_view import print_users
    from pipeline.settings.config import load_settings

    async def work() -> None:
        async with open_ledger(load_settings(), reads=True) as session:
            found = await session.operators.users(at_most)
        print_users(found, session.name)

    run_async(work())


@users.command("block")
def block(user: UserArgument, reason: Annotated[str | None, typer.Argument(help="Shown to the user.")] = None) -> None:
    """Refuse every new request of a user; unfinished runs continue."""
    from app.ledger_session import open_to_change
    from cli.request_parsing import person, user_id
    from pipeline.settings.config import load_settings

    async def work() -> None:
        async with open_to_change(load_settings()) as session:
            blocked = await session.operators.block(person(user), reason, user_id(None))
            typer.echo(f"{blocked.user_id} is blocked.")
            await _say_if_new(session, blocked.user_id)

    run_async(work())


@users.command("unblock")
def unblock(user: UserArgument) -> None:
    """Let a blocked user order again."""
    from app.ledger_session import open_to_change
    from cli.request_parsing import person, user_id
    from pipeline.settings.config import load_settings

    async def work() -> None:
        async with open_to_change(load_settings()) as session:
            unblocked = await session.operators.unblock(person(user), user_id(None))
            typer.echo(f"{unblocked.user_id} may order again.")

    run_async(work())


@users.command("invite")
def invite(user: UserArgument) -> None:
    """Let a user order while the rollout is an allowlist or a percentage."""
    from app.ledger_session import open_to_change
    from cli.request_parsing import person, user_id
    from pipeline.settings.config import load_settings

    async def work() -> None:
        async with open_to_change(load_settings()) as session:
            invited = await session.operators.invite(person(user), user_id(None))
            typer.echo(f"{invited.user_id} is invited.")
            await _say_if_new(session, invited.user_id)

    run_async(work())
