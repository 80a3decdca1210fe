"""What every method resolves first: the caller, the chat, the message and the text.

In       the call's arguments
Out      chats the bot may write to, the messages named, formatted text
Raises   Refused with Telegram's own error message
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from simulator.telegram.api.arguments import Args
from simulator.telegram.api.keyboards import Markup, markup_from
from simulator.telegram.api.refusals import Refused, bad_request
from simulator.telegram.chats import Chat, Message
from simulator.telegram.state import Bot, Telegram
from simulator.telegram.text.entities import Formatted, finished, given, units
from simulator.telegram.text.markup import parse_html

TEXT_UNITS_MAX = 4096
CAPTION_UNITS_MAX = 1024
MARKED_UP_CHARACTERS_MAX = 32_768

_PREVIEW = ("is_disabled", "url", "prefer_small_media", "prefer_large_media", "show_above_text")


@dataclass(frozen=True, slots=True)
class Ask:
    """One call of a method."""

    telegram: Telegram
    bot: Bot
    args: Args
    gone: Callable[[], bool]
    """Whether the caller has left."""

    execute: Callable[[Args], Awaitable[None]]
    """Carry out another call of the same bot, as a webhook's answer asks."""


def chat_of(ask: Ask) -> Chat:
    """The chat that the call names."""
    told = ask.args.text("chat_id").strip()
    if not told:
        raise bad_request("chat_id is empty")
    chat = ask.telegram.chats.get(ask.args.integer("chat_id"))
    if chat is None:
        raise bad_request("chat not found")
    return chat


def writable_chat(ask: Ask) -> Chat:
    """The chat that the call names, if the bot may write there."""
    chat = chat_of(ask)
    if chat.is_group:
        return chat
    if chat.id not in ask.bot.started:
        raise Refused(403, "Forbidden: bot can't initiate conversation with a user")
    if chat.id in ask.bot.blocked:
        raise Refused(403, "Forbidden: bot was blocked by the user")
    return chat


def message_of(ask: Ask, chat: Chat, what: str) -> Message:
    """The message that the call names; `what` completes the error message."""
    if not ask.args.text("message_id").strip():
        raise bad_request("message identifier is not specified")
    message = chat.message(ask.args.integer("message_id"))
    if message is None:
        raise bad_request(f"{what} not found")
    return message


def text_of(ask: Ask) -> Formatted:
    """The text of a message."""
    if not ask.args.text("text"):
        raise bad_request("message text is empty")
    formatted = _formatted(ask, "text", "entities")
    if not formatted.text:
        raise bad_request("text must be non-empty")
    if units(formatted.text) > TEXT_UNITS_MAX:
        raise bad_request("message is too long")
    return formatted


def caption_of(ask: Ask) -> Formatted:
    """The caption of a video; may be empty."""
    formatted = _formatted(ask, "caption", "caption_entities")
    if units(formatted.text) > CAPTION_UNITS_MAX:
        raise bad_request("message caption is too long")
    return formatted


def markup_of(ask: Ask, *, inline_only: bool = False) -> Markup:
    """The message's reply markup."""
    markup = markup_from(ask.args.structure("reply_markup", "reply keyboard markup"))
    if inline_only and markup.force_reply:
        raise bad_request("inline keyboard expected")
    return markup


def preview_of(ask: Ask) -> dict[str, Any]:
    """The link preview options."""
    told = ask.args.structure("link_preview_options", "link preview options")
    if told is None:
        return {"is_disabled": True} if ask.args.flag("disable_web_page_preview") else {}
    if not isinstance(told, Mapping):
        raise bad_request("object expected as link preview options")
    return {name: told[name] for name in _PREVIEW if told.get(name)}


def replied_of(ask: Ask, chat: Chat) -> Message | None:
    """The message being replied to."""
    told = ask.args.structure("reply_parameters", "reply parameters")
    if told is None:
        told = {"message_id": ask.args.integer("reply_to_message_id")} | {
            "allow_sending_without_reply": ask.args.flag("allow_sending_without_reply")
        }
    if not isinstance(told, Mapping):
        raise bad_request("object expected as reply parameters")
    wanted = Args(told)
    message_id = wanted.integer("message_id")
    if message_id == 0:
        return None
    message = chat.message(message_id) if wanted.integer("chat_id", chat.id) == chat.id else None
    if message is None and not wanted.flag("allow_sending_without_reply"):
        raise bad_request("message to be replied not found")
    return message


def _formatted(ask: Ask, name: str, entities_name: str) -> Formatted:
    text = ask.args.text(name)
    if len(text) > MARKED_UP_CHARACTERS_MAX:
        raise bad_request("text is too long")
    match ask.args.text("parse_mode").lower():
        case "html":
            return finished(*parse_html(text))
        case "" | "none":
            return finished(text, given(ask.args.structure(entities_name, "entities"), text))
        case _:
            raise bad_request("unsupported parse_mode")
