"""The transport to the ledger: one callable, `rpc(name, args) -> json`, and its errors.

There are two transports, psycopg and Supabase's REST, with the same answers and the same errors. Every function of the
ledger is safe to repeat with the same run, key or token, so a call whose answer was lost is simply retried.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from pipeline.cancellation import CancellationGuard

Json: TypeAlias = dict[str, Any] | list[Any] | str | int | float | bool | None
LedgerCall: TypeAlias = Callable[[str, Mapping[str, Json]], Awaitable[Json]]

TRIES = 5
FIRST_PAUSE_SECONDS = 0.2
# SQLSTATE classes of a refusal: our own codes, and data that do not fit. Any other error is the connection's.
REFUSING_CLASSES = ("LG", "22", "23", "42", "P0")


class LedgerError(Exception):
    """The ledger could not be called, or refused."""


class LedgerUnavailable(LedgerError):
    """The ledger did not answer; the call may or may not have taken effect."""


class LedgerRefused(LedgerError):
    """The ledger refused: `code` is the SQLSTATE, LG001 an illegal move."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


class LedgerNotMigrated(LedgerError):
    """The schema is missing or older than this program."""


class LedgerForbidden(LedgerError):
    """The key may not call the ledger; a retry changes nothing."""


def storable(value: Json) -> Json:
    """The value as PostgreSQL can store it: text without NUL and without lone surrogates, at any depth.

    Providers and people may send either; all of it passes through here.
    """
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="replace").decode()
    if isinstance(value, list):
        return [storable(each) for each in value]
    if isinstance(value, dict):
        return {str(storable(key)): storable(each) for key, each in value.items()}
    return value


def asking_again(rpc: LedgerCall, tries: int = TRIES, first_pause_seconds: float = FIRST_PAUSE_SECONDS) -> LedgerCall:
    """The same transport, with up to `tries` attempts and doubling pauses while the ledger is unavailable."""

    async def patient(name: str, args: Mapping[str, Json]) -> Json:
        guard = CancellationGuard()
        args = {key: storable(value) for key, value in args.items()}
        for turn in range(1, tries + 1):
            try:
                answer = await rpc(name, args)
            except LedgerUnavailable:
                guard.check()
                if turn == tries:
                    raise
                await asyncio.sleep(first_pause_seconds * 2 ** (turn - 1))
            else:
                guard.check()
                return answer
        raise AssertionError("at least one try")

    return patient
