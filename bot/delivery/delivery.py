"""Notifies a run's user of its state: updates the card and sends the video, at least once. It cannot fail a run.

In       a run whose user was not notified of its current state yet (the engine's `tell`)
Out      recorded in the ledger: that the user was notified, when to retry, or that the user cannot be reached
Effects  messages. One process claims a notification; if it dies, another one takes over once the claim expires
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from aiogram.exceptions import TelegramAPIError, TelegramBadRequest, TelegramNotFound
from aiogram.methods import SendDocument, SendVideo
from aiogram.types import FSInputFile, Message

from bot import messages
from bot.delivery.address import Address, address_of
from bot.delivery.cards import Scene, card
from bot.delivery.progress_cards import ProgressCards
from bot.delivery.video_message import caption, under_video
from bot.requests.for_sale import ForSale, dimensions
from bot.translations import Words
from bot.transport.client import (
    UPLOAD_SECONDS,
    MessageDeleted,
    Moved,
    NoFile,
    NoThread,
    RateLimited,
    SendError,
    TelegramClient,
    TooLarge,
    Unknown,
    Unreachable,
)
from bot.transport.replies import compose, reply_parameters
from bot.transport.session import FILE_ID
from media.clip_file import Kind
from pipeline.cancellation import stop
from pipeline.clips.storage import facts_of
from pipeline.ledger.notifications import Notifications
from pipeline.ledger.records import Run, State
from pipeline.ledger.transports.common import LedgerUnavailable

TELLING_SECONDS = 15.0  # how long a claim lasts; renewed while the notification is in progress
AGAIN = timedelta(seconds=5)  # the shortest wait after a lost answer from Telegram
AGAIN_LATER = timedelta(minutes=5)  # after an unexplained refusal; the longest wait after a lost answer
ELSEWHERE = timedelta(minutes=1)  # retry wait while another process has that bot's token, or the clip
ELSEWHERE_AT_MOST = timedelta(hours=6)  # how long another machine may take to deliver it
REFUSED_AT_MOST = timedelta(minutes=30)
UNANSWERED_AT_MOST = timedelta(hours=6)
LONG = timedelta(seconds=60)  # after a longer wait, a failure gets its own message: edits make no sound

log = logging.getLogger(__name__)


class Delivery:
    def __init__(
        self,
        client: TelegramClient,
        cards: ProgressCards,
        notifications: Notifications,
        for_sale: ForSale,
        new_teller: Callable[[], str],
        clip_of: Callable[[Run], Awaitable[Path]],
    ) -> None:
        self._client, self._cards, self._notifications, self._for_sale = client, cards, notifications, for_sale
        self._new_teller, self._clip_of = new_teller, clip_of
        self._clock = time.monotonic

    async def tell(self, run: Run) -> None:
        """Notifies the run's user, for the engine. Raises only what the transport raises; the engine then retries."""
        address = address_of(run)
        if address is None:
            return
        if address.bot_id != self._client.bot.id:
            await self._notifications.later(run, run.read_at + ELSEWHERE)
            return
        notifier = self._new_teller()
        mine = await self._notifications.begin(run, notifier, TELLING_SECONDS)
        if mine is None:
            return
        async with self._prolonged(mine, notifier):
            await self._tell(mine, address_of(mine) or address)

    async def _tell(self, run: Run, address: Address) -> None:
        began = self._clock()
        try:
            if run.state is State.SAVED:
                await self._bring(run, address)
            else:
                await self._say(run, address)
            return
        except RateLimited as wait:
            pause = timedelta(seconds=wait.seconds)
        except Unknown as error:
            if run.age(run.state_since) > UNANSWERED_AT_MOST:
                await self._could_not(run, error)
                return
            pause = max(AGAIN, min(run.age(run.state_since), AGAIN_LATER))  # each try may have arrived
        except Moved as moved:
            await self._notifications.note(run.run_id, {"chat_id": moved.chat_id, "card_id": None})
            pause = timedelta(0)
        except FileNotFoundError as error:
            if run.age(run.state_since) > ELSEWHERE_AT_MOST:
                await self._could_not(run, error)
                return
            log.error("tell", extra={"action": "clip_missing", "run": run.ref, "file": str(error)})
            await self._notifications.undelivered(run, _why(error))  # now: an operator may have the file
            pause = ELSEWHERE  # another machine may have the clip
        except (SendError, TelegramAPIError) as error:
            lasting = isinstance(error, Unreachable | TooLarge)
            if lasting or run.age(run.state_since) > REFUSED_AT_MOST:
                await self._could_not(run, error)
                return
            log.error("tell", extra={"action": "tell_refused", "run": run.ref, "error": str(error)})
            pause = AGAIN_LATER
        await self._notifications.later(run, run.read_at + timedelta(seconds=self._clock() - began) + pause)

    async def _say(self, run: Run, address: Address) -> None:
        """Updates the card. A failure after more than 60 s is also sent as a new message, which makes a sound."""
        with contextlib.suppress(MessageDeleted):
            await self._cards.show(run)
        if run.state is State.FAILED and run.age(run.reserved_at) > LONG:
            words = Words(address.language)
            text = words("❌ {ref}: {what}", ref=run.ref, what=messages.failure(run, words))
            text = messages.with_demo(text, words, demo=self._for_sale.demo)
            buttons = card(run, words, Scene(self._for_sale)).keyboard
            method = compose(address.chat_id, text, buttons, address.message_id, address.thread_id)
            sent = await self._client.say(method, address.chat_id)
            await self._notifications.note(run.run_id, {"failure_id": sent.message_id})
        await self._notifications.mark_notified(run)
        if run.ended:
            self._cards.forget(run.run_id)

    async def _bring(self, run: Run, address: Address) -> None:
        try:
            await self._cards.show(run, uploading=True)
        except (SendError, TelegramAPIError):  # the card is only a card; it is tried again beside
            self._cards.touch(run.run_id)
        sent = await self.send(run, address)
        file_id = file_of(sent)
        await self._notifications.note(run.run_id, {"video_id": sent.message_id, "file_id": file_id})
        fresh = await self._notifications.mark_notified(run, delivered=True, message_id=sent.message_id)
        self._cards.touch(fresh.run_id)

    async def send(self, run: Run, address: Address, reply_to: int | None = None) -> Message:
        """Sends the video, by Telegram's file id if known, else from our file. Raises FileNotFoundError, SendError."""
        while True:
            method = await self._video(run, address, reply_to)
            try:
                return await self._client.say(method, address.chat_id, answer_seconds=UPLOAD_SECONDS)
            except NoThread:
                if address.thread_id is None:
                    raise
                address = replace(address, thread_id=None)  # retry in the chat itself
            except (NoFile, TelegramBadRequest, TelegramNotFound):
                if address.file_id is None:
                    raise
                address = replace(address, file_id=None)  # whatever the reason, retry with our file

    async def send_again(self, run: Run, address: Address) -> None:
        """Sends a video from the user's history. One that was never delivered now counts as delivered."""
        sent = await self.send(run, address)
        known = address_of(run)
        fresh = file_of(sent)
        if known is not None and known.bot_id == address.bot_id and fresh not in (None, known.file_id):
            await self._notifications.note(run.run_id, {"video_id": sent.message_id, "file_id": fresh})
        if run.state is State.SAVED:
            await self._notifications.mark_notified(run, delivered=True, message_id=sent.message_id)
            self._cards.touch(run.run_id)

    async def _video(self, run: Run, address: Address, reply_to: int | None) -> SendVideo | SendDocument:
        words = Words(address.language)
        path = await self._clip_of(run) if address.file_id is None else None
        facts = await asyncio.to_thread(facts_of, run, path)
        file = FSInputFile(path, filename=f"onetake-{run.ref}.{facts.kind}") if path else str(address.file_id)
        text = caption(run, words, demo=self._for_sale.demo, facts=facts)
        reply = reply_parameters(reply_to or address.message_id)
        buttons = under_video(run, words, take=1)
        if facts.kind is not Kind.MP4:  # Telegram plays only MP4; others are sent as files
            return SendDocument(
                chat_id=address.chat_id,
                document=file,
                caption=text,
                parse_mode="HTML",
                disable_content_type_detection=True,  # else Telegram may return a video's file id, not a document's
                reply_parameters=reply,
                message_thread_id=address.thread_id,
                reply_markup=buttons,
            )
        width, height = dimensions(run.size)
        return SendVideo(
            chat_id=address.chat_id,
            video=file,
            caption=text,
            parse_mode="HTML",
            width=facts.width or width,
            height=facts.height or height,
            duration=max(1, round(facts.seconds or run.seconds)),
            supports_streaming=True,
            reply_parameters=reply,
            message_thread_id=address.thread_id,
            reply_markup=buttons,
        )

    async def _could_not(self, run: Run, error: Exception) -> None:
        """Stops retrying. A video stays in /videos.

        /start retries it, and so does any update from a user who had blocked the bot.
        """
        log.warning("tell", extra={"action": "not_reached", "run": run.ref, "error": type(error).__name__})
        fresh = await self._notifications.mark_notified(run, why=type(error).__name__)
        if run.state is State.SAVED and not isinstance(error, Unreachable):  # a block is the user's own choice
            await self._notifications.undelivered(run, _why(error))
        try:
            await self._cards.show(fresh)  # a chat that refuses videos may accept text
        except Unreachable:
            self._cards.forget(run.run_id)
        except (SendError, TelegramAPIError):
            self._cards.touch(run.run_id)

    @contextlib.asynccontextmanager
    async def _prolonged(self, run: Run, notifier: str) -> AsyncIterator[None]:
        async def again() -> None:
            while True:
                await asyncio.sleep(TELLING_SECONDS / 3)
                with contextlib.suppress(LedgerUnavailable):
                    await self._notifications.begin(run, notifier, TELLING_SECONDS)

        prolonging = asyncio.create_task(again())
        try:
            yield
        finally:
            await stop(prolonging)


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def file_of(sent: Message) -> str | None:
    """The file id of a sent video, which Telegram sometimes turns into an animation if it is silent."""
    found = sent.video or sent.animation or sent.document
    return found.file_id if found and FILE_ID.fullmatch(found.file_id) else None
