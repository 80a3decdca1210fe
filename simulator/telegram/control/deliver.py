"""Turns what people do into updates for the bot.

In       messages, edits and button presses of people
Out      updates in the bot's queue
Effects  writing in private starts the conversation and unblocks the bot
"""

import random
import time
from typing import Any

from simulator.telegram.api.updates import Update
from simulator.telegram.chats import Message, User
from simulator.telegram.state import USERNAME, Bot, Query
from simulator.telegram.text.entities import piece


def hear(bot: Bot, kind: str, message: Message) -> Update | None:
    """Queue a new or edited message, if privacy mode lets the bot see it."""
    if not message.chat.is_group and kind == "message":
        bot.started.add(message.chat.id)
        bot.blocked.discard(message.chat.id)
    if message.chat.is_group and not _concerns(bot, message):
        return None
    return bot.updates.add(kind, message.as_json(), message.chat.id, message.id)


def tap(bot: Bot, person: User, message: Message, data: str) -> tuple[Query, Update | None]:
    """Queue a button press; the update carries the message in its current state."""
    query = Query(str(random.getrandbits(62)), person, message.chat.id, time.time())
    bot.queries[query.id] = query
    payload: dict[str, Any] = {
        "id": query.id,
        "from": person.as_json(),
        "message": _reachable(message),
        "chat_instance": str(bot.chat_instance ^ message.chat.id),
        "data": data,
    }
    return query, bot.updates.add("callback_query", payload, message.chat.id, message.id)


def _reachable(message: Message) -> dict[str, Any]:
    if message.deleted:
        return {"chat": message.chat.as_json(), "message_id": message.id, "date": 0}
    return message.as_json()


def _concerns(bot: Bot, message: Message) -> bool:
    """Privacy mode: in groups a bot gets commands, mentions, and replies to its own messages."""
    replied = message.reply_to
    if replied is not None and replied.author.is_bot and replied.author.id == bot.id:
        return True
    for entity in message.entities:
        words = piece(message.text, entity.offset, entity.end).lower()
        if entity.kind == "mention" and words == f"@{USERNAME}":
            return True
        if entity.kind == "bot_command":
            name = words.partition("@")[2]
            if name == USERNAME or (not name and entity.offset == 0):
                return True
    return False
