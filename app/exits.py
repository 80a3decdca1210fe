"""Exit codes, and the one place where an expected error becomes one clear line.

0 done   1 ended otherwise   2 wrong usage or settings, before `reserve`   3 refused
4 in doubt or past the deadline   130 Ctrl-C   143 SIGTERM
"""

import asyncio
import signal
from collections.abc import Coroutine
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

import typer

Value = TypeVar("Value")


class Exit(IntEnum):
    DONE = 0
    ENDED_OTHERWISE = 1
    USAGE = 2
    REFUSED = 3
    IN_DOUBT = 4
    CTRL_C = 130
    TERMINATED = 143


class Stop(Exception):
    """Ends the command with this message on stderr and this exit code."""

    def __init__(self, words: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(words)
        self.code = code


class Terminated(BaseException):
    """SIGTERM arrived. A BaseException, because it is not an error, like KeyboardInterrupt."""


def foreseen() -> tuple[type[BaseException], ...]:
    """The errors with a clear message. Called only when one was raised, so `--help` imports none of them."""
    from net.certificates import ProxyUnusable
    from pipeline.ledger.transports.common import LedgerError
    from pipeline.postgres.embedded import DatabaseUnavailable
    from pipeline.settings.setting_checks import ConfigError
    from providers.catalogue import CatalogueError
    from steps.text_model.front_matter import TemplateError

    return (Stop, ConfigError, ProxyUnusable, CatalogueError, TemplateError, DatabaseUnavailable, LedgerError)


def explain(error: BaseException) -> tuple[str, Exit]:
    from pipeline.ledger.transports.common import LedgerUnavailable

    if isinstance(error, Stop):
        return str(error), error.code
    words = str(error).strip() or type(error).__name__
    if isinstance(error, LedgerUnavailable):
        words = f"{words}. Nothing was bought by this command; try again when the database is back."
    return words, Exit.USAGE


def leave(error: BaseException) -> NoReturn:
    """Prints the error in one line (one per wrong setting) and exits."""
    words, code = explain(error)
    for line in words.splitlines():
        typer.echo(f"onetake: {line}", err=True)
    raise typer.Exit(code)


def run_async(work: Coroutine[Any, Any, Value]) -> Value:
    """Runs the work to its end. SIGINT and SIGTERM cancel it, and it cleans up before it exits."""

    async def guarded() -> Value:
        task = asyncio.current_task()
        assert task is not None
        stopped = False

        def stop() -> None:
            nonlocal stopped
            stopped = True
            assert task is not None
            task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        try:
            return await work
        except asyncio.CancelledError:
            if stopped:
                raise Terminated from None
            raise
        finally:
            await _end_the_rest()

    return asyncio.run(guarded())


async def _end_the_rest() -> None:
    """Stops tasks that outlive the work: psycopg's pool may swallow a cancellation, and `asyncio.run` sends one."""
    from pipeline.cancellation import stop

    left = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*map(stop, left))
