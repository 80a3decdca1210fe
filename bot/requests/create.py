"""What users write: /create, a mention, an answer to our question, or plain text that may become a video."""

import re

from aiogram import Bot, F, Router
from aiogram.enums import ChatType
from aiogram.filters import Command, CommandObject
from aiogram.types import (
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
)

from bot.callback_data import Example, OfferAnswer
from bot.delivery.address import request_key, user_id
from bot.requests.answers import address_here, address_of_tap, announce, asked_already, order_by_tap, say_answer
from bot.requests.contents import SERVICE, has_media, leaves_something_out
from bot.requests.ordering import OrderRequest, Orders
from bot.requests.questions import answered
from bot.translations import N_, Words
from bot.transport.replies import Replies
from pipeline.ledger.users import Customer

EXAMPLES = (
    N_("A paper boat sails down a rainy street at dusk, reflections of neon on the water"),
    N_("A cat in a tiny apron kneads bread in a sunny kitchen, flour in the air"),
    N_("A hot-air balloon drifts over misty mountains at sunrise, seen from a drone"),
)
EXAMPLE_NAMES = (N_("🚤 Paper boat"), N_("🐈 Baking cat"), N_("🎈 Balloon"))
ONLY_WORDS = N_(
    "I cannot use pictures, files, links or other messages yet: the video would be made from your words alone. "
    "Nothing is ordered until you tap Create."
)
ABOUT_OURS = N_(
    "I cannot see the video you replied to: this one would be made from your words alone. Tap Change below that video "
    "to start from its text. Nothing is ordered until you tap Create."
)
ONLY_TEXT = N_("I can only read text. Send /create and what the video should show.")
READ_ONCE = N_(
    "I read each message only once, when it arrives, so this edit changes nothing and costs nothing. To change a "
    "video, tap Edit or Change below it; for another one, send a new message."
)
private = F.chat.type == ChatType.PRIVATE
group = F.chat.type.in_({ChatType.GROUP, ChatType.SUPERGROUP})


async def create(
    message: Message,
    command: CommandObject,
    bot: Bot,
    words: Words,
    customer: Customer,
    orders: Orders,
    replies: Replies,
    after: str | None = None,
) -> None:
    if command.args is None or not command.args.strip():
        await replies.to(
            message, words("Write what the video should show after /create, or tap an example."), examples(words)
        )
        return
    await order(message, command.args, bot, words, customer, orders, replies, after=after)


async def order(
    message: Message,
    prompt: str,
    bot: Bot,
    words: Words,
    customer: Customer,
    orders: Orders,
    replies: Replies,
    *,
    asks_first: bool = False,
    after: str | None = None,
) -> None:
    """Places an order from a message. The same message is the same run, however often it arrives.

    `after`: the ref of the run whose question came right before. An answer to a question replaces that run if it is
    the sender's own draft, and its price is shown first.
    """
    if message.from_user is None or message.sender_chat is not None or message.from_user.is_bot:
        await replies.to(
            message, words("I cannot tell who is asking here: write as yourself, not as a group or a channel.")
        )
        return
    key = request_key(bot.id, message.chat.id, message.message_id)
    answers = answered(message, bot.id, after)
    left_out = await say_what_is_left_out(message, bot, words, replies)
    asks_first = asks_first or answers is not None or left_out
    order_request = OrderRequest(
        prompt, user_id(message.from_user.id), key, address_here(message, bot.id, words), asks_first=asks_first
    )
    answer = (
        await orders.submit(order_request, customer)
        if answers is None or answers.ref is None
        else await orders.replace(answers.ref, order_request, customer)
    )
    await say_answer(message, answer, words, replies)
    await announce(message, answer, order_request, words, customer, orders, replies)


async def say_what_is_left_out(message: Message, bot: Bot, words: Words, replies: Replies) -> bool:
    """Tells the sender what the prompt leaves out of the message; returns whether it leaves out anything."""
    if not leaves_something_out(message, bot.id):
        return False
    about = message.reply_to_message
    ours = about is not None and about.from_user is not None and about.from_user.id == bot.id and has_media(about)
    await replies.to(message, words(ABOUT_OURS if ours else ONLY_WORDS))
    return True


def examples(words: Words) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        inline_keyboard=[
            [InlineKeyboardButton(text=words.plain(name), callback_data=Example(number=number).pack())]
            for number, name in enumerate(EXAMPLE_NAMES)
        ]
    )


async def example(
    tap: CallbackQuery,
    callback_data: Example,
    bot: Bot,
    words: Words,
    customer: Customer,
    orders: Orders,
    replies: Replies,
) -> None:
    assert tap.message is not None, "the filter asked for one"
    if not 0 <= callback_data.number < len(EXAMPLES):
        await replies.tap(tap)
        return
    prompt = words.plain(EXAMPLES[callback_data.number])
    key = request_key(bot.id, tap.message.chat.id, tap.message.message_id, f"example{callback_data.number}", 1)
    address = address_of_tap(tap, bot.id, words)
    order_request = OrderRequest(prompt, user_id(tap.from_user.id), key, address, asks_first=True)  # it names no price
    placed = await order_by_tap(tap, order_request, words, customer, orders, replies)
    if placed is not None and placed.replayed and placed.run.ended:
        said = N_(
            "This button already started {ref}. Send /create to see the examples again; nothing was charged for this "
            "tap."
        )
        await replies.tap(tap, words.plain(said, ref=placed.run.ref), alert=True)


