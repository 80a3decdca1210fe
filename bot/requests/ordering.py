"""From a wish in a chat to a run with a card: one `reserve`, one job, one card.

In       a prompt, whose it is, where it was said, and the key under which it is the same wish for ever
Out      Placed, or why not
Raises   what the transport raises: the update is then handed to us again, and `reserve` answers "replayed"
Effects  the reservation is committed before anything is said
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
from pipeline import run_log
from pipeline.ledger.client import Ledger
from pipeline.ledger.records import Run, State
from pipeline.ledger.users import Customer, Customers, Preferences
from steps.check_limits import PromptProblem, Refused, check_limits, check_prompt, replace_draft

DRAFT = frozenset({State.RESERVED, State.APPROVED})
Enqueue = Callable[[UUID], Awaitable[None]]


@dataclass(frozen=True)
class Placed:
    """`replayed`: this wish has been a run before."""

    run: Run
    replayed: bool


@dataclass(frozen=True)
class OrderRequest:
    """`user` is the ledger's name for them; `chosen` overrides their usual length and format.

    `asks_first`: the price is shown for a yes, whatever they prefer. `asked_price`: what the button said, in
    micro-dollars; if it costs something else by now, that is shown for a yes, too.
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

    async def place(
        self, order_request: OrderRequest, customer: Customer, *, instead_of: Run | None = None
    ) -> Placed | Refused | PromptProblem:
        """`instead_of`: a draft of the same user, withdrawn in the same step; if this one is refused, it stays."""
        prompt = check_prompt(order_request.prompt)
        if isinstance(prompt, PromptProblem):
            return prompt
        request = self._for_sale.request(
            prompt,
            order_request.user,
            order_request.key,
            order_request.address.to_audience(),
            chosen=order_request.chosen or customer.preferences,
            confirm=customer.asks_first or order_request.asks_first,
            again=order_request.again,
        )
        if order_request.asked_price not in (None, request.price_microusd):
            request = replace(request, confirm=True)
        rpc = self._ledger.rpc
        answer = (
            await check_limits(request, rpc)
            if instead_of is None
            else await replace_draft(instead_of.run_id, request, rpc)
        )
        run_log.admission(answer)
        if isinstance(answer, Refused):
            return answer
        run = await self._ledger.load(answer.run_id)
        assert run is not None, f"run {answer.ref} has left the ledger"
        if not run.ended:
            await self.go_on(run)
            await self._show_card(run)
        return Placed(run, answer.replayed)

    async def replace(
        self, ref: str, order_request: OrderRequest, customer: Customer
    ) -> Placed | Refused | PromptProblem:
        """In place of a draft, which stays until this one is placed. Whatever became of it, the price comes first."""
        draft = await self._ledger.find(ref)
        if draft is None or draft.user_id != order_request.user:
            return await self.place(order_request, customer)
        chosen = order_request.chosen or Preferences(seconds=draft.seconds, size=draft.size)
        order_request = replace(order_request, asks_first=True, chosen=chosen)
        if draft.state not in DRAFT:
            return await self.place(order_request, customer)
        answer = await self.place(order_request, customer, instead_of=draft)
        if isinstance(answer, Placed):
            await self.go_on(draft)
        return answer

    async def announced(self, user: str) -> None:
        """The user was told that later orders are not asked about."""
        await self._customers.note_told_first(user)

    async def go_on(self, run: Run) -> None:
        """Somebody should look at the run now."""
        await self._enqueue(run.run_id)
        self._cards.touch(run.run_id)

    async def _show_card(self, run: Run) -> None:
        """Now, if its turn comes soon; otherwise the board sends it."""
        self._cards.queue(run.run_id)
        address = address_of(run)
        if address is None or address.card_id is not None:
            return
        with contextlib.suppress(SendError, TelegramAPIError):
            await self._cards.show(run, patience=SOON_SECONDS)
