"""The buttons of a run. The ledger decides what a tap may do, and a repeated tap does nothing more."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from aiogram import Bot, F, Router
from aiogram.enums import ChatType
from aiogram.types import CallbackQuery, ForceReply, InlineKeyboardMarkup
from markupsafe import Markup

from bot import messages
from bot.callback_data import Act, RunTap
from bot.delivery.address import address_of, request_key, user_id
from bot.delivery.cards import Scene, card
from bot.delivery.delivery import Delivery
from bot.delivery.video_message import caption_text, under_video
from bot.requests.answers import WHY_NOT_AGAIN, address_of_tap, not_amended, order_by_tap
from bot.requests.for_sale import ForSale
from bot.requests.ordering import OrderRequest, Orders
from bot.requests.questions import Questions
from bot.requests.receipt_text import receipt_text
from bot.requests.tapped import Tapped
from bot.translations import N_, Words, code
from bot.transport.client import SendError, TooLarge
from bot.transport.replies import Replies
from pipeline.ledger.client import Ledger
from pipeline.ledger.records import Run, State
from pipeline.ledger.users import Customer, Customers, Preferences

PLACEHOLDER_CHARACTERS_MAX = 64  # Bot API


async def tapped(
    tap: CallbackQuery,
    callback_data: RunTap,
    bot: Bot,
    words: Words,
    customer: Customer,
    customers: Customers,
    ledger: Ledger,
    for_sale: ForSale,
    orders: Orders,
    delivery: Delivery,
    replies: Replies,
    questions: Questions,
) -> None:
    run = await ledger.find(callback_data.ref)
    if run is None:
        await replies.tap(
            tap, words.plain(N_("I can no longer find this video. Nothing was charged for this tap.")), alert=True
        )
        return
    if run.user_id != user_id(tap.from_user.id):
        await replies.tap(
            tap, words.plain(N_("This is somebody else's video. Send your own with /create.")), alert=True
        )
        return
    all_of_it = Tapped(
        tap,
        callback_data,
        run,
        bot.id,
        words,
        customer,
        customers,
        ledger,
        for_sale,
        orders,
        delivery,
        replies,
        questions,
    )
    await _ACTS[callback_data.act](all_of_it)


async def _create(t: Tapped) -> None:
    seconds, _, size = t.data.arg.partition("-")
    meant = (int(seconds), size) if seconds.isdecimal() and size else (t.run.seconds, t.run.size)
    fresh = await t.ledger.confirm(t.run.run_id, *meant)
    await t.orders.go_on(fresh)
    if fresh.confirmed_at is not None and fresh.state not in {State.CANCELED, State.FAILED}:
        await t.say(N_("Confirmed. Tapping again does not order it twice."))
    elif fresh.state is State.APPROVED and (fresh.seconds, fresh.size) != meant:
        await t.say(
            N_(
                "Nothing was ordered: the length or format was changed in the meantime. Check the new price and tap "
                "again."
            ),
            alert=True,
        )
    elif fresh.state is State.APPROVED and (await t.customers.allowance(t.run.user_id)).blocked:
        await t.say(
            N_("The people who run this bot have blocked you, so this was not ordered. Nothing was charged."),
            alert=True,
        )
    elif fresh.state is State.APPROVED:
        await t.say(N_("Too late: this button has expired. Nothing was charged; send /create again."), alert=True)
    else:
        await t.replies.tap(t.tap, messages.state(fresh, t.words).striptags())


async def _seconds(t: Tapped) -> None:
    await _amend(t, int(t.data.arg) if t.data.arg.isdecimal() else 0, t.run.size)


async def _size(t: Tapped) -> None:
    await _amend(t, t.run.seconds, t.data.arg)


async def _amend(t: Tapped, seconds: int, size: str) -> None:
    offer = t.for_sale.for_run(t.run)
    if not offer.sold(t.run) or not offer.matches(seconds, size):
        await t.say(
            N_("This can no longer be changed here. Cancel it and send it again; nothing was charged."), alert=True
        )
        return
    amended = await t.ledger.amend(t.run.run_id, seconds, size, offer.price(seconds, size), offer.input(seconds, size))
    await t.orders.go_on(amended.run)
    if amended.refused:
        await t.replies.tap(t.tap, not_amended(amended, t.words), alert=True)
    else:
        await t.replies.tap(t.tap)


async def _cancel(t: Tapped) -> None:
    if await t.ledger.cancel(t.run.run_id, t.run.user_id):
        await t.orders.go_on(t.run)
        await t.say(N_("Canceled. Nothing was charged."))
    elif (fresh := await t.ledger.load(t.run.run_id)) and fresh.state is State.CANCELED:
        await t.say(N_("Already canceled. Nothing was charged."))
    else:
        await t.say(N_("Too late to cancel: your video is already ordered or has ended. See /status."), alert=True)


async def _edit(t: Tapped) -> None:
    """Only asks for another prompt: the draft stays until the answer arrives."""
    draft = t.run.state is State.RESERVED or (t.run.state is State.APPROVED and t.run.confirmed_at is None)
    if draft or t.run.state is State.CANCELED:
        await _change(t)
    else:
        await t.say(N_("Too late to edit: your video is already ordered or has ended. See /status."), alert=True)


async def _change(t: Tapped) -> None:
    """Asks for another prompt. The answer is a new message, and so a new request.

    Telegram opens the reply box only for the sender of the message that the question replies to, or for users that the
    question mentions.
    """
    await t.replies.tap(t.tap)
    message = t.tap.message
    assert message is not None, "the filter asked for one"
    private, own = message.chat.type == ChatType.PRIVATE, _own_message(t.run, message.chat.id)
    text = t.words(
        "✏️ {ref}: reply to this message with what the video should show instead. Nothing is charged for asking. Your "
        "prompt so far, to copy: {prompt}",
        ref=t.run.ref,
        prompt=code(t.run.prompt[:3000]),
    )
    if own is None and not private:
        text = Markup('{} <a href="tg://user?id={}">{}</a>').format(text, t.tap.from_user.id, t.tap.from_user.full_name)
    if private:
        t.questions.ask(message.chat.id, t.tap.from_user.id, t.run.ref)
    placeholder = t.words.plain(N_("What should the video show?"))[:PLACEHOLDER_CHARACTERS_MAX]
    question = ForceReply(selective=own is not None or not private, input_field_placeholder=placeholder)
    await t.replies.beside(message, text, question, answers=own)


def _own_message(run: Run, chat_id: int) -> int | None:
    """The user's message in this chat that requested the run; None if a button did."""
    known = address_of(run)
    if known is None or known.chat_id != chat_id:
        return None
    asked = run.request_key == request_key(known.bot_id, known.chat_id, known.message_id)
    return known.message_id if asked else None


