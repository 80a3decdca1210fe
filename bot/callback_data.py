"""The data of buttons: a run's ref and what was tapped, never a price. At most 64 bytes (Telegram's limit).

Anybody can send any data. Data that no button of ours carries does not match these types and is refused.
"""

from enum import StrEnum
from typing import Annotated

from aiogram.enums import ChatType
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery
from pydantic import Field

Ref = Annotated[str, Field(pattern=r"^[A-Z2-7]{6}$")]
NoRef = Annotated[str, Field(pattern=r"^([A-Z2-7]{6})?$")]
Number = Annotated[int, Field(ge=0, le=10**6)]
UserId = Annotated[int, Field(gt=0, lt=2**53)]


class Act(StrEnum):
    CREATE = "go"
    SECONDS = "len"
    SIZE = "size"
    EDIT = "edit"
    CANCEL = "stop"
    REWRITE = "safe"
    RETRY = "retry"
    AGAIN = "again"
    CHANGE = "change"
    COPY = "copy"
    RECEIPT = "bill"
    RESEND = "send"


class RunTap(CallbackData, prefix="r"):
    """A button of a run. `arg`: seconds, a size, both (Create), or the number of the take that the button starts."""

    ref: Ref
    act: Act
    arg: Annotated[str, Field(pattern=r"^([0-9]{0,6}|([0-9]{1,6}-)?[0-9]{1,6}x[0-9]{1,6})$")] = ""


class Example(CallbackData, prefix="x"):
    """One of the example prompts, by number."""

    number: Number


class OfferAnswer(CallbackData, prefix="o"):
    """The answer to "Make this a video?". The prompt is the message that the offer replies to."""

    yes: bool


class VideosPage(CallbackData, prefix="v"):
    """A page of a user's videos. Only buttons of earlier versions have this form, without the user."""

    number: Number


class VideosPageOf(VideosPage, prefix="vu"):
    user: UserId


class Choose(CallbackData, prefix="s"):
    """A preference and its value. Only buttons of earlier versions have this form, without the user."""

    key: str
    value: str = ""


class ChooseOf(Choose, prefix="su"):
    user: UserId


def is_anothers(tap: CallbackQuery, data: VideosPage | Choose) -> bool:
    """Whether the button is below the page of another or an unknown user; never in a private chat."""
    private = tap.message is not None and tap.message.chat.type == ChatType.PRIVATE
    return not private and getattr(data, "user", None) != tap.from_user.id


class AdminTap(CallbackData, prefix="a"):
    """An operator's button. `shown`: a hash of the state that its message shows, if a tap depends on that state."""

    act: str
    ref: NoRef = ""
    shown: str = ""
