"""Talk to the provider: four calls of the Videos protocol through the openai SDK. No decisions here.

`post` spends money and sends once: no retries, no redirects, a fresh connection (a purchase on a stale
kept-alive one could end in doubt), and a hook on the last line before sending, which also counts. The other
calls only read; a failed read is a value, and repeating it is free.
"""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx2
from openai import APIConnectionError, APIError, APIStatusError, AsyncOpenAI, omit

from net.bounded_body import bound_body
from net.caching import FROM_A_CACHE, is_cached
from net.certificates import forget_headers, keep_quiet, proxy_for, trusted
from net.error_text import without_links
from providers.clip_url import REDIRECTS_MAX, fetch_url, is_local, leads_on
from providers.download import ClipGone, Content, ReadError, download
from providers.openai_videos.jobs import Job, JobStatus, read_job
from providers.openai_videos.list_page import ListPage, read_page
from providers.openai_videos.protocol import Answer, Fault, Order
from providers.response import body_of, gateway_attempts, not_ours, path_of, same_server

# OpenAI's own endpoint is gone, but gateways still speak the protocol.
warnings.filterwarnings("ignore", message="The Sora API is scheduled", category=DeprecationWarning)

PAGE_JOBS = 100
LIMIT_REFUSED = {400, 422}
ENDED_BADLY = {JobStatus.FAILED, JobStatus.EXPIRED}
NOT_CACHED = {"Cache-Control": "no-cache"}
CONTENT_SECONDS_MAX = 600.0  # fifty megabytes over a slow line; a server that drips must not block a run forever
KEY_CHARACTERS_MIN = 12  # shorter than any real key
UNPACKED = {"Accept-Encoding": "identity"}
# LiteLLM repeats a failed request by itself (measured with 1.108: two further POSTs). This header switches that off.
NO_GATEWAY_RETRIES = {"x-litellm-num-retries": "0"}
SIGNED_REFUSALS = frozenset({400, 401, 403})  # of a storage that gets a key in addition to a link's signature
KEY_PART_CHARACTERS = 6  # truncated text may end inside a key


class AlreadySent(Exception):
    """The one paid request has already been sent."""


class TooLate(Exception):
    """The submit deadline has passed: nothing is sent."""


@asynccontextmanager
async def open_provider(
    base_url: str, api_key: str, *, connect_seconds: float = 5, request_seconds: float = 60
) -> AsyncIterator["VideoProvider"]:
    """The provider at this base URL with this key; closes its connections on exit."""
    keep_quiet()
    forget_headers()
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
        sdk = AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=0, timeout=timeout, http_client=http)
        yield VideoProvider(sdk, timeout, tls, proxy)


