"""The second transport: the same functions over HTTPS, through the `supabase` client and PostgREST.

In       a project's URL and its secret key, a service_role JWT or `sb_secret_...`
Out      `rpc`: POST /rest/v1/rpc/<name>
Raises   LedgerUnavailable, LedgerRefused, LedgerNotMigrated, LedgerForbidden
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

import httpx
from supabase import AsyncClient, AsyncClientOptions, PostgrestAPIError, SupabaseException, acreate_client

from net.certificates import proxy_for, trusted
from pipeline.ledger.migrate import RELOAD
from pipeline.ledger.transports.common import (
    REFUSING_CLASSES,
    TRIES,
    Json,
    LedgerCall,
    LedgerForbidden,
    LedgerNotMigrated,
    LedgerRefused,
    LedgerUnavailable,
    asking_again,
)

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0  # for a whole call, however slowly its answer arrives
# PGRST202: no such function, or other arguments; the schema is missing or of another version.
MISSING = frozenset({"PGRST202", "42883", "3F000", "42P01"})


@asynccontextmanager
async def open_transport(url: str, key: str, *, tries: int = TRIES) -> AsyncIterator[LedgerCall]:
    """Yields the callable; closes its connections on the way out."""
    async with open_client(url, key) as client:
        yield asking_again(_rpc_over(client), tries)


@asynccontextmanager
async def open_client(url: str, key: str) -> AsyncIterator[AsyncClient]:
    """The project's client, over connections of our own: their timeouts apply to REST and Storage alike."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log every call's URL
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)
    hooks = {"response": [_hook]}
    async with httpx.AsyncClient(
        timeout=timeout,
        follow_redirects=False,
        event_hooks=hooks,
        verify=trusted(),
        proxy=proxy_for(url),
        trust_env=False,
    ) as connections:
        options = AsyncClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=connections)
        try:
            client = await acreate_client(url, key, options)
        except SupabaseException as error:
            raise LedgerForbidden(f"SUPABASE_URL or SUPABASE_SERVICE_ROLE_KEY cannot be used: {error}") from None
        yield client


async def _hook(response: httpx.Response) -> None:
    """Raises what the client library would hide: the status of an error without a code, and a 200 that is not JSON."""
    if response.status_code in {401, 403}:
        raise LedgerForbidden(
            f"Supabase does not let this key in ({_words(await response.aread())}): "
            "SUPABASE_SERVICE_ROLE_KEY must be the project's secret key"
        )
    if response.is_success and "/rest/v1/" in response.url.path:
        try:
            json.loads(await response.aread() or b"null")
        except ValueError:
            raise LedgerUnavailable("what answers at SUPABASE_URL is not Supabase's REST") from None


def _words(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return "no reason given"


def _rpc_over(client: AsyncClient) -> LedgerCall:
    async def rpc(name: str, args: Mapping[str, Json]) -> Json:
        assert re.fullmatch(r"[a-z_]+", name), f"not a function of the ledger: {name}"
        call = client.rpc(name, {f"p_{key}": value for key, value in args.items()})
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                response = await call.execute()
        except TimeoutError as error:
            raise LedgerUnavailable(f"Supabase did not answer within {ANSWER_SECONDS:.0f} s") from error
        except httpx.HTTPError as error:
            raise LedgerUnavailable(f"Supabase did not answer: {type(error).__name__}") from error
        except PostgrestAPIError as error:
            raise _translated(name, error) from error
        return cast(Json, response.data)

    return rpc


def _translated(name: str, error: PostgrestAPIError) -> Exception:
    code, words = error.code or "", (error.message or "no reason given").strip().splitlines()[0]
    if code in MISSING:
        return LedgerNotMigrated(
            f"this project has no ledger function {name}: run `supabase db push`, or paste `onetake db sql`; if you "
            f"have done that, run `{RELOAD}` in the SQL editor, as the REST API caches the schema"
        )
    if code.startswith(REFUSING_CLASSES):
        return LedgerRefused(code, words)
    return LedgerUnavailable(f"Supabase did not answer: {words} ({code})")
