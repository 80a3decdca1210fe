"""Download a clip over HTTP to a file: bounded, synced, and checked by its structure.

In       a client, the address, a file to write to
Out      Content: a whole clip. ClipGone: the server says that there is none. ReadError: anything else; retry later
Raises   what httpx2 raises; OSError if the file cannot be written
Effects  one GET; redirects are left to the client
"""

import asyncio
import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from media.clip_file import Facts, NotAClip, one_line, read_clip, words_in
from net.caching import FROM_A_CACHE, is_cached
from net.unpacked import TooMuch, Unreadable, unpacked
from providers.port import ReadError

CHUNK_BYTES = 1 << 16
CLIP_BYTES_MAX = 2_000_000_000  # the most that Telegram's own server accepts; also bounds an unpacked body
REFUSAL_BYTES_MAX = 4_096
# With these statuses a server says that it has no such content; any other may change on the next try.
ABSENT = frozenset({400, 404, 409, 410, 422})
WITH_A_BODY = frozenset({200, 203})
PARTIAL = 206
WHOLE_RANGE = re.compile(r"bytes\s+0-(?P<last>[0-9]{1,18})/(?P<count>[0-9]{1,18})")


@dataclass(frozen=True)
class Content:
    """A whole clip, synced to disk, and its facts."""

    bytes: int
    sha256: str
    facts: Facts


@dataclass(frozen=True)
class ClipGone:
    """The server says that the content is not there, or no longer; `detail` holds its words."""

    status: int
    detail: str = ""


async def download(
    http: httpx2.AsyncClient, url: str, into: Path, *, headers: Mapping[str, str], extensions: Mapping[str, str]
) -> Content | ClipGone | ReadError | httpx2.Response:
    """Downloads the clip at this address. A redirect that the client does not follow is returned as closed response."""
    # A clip is already compressed; a body that is packed anyway is unpacked here, within bounds.
    asked = {"Accept-Encoding": "identity", **headers}
    async with http.stream("GET", url, headers=asked, extensions=dict(extensions)) as response:
        if response.has_redirect_location:
            return response
        if _is_whole(response):
            return await _store(response, into)
        words = await _refusal(response)
        if is_cached(response.headers):
            return ReadError(response.status_code, FROM_A_CACHE)
        if response.status_code in ABSENT:
            return ClipGone(response.status_code, words)
        return ReadError(response.status_code, words or f"HTTP {response.status_code}")


def _is_whole(response: httpx2.Response) -> bool:
    """Whether the body may be a whole clip: a proxy turns 200 into 203, and the part in a 206 may be all of it."""
    if response.status_code == PARTIAL:
        part = WHOLE_RANGE.fullmatch(response.headers.get("content-range", "").strip().lower())
        return part is not None and int(part["last"]) + 1 == int(part["count"])
    return response.status_code in WITH_A_BODY


async def _store(response: httpx2.Response, into: Path) -> Content | ReadError:
    promised = response.headers.get("content-length", "")
    if promised.isdecimal() and int(promised) > CLIP_BYTES_MAX:
        return ReadError(response.status_code, f"{promised} bytes, too large for a clip")
    try:
        digest, count = hashlib.sha256(), 0
        with into.open("wb") as file:
            async for chunk in unpacked(response.aiter_raw(CHUNK_BYTES), CLIP_BYTES_MAX):
                count += len(chunk)
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
    except TooMuch:
        return ReadError(response.status_code, f"more than {CLIP_BYTES_MAX} bytes, too large for a clip")
    except Unreadable as error:
        return ReadError(response.status_code, str(error))
    found = await asyncio.to_thread(read_clip, into, transfer_complete=_has_end(response))
    if isinstance(found, NotAClip):
        return ReadError(response.status_code, found.why)
    return Content(count, digest.hexdigest(), found)


def _has_end(response: httpx2.Response) -> bool:
    """Whether a broken connection differs from the end of the body. The client checks the promised length."""
    framed = "content-length" in response.headers or "transfer-encoding" in response.headers
    return framed or response.http_version not in {"HTTP/1.0", "HTTP/1.1"}


async def _refusal(response: httpx2.Response) -> str:
    """The server's own words, from any of the usual shapes; empty if there are none."""
    body = b""
    with suppress(TooMuch, Unreadable):
        async for chunk in unpacked(response.aiter_raw(CHUNK_BYTES), CLIP_BYTES_MAX):
            body += chunk[: REFUSAL_BYTES_MAX - len(body)]
            if len(body) >= REFUSAL_BYTES_MAX:
                break
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return words_in(body)
    for name in ("error", "detail", "message", "code"):  # {"error": {"message": ...}} and similar
        if isinstance(said, dict) and said.get(name):
            said = said[name] if name != "error" or not isinstance(said[name], dict) else _message(said[name])
            break
    return one_line(said if isinstance(said, str) else json.dumps(said))


def _message(error: Mapping[str, object]) -> object:
    return error.get("message") or error.get("code") or error
