"""The `onetake` command. Each verb imports heavy modules inside its function, so that `--help` is fast."""

import os
import sys
import warnings
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

os.environ.pop("SSLKEYLOGFILE", None)  # libraries open it when they are imported, and write session keys to it

from app.exits import Exit, Terminated, foreseen, leave
from cli.commands import audit, check, control, create, database, demo, models, runs, work
from cli.commands.prompts import prompts
from cli.output import logs

OPTIMIZED = (
    "Python is running without assertions, some of which guard the purchase; nothing was done. "
    "Unset PYTHONOPTIMIZE and do not use -O."
)


class Onetake(TyperGroup):
    """Catches errors at the top: an expected error becomes one line; anything else is a bug and shows its traceback."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer's context is click's
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(Exit.CTRL_C) from None
        except Terminated:
            raise typer.Exit(Exit.TERMINATED) from None
        except foreseen() as error:
            leave(error)


app = typer.Typer(
    cls=Onetake,
    help="One request, one video. Never two.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"onetake {metadata.version('onetake')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")]


@app.callback()
def onetake(_version: Version = False) -> None:
    """The options before a command."""


app.command("create")(create.create)
for verb in (runs.show, runs.list_, runs.stats, runs.cancel, runs.settle):
    app.command(verb.__name__.rstrip("_"))(verb)
for switch in (control.pause, control.resume):
    app.command(switch.__name__)(switch)
app.add_typer(control.limits, name="limits")
app.add_typer(control.users, name="users")
app.command("bot")(work.bot)
app.command("worker")(work.worker)
app.add_typer(prompts, name="prompts")
app.add_typer(database.db, name="db")
app.command("models")(models.models)
app.command("check")(check.check)
app.command("audit")(audit.audit)
app.command("simulate")(work.simulate)
app.command("demo")(demo.demo)


def main() -> None:
    """The entry point. Hides warnings of libraries, which are for developers: `python -W default -m cli` shows them."""
    if not __debug__:
        typer.echo(f"onetake: {OPTIMIZED}", err=True)
        sys.exit(Exit.USAGE)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logs.silent()
    app(prog_name="onetake")