class VideoProvider:
    """The four calls of the protocol. Built by `open_provider`."""

    def __init__(self, sdk: AsyncOpenAI, timeout: httpx2.Timeout, tls: ssl.SSLContext, proxy: str | None) -> None:
        self._sdk = sdk
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
                    sdk = self._sdk.with_options(max_retries=0, http_client=once)
                    answer = await self._create(sdk, order)
            except TimeoutError:  # the client's own timeouts restart with every byte of a slow answer
                answer = Answer(None, f"no complete answer within {self._total_seconds:g} s", Fault.LOST)
            except ValueError as error:  # a header that cannot be written, such as a key with an accent
                fault = Fault.LOST if sends else Fault.NEVER_SENT
                answer = Answer(None, f"{type(error).__name__} in the request", fault)
        if sends > 1:  # the first copy was sent, and its answer is lost
            return Answer(None, "the client was about to send the order a second time", Fault.LOST)
        return answer

    async def _create(self, sdk: AsyncOpenAI, order: Order) -> Answer:
        headers = {"Idempotency-Key": order.run_id} | NO_GATEWAY_RETRIES
        if order.create_body == "json":
            headers["Content-Type"] = "application/json"
        try:
            raw = await sdk.videos.with_raw_response.create(
                prompt=order.prompt,
                model=order.model,
                seconds=str(order.seconds),  # type: ignore[arg-type]  # gateways sell more lengths than the literals
                size=order.size,  # type: ignore[arg-type]  # and more sizes
                timeout=self._timeout,
                extra_headers=headers,
            )
        except APIStatusError as error:
            return self._answer(error.response)
        except APIConnectionError as error:
            return Answer(None, self._shown(error), _fault(error.__cause__))
        return self._answer(raw.http_response)

    def _answer(self, response: httpx2.Response) -> Answer:
        body = self._without_key(body_of(response))
        location = self._without_key(path_of(response.headers.get("location", "")))
        attempts, cached = gateway_attempts(response.headers), is_cached(response.headers)
        return Answer(response.status_code, body, None, attempts, location, cached)

    async def job(self, job_id: str) -> Job | ReadError:
        """The job with this id. A job in an error's body counts if it names the id: vLLM-Omni shows failed jobs so."""
        try:
            async with asyncio.timeout(self._total_seconds):
                raw = await self._sdk.videos.with_raw_response.retrieve(job_id, extra_headers=NOT_CACHED)
        except APIStatusError as error:
            job = read_job(body_of(error.response), job_id)
            response, shown = error.response, job if job is not None and job.named else self._read_error(error)
        except (APIError, TimeoutError, ValueError) as error:
            return self._read_error(error)
        else:
            response, body = raw.http_response, body_of(raw.http_response)
            shown = read_job(body, job_id) or ReadError(raw.status_code, self._without_key(not_ours(body)))
        if isinstance(shown, Job) and shown.status in ENDED_BADLY and is_cached(response.headers):
            return ReadError(response.status_code, FROM_A_CACHE)
        return shown

    async def page(self, after: str | None = None) -> ListPage | ReadError:
        """One page of the provider's list, newest first."""
        got = await self._page(after, PAGE_JOBS)
        if isinstance(got, ReadError) and got.status in LIMIT_REFUSED:  # some servers allow fewer rows per page
            got = await self._page(after, None)
        return got

    async def _page(self, after: str | None, limit: int | None) -> ListPage | ReadError:
        try:
            async with asyncio.timeout(self._total_seconds):
                raw = await self._sdk.videos.with_raw_response.list(
                    after=after or omit, limit=limit or omit, order="desc", extra_headers=NOT_CACHED
                )
        except (APIError, TimeoutError, ValueError) as error:
            return self._read_error(error)
        if raw.status_code != 200:  # a part (206), or a list changed by a cache or a proxy (203)
            return ReadError(raw.status_code, f"HTTP {raw.status_code} is not a complete list")
        page = read_page(body_of(raw.http_response), {k.lower(): v for k, v in raw.http_response.headers.items()})
        return page or ReadError(raw.status_code, "the answer is not a list of jobs")

    async def content(self, job_id: str, into: Path) -> Content | ClipGone | ReadError:
        """Streams the clip into a file and syncs it; only a whole one is Content. Raises OSError if the disk fails."""
        url = f"{str(self._sdk.base_url).rstrip('/')}/videos/{quote(job_id, safe='')}/content"
        try:
            async with asyncio.timeout(CONTENT_SECONDS_MAX):
                got = await self._follow(httpx2.URL(url), into)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ValueError) as error:
            return self._read_error(error)
        return got if isinstance(got, Content) else replace(got, detail=self._without_key(got.detail))

    async def _follow(self, url: httpx2.URL, into: Path) -> Content | ClipGone | ReadError:
        """Follows redirects to the provider's own server with the key, others without it and only after a check."""
        home, headers = url, {"Authorization": f"Bearer {self._sdk.api_key}"}
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
        local = await is_local(str(self._sdk.base_url))
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
        if isinstance(error, APIStatusError):
            return ReadError(error.status_code, self._without_key(without_links(error.message)))
        return ReadError(None, self._shown(error))

    def _shown(self, error: BaseException) -> str:
        """For people. Errors about an answer's headers quote them, and a proxy may echo ours there, key included."""
        if isinstance(error, APIError):
            error = error.__cause__ or error
        if isinstance(error, httpx2.ProtocolError | httpx2.ProxyError):
            return type(error).__name__
        return self._without_key(without_links(repr(error.__cause__ or error)))

    def _without_key(self, words: str) -> str:
        """Hides the key, which some gateways repeat. A short key is made up and may be part of other words."""
        key = self._sdk.api_key
        if len(key) < KEY_CHARACTERS_MIN:
            return words
        words = words.replace(key, "[key]")
        cut = next((n for n in range(len(key) - 1, KEY_PART_CHARACTERS - 1, -1) if words.endswith(key[:n])), 0)
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
