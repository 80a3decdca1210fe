"""A session of aiogram's that records what the bot asks Telegram for, and answers as Telegram would.

Updates go in through the real dispatcher; nothing of ours is replaced.
"""

import itertools
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any

from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.methods import (
    EditMessageReplyMarkup,
    EditMessageText,
    GetMe,
    SendDocument,
    SendMessage,
    SendVideo,
    TelegramMethod,
)
from aiogram.types import Chat, Document, InlineKeyboardMarkup, Message, User, Video

BOT_ID = 4242
TOKEN = f"{BOT_ID}:test"
ME = User(id=BOT_ID, is_bot=True, first_name="onetake", username="onetake_bot")

Answer = Callable[[TelegramMethod[Any]], Any]


class Recording(BaseSession):
    """`calls` in order. `trouble` maps a kind of method to errors that its next calls meet."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[TelegramMethod[Any]] = []
        self.trouble: dict[type[TelegramMethod[Any]], list[Exception]] = {}
        self.messages: dict[int, Message] = {}
        self._ids = itertools.count(1000)

    def of(self, kind: type[TelegramMethod[Any]]) -> list[Any]:
        return [call for call in self.calls if isinstance(call, kind)]

    def meets(self, kind: type[TelegramMethod[Any]], *errors: Exception) -> None:
        self.trouble.setdefault(kind, []).extend(errors)

    async def make_request(self, bot: Bot, method: TelegramMethod[Any], timeout: int | None = None) -> Any:
        self.calls.append(method)
        if errors := self.trouble.get(type(method)):
            raise errors.pop(0)
        match method:
            case GetMe():
                return ME
            case SendMessage():
                return self._keep(bot, method, text=str(method.text))
            case SendVideo():
                video = Video(file_id=f"file-{len(self.calls)}", file_unique_id="u", width=1, height=1, duration=1)
                return self._keep(bot, method, caption=str(method.caption or ""), video=video)
            case SendDocument():
                document = Document(file_id=f"file-{len(self.calls)}", file_unique_id="u")
                return self._keep(bot, method, caption=str(method.caption or ""), document=document)
            case EditMessageText() | EditMessageReplyMarkup():
                return self._edit(bot, method)
        return True

    def _keep(self, bot: Bot, method: SendMessage | SendVideo | SendDocument, **content: Any) -> Message:
        reply = method.reply_parameters.message_id if method.reply_parameters else None
        message = Message(
            message_id=next(self._ids),
            date=datetime.now(UTC),
            chat=_chat(int(method.chat_id)),
            from_user=ME,
            reply_markup=method.reply_markup if isinstance(method.reply_markup, InlineKeyboardMarkup) else None,
            reply_to_message=self.messages.get(reply) if reply else None,
            **content,
        ).as_(bot)
        self.messages[message.message_id] = message
        return message

    def _edit(self, bot: Bot, method: EditMessageText | EditMessageReplyMarkup) -> Message:
        assert method.message_id is not None
        old = self.messages[method.message_id]
        change: dict[str, Any] = {"reply_markup": method.reply_markup}
        if isinstance(method, EditMessageText):
            change["text"] = str(method.text)
        self.messages[method.message_id] = old.model_copy(update=change).as_(bot)
        return self.messages[method.message_id]

    async def close(self) -> None:
        """Nothing is open."""

    async def stream_content(self, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        yield b""


def _chat(chat_id: int) -> Chat:
    if chat_id > 0:
        return Chat(id=chat_id, type="private")
    return Chat(id=chat_id, type="supergroup", title="friends")


def make_bot() -> tuple[Bot, Recording]:
    session = Recording()
    return Bot(TOKEN, session=session), session
