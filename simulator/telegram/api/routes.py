"""The Bot API's routes: `/bot<token>/<method>` and `/file/bot<token>/<path>`.

In       any call of any bot
Out      `{"ok": ...}` with the HTTP status Telegram would send
Effects  writes the journal, then applies the fault, then executes the call
"""

from typing import Any

from aiohttp import web

from simulator.faults import wire
from simulator.faults.arming import Fault
from simulator.state import STATE
from simulator.telegram.api.arguments import Args, read_args
from simulator.telegram.api.methods import METHODS, Method, begin, perform, refused_call
from simulator.telegram.api.refusals import Refused
from simulator.telegram.control.journal import Call
from simulator.telegram.control.trouble import BENT, UNDONE, forgetful, meets, refusal_of
from simulator.telegram.state import TELEGRAM, Bot, Telegram
from simulator.videos.errors import json_answer


async def call_method(request: web.Request) -> web.StreamResponse:
    """Serve one method call."""
    telegram = request.app[TELEGRAM]
    try:
        bot = telegram.bot_of(request.match_info["token"])
        method = _method(request.match_info["method"])
    except Refused as refused:
        return _answer(refused.as_json())
    try:
        args = await read_args(request, telegram.upload_bytes_max)
    except Refused as refused:
        return _answer(refused_call(begin(telegram, method, Args()), refused))
    call = begin(telegram, method, args)
    fault = request.app[STATE].faults.next("telegram", lambda each: meets(each, method.name, bot, args))
    if fault is not None:
        call.fault = fault.kind
        return await _in_trouble(request, bot, method, args, call, fault)
    return _answer(await perform(telegram, bot, method, args, call, lambda: _gone(request)))


async def download(request: web.Request) -> web.StreamResponse:
    """Serve a file under the path that getFile returned."""
    try:
        bot = request.app[TELEGRAM].bot_of(request.match_info["token"])
    except Refused as refused:
        return _answer(refused.as_json())
    video = bot.video_paths.get(request.match_info["path"])
    if video is None:
        return _answer(Refused(404, "Not Found").as_json())
    return web.Response(body=video.content, content_type=video.mime_type)


async def _in_trouble(
    request: web.Request, bot: Bot, method: Method, args: Args, call: Call, fault: Fault
) -> web.StreamResponse:
    telegram: Telegram = request.app[TELEGRAM]
    hang_seconds = request.app[STATE].settings.hang_seconds
    if fault.kind in UNDONE:
        call.ok = False
        if fault.kind == "hang":
            return await wire.hang(request, fault.number("seconds", hang_seconds))
        return wire.drop(request)
    refused = refusal_of(fault)
    if refused is not None:
        return _answer(refused_call(call, refused))
    if fault.kind == "forget_offset":
        args = forgetful(args)
    body = await perform(telegram, bot, method, args, call, lambda: _gone(request))
    if fault.kind in BENT:
        return _answer(BENT[fault.kind](body))
    answer = _answer(body)
    if fault.kind == "done_then_drop":
        return wire.drop(request)
    return await wire.misbehave(request, fault, answer, hang_seconds)


def _method(name: str) -> Method:
    method = METHODS.get(name.lower())
    if method is None:
        raise Refused(404, "Not Found")
    return method


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _answer(body: dict[str, Any]) -> web.Response:
    return json_answer(body, body.get("error_code", 200))