async def plain(
    message: Message,
    bot: Bot,
    words: Words,
    customer: Customer,
    orders: Orders,
    replies: Replies,
    after: str | None = None,
) -> None:
    """An answer to our question is a prompt; for other text, asks whether to make a video of it."""
    text = message.text or message.caption or ""
    if answered(message, bot.id, after):
        await order(message, text, bot, words, customer, orders, replies, after=after)
        return
    if message.text is None:
        await replies.to(message, words(ONLY_TEXT))
        return
    await say_what_is_left_out(message, bot, words, replies)
    buttons = [
        InlineKeyboardButton(text=words.plain(N_("🎬 Yes, make it")), callback_data=OfferAnswer(yes=True).pack()),
        InlineKeyboardButton(text=words.plain(N_("No")), callback_data=OfferAnswer(yes=False).pack()),
    ]
    await replies.to(
        message,
        words("Make this a video? Nothing is charged yet."),
        InlineKeyboardMarkup(inline_keyboard=[buttons]),
    )


async def for_sale(
    tap: CallbackQuery,
    callback_data: OfferAnswer,
    bot: Bot,
    words: Words,
    customer: Customer,
    orders: Orders,
    replies: Replies,
) -> None:
    asked = tap.message
    if not isinstance(asked, Message) or asked.reply_to_message is None or not asked.reply_to_message.text:
        await replies.tap(
            tap, words.plain(N_("I no longer have your message. Send it again with /create.")), alert=True
        )
        return
    if not callback_data.yes:
        await replies.tap(tap)
        await replies.rewrite(asked, words("All right. Nothing was made, nothing was charged."), None)
        return
    said = asked.reply_to_message
    if said.from_user is None or said.from_user.id != tap.from_user.id:
        await replies.tap(tap, words.plain(N_("Somebody else wrote this. Send your own with /create.")), alert=True)
        return
    key = request_key(bot.id, said.chat.id, said.message_id)  # the same request, however often the question was asked
    address = address_here(said, bot.id, words)
    order_request = OrderRequest(said.text or "", user_id(tap.from_user.id), key, address, asks_first=True)
    placed = await order_by_tap(tap, order_request, words, customer, orders, replies)
    if placed is None:
        return
    if placed.replayed and placed.run.ended:
        await replies.tap(tap, asked_already(placed.run, words))
    await replies.rewrite(
        asked,
        words("OK, I am working on {ref}. Its card shows the progress and the price.", ref=placed.run.ref),
        None,
    )


async def mentioned(
    message: Message, bot: Bot, words: Words, customer: Customer, orders: Orders, replies: Replies
) -> None:
    """Takes orders in a group, for mentions and answers to our questions; the user confirms the price first."""
    text = message.text or message.caption or ""
    answer = answered(message, bot.id)
    if answer and not text:
        await replies.to(message, words(ONLY_TEXT))
    elif answer:
        await order(message, text, bot, words, customer, orders, replies)
    else:
        await _mention(message, text, bot, words, customer, orders, replies)


async def _mention(
    message: Message, text: str, bot: Bot, words: Words, customer: Customer, orders: Orders, replies: Replies
) -> None:
    prompt = (await _our_name(bot)).sub("", text).strip()
    if prompt == text.strip():
        return
    if text.startswith("/"):
        if (await _our_name(bot)).search(text.split(maxsplit=1)[0]):
            await replies.to(message, words("I do not know this command. See /help for everything I can do."))
        return
    if not prompt:
        await replies.to(
            message, words("Write what the video should show after /create, or tap an example."), examples(words)
        )
        return
    await order(message, prompt, bot, words, customer, orders, replies, asks_first=True)


async def _our_name(bot: Bot) -> re.Pattern[str]:
    """A pattern for mentions of the bot."""
    return re.compile(rf"@{re.escape((await bot.me()).username or '')}\b", re.IGNORECASE)


async def said_to_us(message: Message, bot: Bot) -> bool:
    """Whether `mentioned` handles this message."""
    text = message.text or message.caption or ""
    return answered(message, bot.id) is not None or (await _our_name(bot)).search(text) is not None


async def edited(message: Message, words: Words, replies: Replies) -> None:
    """Tells the sender of an edited request that the edit changes nothing."""
    await replies.to(message, words(READ_ONCE))


async def unreadable(message: Message, words: Words, replies: Replies) -> None:
    if message.text and message.text.startswith("/"):
        await replies.to(message, words("I do not know this command. See /help for everything I can do."))
    elif message.content_type not in SERVICE:
        await replies.to(message, words(ONLY_TEXT))


def make_router() -> Router:
    """This module's handlers, in the order in which they are tried."""
    router = Router(name="requests")
    router.message.register(create, Command("create", ignore_case=True))
    router.callback_query.register(example, Example.filter(), F.message)
    router.message.register(plain, private, F.text | F.caption, ~F.text.startswith("/"))
    router.callback_query.register(for_sale, OfferAnswer.filter(), F.message)
    router.message.register(mentioned, group)
    router.message.register(unreadable, private)
    router.edited_message.register(edited, Command("create", ignore_case=True))
    # Not for a live location, which Telegram edits as it moves.
    router.edited_message.register(edited, private, F.text | F.caption | F.func(has_media))
    router.edited_message.register(edited, group, said_to_us)
    return router
