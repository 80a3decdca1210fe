"""The only code that sends requests to video providers, and the only code that can buy. No decisions here.

`post` spends money and sends once: no retries, no redirects, a fresh connection (a purchase on a stale
kept-alive one could end in doubt), and a hook on the last line before sending, which also counts. Everything
else only reads: it refuses a request that pays; a failed read is a value, and repeating it is free.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import httpx2

from net.bounded_body import bound_body
from net.caching import is_cached
from net.certificates import keep_quiet, proxy_for, trusted
from net.error_text import storable, without_links
from providers.clips.clip_url import REDIRECTS_MAX, fetch_url, is_local, leads_on
from providers.clips.download import ClipGone, Content, download
from providers.job import Job, ListPage
from providers.openai_videos.protocol import OpenAIVideos
from providers.orders import Answer, Fault, Order
from providers.port import ReadError, Reading, Reply, Request, Scope, TellsCharges, VideoApi
from providers.response import body_of, gateway_attempts, path_of, same_server

CONTENT_SECONDS_MAX = 600.0  # fifty megabytes over a slow line; a server that drips must not block a run forever
READS_MAX = 5  # of one reading; one that asks for more is a mistake
KEY_CHARACTERS_MIN = 12  # shorter than any real key
UNPACKED = {"Accept-Encoding": "identity", "Accept": "application/json", "User-Agent": "onetake"}
SIGNED_REFUSALS = frozenset({400, 401, 403})  # of a storage that gets a key in addition to a link's signature
TOKENS_HIDDEN_MAX = 8
KEY_PART_CHARACTERS = 6  # truncated text may end inside a key
GATEWAY_MODEL = "x-litellm-model-name"  # after a fallback it is not the one that was ordered
MODEL_CHARACTERS_MAX = 200
NOWHERE = 404  # where a provider has no content of its own, it is absent there

EVERYTHING = Scope()

Shown = TypeVar("Shown")


class AlreadySent(Exception):
    """The one paid request has already been sent."""


class TooLate(Exception):
    """The submit deadline has passed: nothing is sent."""


@asynccontextmanager
async def open_provider(
    base_url: str,
    api_key: str,
    *,
    api: VideoApi | None = None,
    connect_seconds: float = 5,
    request_seconds: float = 60,
) -> AsyncIterator["VideoProvider"]:
    """The provider at this base URL with this key; closes its connections on exit.

    `api`: whose protocol it speaks; OpenAI's unless given.
    """
    keep_quiet()
    timeout = httpx2.Timeout(request_seconds, connect=connect_seconds)
    tls = trusted()
    proxy = proxy_for(base_url)
    async with httpx2.AsyncClient(
        timeout=timeout,
        follow_redirects=False,
        verify=tls,
        proxy=proxy,
        trust_env=False,
        headers=UNPACKED,
        event_hooks={"response": [bound_body]},
    ) as http:
        yield VideoProvider(api or OpenAIVideos(base_url), api_key, http, timeout, tls, proxy)


# With these a request ended without an answer; it may have left. Whatever else is raised leaves the run in doubt too.
WHILE_SENDING = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, TooLate, AlreadySent, OSError, RuntimeError)


class VideoProvider:
    """One provider's API with one key, on the wire. Built by `open_provider`."""

    def __init__(
        self,
        api: VideoApi,
        api_key: str,
        http: httpx2.AsyncClient,
        timeout: httpx2.Timeout,
        tls: ssl.SSLContext,
        proxy: str | None,
    ) -> None:
        self.api = api
        self._key = api_key
        self._tokens: tuple[str, ...] = ()  # that were sent last; some are signed anew for each request
        self._http = http
        self._timeout = timeout
        self._tls = tls
        self._proxy = proxy
        self._total_seconds = (timeout.connect or 0) + (timeout.read or 0)

    async def post(self, order: Order, before_send: Callable[[], None]) -> Answer:
        """Sends the order once. `before_send` is called on the last line before sending and may raise TooLate."""
        sends = 0

        async def last_line(event: str, _: object) -> None:
            if event.endswith("send_request_headers.started"):
                before_send()  # again: connecting may have taken longer than was left

        async def on_send(request: httpx2.Request) -> None:
            nonlocal sends
            sends += 1
            if sends > 1:  # not an assert: PYTHONOPTIMIZE removes those
                raise AlreadySent(f"run {order.run_id} was about to send its order a second time")
            before_send()
            request.extensions = {**request.extensions, "trace": last_line}

        async with httpx2.AsyncClient(
            timeout=self._timeout,
            follow_redirects=False,
            verify=self._tls,
            proxy=self._proxy,
            trust_env=False,
            limits=httpx2.Limits(max_keepalive_connections=0),
            headers=UNPACKED,
            event_hooks={"request": [on_send], "response": [bound_body]},
        ) as once:
            try:
                async with asyncio.timeout(self._total_seconds):
                    answer = self._answer(await self._send(once, self.api.create(order)))
            except TimeoutError:  # the client's own timeouts restart with every byte of a slow answer
                answer = Answer(None, f"no complete answer within {self._total_seconds:g} s", Fault.LOST)
            except ValueError as error:  # a header that cannot be written, such as a key with an accent
                fault = Fault.LOST if sends else Fault.NEVER_SENT
                answer = Answer(None, f"{type(error).__name__} in the request", fault)
            except WHILE_SENDING as error:
                answer = Answer(None, self._shown(error), _fault(error))
        if sends > 1:  # the first copy was sent, and its answer is lost
            return Answer(None, "the client was about to send the order a second time", Fault.LOST)
        return answer

    async def _send(self, http: httpx2.AsyncClient, request: Request) -> httpx2.Response:
        signed = self.api.authorization(self._key, time.time())
        self._tokens = (*self._tokens, signed.get("Authorization", "").rpartition(" ")[2])[-TOKENS_HIDDEN_MAX:]
        headers = {**request.headers, **signed}
        return await http.request(request.method, request.url, headers=headers, content=request.body or None)

    def _answer(self, response: httpx2.Response) -> Answer:
        body = self._without_key(body_of(response))
        location = self._without_key(path_of(response.headers.get("location", "")))
        attempts, cached = gateway_attempts(response.headers), is_cached(response.headers)
        model = self._without_key(storable(response.headers.get(GATEWAY_MODEL, ""), MODEL_CHARACTERS_MAX))
        return Answer(response.status_code, body, None, attempts, location, cached, model)

    async def job(self, job_id: str, model: str = "") -> Job | ReadError:
        """The job with this id, of this model."""
        return await self._read(self.api.job(job_id, model))

    async def page(self, after: str | None = None, scope: Scope = EVERYTHING) -> ListPage | ReadError:
        """One page of the provider's list, newest first where the provider sorts it so."""
        return await self._read(self.api.page(after, scope))

    async def find(self, order: Order) -> Job | ReadError | None:
        """The order's job by our own id; None if the provider does not know it."""
        return await self._read(self.api.find(order))

    async def charge(self, job_id: str, since: float | None = None) -> int | ReadError | None:
        """What the provider's books say that it charged for a job, in micro-dollars; None if they do not say."""
        return await self._read(self.api.charge(job_id, since)) if isinstance(self.api, TellsCharges) else None

    async def _read(self, reading: Reading[Shown]) -> Shown | ReadError:
        try:
            request = next(reading)
            for _ in range(READS_MAX):
                if request.pays:  # not an assert: PYTHONOPTIMIZE removes those
                    raise AlreadySent("a reading may not buy")
                async with asyncio.timeout(self._total_seconds):
                    response = await self._send(self._http, request)
                request = reading.send(self._reply(response))
        except StopIteration as end:
            shown: Shown | ReadError = end.value
            return replace(shown, detail=self._without_key(shown.detail)) if isinstance(shown, ReadError) else shown
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ValueError) as error:
            return self._read_error(error)
        finally:
            reading.close()
        return ReadError(None, f"nothing after {READS_MAX} requests")

    def _reply(self, response: httpx2.Response) -> Reply:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status_code, body_of(response), headers)

    async def content(self, job_id: str, into: Path) -> Content | ClipGone | ReadError:
        """Streams the clip into a file and syncs it; only a whole one is Content. Raises OSError if the disk fails."""
        request = self.api.content(job_id)
        if request is None:
            return ClipGone(NOWHERE)
        try:
            async with asyncio.timeout(CONTENT_SECONDS_MAX):
                got = await self._follow(httpx2.URL(request.url), into)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ValueError) as error:
            return self._read_error(error)
        return got if isinstance(got, Content) else replace(got, detail=self._without_key(got.detail))

    async def _follow(self, url: httpx2.URL, into: Path) -> Content | ClipGone | ReadError:
        """Follows redirects to the provider's own server with the key, others without it and only after a check."""
        home, headers = url, self.api.authorization(self._key, time.time())
        async with httpx2.AsyncClient(
            timeout=self._timeout, follow_redirects=False, verify=self._tls, proxy=self._proxy, trust_env=False
        ) as http:
            for left in reversed(range(REDIRECTS_MAX + 1)):
                got = await download(http, str(url), into, headers=headers, extensions={})
                if (
                    url != home
                    and url.query
                    and isinstance(got, ClipGone | ReadError)
                    and got.status in SIGNED_REFUSALS
                ):
                    # A signed link on the same server (MinIO behind one host) accepts no key beside its signature.
                    got = await download(http, str(url), into, headers={}, extensions={})
                if not isinstance(got, httpx2.Response):
                    return got
                url = url.join(got.headers["location"])
                if not same_server(url, home):
                    return await self._fetch_elsewhere(str(url), into, left - 1)
        return leads_on()

    async def _fetch_elsewhere(self, url: str, into: Path, redirects: int) -> Content | ClipGone | ReadError:
        local = await is_local(self.api.base_url)
        return await fetch_url(url, into, local=local, patience=self._timeout, tls=self._tls, redirects=redirects)

    async def content_at(self, url: str, into: Path) -> Content | ClipGone | ReadError:
        """The clip at an address that a job names, fetched without our key. Raises OSError as `content` does."""
        try:
            async with asyncio.timeout(CONTENT_SECONDS_MAX):
                return await self._fetch_elsewhere(url, into, REDIRECTS_MAX)
        except TimeoutError as error:
            return self._read_error(error)

    def _read_error(self, error: Exception) -> ReadError:
        if isinstance(error, TimeoutError):
            return ReadError(None, "no complete answer in time")  # the client's own timeouts restart with every byte
        if isinstance(error, httpx2.InvalidURL):
            return ReadError(None, "the clip's address cannot be read")
        if isinstance(error, ValueError):  # no request can carry this id or key; the message would show the key
            return ReadError(None, f"{type(error).__name__} in the request")
        return ReadError(None, self._shown(error))

    def _shown(self, error: BaseException) -> str:
        """For people. Errors about an answer's headers quote them, and a proxy may echo ours there, key included."""
        if isinstance(error, httpx2.ProtocolError | httpx2.ProxyError):
            return type(error).__name__
        return self._without_key(without_links(repr(error.__cause__ or error)))

    def _without_key(self, words: str) -> str:
        """Hides the key, the secret of a pair, and the tokens that they signed, which some gateways repeat."""
        for secret in dict.fromkeys((self._key, self._key.partition(":")[2], *self._tokens)):
            words = _without(secret, words)
        return words


def _without(secret: str, words: str) -> str:
    """A short secret is made up and may be part of other words."""
    if len(secret) < KEY_CHARACTERS_MIN:
        return words
    words = words.replace(secret, "[key]")
    cut = next((n for n in range(len(secret) - 1, KEY_PART_CHARACTERS - 1, -1) if words.endswith(secret[:n])), 0)
    return f"{words[: len(words) - cut]}[key]" if cut else words


# All raised before any byte of the request was sent. A proxy's failure is not among them: it may be any proxy.
NEVER_CONNECTED = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
)


def _fault(cause: BaseException | None) -> Fault:
    if isinstance(cause, TooLate):
        return Fault.NEVER_SENT
    if isinstance(cause, NEVER_CONNECTED):
        return Fault.NEVER_CONNECTED
    return Fault.LOST
