"""What buttons carry: a run's ref and what was tapped, never a price. At most 64 bytes (Telegram's rule)."""

from enum import StrEnum

from aiogram.filters.callback_data import CallbackData


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

    ref: str
    act: Act
    arg: str = ""


class Example(CallbackData, prefix="x"):
    """One of the example prompts, by number."""

    number: int


class Offer(CallbackData, prefix="o"):
    """Make this a video? Yes or no; the prompt is the message that the offer answers."""

    yes: bool


class Page(CallbackData, prefix="v"):
    """A page of one's videos."""

    number: int


class Choose(CallbackData, prefix="s"):
    """A preference and its value; an empty value shows the choices."""

    key: str
    value: str = ""


class AdminTap(CallbackData, prefix="a"):
    """An operator's button. `shown` marks what its message told, where a tap must not go beyond that."""

    act: str
    ref: str = ""
    shown: str = ""
