"""The Bot API's methods by name, and how one is executed.

In       a bot, a method's name in any case, arguments
Out      the body of the answer; completes the journal entry
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from simulator.telegram.api import edit, get_updates, info, send
from simulator.telegram.api.arguments import Args
from simulator.telegram.api.calls import Ask
from simulator.telegram.api.refusals import Refused, flooded
from simulator.telegram.control.journal import Call
from simulator.telegram.state import Bot, Telegram

Deed = Callable[[Ask], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Method:
    """A method, under its documented name."""

    name: str
    deed: Deed

    @property
    def is_visible(self) -> bool:
        """Whether people see the result; flood control counts only these calls."""
        return self.name.startswith(("send", "edit"))


_DEEDS: dict[str, Deed] = {
    "getMe": info.get_me,
    "getUpdates": get_updates.get_updates,
    "setWebhook": get_updates.set_webhook,
    "deleteWebhook": get_updates.delete_webhook,
    "getWebhookInfo": get_updates.webhook_info,
    "sendMessage": send.send_message,
    "sendVideo": send.send_video,
    "sendChatAction": send.send_chat_action,
    "editMessageText": edit.edit_text,
    "editMessageCaption": edit.edit_caption,
    "editMessageReplyMarkup": edit.edit_markup,
    "deleteMessage": edit.delete,
    "setMessageReaction": edit.react,
    "answerCallbackQuery": info.answer_query,
    "setMyCommands": info.set_commands,
    "getMyCommands": info.get_commands,
    "setMyDescription": info.set_description,
    "setMyShortDescription": info.set_short_description,
    "getFile": info.get_file,
    "getChat": info.get_chat,
}
METHODS = {name.lower(): Method(name, deed) for name, deed in _DEEDS.items()}


def begin(telegram: Telegram, method: Method, args: Args) -> Call:
    """Open the call's journal entry, with what is known before the call is executed."""
    call = telegram.journal.begin(method.name)
    call.chat_id = args.integer("chat_id") or None
    call.message_id = args.integer("message_id") or None
    call.text = args.text("text") or args.text("caption") or None
    return call


async def perform(
    telegram: Telegram, bot: Bot, method: Method, args: Args, call: Call, gone: Callable[[], bool]
) -> dict[str, Any]:
    """Execute one call."""
    ask = Ask(telegram, bot, args, gone, partial(_execute, telegram, bot))
    try:
        _check_flood(telegram, bot, method, call)
        result = await method.deed(ask)
    except Refused as refused:
        return refused_call(call, refused)
    call.ok = True
    if isinstance(result, dict) and "message_id" in result:
        call.message_id = result["message_id"]
        call.text = result.get("text", result.get("caption"))
    return {"ok": True, "result": result}


def refused_call(call: Call, refused: Refused) -> dict[str, Any]:
    """Complete the journal entry of a refused call."""
    call.ok, call.error_code, call.retry_after = False, refused.code, refused.retry_after
    return refused.as_json()


async def _execute(telegram: Telegram, bot: Bot, args: Args) -> None:
    """Execute a call from a webhook's answer: nobody gets its result."""
    method = METHODS.get(args.text("method").lower())
    if method is not None:
        await perform(telegram, bot, method, args, begin(telegram, method, args), lambda: False)


def _check_flood(telegram: Telegram, bot: Bot, method: Method, call: Call) -> None:
    if telegram.enforces_limits and method.is_visible and call.chat_id is not None:
        wait = bot.flood.retry_after(call.chat_id, time.time())
        if wait is not None:
            raise flooded(wait)
