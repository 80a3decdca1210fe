"""Crash points for Telegram: one before every Bot API call, one after its answer.

Calls are found where they leave the process, in aiogram's HTTP session; there is no list of them.
"""

import re
from collections.abc import Iterable

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.methods import TelegramMethod

from tests.guarantee.crash.trace_points import TracePoints

CALL = re.compile(r"telegram\.(\w+)(?: confirming)?\.before(?: #\d+)?")


class ChatTracePoints(TracePoints):
    def watch(self) -> None:
        self._around_async(AiohttpSession, "make_request", _call)
        super().watch()


def _call(_: AiohttpSession, __: Bot, method: TelegramMethod[object], *___: object) -> str:
    """A poll that confirms updates counts as a different call than one that only asks."""
    confirming = method.__api_method__ == "getUpdates" and getattr(method, "offset", None) is not None
    return f"telegram.{method.__api_method__}{' confirming' if confirming else ''}"


def calls_in(points: Iterable[str]) -> list[str]:
    """The methods called, in order, from the points of a life."""
    return [match[1] for point in points if (match := CALL.fullmatch(point))]
