"""What buttons carry: a run's ref and what was tapped, never a price. At most 64 bytes (Telegram's rule).

Anybody can send any data. What no button of ours carries does not match these types, so it reaches no handler.
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
    """A button of a run. `arg`: seconds, a size, both for Create, or which take of a new run this button begins."""

    ref: Ref
    act: Act
    arg: Annotated[str, Field(pattern=r"^([0-9]{0,6}|([0-9]{1,6}-)?[0-9]{1,6}x[0-9]{1,6})$")] = ""


class Example(CallbackData, prefix="x"):
    """One of the example prompts, by number."""

    number: Number


class OfferAnswer(CallbackData, prefix="o"):
    """Make this a video? Yes or no; the prompt is the message that the offer answers."""

    yes: bool


class VideosPage(CallbackData, prefix="v"):
    """A page of one's videos. As this, without its user, only below messages of earlier versions."""

    number: Number


class VideosPageOf(VideosPage, prefix="vu"):
    user: UserId


class Choose(CallbackData, prefix="s"):
    """A preference and its value. As this, without its user, only below messages of earlier versions."""

    key: str
    value: str = ""


class ChooseOf(Choose, prefix="su"):
    user: UserId


def is_anothers(tap: CallbackQuery, data: VideosPage | Choose) -> bool:
    """Whether the page below which this was tapped is somebody else's; in private there is nobody else."""
    private = tap.message is not None and tap.message.chat.type == ChatType.PRIVATE
    return not private and getattr(data, "user", None) != tap.from_user.id


class AdminTap(CallbackData, prefix="a"):
    """An operator's button. `shown` marks what its message told, where a tap must not go beyond that."""

    act: str
    ref: NoRef = ""
    shown: str = ""
