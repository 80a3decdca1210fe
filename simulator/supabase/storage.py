"""Storage as its public API documents it: buckets, objects, signed links, and its own error messages.

It sends most errors as HTTP 400 with the real status in the body, as `statusCode`; 413 is sent as 413.
"""

import secrets
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from aiohttp import BodyPartReader, web

from simulator.supabase.gateway import jwt_of, turned_away, with_trouble
from simulator.supabase.state import PROJECT, Bucket, Project, Stored
from simulator.videos.errors import json_answer


class Refused(Exception):
    """Any answer but success."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.answer = json_answer(
            {"statusCode": str(status), "error": error, "message": message}, 413 if status == 413 else 400
        )


async def storage(request: web.Request) -> web.StreamResponse:
    """`/storage/v1/...`."""
    return await with_trouble(request, "storage", _answer)


async def _answer(request: web.Request) -> web.Response:
    match request.method, request.match_info["path"].split("/"):
        case "GET", ["object", "sign", *path]:  # the token in the link is the authorization
            return _opened_by_link(request, "/".join(path))
        case _ if jwt_of(request) is None:
            return turned_away(request)
    try:
        return await _with_key(request)
    except Refused as refused:
        return refused.answer


async def _with_key(request: web.Request) -> web.Response:
    project = request.app[PROJECT]
    match request.method, request.match_info["path"].split("/"):
        case "POST", ["bucket"]:
            return _create_bucket(project, await request.json())
        case "GET", ["bucket", name]:
            bucket = _bucket(project, name)
            return json_answer({**_STAMPS, "id": name, "name": name, "public": bucket.public})
        case "PUT", ["bucket", name]:
            _bucket(project, name).public = bool((await request.json()).get("public"))
            return json_answer({"message": "Successfully updated"})
        case "POST", ["object", "sign", name, *path]:
            return _sign(project, name, "/".join(path), await request.json())
        case "POST" | "PUT" as method, ["object", name, *path] if path:
            return await _upload(request, project, name, "/".join(path), new=method == "POST")
        case "GET", ["object", "info", name, *path]:
            stored = _object(project, name, "/".join(path))
            return json_answer({"id": stored.key_id, "name": "/".join(path), "size": len(stored.body)})
        case "GET", ["object", name, *path]:
            stored = _object(project, name, "/".join(path))
            return web.Response(body=stored.body, content_type=stored.content_type)
        case "DELETE", ["object", name]:
            return _remove(_bucket(project, name), (await request.json())["prefixes"])
        case _:
            raise Refused(404, "not_found", "Route not found")


_STAMPS: Mapping[str, Any] = {
    "owner": "",
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "file_size_limit": None,
    "allowed_mime_types": None,
}


def _bucket(project: Project, name: str) -> Bucket:
    if name not in project.buckets:
        raise Refused(404, "Bucket not found", "Bucket not found")
    return project.buckets[name]


def _object(project: Project, name: str, path: str) -> Stored:
    objects = _bucket(project, name).objects
    if path not in objects:
        raise Refused(404, "not_found", "Object not found")
    return objects[path]


def _create_bucket(project: Project, body: Mapping[str, Any]) -> web.Response:
    if body["id"] in project.buckets:
        raise Refused(409, "Duplicate", "The resource already exists")
    project.buckets[body["id"]] = Bucket(bool(body.get("public")), body.get("file_size_limit"))
    return json_answer({"name": body["id"]})


async def _upload(request: web.Request, project: Project, name: str, path: str, *, new: bool) -> web.Response:
    bucket = _bucket(project, name)
    body, content_type = await _file_of(request)
    if len(body) > (bucket.size_max or project.size_max):
        raise Refused(413, "Payload too large", "The object exceeded the maximum allowed size")
    known = bucket.objects.get(path)
    if known is not None and new and request.headers.get("x-upsert") != "true":
        raise Refused(409, "Duplicate", "The resource already exists")
    stored = Stored(body, content_type)
    if known is not None:
        stored.uploads, stored.key_id = known.uploads + 1, known.key_id
    bucket.objects[path] = stored
    return json_answer({"Id": stored.key_id, "Key": f"{name}/{path}"})


async def _file_of(request: web.Request) -> tuple[bytes, str]:
    if not request.content_type.startswith("multipart/"):
        return await request.read(), request.content_type
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader) and part.filename is not None:
            kind = part.headers.get("Content-Type", "application/octet-stream")
            return bytes(await part.read()), kind
    raise Refused(400, "invalid_request", "No file in the request")


def _sign(project: Project, name: str, path: str, body: Mapping[str, Any]) -> web.Response:
    _object(project, name, path)
    token = f"{secrets.token_urlsafe(24)}.{uuid4().hex}"
    project.links[token] = (f"{name}/{path}", time.time() + float(body["expiresIn"]))
    return json_answer({"signedURL": f"/object/sign/{name}/{path}?token={token}"})


def _opened_by_link(request: web.Request, path: str) -> web.Response:
    project = request.app[PROJECT]
    signed, until = project.links.get(request.query.get("token", ""), ("", 0.0))
    if signed != path or time.time() >= until:
        words = "exp claim timestamp check failed" if signed == path else "invalid signature"
        return json_answer({"statusCode": "400", "error": "InvalidJWT", "message": f'"{words}"'}, 400)
    name, _, rest = path.partition("/")
    stored = project.buckets[name].objects[rest]
    return web.Response(body=stored.body, content_type=stored.content_type)


def _remove(bucket: Bucket, paths: list[str]) -> web.Response:
    gone = [{"name": path} for path in paths if bucket.objects.pop(path, None) is not None]
    return json_answer(gone)
