"""Turns a request in a chat into a run with a card: one `reserve`, one job, one card.

In       a prompt, its user, where it was sent, and the request key, which stays the same when an update is retried
Out      Placed, or why not
Raises   what the transport raises: the update is then retried, and `reserve` answers "replayed"
Effects  the reservation is committed before any message is sent
"""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from uuid import UUID

from aiogram.exceptions import TelegramAPIError

from bot.delivery.address import Address, address_of
from bot.delivery.progress_cards import ProgressCards
from bot.requests.for_sale import ForSale
from bot.transport.client import SendError
from bot.transport.replies import SOON_SECONDS
from pipeline.ledger.client import Ledger
from pipeline.ledger.functions import read_value
from pipeline.ledger.records import Run, State
from pipeline.ledger.users import Customer, Customers, Preferences
from pipeline.run import admit
from steps.check_limits import PromptProblem, Refused, check_prompt

DRAFT = frozenset({State.RESERVED, State.APPROVED})
Enqueue = Callable[[UUID], Awaitable[None]]


@dataclass(frozen=True)
class Placed:
    """`replayed`: this request had a run already."""

    run: Run
    replayed: bool


@dataclass(frozen=True)
class OrderRequest:
    """`user` is the user's id in the ledger; `chosen` overrides their usual length and format.

    `asks_first`: the user must confirm the price, whatever their preference. `asked_price`: the price on the button,
    in micro-dollars; if the price has changed since, the user must confirm it, too.
    """

    prompt: str
    user: str
    key: str
    address: Address
    chosen: Preferences | None = None
    again: bool = False
    asks_first: bool = False
    asked_price: int | None = None


class Orders:
    def __init__(
        self, ledger: Ledger, for_sale: ForSale, enqueue: Enqueue, cards: ProgressCards, customers: Customers
    ) -> None:
        self._ledger, self._for_sale, self._enqueue, self._cards = ledger, for_sale, enqueue, cards
        self._customers = customers

    async def submit(
        self, order_request: OrderRequest, customer: Customer, *, instead_of: Run | None = None
    ) -> Placed | Refused | PromptProblem:
        """`instead_of`: a draft of the same user, canceled in the same step; it stays if this request is refused."""
        prompt = check_prompt(order_request.prompt)
        if isinstance(prompt, PromptProblem):
            return prompt
        chosen = order_request.chosen or customer.preferences
        request = self._for_sale.of(chosen.model).request(
            prompt,
            order_request.user,
            order_request.key,
            order_request.address.to_audience(),
            chosen=chosen,
            confirm=customer.asks_first or order_request.asks_first,
            again=order_request.again,
        )
        if order_request.asked_price not in (None, request.price_microusd):
            request = replace(request, confirm=True)
        answer = await admit(request, self._ledger, replacing=instead_of.run_id if instead_of else None)
        if isinstance(answer, Refused):
            return answer
        run = read_value(Run, answer.row)
        if not run.ended:
            await self.go_on(run)
            await self._show_card(run)
        return Placed(run, answer.replayed)

    async def replace(
        self, ref: str, order_request: OrderRequest, customer: Customer
    ) -> Placed | Refused | PromptProblem:
        """Replaces the user's draft `ref`, which stays until this order is placed; without one, a new order."""
        draft = await self._ledger.find(ref)
        if draft is None or draft.user_id != order_request.user:
            return await self.submit(order_request, customer)
        chosen = order_request.chosen or Preferences(seconds=draft.seconds, size=draft.size, model=draft.offer)
        order_request = replace(order_request, chosen=chosen)
        if draft.state not in DRAFT:
            return await self.submit(order_request, customer)
        answer = await self.submit(order_request, customer, instead_of=draft)
        if isinstance(answer, Placed):
            await self.go_on(draft)
        return answer

    async def announced(self, user: str) -> None:
        """Records that the user was told that later orders need no confirmation."""
        await self._customers.note_first_notice(user)

    async def go_on(self, run: Run) -> None:
        """Enqueues the run and has its card updated."""
        await self._enqueue(run.run_id)
        self._cards.touch(run.run_id)

    async def _show_card(self, run: Run) -> None:
        """Sends the card if the rate limits allow it within 0.3 s; otherwise `ProgressCards` sends it later."""
        self._cards.queue(run.run_id)
        address = address_of(run)
        if address is None or address.card_id is not None:
            return
        with contextlib.suppress(SendError, TelegramAPIError):
            await self._cards.show(run, patience=SOON_SECONDS)
