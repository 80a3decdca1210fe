"""Reads a method's arguments: query, JSON, urlencoded form or multipart, all into one shape.

In       a request, or the multipart body of a webhook's answer
Out      `Args`: plain fields, JSON objects (which arrive as strings in forms), uploaded files
Raises   Refused for a body that cannot be parsed or exceeds the upload limit
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from simulator.telegram.api.refusals import Refused, bad_request

CHUNK_BYTES = 65_536
TOO_LARGE = "Request Entity Too Large"

_TRUE = frozenset({"true", "yes", "1"})
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file from a multipart body."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Args:
    """The arguments of one call. Malformed values count as missing, as at Telegram."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    uploads: Mapping[str, Upload] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A text, without characters that no message may contain; empty when missing."""
        value = self.fields.get(name)
        if value is None:
            return ""
        plain = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return cleaned(plain)

    def integer(self, name: str, default: int = 0) -> int:
        """An integer."""
        return whole(self.fields.get(name), default)

    def flag(self, name: str) -> bool:
        """A bool."""
        return str(self.fields.get(name, "")).lower() in _TRUE

    def structure(self, name: str, what: str) -> Any:
        """An object or array, sent as JSON or as a string of JSON; None when missing."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            return value
        if not value.strip():
            return None
        try:
            return mended(json.loads(value))
        except (ValueError, RecursionError):
            raise bad_request(f"can't parse {what} JSON object") from None

    def upload(self, name: str) -> Upload | str:
        """A file sent along, directly or as `attach://part`; otherwise the text: a file_id or a URL."""
        if name in self.uploads:
            return self.uploads[name]
        value = self.text(name)
        return self.uploads.get(value.removeprefix("attach://"), value) if value.startswith("attach://") else value


def whole(value: object, default: int = 0) -> int:
    """An integer from any notation of it."""
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]  # int() raises for types it does not accept
    except (ValueError, TypeError, OverflowError):
        return default


def cleaned(text: str) -> str:
    """Drop carriage returns and control characters."""
    return _CONTROL.sub(" ", text.replace("\r", ""))


def mended(value: Any) -> Any:
    """Drop lone surrogates from the strings of a JSON value: an answer with one could not be encoded."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [mended(each) for each in value]
    if isinstance(value, dict):
        return {mended(name): mended(each) for name, each in value.items()}
    return value


async def read_args(request: web.Request, upload_bytes_max: int) -> Args:
    """Read the whole request."""
    fields: dict[str, Any] = dict(request.query)
    if request.content_type.startswith("multipart/"):
        sent = await read_parts(request.headers, request.content, upload_bytes_max)
        return Args(fields | dict(sent.fields), sent.uploads)
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refused(413, TOO_LARGE) from None
    if body and request.content_type == "application/json":
        return Args(fields | json_fields(body))
    if request.content_type == "application/x-www-form-urlencoded":
        return Args(fields | dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)))
    return Args(fields)


def json_fields(body: bytes) -> dict[str, Any]:
    """The fields of a JSON object."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise bad_request("can't parse JSON object")
    mending: dict[str, Any] = mended(fields)
    return mending


async def read_parts(headers: Mapping[str, str], content: StreamReader, upload_bytes_max: int) -> Args:
    """Read the whole multipart body, even one that is too large: a client still sending would miss the answer."""
    fields: dict[str, Any] = {}
    uploads: dict[str, Upload] = {}
    left = upload_bytes_max
    try:
        reader = MultipartReader(headers, content)
        while isinstance(part := await reader.next(), BodyPartReader):
            sent = await _content(part, max(left, 0))
            left -= len(sent)
            if part.filename is None:
                fields[part.name or ""] = sent.decode("utf-8", "replace")
            else:
                kind = part.headers.get("Content-Type", "application/octet-stream")
                uploads[part.name or ""] = Upload(part.filename, kind, sent)
    except (ValueError, AssertionError, KeyError, HttpProcessingError):
        raise bad_request("can't parse multipart body") from None
    if left < 0:
        raise Refused(413, TOO_LARGE)
    return Args(fields, uploads)


async def _content(part: BodyPartReader, bytes_max: int) -> bytes:
    """The bytes of a part; if it is too large, one byte more than allowed."""
    kept = bytearray()
    while not part.at_eof():
        chunk = await part.read_chunk(CHUNK_BYTES)
        if len(kept) <= bytes_max:
            kept += chunk
    return bytes(kept[: bytes_max + 1])
