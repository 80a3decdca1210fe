"""Immediate replies to messages and taps: all of them rate-limited, escaped, and without link previews.

In       HTML and buttons
Effects  one message; if the rate limits do not allow it within 0.3 s, it is sent in the background within 5 minutes
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram.exceptions import TelegramAPIError
from aiogram.methods import (
    AnswerCallbackQuery,
    EditMessageReplyMarkup,
    EditMessageText,
    SendMessage,
    TelegramMethod,
)
from aiogram.types import (
    CallbackQuery,
    ForceReply,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    MaybeInaccessibleMessageUnion,
    Message,
    ReplyParameters,
)
from markupsafe import Markup

from bot.transport.client import RateLimited, SendError, TelegramClient, not_modified
from pipeline.ledger.transports.common import LedgerError

SOON_SECONDS = 0.3  # how long a reply may delay the next update
LATEST_SECONDS = 300.0
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
ALERT_CHARACTERS_MAX = 200  # Bot API

Said = Callable[[], Awaitable[None]]

log = logging.getLogger(__name__)


class Replies:
    def __init__(self, client: TelegramClient) -> None:
        self._client = client
        self._under_way: set[asyncio.Task[None]] = set()

    async def to(
        self,
        message: MaybeInaccessibleMessageUnion,
        text: Markup,
        markup: InlineKeyboardMarkup | ForceReply | None = None,
        *,
        said: Said | None = None,
    ) -> None:
        """Sends a reply to this message. `said` is called once Telegram has accepted the reply."""
        await self.beside(message, text, markup, answers=message.message_id, said=said)

    async def beside(
        self,
        message: MaybeInaccessibleMessageUnion,
        text: Markup,
        markup: InlineKeyboardMarkup | ForceReply | None = None,
        *,
        answers: int | None = None,
        said: Said | None = None,
    ) -> None:
        """Sends a message to the chat and topic of this one, as a reply to `answers`, or to none."""
        method = compose(message.chat.id, text, markup, answers, thread_of(message))
        try:
            await self._client.say(method, message.chat.id, patience=SOON_SECONDS)
            if said is not None:
                await said()
        except RateLimited:
            self._later(method, message.chat.id, said)
        except (SendError, TelegramAPIError) as error:
            log.info("reply", extra={"action": "reply_failed", "error": type(error).__name__})

    async def rewrite(
        self, message: MaybeInaccessibleMessageUnion, text: Markup, markup: InlineKeyboardMarkup | None
    ) -> None:
        """Replaces the text of one of our messages that is not a run's card."""
        method = EditMessageText(
            chat_id=message.chat.id,
            message_id=message.message_id,
            text=text,
            parse_mode="HTML",
            reply_markup=markup,
            link_preview_options=NO_PREVIEW,
        )
        await self._edit(method, message.chat.id)

    async def rebutton(self, message: MaybeInaccessibleMessageUnion, markup: InlineKeyboardMarkup | None) -> None:
        method = EditMessageReplyMarkup(chat_id=message.chat.id, message_id=message.message_id, reply_markup=markup)
        await self._edit(method, message.chat.id)

    async def tap(self, tap: CallbackQuery, words: str = "", *, alert: bool = False) -> None:
        """Answers a tap, which ends the loading sign on its button. Never retried: the tap itself was handled."""
        shown = words if len(words) <= ALERT_CHARACTERS_MAX else f"{words[: ALERT_CHARACTERS_MAX - 1]}…"
        try:
            await self._client.ask(AnswerCallbackQuery(callback_query_id=tap.id, text=shown or None, show_alert=alert))
        except (SendError, TelegramAPIError) as error:
            log.info("tap", extra={"action": "tap_unanswered", "error": type(error).__name__})

    async def _edit(self, method: EditMessageText | EditMessageReplyMarkup, chat_id: int) -> None:
        try:
            await self._client.say(method, chat_id, patience=SOON_SECONDS)
        except RateLimited:
            self._later(method, chat_id)
        except (SendError, TelegramAPIError) as error:
            if not not_modified(error):
                log.info("edit", extra={"action": "edit_failed", "error": type(error).__name__})

    def _later(self, method: TelegramMethod[Any], chat_id: int, said: Said | None = None) -> None:
        async def send() -> None:
            try:
                await self._client.say(method, chat_id, patience=LATEST_SECONDS)
                if said is not None:
                    await said()
            except LedgerError as error:
                log.warning("reply", extra={"action": "not_noted", "error": type(error).__name__})
            except (SendError, TelegramAPIError) as error:
                if not_modified(error):
                    return
                log.warning("reply", extra={"action": "reply_dropped", "error": type(error).__name__})

        task = asyncio.create_task(send())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def stop(self) -> None:
        """Cancels delayed replies. They are only text: no run depends on them."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)


def compose(
    chat_id: int,
    text: Markup,
    markup: InlineKeyboardMarkup | ForceReply | None,
    reply_to: int | None,
    thread_id: int | None,
) -> SendMessage:
    """An HTML message without link preview. If the message it replies to is gone, it is sent without the reply."""
    return SendMessage(
        chat_id=chat_id,
        text=text,
        parse_mode="HTML",
        reply_markup=markup,
        reply_parameters=reply_parameters(reply_to),
        message_thread_id=thread_id,
        link_preview_options=NO_PREVIEW,
    )


def reply_parameters(message_id: int | None) -> ReplyParameters | None:
    return None if message_id is None else ReplyParameters(message_id=message_id, allow_sending_without_reply=True)


def thread_of(message: MaybeInaccessibleMessageUnion) -> int | None:
    """The forum topic of a message. Elsewhere a thread id only marks a reply, and sending it is an error."""
    return message.message_thread_id if isinstance(message, Message) and message.is_topic_message else None
