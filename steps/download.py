"""Bring a clip over HTTP to a file: bounded, synced, and judged by its structure.

In       a client, the address, a file to write to
Out      Content: a whole clip. Gone: the server says that there is none. ReadError: anything else; ask again later
Raises   what httpx2 raises; OSError if the disk does not take it
Effects  one GET; redirects are the client's affair
"""

import asyncio
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2

from steps.clip_file import Facts, NotAClip, one_line, read_clip, words_in

CHUNK_BYTES = 1 << 16
CLIP_BYTES_MAX = 2_000_000_000  # what Telegram's own server takes at most; also of what a compressed body unpacks to
REFUSAL_BYTES_MAX = 4_096
# Statuses by which a server says that it has no such content; all others may be different the next time.
ABSENT = frozenset({400, 404, 409, 410, 422})


@dataclass(frozen=True)
class ReadError:
    """A read that did not work; `status` None means no answer at all."""

    status: int | None
    detail: str


@dataclass(frozen=True)
class Content:
    """A whole clip, synced to disk, and what it is."""

    bytes: int
    sha256: str
    facts: Facts


@dataclass(frozen=True)
class Gone:
    """The server says that the content is not, or no longer, there; `detail` are its words."""

    status: int
    detail: str = ""


class TooMuch(Exception):
    """More bytes than any clip has."""


class Unreadable(Exception):
    """A body that does not unpack."""


async def download(
    http: httpx2.AsyncClient, url: str, into: Path, *, headers: Mapping[str, str], extensions: Mapping[str, str]
) -> Content | Gone | ReadError | httpx2.Response:
    """The clip at this address. A redirect that the client does not follow comes back as the response, closed."""
    # A clip is compressed already; what comes packed all the same is unpacked here, within bounds.
    asked = {"Accept-Encoding": "identity", **headers}
    async with http.stream("GET", url, headers=asked, extensions=dict(extensions)) as response:
        if response.has_redirect_location:
            return response
        if response.status_code == 200:
            return await _store(response, into)
        words = await _refusal(response)
        if response.status_code in ABSENT:
            return Gone(response.status_code, words)
        return ReadError(response.status_code, words or f"HTTP {response.status_code}")


async def _store(response: httpx2.Response, into: Path) -> Content | ReadError:
    promised = response.headers.get("content-length", "")
    if promised.isdecimal() and int(promised) > CLIP_BYTES_MAX:
        return ReadError(200, f"{promised} bytes, more than any clip has")
    try:
        unpack = _Unpacked(response.headers.get("content-encoding", ""))
        digest, count = hashlib.sha256(), 0
        with into.open("wb") as file:
            async for packed in response.aiter_raw(CHUNK_BYTES):
                for chunk in unpack(packed):
                    count += len(chunk)
                    if count > CLIP_BYTES_MAX:
                        raise TooMuch
                    digest.update(chunk)
                    file.write(chunk)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        unpack.end()
    except TooMuch:
        return ReadError(200, f"more than {CLIP_BYTES_MAX} bytes, more than any clip has")
    except Unreadable as error:
        return ReadError(200, str(error))
    found = await asyncio.to_thread(read_clip, into, transfer_complete=_has_end(response))
    if isinstance(found, NotAClip):
        return ReadError(200, found.why)
    return Content(count, digest.hexdigest(), found)


def _has_end(response: httpx2.Response) -> bool:
    """Whether the end of the body could be told from a connection that broke. The client checks what was promised."""
    framed = "content-length" in response.headers or "transfer-encoding" in response.headers
    return framed or response.http_version not in {"HTTP/1.0", "HTTP/1.1"}


class _Unpacked:
    """Chunks as they were before Content-Encoding, never more than CHUNK_BYTES at a time."""

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            raise Unreadable(f"packed as {one_line(name)[:40]}, which was not asked for")
        either_header = 32 + zlib.MAX_WBITS
        self._zlib = None if name in {"", "identity"} else zlib.decompressobj(either_header)

    def __call__(self, packed: bytes) -> Iterator[bytes]:
        if self._zlib is None:
            yield packed
            return
        try:
            while packed:
                yield self._zlib.decompress(packed, CHUNK_BYTES)
                packed = self._zlib.unconsumed_tail
        except zlib.error:
            raise Unreadable("its packing is broken") from None

    def end(self) -> None:
        if self._zlib is not None and not self._zlib.eof:
            raise Unreadable("cut short inside its packing")


async def _refusal(response: httpx2.Response) -> str:
    """The server's own words, in whichever of the usual shapes they come; empty if there are none to read."""
    if response.headers.get("content-encoding", "identity") != "identity":
        return ""
    body = b""
    async for chunk in response.aiter_raw(CHUNK_BYTES):
        body += chunk[: REFUSAL_BYTES_MAX - len(body)]
        if len(body) >= REFUSAL_BYTES_MAX:
            break
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return words_in(body)
    for name in ("error", "detail", "message", "code"):  # {"error": {"message": ...}} and its relatives
        if isinstance(said, dict) and said.get(name):
            said = said[name] if name != "error" or not isinstance(said[name], dict) else _message(said[name])
            break
    return one_line(said if isinstance(said, str) else json.dumps(said))


def _message(error: Mapping[str, object]) -> object:
    return error.get("message") or error.get("code") or error