async def _rewrite(t: Tapped) -> None:
    if not t.run.safe_rewrite or t.run.state is not State.REJECTED:
        await t.replies.tap(t.tap)
        return
    await _another(t, t.run.safe_rewrite, again=False)


async def _again(t: Tapped) -> None:
    if why := WHY_NOT_AGAIN.get(t.run.reason or ""):
        await t.say(why, alert=True)
    else:
        await _another(t, t.run.prompt, again=True)


async def _retry(t: Tapped) -> None:
    """Retries only failed and canceled runs: a run that was found after all must not be bought again."""
    if t.run.state in {State.FAILED, State.CANCELED}:
        await _again(t)
    else:
        await t.replies.tap(t.tap, messages.state(t.run, t.words).striptags(), alert=True)


async def _another(t: Tapped, prompt: str, *, again: bool) -> None:
    """Starts a new run from a button. Repeated taps are one run; once it has ended, the button starts another."""
    message = t.tap.message
    assert message is not None, "the filter asked for one"
    take = int(t.data.arg) if t.data.arg.isdecimal() else 1
    key = request_key(t.bot_id, message.chat.id, _place_of(t, message.message_id), t.data.act.value, take)
    address = address_of_tap(t.tap, t.bot_id, t.words)
    chosen = Preferences(seconds=t.run.seconds, size=t.run.size, model=t.run.offer)
    order_request = OrderRequest(prompt, t.run.user_id, key, address, chosen, again, asked_price=t.run.price_microusd)
    placed = await order_by_tap(t.tap, order_request, t.words, t.customer, t.orders, t.replies)
    if placed is not None and placed.replayed and placed.run.ended:
        said = t.words.plain(
            N_("This button already started {ref} ({state}). Tap it again to start another one for {price}."),
            ref=placed.run.ref,
            state=messages.state(placed.run, t.words).striptags(),
            price=t.words.usd(t.run.price_microusd),
        )
        await t.replies.tap(t.tap, said, alert=True)
        await t.replies.rebutton(message, _buttons(t, take + 1))


def _place_of(t: Tapped, message_id: int) -> int:
    """The message id in the request key. A failure's two Retry buttons, on its card and in its message, share one."""
    known = address_of(t.run)
    if t.data.act is Act.RETRY and known is not None and known.bot_id == t.bot_id and known.card_id is not None:
        return known.card_id
    return message_id


def _buttons(t: Tapped, take: int) -> InlineKeyboardMarkup | None:
    if t.data.act is Act.AGAIN:
        return under_video(t.run, t.words, take)
    return card(t.run, t.words, Scene(t.for_sale, take=take)).keyboard


async def _copy(t: Tapped) -> None:
    await t.replies.tap(t.tap)
    assert t.tap.message is not None, "the filter asked for one"
    await t.replies.to(t.tap.message, code(caption_text(t.run)))


async def _receipt(t: Tapped) -> None:
    await t.replies.tap(t.tap)
    assert t.tap.message is not None, "the filter asked for one"
    await t.replies.to(t.tap.message, receipt_text(t.run, t.words, demo=t.for_sale.demo))


async def _resend(t: Tapped) -> None:
    """Sends a video from the user's history again, by Telegram's file id if known: free."""
    known = address_of(t.run)
    address = replace(
        address_of_tap(t.tap, t.bot_id, t.words), file_id=known.file_id if known and known.bot_id == t.bot_id else None
    )
    try:
        await t.delivery.send_again(t.run, address)
    except FileNotFoundError:
        await t.say(
            N_("The file of {ref} is no longer here, so I cannot send it again. Nothing was charged for trying."),
            alert=True,
        )
    except TooLarge:
        await t.say(
            N_(
                "{ref} is larger than Telegram accepts from a bot, so I cannot send it. Nothing was charged for trying."
            ),
            alert=True,
        )
    except SendError:
        await t.say(
            N_("I could not send the video just now. Tap again in a minute; nothing was charged for trying."),
            alert=True,
        )
    else:
        await t.replies.tap(t.tap)


_ACTS: Mapping[Act, Callable[[Tapped], Awaitable[None]]] = {
    Act.CREATE: _create,
    Act.SECONDS: _seconds,
    Act.SIZE: _size,
    Act.EDIT: _edit,
    Act.CANCEL: _cancel,
    Act.REWRITE: _rewrite,
    Act.RETRY: _retry,
    Act.AGAIN: _again,
    Act.CHANGE: _change,
    Act.COPY: _copy,
    Act.RECEIPT: _receipt,
    Act.RESEND: _resend,
}


def make_router() -> Router:
    """This module's handlers, in the order in which they are tried."""
    router = Router(name="run_taps")
    router.callback_query.register(tapped, RunTap.filter(), F.message)
    return router
