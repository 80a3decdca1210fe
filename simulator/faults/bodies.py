"""Broken bodies, made from a good answer. Pure.

In       the fault, and the correct answer
Out      the answer sent instead
"""

import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from simulator.faults.arming import Fault
from simulator.faults.broken_clips import HTML
from simulator.videos.errors import json_answer, whole_text

BOM = b"\xef\xbb\xbf"
HALF_A_CHARACTER = b"\xe2\x82"
MEGABYTE = 1_000_000
BUSY: Mapping[str, str] = {"status": "error", "message": "upstream busy"}
NESTED_LIST: Mapping[str, object] = {"object": "list", "data": {"data": []}}


def body_of(answer: web.Response) -> bytes:
    """The bytes of an answer that was built as a whole."""
    assert isinstance(answer.body, bytes)
    return answer.body


def with_bom(answer: web.Response) -> web.Response:
    """The answer with a byte order mark in front."""
    return _with(answer, BOM + body_of(answer))


def html(fault: Fault, _: web.Response) -> web.Response:
    """A proxy's HTML page."""
    body = whole_text(fault.params["body"]) if "body" in fault.params else HTML
    return web.Response(body=body, status=int(fault.number("status", 200)), content_type="text/html")


def charset(fault: Fault, answer: web.Response) -> web.Response:
    """The answer with a charset that is no text encoding."""
    named = f"{answer.content_type}; charset={fault.text('charset', 'zlib')}"
    return web.Response(body=body_of(answer), status=answer.status, headers={"Content-Type": named})


def cut_utf8(_: Fault, answer: web.Response) -> web.Response:
    """A complete transfer whose body ends inside a character."""
    body = body_of(answer)
    first = next((place for place, byte in enumerate(body) if byte > 0x7F), None)
    return _with(answer, body[: len(body) // 2] + HALF_A_CHARACTER if first is None else body[: first + 1])


def gzip_bomb(fault: Fault, answer: web.Response) -> web.Response:
    """The answer followed by megabytes of blanks, compressed to a few kilobytes."""
    blanks = b" " * (int(fault.number("megabytes", 50)) * MEGABYTE)
    packed = gzip.compress(body_of(answer) + blanks)
    headers = {"Content-Encoding": "gzip", "Content-Type": answer.content_type}
    return web.Response(body=packed, status=answer.status, headers=headers)


def idless(fault: Fault, _: web.Response) -> web.Response:
    """JSON that may have a status but no job id."""
    return json_answer(fault.params.get("body", BUSY), int(fault.number("status", 200)))


def odd_body(fault: Fault, _: web.Response) -> web.Response:
    """JSON of an unexpected shape."""
    return json_answer(fault.params.get("body", NESTED_LIST), int(fault.number("status", 200)))


def not_found(_: Fault, __: web.Response) -> web.Response:
    """A 404 for a job that exists."""
    words = {"message": "Video not found.", "type": "invalid_request_error", "param": None, "code": "video_not_found"}
    return json_answer({"error": words}, 404)


def job_in_error(fault: Fault, answer: web.Response) -> web.Response:
    """The job as the body of an error status; `word`, if given, replaces the job's status."""
    status = int(fault.number("status", 422))
    if "word" in fault.params:
        return json_answer(_shown(answer) | {"status": fault.params["word"]}, status)
    answer.set_status(status)
    return answer


def echo(fault: Fault, answer: web.Response) -> web.Response:
    """A gateway's error that echoes the requested id and has no job data."""
    shown = _shown(answer)
    asked = shown.get("id") or shown.get("task_id")
    words = {"message": "upstream request failed", "type": "upstream_error"}
    status = int(fault.number("status", 200))
    return json_answer({"id": asked, "status": fault.text("word", "error"), "error": words}, status)


def _shown(answer: web.Response) -> dict[str, Any]:
    body = json.loads(body_of(answer).removeprefix(BOM))
    assert isinstance(body, dict)
    return body


def garbage(_: Fault, __: web.Response) -> web.Response:
    """A 200 that claims to be JSON and is not."""
    return web.Response(body=b"<html><body>upstream said ok</body></html>", content_type="application/json")


BODIES: Mapping[str, Callable[[Fault, web.Response], web.Response]] = {
    "garbage": garbage,
    "bom": lambda _, answer: with_bom(answer),
    "html": html,
    "charset": charset,
    "cut_utf8": cut_utf8,
    "gzip_bomb": gzip_bomb,
    "idless": idless,
    "odd_body": odd_body,
    "not_found": not_found,
    "job_in_error": job_in_error,
    "echo": echo,
}


def _with(answer: web.Response, body: bytes) -> web.Response:
    return web.Response(body=body, status=answer.status, content_type=answer.content_type)
