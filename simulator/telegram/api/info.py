"""The small methods: the bot's profile, its commands and descriptions, chats, files, answers to button presses.

In       a call
Out      the requested object, or true
Raises   Refused with Telegram's own error message
"""

import json
import re
import time
from typing import Any

from simulator.telegram.api.calls import Ask, chat_of
from simulator.telegram.api.refusals import bad_request
from simulator.telegram.chats import Shown
from simulator.telegram.control.journal import Answer
from simulator.telegram.state import QUERY_SECONDS

DOWNLOAD_BYTES_MAX = 20_000_000
ANSWER_CHARACTERS_MAX = 200
COMMANDS_MAX = 100
DESCRIPTION_CHARACTERS_MAX, SHORT_DESCRIPTION_CHARACTERS_MAX = 512, 120

_COMMAND = re.compile(r"/?[a-z0-9_]{1,32}")
_QUERY_GONE = "query is too old and response timeout expired or query ID is invalid"


async def get_me(ask: Ask) -> Shown:
    """The bot itself."""
    return ask.bot.user.as_json() | {
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


async def get_chat(ask: Ask) -> Shown:
    """A chat, with the fields that every chat has."""
    gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
    return chat_of(ask).as_json() | {
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(gifts, False),
    }


async def get_file(ask: Ask) -> Shown:
    """The path at which a file can be downloaded."""
    file_id = ask.args.text("file_id")
    if not file_id:
        raise bad_request("file_id not specified")
    video = ask.bot.videos.get(file_id)
    if video is None:
        raise bad_request("wrong file_id or the file is temporarily unavailable")
    if len(video.content) > DOWNLOAD_BYTES_MAX:
        raise bad_request("file is too big")
    return {
        "file_id": video.file_id,
        "file_unique_id": video.unique_id,
        "file_size": len(video.content),
        "file_path": video.path,
    }


async def answer_query(ask: Ask) -> bool:
    """Answer a button press, once and in time."""
    query = ask.bot.queries.get(ask.args.text("callback_query_id"))
    text = ask.args.text("text")
    if query is None or query.answered or time.time() - query.at > QUERY_SECONDS:
        raise bad_request(_QUERY_GONE)
    if len(text) > ANSWER_CHARACTERS_MAX:
        raise bad_request("MESSAGE_TOO_LONG")
    query.answered = True
    answer = Answer(query.id, query.sender.id, query.chat_id, text, ask.args.flag("show_alert"), time.time())
    ask.telegram.journal.answers.append(answer)
    ask.telegram.listeners.tell("answer", answer.as_json())
    return True


async def set_commands(ask: Ask) -> bool:
    """Set the commands of a scope and a language."""
    told = ask.args.structure("commands", "commands")
    if not isinstance(told, list):
        raise bad_request("expected an Array of BotCommand")
    if len(told) > COMMANDS_MAX:
        raise bad_request("too many commands")
    commands = [_command(each) for each in told]
    ask.bot.commands[_command_place(ask)] = commands
    return True


async def get_commands(ask: Ask) -> list[dict[str, str]]:
    """The commands that set_commands stored."""
    return ask.bot.commands.get(_command_place(ask), [])


async def set_description(ask: Ask) -> bool:
    """Set the text shown in an empty chat."""
    if len(ask.args.text("description")) > DESCRIPTION_CHARACTERS_MAX:
        raise bad_request("DESCRIPTION_TOO_LONG")
    return True


async def set_short_description(ask: Ask) -> bool:
    """Set the text shown on the bot's profile."""
    if len(ask.args.text("short_description")) > SHORT_DESCRIPTION_CHARACTERS_MAX:
        raise bad_request("SHORT_DESCRIPTION_TOO_LONG")
    return True


def _command(told: Any) -> dict[str, str]:
    if not isinstance(told, dict):
        raise bad_request("can't parse BotCommand: expected an Object")
    command, description = str(told.get("command") or ""), str(told.get("description") or "").strip()
    if not _COMMAND.fullmatch(command):
        raise bad_request("BOT_COMMAND_INVALID")
    if not 1 <= len(description) <= 256:
        raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    return {"command": command.removeprefix("/"), "description": description}


def _command_place(ask: Ask) -> tuple[str, str]:
    scope = ask.args.structure("scope", "BotCommandScope") or {"type": "default"}
    if not isinstance(scope, dict):
        raise bad_request("BotCommandScope must be an Object")
    return json.dumps(scope, sort_keys=True), ask.args.text("language_code")
