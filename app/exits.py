"""Exit codes, and the one place where a foreseeable error becomes one clear line.

0 done   1 ended otherwise   2 wrong usage or settings, before `reserve`   3 refused
4 in doubt or past the deadline   130 Ctrl-C   143 told to stop
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
    """Ends the command: these words on stderr, this code."""

    def __init__(self, words: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(words)
        self.code = code


class Terminated(BaseException):
    """SIGTERM arrived; like KeyboardInterrupt, it is nobody's error."""


def foreseen() -> tuple[type[BaseException], ...]:
    """The errors that have a sentence. Only asked for when one is in the air: `--help` imports none of it."""
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
    """Says it in one line (one for each wrong setting) and ends."""
    words, code = explain(error)
    for line in words.splitlines():
        typer.echo(f"onetake: {line}", err=True)
    raise typer.Exit(code)


def run_async(work: Coroutine[Any, Any, Value]) -> Value:
    """Runs to the end. SIGINT and SIGTERM cancel the work, which puts everything away before it leaves."""

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
    """Tasks that outlive the work: psycopg's pool may swallow one cancellation, and `asyncio.run` gives one only."""
    from pipeline.cancellation import stop

    left = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*map(stop, left))
