"""`reply_markup`: buttons under a message, or a prompt to reply to it. Pure.

In       the JSON of a reply_markup
Out      `Markup`
Raises   Refused with Telegram's own error message
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.telegram.api.refusals import bad_request
from simulator.telegram.text.markup import checked_link

BUTTONS_MAX = 100
DATA_BYTES_MAX = 64
COPY_TEXT_CHARACTERS_MAX = 256

_EXTRAS = ("style", "icon_custom_emoji_id")
_OTHER_MARKUPS = ("keyboard", "remove_keyboard", "inline_keyboard", "force_reply")
_NO_KIND = "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"


@dataclass(frozen=True, slots=True)
class Button:
    """One button, with exactly one of its three actions."""

    text: str
    data: str | None = None
    url: str | None = None
    copy_text: str | None = None
    extras: tuple[tuple[str, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As the Bot API shows it."""
        shown: dict[str, Any] = {"text": self.text, **dict(self.extras)}
        if self.data is not None:
            shown["callback_data"] = self.data
        elif self.url is not None:
            shown["url"] = self.url
        else:
            shown["copy_text"] = {"text": self.copy_text}
        return shown

    def as_view(self) -> dict[str, Any]:
        """As the chat page shows it."""
        deeds = {"data": self.data, "url": self.url, "copy_text": self.copy_text}
        return {"text": self.text} | {name: value for name, value in deeds.items() if value is not None}


Keyboard = tuple[tuple[Button, ...], ...]


@dataclass(frozen=True, slots=True)
class Markup:
    """The reply markup of a message."""

    keyboard: Keyboard = ()
    force_reply: bool = False
    placeholder: str = ""


def markup_from(told: object) -> Markup:
    """Parse a reply_markup. Keyboards that replace the person's own are accepted and not shown."""
    if told is None:
        return Markup()
    if not isinstance(told, dict):
        raise bad_request("object expected as reply markup")
    if told.get("force_reply"):
        return Markup(force_reply=True, placeholder=str(told.get("input_field_placeholder") or ""))
    if told and not any(name in told for name in _OTHER_MARKUPS):
        raise bad_request("can't parse reply keyboard markup JSON object")
    rows = told.get("inline_keyboard") or []
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad_request('field "inline_keyboard" must be an Array of Arrays')
    if sum(len(row) for row in rows) > BUTTONS_MAX:
        raise bad_request("reply markup is too long")
    return Markup(tuple(tuple(_button(each) for each in row) for row in rows if row))


def _button(told: object) -> Button:
    if not isinstance(told, dict):
        raise bad_request("can't parse inline keyboard button: InlineKeyboardButton must be an Object")
    text = told.get("text")
    if not isinstance(text, str) or not text.strip():
        raise bad_request("can't parse inline keyboard button: button text must be non-empty")
    extras = tuple((name, str(told[name])) for name in _EXTRAS if told.get(name))
    url, data, copying = told.get("url"), told.get("callback_data"), told.get("copy_text")
    if url:
        return Button(text, url=_address(str(url)), extras=extras)
    if data:
        return Button(text, data=_data(str(data)), extras=extras)
    if copying is not None:
        return Button(text, copy_text=_copied(copying), extras=extras)
    raise bad_request(_NO_KIND)


def _address(url: str) -> str:
    checked = checked_link(url)
    if not checked:
        raise bad_request(f"inline keyboard button URL '{url}' is invalid: Wrong HTTP URL")
    return checked


def _data(data: str) -> str:
    if len(data.encode()) > DATA_BYTES_MAX:
        raise bad_request("BUTTON_DATA_INVALID")
    return data


def _copied(told: object) -> str:
    text = told.get("text") if isinstance(told, Mapping) else None
    if not isinstance(text, str) or not 1 <= len(text) <= COPY_TEXT_CHARACTERS_MAX:
        raise bad_request("BUTTON_COPY_TEXT_INVALID")
    return text
