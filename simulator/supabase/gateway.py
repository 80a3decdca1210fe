"""The project's gateway: checks the API key and forwards requests to PostgREST.

In       a request with the header `apikey`, as every Supabase client sends
Out      PostgREST's own answer, byte for byte
Effects  one request to PostgREST; faults of the target `rest` apply to the request and the answer
"""

from collections.abc import Awaitable, Callable

from aiohttp import ClientError, ClientSession, web

from simulator.faults.arming import Fault
from simulator.faults.wire import drop, misbehave
from simulator.state import STATE
from simulator.supabase.state import PROJECT
from simulator.videos.errors import json_answer

SESSION = web.AppKey("postgrest_session", ClientSession)
PASSED_ON = ("Content-Type", "Prefer", "Accept", "Accept-Profile", "Content-Profile")
PASSED_BACK = ("Content-Range", "Proxy-Status", "WWW-Authenticate")
BEFORE = frozenset({"drop_before", "status", "hang", "redirect", "garbage"})  # the request never reaches PostgREST

Door = Callable[[web.Request], Awaitable[web.Response]]


def jwt_of(request: web.Request) -> str | None:
    """The token for PostgREST: the caller's own, or the one that belongs to the secret key sent. None: refuse."""
    project = request.app[PROJECT]
    shown = request.headers.get("apikey", "")
    if shown not in project.keys:
        return None
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token and token != shown:
        return token
    return project.keys[shown]


def turned_away(request: web.Request) -> web.Response:
    """A 401 in the words of Supabase's gateway."""
    if not request.headers.get("apikey"):
        return json_answer({"message": "No API key found in request", "hint": "No `apikey` request header."}, 401)
    return json_answer({"message": "Invalid API key", "hint": "Double check your Supabase API key."}, 401)


async def rest(request: web.Request) -> web.StreamResponse:
    """Forward `/rest/v1/...` to PostgREST."""
    return await with_trouble(request, "rest", _ask_postgrest)


async def with_trouble(request: web.Request, target: str, door: Door) -> web.StreamResponse:
    """Run a handler, with the fault that this request meets."""
    state, project = request.app[STATE], request.app[PROJECT]
    project.calls.append(f"{request.method} {request.path}")
    fault = state.faults.next(target)
    if fault is not None and fault.kind in BEFORE:
        return await _spoiled(request, fault, web.Response())
    answer = await door(request)
    return answer if fault is None else await _spoiled(request, fault, answer)


async def _spoiled(request: web.Request, fault: Fault, answer: web.Response) -> web.StreamResponse:
    if fault.kind in {"drop_before", "done_then_drop"}:
        return drop(request)
    return await misbehave(request, fault, answer, request.app[STATE].settings.hang_seconds)


async def _ask_postgrest(request: web.Request) -> web.Response:
    project = request.app[PROJECT]
    jwt = jwt_of(request)
    if jwt is None:
        return turned_away(request)
    if project.postgrest is None:
        return json_answer({"message": "this simulated project has no database behind it"}, 503)
    headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    url = f"{project.postgrest}/{request.match_info['path']}"
    try:
        async with request.app[SESSION].request(
            request.method,
            url,
            params=request.query,
            data=await request.read(),
            headers=headers | {"Authorization": f"Bearer {jwt}"},
        ) as answer:
            back = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
            return web.Response(
                body=await answer.read(), status=answer.status, content_type=answer.content_type, headers=back
            )
    except ClientError:
        return json_answer({"message": "upstream connect error"}, 503)


async def open_session(app: web.Application) -> None:
    app[SESSION] = ClientSession()


async def close_session(app: web.Application) -> None:
    await app[SESSION].close()
