"""What people do, and what the tests trigger: `/_sim/telegram/...`, the calls that change something.

In       JSON control calls
Out      JSON; a 400 with the reason for an invalid call
Effects  people write, edit, press buttons and block; updates are redelivered; limits are switched
"""

import json
from typing import Any

from aiohttp import web

from simulator.telegram.api.arguments import Args, mended
from simulator.telegram.api.keyboards import Button
from simulator.telegram.chats import Chat, Message, User
from simulator.telegram.control.deliver import hear, tap
from simulator.telegram.state import TELEGRAM, Bot, Telegram
from simulator.telegram.text.entities import finished, units
from simulator.videos.errors import error_body, json_answer

TEXT_UNITS_MAX = 4096
NAME_CHARACTERS_MAX = 64


async def add_person(request: web.Request) -> web.Response:
    """Add a person, or find one by name."""
    telegram, told = await _told(request)
    name = told.text("name").strip()
    if not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        raise wrong(f"a person needs a name of 1 to {NAME_CHARACTERS_MAX} characters")
    wanted = told.integer("id") or None
    if wanted is not None and (wanted < 1 or (wanted in telegram.people and telegram.people[wanted].name != name)):
        raise wrong(f"the id {wanted} is taken, or none of a person")
    person = telegram.person_named(name, told.text("language_code").strip() or None, wanted)
    return json_answer(person_view(telegram, person))


async def add_group(request: web.Request) -> web.Response:
    """Create a group of people and the bot."""
    telegram, told = await _told(request)
    title, members = told.text("title").strip(), told.fields.get("members", [])
    if not title or not isinstance(members, list):
        raise wrong("a group needs a title and a list of members")
    ids = tuple(dict.fromkeys(Args({"id": each}).integer("id") for each in members))
    if strangers := [each for each in ids if each not in telegram.people]:
        raise wrong(f"nobody has the ids {strangers}")
    return json_answer({"chat_id": telegram.open_group(title, ids).id})


async def write(request: web.Request) -> web.Response:
    """Send a message as a person."""
    telegram, told = await _told(request)
    chat = _chat(telegram, told)
    person = _person(telegram, told, chat)
    message = telegram.say(chat, person)
    _put_text(message, told)
    if reply_to := told.integer("reply_to"):
        message.reply_to = _message(chat, reply_to)
    telegram.post(message)
    update = hear(_bot(telegram, told), "message", message)
    return json_answer({"message_id": message.id, "update_id": None if update is None else update.id})


async def edit(request: web.Request) -> web.Response:
    """Edit a person's message."""
    telegram, told = await _told(request)
    message = _message(_chat(telegram, told), told.integer("message_id"))
    if message.author.is_bot:
        raise wrong("people edit only what people wrote")
    _put_text(message, told)
    message.touch()
    telegram.show(message)
    update = hear(_bot(telegram, told), "edited_message", message)
    return json_answer({"update_id": None if update is None else update.id})


async def tap_button(request: web.Request) -> web.Response:
    """Press a button as a person, by its data or its label."""
    telegram, told = await _told(request)
    chat = _chat(telegram, told)
    person = _person(telegram, told, chat)
    number, data = told.integer("message_id"), told.text("data")
    message = chat.messages.get(number) if told.flag("force") else chat.message(number)
    if message is None:
        raise wrong(f"there is no message {number} in this chat")
    if not (told.flag("force") and data):
        button = _button(message, data, told.text("button"))
        if button.data is None:
            deed = {"copied": button.copy_text} if button.copy_text is not None else {"url": button.url}
            return json_answer(deed)
        data = button.data
    author = next((bot for bot in telegram.bots if bot.id == message.author.id), telegram.bots[0])
    query, update = tap(author, person, message, data)
    return json_answer({"update_id": None if update is None else update.id, "callback_query_id": query.id})


async def redeliver(request: web.Request) -> web.Response:
    """Deliver the same update again."""
    telegram, told = await _told(request)
    number = told.integer("update_id")
    for bot in telegram.bots:
        if (update := bot.updates.all.get(number)) is not None:
            bot.updates.redeliver(update)
            return json_answer({"update_id": number})
    raise wrong(f"there was no update {number}")


async def block(request: web.Request) -> web.Response:
    """Block or unblock the bot as a person."""
    telegram, told = await _told(request)
    person = telegram.people.get(told.integer("user"))
    if person is None:
        raise wrong("nobody has that id")
    blocked = told.flag("blocked") if "blocked" in told.fields else True
    if blocked:
        _bot(telegram, told).blocked.add(person.id)
    else:
        _bot(telegram, told).blocked.discard(person.id)
    return json_answer(person_view(telegram, person))


async def limits(request: web.Request) -> web.Response:
    """Switch flood control on or off."""
    telegram, told = await _told(request)
    telegram.enforces_limits = told.flag("enforce")
    return json_answer({"enforce": telegram.enforces_limits})


def person_view(telegram: Telegram, person: User) -> dict[str, Any]:
    """A person, as control calls show one."""
    return {
        "id": person.id,
        "name": person.name,
        "language_code": person.language_code,
        "chat_id": person.id,
        "blocked": person.id in telegram.bots[0].blocked,
    }


def wrong(words: str) -> web.HTTPBadRequest:
    """The 400 for an invalid control call."""
    return web.HTTPBadRequest(text=json.dumps(error_body(words)), content_type="application/json")


async def _told(request: web.Request) -> tuple[Telegram, Args]:
    try:
        body = json.loads(await request.read() or b"{}")
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise wrong("a control call takes a JSON object")
    return request.app[TELEGRAM], Args(mended(body))


def _bot(telegram: Telegram, told: Args) -> Bot:
    bot = telegram.bot_numbered(told.integer("bot") if "bot" in told.fields else None)
    if bot is None:
        raise wrong("there is no such bot")
    return bot


def _chat(telegram: Telegram, told: Args) -> Chat:
    chat = telegram.chats.get(told.integer("chat_id"))
    if chat is None:
        raise wrong("there is no such chat")
    return chat


def _person(telegram: Telegram, told: Args, chat: Chat) -> User:
    number = told.integer("from")
    if number not in chat.members:
        raise wrong(f"{number} is nobody of this chat")
    return telegram.people[number]


def _message(chat: Chat, number: int) -> Message:
    message = chat.message(number)
    if message is None:
        raise wrong(f"there is no message {number} in this chat")
    return message


def _put_text(message: Message, told: Args) -> None:
    formatted = finished(told.text("text"), ())
    if not 1 <= units(formatted.text) <= TEXT_UNITS_MAX:
        raise wrong(f"a message has 1 to {TEXT_UNITS_MAX} characters")
    message.text, message.entities = formatted.text, formatted.entities


def _button(message: Message, data: str, label: str) -> Button:
    buttons = [button for row in message.markup.keyboard for button in row]
    if data:
        fitting = [button for button in buttons if button.data == data][:1]
    else:
        exact = [button for button in buttons if button.text == label]
        fitting = exact[:1] or [button for button in buttons if label and label in button.text]
    if len(fitting) != 1:
        there = ", ".join(f"{each.text!r} ({each.data})" if each.data else repr(each.text) for each in buttons)
        raise wrong(f"no one button is meant by {data or label!r}; there are: {there or 'none'}")
    return fitting[0]
