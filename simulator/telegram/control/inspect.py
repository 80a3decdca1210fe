"""What the tests and the page read: `/_sim/telegram/...`, the calls that change nothing.

In       control calls
Out      people, chats, updates, calls, answers, films, and events as they happen
"""

from aiohttp import web

from simulator.telegram.api.arguments import whole
from simulator.telegram.control.events import stream
from simulator.telegram.control.people import person_view, wrong
from simulator.telegram.control.views import chat_view, view
from simulator.telegram.state import TELEGRAM
from simulator.videos.errors import json_answer


async def people(request: web.Request) -> web.Response:
    """All people."""
    telegram = request.app[TELEGRAM]
    return json_answer({"people": [person_view(telegram, person) for person in telegram.people.values()]})


async def chats(request: web.Request) -> web.Response:
    """Every chat with its last message."""
    telegram = request.app[TELEGRAM]
    shown = []
    for chat in telegram.chats.values():
        newest = chat.newest()
        shown.append(chat_view(chat, telegram.people) | {"last_message": None if newest is None else view(newest)})
    return json_answer({"chats": shown})


async def chat(request: web.Request) -> web.Response:
    """One chat with all its messages; deleted ones are marked."""
    telegram = request.app[TELEGRAM]
    found = telegram.chats.get(whole(request.match_info["chat_id"]))
    if found is None:
        raise wrong("there is no such chat")
    messages = [view(message) for message in found.messages.values()]
    return json_answer({"chat": chat_view(found, telegram.people), "messages": messages})


async def updates(request: web.Request) -> web.Response:
    """Every update and its delivery history, oldest first."""
    bot = request.app[TELEGRAM].bot_numbered(whole(request.query["bot"]) if "bot" in request.query else None)
    if bot is None:
        raise wrong("there is no such bot")
    return json_answer({"updates": [update.fate() for update in bot.updates.all.values()]})


async def calls(request: web.Request) -> web.Response:
    """Every Bot API call from number `since` on; `next` is the number to continue from."""
    journal = request.app[TELEGRAM].journal
    since = max(whole(request.query.get("since", "0")), 0)
    found = [call.as_json() for call in journal.calls[since:]]
    return json_answer({"calls": found, "next": len(journal.calls)})


async def answers(request: web.Request) -> web.Response:
    """Every answered button press."""
    return json_answer({"answers": [answer.as_json() for answer in request.app[TELEGRAM].journal.answers]})


async def events(request: web.Request) -> web.StreamResponse:
    """Server-sent events."""
    return await stream(request, request.app[TELEGRAM].listeners)


async def film(request: web.Request) -> web.Response:
    """A video for the browser, which requests byte ranges."""
    file_id = request.match_info["file_id"]
    video = next((bot.videos[file_id] for bot in request.app[TELEGRAM].bots if file_id in bot.videos), None)
    if video is None:
        raise web.HTTPNotFound(text="no such file")
    size = len(video.content)
    headers = {"Accept-Ranges": "bytes"}
    try:
        start, stop, _ = request.http_range.indices(size)
    except ValueError:
        start = stop = size
    if "Range" not in request.headers:
        return web.Response(body=video.content, content_type=video.mime_type, headers=headers)
    if start >= stop:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    body = video.content[start:stop]
    return web.Response(status=206, body=body, content_type=video.mime_type, headers=headers)
