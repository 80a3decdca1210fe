"""A private bucket of Supabase Storage, for clips.

In       the project's client and the bucket's name
Out      `put` returns 'bucket/key'; `get` and `remove` take that, `link` the key
Raises   BucketPublic; BucketRefused (a retry changes nothing), BucketUnavailable (the call may have taken effect)
Effects  creates the bucket, private, if it is missing. `put` is idempotent: the same key is replaced.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import TypeVar

import httpx
from storage3.exceptions import StorageApiError
from supabase import AsyncClient

from media.clip_file import Kind
from pipeline.ledger.transports.common import LedgerForbidden
from pipeline.ledger.transports.over_rest import open_client
from pipeline.settings.setting_checks import ConfigError
from providers.clips.download import CHUNK_BYTES, CLIP_BYTES_MAX

CALL_SECONDS = 20.0
TRANSFER_SECONDS = 120.0  # for a whole clip, at most about 50 MB
MISSING, TAKEN, TOO_LARGE = "404", "409", "413"

Answer = TypeVar("Answer")


class BucketError(Exception):
    """The bucket could not be used."""


class BucketUnavailable(BucketError):
    """Storage did not answer, or failed for now."""


class BucketRefused(BucketError):
    """Storage refused. `status` is as in HTTP: 404 no such object, 413 too large for the bucket."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{message} ({status})")
        self.status = status


class BucketPublic(BucketError, ConfigError):
    """The bucket is public: anybody who guesses a name could watch its clips."""


class Bucket:
    def __init__(self, client: AsyncClient, name: str) -> None:
        self._client, self.name = client, name
        self._there = False

    async def prepare(self) -> None:
        """Creates the bucket if it is missing. Raises BucketPublic, BucketError; `put` then checks it again first."""
        self._there = False
        if not await self.is_there():
            await self._make()
        self._there = True

    async def is_there(self) -> bool:
        """Whether the bucket exists and is private. Raises BucketPublic, BucketError."""
        try:
            found = await _asked(self._client.storage.get_bucket(self.name), CALL_SECONDS)
        except BucketRefused as refused:
            if refused.status != MISSING:
                raise
            return False
        if found.public:
            raise BucketPublic(
                f"SUPABASE_BUCKET: the bucket {self.name} is public; make it private, or name another one"
            )
        return True

    async def put(self, source: Path, key: str) -> str:
        """Uploads the clip; returns 'bucket/key'."""

        async def upload() -> str:
            clips = self._client.storage.from_(self.name)
            await _asked(
                clips.upload(key, source, {"content-type": _content_type(key), "upsert": "true"}), TRANSFER_SECONDS
            )
            return f"{self.name}/{key}"

        if not self._there:
            await self.prepare()
        return await self._in_its_bucket(upload)

    async def get(self, stored: str, into: Path) -> str:
        """Downloads 'bucket/key' to a synced file; returns its sha256. The bucket may be another than this one."""
        return await _asked(self._download(stored, into), TRANSFER_SECONDS)

    async def _download(self, stored: str, into: Path) -> str:
        """Streams the clip; Storage's own client would hold all of it in memory."""
        options = self._client.options
        assert options.httpx_client is not None, "open_client gives the client its connections"
        url = str(self._client.storage_url.joinpath("object", *stored.split("/")))
        async with options.httpx_client.stream("GET", url, headers=options.headers) as answer:
            if answer.status_code != 200:
                raise _refusal(answer.status_code, await answer.aread())
            digest = hashlib.sha256()
            with into.open("wb") as file:
                async for chunk in answer.aiter_bytes(CHUNK_BYTES):
                    if file.tell() + len(chunk) > CLIP_BYTES_MAX:
                        raise StorageApiError("more bytes than any clip has", "too large", int(TOO_LARGE))
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())  # else a power cut leaves an empty file
        return digest.hexdigest()

    async def link(self, key: str, seconds: int) -> str:
        """A URL at which anybody may watch the clip for that many seconds."""
        signed = await _asked(self._client.storage.from_(self.name).create_signed_url(key, seconds), CALL_SECONDS)
        return str(signed["signedUrl"])

    async def remove(self, stored: str) -> None:
        """Removes the clip at 'bucket/key'. A missing one counts as removed."""
        bucket, _, key = stored.partition("/")
        await _asked(self._client.storage.from_(bucket).remove([key]), CALL_SECONDS)

    async def _in_its_bucket(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Makes the call; if the bucket was removed meanwhile, creates it and retries once."""
        try:
            return await call()
        except BucketRefused as refused:
            if refused.status != MISSING:
                raise
        await self._make()
        return await call()

    async def _make(self) -> None:
        try:
            await _asked(self._client.storage.create_bucket(self.name, options={"public": False}), CALL_SECONDS)
        except BucketRefused as refused:
            if refused.status != TAKEN:
                raise
            await self.is_there()  # created meanwhile, by another process or, as public, by a person


def _content_type(key: str) -> str:
    extension = PurePosixPath(key).suffix.removeprefix(".")
    return (Kind(extension) if extension in set(Kind) else Kind.MP4).content_type


def _refusal(status: int, body: bytes) -> StorageApiError:
    """Most errors come as a 400 with the real status in the body."""
    try:
        said = json.loads(body)
        return StorageApiError(said["message"], said["error"], said["statusCode"])
    except (ValueError, LookupError, TypeError):
        return StorageApiError(f"HTTP {status}", "no reason given", status)


async def _asked(call: Awaitable[Answer], seconds: float) -> Answer:
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError as error:
        raise BucketUnavailable(f"Storage did not answer within {seconds:.0f} s") from error
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:  # the last three: a 200 without content
        raise BucketUnavailable(f"Storage did not answer: {type(error).__name__}") from error
    except LedgerForbidden as error:
        raise BucketRefused("403", str(error)) from error
    except StorageApiError as error:
        status = str(error.status)
        if status.startswith("5") or status == "429":
            raise BucketUnavailable(f"Storage could not: {error.message} ({status})") from error
        raise BucketRefused(status, error.message) from error


@asynccontextmanager
async def open_bucket(url: str, key: str, name: str) -> AsyncIterator[Bucket]:
    """Yields the bucket, which may not exist yet."""
    async with open_client(url, key) as client:
        yield Bucket(client, name)
