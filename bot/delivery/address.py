"""Where a run's user is notified: the `audience` of a run that was requested in Telegram."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.ledger.records import Run

KIND = "telegram"


@dataclass(frozen=True)
class Address:
    """Message ids belong to this chat; the video is a reply to `message_id`; `language` is the user's.

    `failure_id`: the message that says that the run failed, if that was not only on its card.
    """

    bot_id: int
    chat_id: int
    message_id: int
    language: str
    private: bool = True
    thread_id: int | None = None
    card_id: int | None = None
    video_id: int | None = None
    failure_id: int | None = None
    file_id: str | None = None

    def to_audience(self) -> dict[str, Any]:
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return {"kind": KIND} | known


def address_of(run: Run) -> Address | None:
    """None for a run that was not requested in Telegram."""
    return read_address(run.audience)


def read_address(audience: Mapping[str, Any]) -> Address | None:
    if audience.get("kind") != KIND:
        return None
    return Address(**{name: value for name, value in audience.items() if name in Address.__dataclass_fields__})


def user_id(number: int) -> str:
    """The ledger's id of a Telegram user."""
    return f"tg:{number}"


def telegram_id(user: str) -> int:
    """The Telegram id in a user id of the ledger."""
    return int(user.removeprefix("tg:"))


def request_key(bot_id: int, chat_id: int, message_id: int, *tap: str | int) -> str:
    """`tg:<bot_id>:<chat_id>:<message_id>`, and for a button `...:<action>:<take>`: one key per request."""
    return ":".join(map(str, ("tg", bot_id, chat_id, message_id, *tap)))
