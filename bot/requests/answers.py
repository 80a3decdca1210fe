"""The answers to orders from messages and buttons."""

from datetime import UTC, datetime

from aiogram.enums import ChatType
from aiogram.types import (
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    MaybeInaccessibleMessageUnion,
    Message,
)

from bot import messages
from bot.callback_data import ChooseOf
from bot.delivery.address import Address, telegram_id
from bot.requests.ordering import OrderRequest, Orders, Placed
from bot.translations import N_, Words
from bot.transport.replies import Replies, thread_of
from pipeline.ledger.answers import Amended
from pipeline.ledger.records import Run
from pipeline.ledger.users import Customer
from steps.check_limits import PromptProblem, Refused

LAST_QUESTION = N_(
    "This is the last time I ask first: from your next video on, I order right away, at the price in /limits. Tap "
    "Keep asking if you want me to always ask first."
)

REFUSED_AGAIN = N_(
    "The same prompt would be refused again, so nothing was ordered or charged. Tap Change and rephrase your prompt."
)
# By the reason of a failed run: why it cannot be ordered again unchanged, whatever button or forged tap asks for it.
WHY_NOT_AGAIN = dict.fromkeys(messages.IN_OTHER_WORDS_ONLY, REFUSED_AGAIN) | {
    "already_sent": messages.FAILURES["already_sent"][1]
}


async def announce(
    message: MaybeInaccessibleMessageUnion,
    answer: Placed | Refused | PromptProblem,
    order_request: OrderRequest,
    words: Words,
    customer: Customer,
    orders: Orders,
    replies: Replies,
) -> None:
    """Announces, once per user, that this order is the last one to be confirmed."""
    if not isinstance(answer, Placed) or order_request.asks_first or not customer.is_asked_last:
        return
    keep = InlineKeyboardButton(
        text=words.plain(N_("🔔 Keep asking")),
        callback_data=ChooseOf(key="confirm", value="always", user=telegram_id(order_request.user)).pack(),
    )
    keyboard = InlineKeyboardMarkup(inline_keyboard=[[keep]])
    await replies.to(message, words(LAST_QUESTION), keyboard, said=lambda: orders.announced(order_request.user))


async def say_answer(
    message: Message, answer: Placed | Refused | PromptProblem, words: Words, replies: Replies
) -> None:
    match answer:
        case Refused():
            await replies.to(message, messages.refusal(answer, words, datetime.now(UTC)))
        case PromptProblem():
            await replies.to(message, messages.prompt_problem(answer, words))


def address_here(message: Message, bot_id: int, words: Words) -> Address:
    return Address(
        bot_id=bot_id,
        chat_id=message.chat.id,
        message_id=message.message_id,
        language=words.language,
        private=message.chat.type == ChatType.PRIVATE,
        thread_id=thread_of(message),
    )


async def order_by_tap(
    tap: CallbackQuery, order_request: OrderRequest, words: Words, customer: Customer, orders: Orders, replies: Replies
) -> Placed | None:
    """Places an order from a button. None if it was refused; the answer to the tap says why.

    If the button had started a run before, and that run has ended, the caller must answer the tap.
    """
    answer = await orders.submit(order_request, customer)
    if tap.message is not None:
        await announce(tap.message, answer, order_request, words, customer, orders, replies)
    if isinstance(answer, Placed):
        if answer.replayed and answer.run.ended:
            return answer
        await replies.tap(tap, asked_already(answer.run, words) if answer.replayed else "")
        return answer
    if isinstance(answer, Refused):
        said = messages.refusal(answer, words, datetime.now(UTC))
    else:
        said = messages.prompt_problem(answer, words)
    await replies.tap(tap, said.striptags(), alert=True)
    return None


def asked_already(run: Run, words: Words) -> str:
    return words.plain(
        N_("You have already asked for this: {ref} ({state})."),
        ref=run.ref,
        state=messages.state(run, words).striptags(),
    )


def address_of_tap(tap: CallbackQuery, bot_id: int, words: Words) -> Address:
    message = tap.message
    assert message is not None, "a button stands below a message"
    return Address(
        bot_id=bot_id,
        chat_id=message.chat.id,
        message_id=message.message_id,
        language=words.language,
        private=message.chat.type == ChatType.PRIVATE,
        thread_id=thread_of(message),
    )


def not_amended(amended: Amended, words: Words) -> str:
    """Why a change of length or format was refused; plain text, for an alert."""
    if amended.refused == "budget_exhausted":
        return words.plain(
            "The remaining budget does not cover that price. Your video stays as it was; nothing was charged."
        )
    return words.plain("Too late to change this video: it is already ordered or has ended. Nothing was changed.")
