"""The cards: one message per run, edited as the run changes in the ledger, within Telegram's rate limits.

In       run ids: those worked on here (`follow`), just reserved (`queue`), or just changed (`touch`)
Out      each card shows its run's state eventually; `show` waits until it does
Effects  one message per run, then edits; the card's message id is kept on the row
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from uuid import UUID
from weakref import WeakValueDictionary

from aiogram.exceptions import TelegramAPIError
from aiogram.methods import EditMessageText

from bot.delivery.address import Address, address_of
from bot.delivery.cards import Card, Scene, card
from bot.requests.for_sale import ForSale
from bot.translations import Words
from bot.transport.client import PATIENCE_SECONDS, MessageDeleted, SendError, TelegramClient, not_modified
from bot.transport.rate_limiter import Urgency
from bot.transport.replies import NO_PREVIEW, compose
from pipeline.cancellation import stop
from pipeline.context import ProviderAccount
from pipeline.ledger.client import Ledger
from pipeline.ledger.notifications import Notifications
from pipeline.ledger.records import Run, State
from pipeline.ledger.transports.common import LedgerError
from pipeline.ledger.users import Customers
from pipeline.purchase.estimate import Expected, expected

LOOK_SECONDS = 1.0  # between two reads of the runs that are followed
TURN_SECONDS = 0.1  # how soon a touched run is read
ORDERED = frozenset({State.SUBMITTING, State.UNCERTAIN, State.RENDERING})
GRACE_SECONDS = 5.0  # the process that reserved a run sends its card; after this, any process may

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Shown:
    """What a card showed last, and when that was read."""

    card: Card
    phase: tuple[object, ...]
    read_at: datetime
    state: State


class ProgressCards:
    def __init__(
        self,
        client: TelegramClient,
        notifications: Notifications,
        ledger: Ledger,
        customers: Customers,
        account: ProviderAccount,
        for_sale: ForSale,
        slow_seconds: float,
    ) -> None:
        self._client, self._notifications, self._ledger, self._customers = client, notifications, ledger, customers
        self._account, self._for_sale, self._slow_seconds = account, for_sale, slow_seconds
        self._followed: Counter[UUID] = Counter()
        self._touched: set[UUID] = set()
        self._left: set[UUID] = set()  # no longer followed, still to be read once more
        self._queued: set[UUID] = set()
        self._shown: dict[UUID, _Shown] = {}
        self._gone: set[UUID] = set()
        self._cards: dict[UUID, int] = {}
        self._expected: dict[UUID, Expected] = {}
        self._saying_ordered: dict[UUID, asyncio.Task[bool]] = {}
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    @contextlib.contextmanager
    def follow(self, run_id: UUID) -> Iterator[None]:
        """Keeps the run's card up to date while the run is worked on here."""
        self._followed[run_id] += 1
        try:
            yield
        finally:
            self._followed[run_id] -= 1
            if not self._followed[run_id]:
                del self._followed[run_id]
            self._left.add(run_id)

    def touch(self, run_id: UUID) -> None:
        """Marks the run as changed: its card is updated soon."""
        self._touched.add(run_id)

    def queue(self, run_id: UUID) -> None:
        """Shows the place in the queue of a run just reserved, until its first attempt."""
        self._queued.add(run_id)

    async def keep(self) -> None:
        """Keeps all cards up to date, until canceled."""
        try:
            await self._keep()
        finally:
            for saying in list(self._saying_ordered.values()):
                await stop(saying)

    async def _keep(self) -> None:
        waited = 0.0
        while True:
            await asyncio.sleep(TURN_SECONDS)
            waited += TURN_SECONDS
            touched, left = set(self._touched), set[UUID]()
            due = set(touched)
            if waited >= LOOK_SECONDS:
                left = set(self._left)
                due |= set(self._followed) | self._queued | left
                waited = 0.0
            if not due:
                continue
            self._touched -= touched  # a touch during the read is kept: the row may have been read before it
            self._left -= left
            try:
                await self._look(due, touched, left)
            except LedgerError as error:
                log.warning("cards", extra={"action": "cards_unread", "error": str(error)})
                self._touched |= touched
                self._left |= left
            except Exception:  # if this loop ended, no card would ever be updated again
                log.exception("cards", extra={"action": "cards_failed"})

    async def _look(self, due: set[UUID], touched: set[UUID], left: set[UUID]) -> None:
        rows = await self._notifications.load(due)
        self._queued -= due - {row.run_id for row in rows if row.state is State.RESERVED and not row.attempts}
        # `Delivery` shows the end of a run that is no longer followed, unless the run was touched.
        rows = tuple(row for row in rows if not row.ended or row.run_id not in left - touched)
        done = await asyncio.gather(*(self._refresh(row) for row in rows), return_exceptions=True)
        for row, error in zip(rows, done, strict=True):
            if error is False:
                self._touched |= {row.run_id} & touched
                self._left |= {row.run_id} & left
            if isinstance(error, Exception):  # one card that cannot be rendered does not stop the others
                log.error("cards", extra={"action": "card_failed", "run": row.ref}, exc_info=error)

    async def _refresh(self, run: Run) -> bool:
        """Updates the run's card; False if that must be tried again."""
        address = address_of(run)
        if address is None or address.bot_id != self._client.bot.id:
            return True
        if self._card_of(run, address) is None and run.age(run.reserved_at).total_seconds() < GRACE_SECONDS:
            return False
        if self._was_just_ordered(run):
            self._say_ordered(run, address)
            return False
        with contextlib.suppress(LedgerError):
            if await self._show(run, address, Urgency.CHANGE, 0.0):
                if run.ended and run.told_state is run.state:
                    self.forget(run.run_id)
                return True
        return False

    def _was_just_ordered(self, run: Run) -> bool:
        """Whether the run is ordered while its card may still say that nothing is charged."""
        shown = self._shown.get(run.run_id)
        lies = shown is None or shown.state not in ORDERED
        return run.state in ORDERED and lies and run.run_id not in self._gone

    def _say_ordered(self, run: Run, address: Address) -> None:
        """Updates the card in the background, with the urgency and patience of an answer; the next read checks it."""
        if run.run_id not in self._saying_ordered:
            saying = asyncio.create_task(self._show(run, address, Urgency.ANSWER, PATIENCE_SECONDS))
            self._saying_ordered[run.run_id] = saying
            saying.add_done_callback(lambda done: self._said_ordered(run, done))

    def _said_ordered(self, run: Run, done: asyncio.Task[bool]) -> None:
        del self._saying_ordered[run.run_id]
        if not done.cancelled() and (error := done.exception()):
            log.warning("card", extra={"action": "card_unsaid", "run": run.ref, "error": str(error)})

    async def show(self, run: Run, *, uploading: bool = False, patience: float = PATIENCE_SECONDS) -> None:
        """Edits the run's card, or sends a new one if there is none or it is known to be deleted.

        `uploading`: an edit does not wait, and a deleted card is not replaced. Raises SendError if it could not be
        sent, and what the transport raises.
        """
        address = address_of(run)
        assert address is not None, f"run {run.ref} is nobody's in Telegram"
        await self._say(run, address, Urgency.CHANGE if uploading else Urgency.ANSWER, patience)

    async def _show(self, run: Run, address: Address, urgency: Urgency, patience: float) -> bool:
        """Updates the run's card; False if a retry may succeed."""
        try:
            await self._say(run, address, urgency, patience)
        except MessageDeleted:
            return True
        except SendError:
            return False
        except TelegramAPIError as error:
            log.warning("card", extra={"action": "card_refused", "run": run.ref, "error": error.message})
            return True
        return True

    async def _say(self, run: Run, address: Address, urgency: Urgency, patience: float) -> None:
        lock = self._locks.get(run.run_id)
        if lock is None:
            lock = self._locks[run.run_id] = asyncio.Lock()
        async with lock:
            shown = self._shown.get(run.run_id)
            if shown is not None and shown.read_at > run.read_at:
                return
            page, phase = card(run, _words(address.language), await self._scene(run)), _phase(run)
            if shown is not None and shown.card == page:
                return
            card_id = self._card_of(run, address)
            if card_id is None:
                await self._send(run, address, page, patience)
            elif run.run_id in self._gone:
                if urgency is not Urgency.ANSWER:
                    raise MessageDeleted
                await self._send(run, address, page, patience)
            else:
                ticking = shown is not None and shown.phase == phase
                await self._edit(run, address, card_id, page, Urgency.TICK if ticking else urgency, patience)
            self._shown[run.run_id] = _Shown(page, phase, run.read_at, run.state)
            if address.failure_id is not None and run.state is not State.FAILED:
                await self._withdraw_failure(run, address, address.failure_id)

    async def _withdraw_failure(self, run: Run, address: Address, message_id: int) -> None:
        """A settlement was taken back, or the job turned up: the message that the run failed is no longer true."""
        words = _words(address.language)
        text = words("↩️ {ref} was checked again; its card shows how it stands.", ref=run.ref)
        method = EditMessageText(chat_id=address.chat_id, message_id=message_id, text=text, parse_mode="HTML")
        try:
            await self._client.say(method, address.chat_id)
        except (MessageDeleted, TelegramAPIError):  # deleted, or refused for good
            pass
        except SendError:
            return  # the card's next change retries
        await self._notifications.note(run.run_id, {"failure_id": None})

    async def _send(self, run: Run, address: Address, page: Card, patience: float) -> None:
        method = compose(address.chat_id, page.text, page.keyboard, address.message_id, address.thread_id)
        sent = await self._client.say(method, address.chat_id, patience=patience)
        self._cards[run.run_id] = sent.message_id
        self._gone.discard(run.run_id)
        await self._notifications.note(run.run_id, {"card_id": sent.message_id})

    async def _edit(
        self, run: Run, address: Address, card_id: int, page: Card, urgency: Urgency, patience: float
    ) -> None:
        method = EditMessageText(
            chat_id=address.chat_id,
            message_id=card_id,
            text=page.text,
            parse_mode="HTML",
            reply_markup=page.keyboard,
            link_preview_options=NO_PREVIEW,
        )
        try:
            await self._client.say(method, address.chat_id, urgency, patience=patience)
        except MessageDeleted:
            self._gone.add(run.run_id)
            raise
        except TelegramAPIError as error:
            if not not_modified(error):
                raise

    def _card_of(self, run: Run, address: Address) -> int | None:
        return self._cards.get(run.run_id, address.card_id)

    def forget(self, run_id: UUID) -> None:
        """Drops what is kept here of a run that has ended and whose user was notified."""
        for kept in (self._shown, self._cards, self._expected):
            kept.pop(run_id, None)
        self._gone.discard(run_id)

    async def _scene(self, run: Run) -> Scene:
        left = None
        if run.state is State.APPROVED and run.needs_confirmation and run.confirmed_at is None:
            allowance = await self._customers.allowance(run.user_id)
            left = allowance.videos_left + 1  # today's count includes this one already
        known = await self._expect(run) if run.state is State.RENDERING else None
        return Scene(self._for_sale, known, self._slow_seconds, videos_left=left)

    async def _expect(self, run: Run) -> Expected:
        """The estimate from when the card first needed one; it does not change while the run renders."""
        if run.run_id not in self._expected:
            self._expected[run.run_id] = await expected(run, self._ledger, self._account)
        return self._expected[run.run_id]


def _phase(run: Run) -> tuple[object, ...]:
    """A change of any of these is new information; any other change of a card is only a tick."""
    return (run.state, run.deferred_by, run.parked, run.confirmed_at, run.seconds, run.size, run.position)


@cache
def _words(language: str) -> Words:
    return Words(language)
