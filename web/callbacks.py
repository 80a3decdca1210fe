"""Callbacks of video providers: POST /callbacks/<provider>/<token>. Public; the token in the path is the secret.

In       a provider's report that a job has ended
Out      204 whether or not the token is known, so that nobody can try tokens out; 503 if the ledger does not answer
Effects  at most one hint in the ledger, and one look at the job: what the report says is not believed
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from aiohttp import web

from pipeline.ledger.transports.common import LedgerCall, LedgerError
from providers.callbacks import PATH, job_named

BODY_BYTES_MAX = 1_000_000  # a result with its input in it
BODY_SECONDS_MAX = 10.0
PER_SECOND_MAX = 20  # of all callers together: renders take a minute, so this is more than a thousand at once
TOKEN_CHARACTERS = 32


class Callbacks:
    """The route. `wake`: lets a worker look at a run now."""

    def __init__(
        self, rpc: LedgerCall, wake: Callable[[UUID], Awaitable[None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rpc, self._wake, self._clock = rpc, wake, clock
        self._second, self._times = 0, 0

    def add_to(self, app: web.Application) -> None:
        app.router.add_post(f"{PATH}/{{provider}}/{{token}}", self._heard)

    async def _heard(self, request: web.Request) -> web.Response:
        provider, token = request.match_info["provider"], request.match_info["token"]
        if self._too_many():
            raise web.HTTPTooManyRequests(headers={"Retry-After": "5"})
        if len(token) == TOKEN_CHARACTERS and token.isascii() and token.isalnum():
            job_id = job_named(provider, await _body(request))
            try:
                run_id = await self._rpc("note_callback", {"token": token, "job_id": job_id})
            except LedgerError:  # the provider may try again
                raise web.HTTPServiceUnavailable(headers={"Retry-After": "30"}) from None
            if isinstance(run_id, str):
                await self._wake(UUID(run_id))
        return web.Response(status=204)

    def _too_many(self) -> bool:
        second = int(self._clock())
        self._times = self._times + 1 if second == self._second else 1
        self._second = second
        return self._times > PER_SECOND_MAX


async def _body(request: web.Request) -> str:
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            body = await request.content.read(BODY_BYTES_MAX + 1)
            while len(body) <= BODY_BYTES_MAX and (more := await request.content.read(BODY_BYTES_MAX)):
                body += more
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    if len(body) > BODY_BYTES_MAX:
        raise web.HTTPRequestEntityTooLarge(BODY_BYTES_MAX, len(body))
    return body.decode(errors="replace")
