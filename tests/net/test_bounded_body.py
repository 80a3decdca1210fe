"""No answer is read into memory past the bound, however small its packed size."""

import gzip
import json

import pytest

from net import bounded_body
from providers.job import Job
from providers.port import ReadError
from providers.transport import open_provider
from tests.providers.scripted import Reply, answer, in_turn, scripted

BOUND = 1_000


def job_of(length: int) -> bytes:
    body = json.dumps({"id": "v", "status": "completed"}).encode()
    return body + b" " * (length - len(body))


def packed(body: bytes) -> Reply:
    return answer(200, gzip.compress(body), content_encoding="gzip")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("reply", "is_read"),
    [
        (answer(200, job_of(BOUND)), True),
        (answer(200, job_of(BOUND + 1)), False),
        (packed(job_of(BOUND)), True),
        (packed(job_of(BOUND + 1)), False),
        (packed(job_of(1_000_000)), False),
        (answer(200, job_of(100), content_encoding="aws-chunked"), True),
        (answer(200, job_of(100), content_encoding="gzip"), True),
        (answer(200, gzip.compress(job_of(99)[:40]) + gzip.compress(job_of(99)[40:])), True),
        (answer(200, gzip.compress(job_of(100)) + b"\r\n"), True),
        (answer(200, gzip.compress(b"") * 1_000), False),
        (answer(200, b"\x1f\x8b\x08" + bytes(99), content_encoding="gzip"), False),
    ],
    ids=[
        *("at the bound", "past it", "packed, at the bound", "packed, past it", "a bomb", "the object store's word"),
        *("unpacked already", "two members", "a line end behind it", "members of nothing", "broken"),
    ],
)
async def test_body_size_limit_applies_to_plain_and_compressed_answers(
    reply: Reply, is_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_body, "BODY_BYTES_MAX", BOUND)
    async with scripted(in_turn(reply)) as server, open_provider(server.url, "k") as provider:
        seen = await provider.job("v")
    assert isinstance(seen, Job if is_read else ReadError)
