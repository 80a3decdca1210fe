"""/settings: language, length, format, and whether the user confirms the price before anything is charged."""

import hashlib
from collections.abc import Mapping

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message, User
from markupsafe import Markup

from bot.callback_data import Choose, ChooseOf, is_anothers
from bot.delivery.address import user_id
from bot.delivery.cards import SHAPES
from bot.requests.for_sale import ForSale, shape_of
from bot.translations import N_, Words
from bot.transport.replies import Replies
from pipeline.ledger.users import FIRST_VIDEOS, Customer, Customers, Preferences
from steps.languages import LANGUAGES

SHORT_CHARACTERS = 10
CONFIRM_NAMES: Mapping[str, str] = {
    "first": N_("for my first videos"),
    "always": N_("always"),
    "never": N_("never: order right away"),
}


async def settings(
    message: Message, words: Words, sender: User, customer: Customer, for_sale: ForSale, replies: Replies
) -> None:
    await replies.to(message, *settings_page(customer.preferences, sender.id, words, for_sale))


async def choose(
    tap: CallbackQuery,
    callback_data: Choose,
    words: Words,
    customers: Customers,
    for_sale: ForSale,
    replies: Replies,
) -> None:
    assert tap.message is not None, "the filter asked for one"
    if is_anothers(tap, callback_data):
        await replies.tap(
            tap, words.plain(N_("These are somebody else's settings. Send /settings for your own.")), alert=True
        )
        return
    key, value = callback_data.key, callback_data.value
    chosen_now = (await customers.get(user_id(tap.from_user.id))).preferences
    if value not in choices(key, words, _offered(key, chosen_now, for_sale)):
        await replies.tap(tap)
        return
    stored: str | int = int(value) if key == "seconds" else value
    if key == "model":
        stored = choices(key, words, for_sale)[value]
    chosen = await customers.set_preference(user_id(tap.from_user.id), key, stored)
    now = Words(chosen.language or words.language)
    await replies.tap(tap, now.plain(N_("Saved.")))
    await replies.rewrite(tap.message, *settings_page(chosen, tap.from_user.id, now, for_sale))


def choices(key: str, words: Words, for_sale: ForSale) -> Mapping[str, str]:
    """The values of a setting and the labels of their buttons."""
    match key:
        case "language":
            return {code: language.name for code, language in LANGUAGES.items()}
        case "seconds":
            return {str(seconds): words.plain(N_("{n} s"), n=seconds) for seconds in for_sale.lengths}
        case "size":
            return {size: words.plain(SHAPES[shape_of(size)]) for size in for_sale.sizes}
        case "model":
            return {short(each.model.offer): each.model.offer for each in for_sale.all} if for_sale.others else {}
        case "confirm":
            return {value: words.plain(name) for value, name in CONFIRM_NAMES.items()}
    return {}


def settings_page(
    chosen: Preferences, user: int, words: Words, for_sale: ForSale
) -> tuple[Markup, InlineKeyboardMarkup]:
    offer = for_sale.of(chosen.model)
    seconds, size = offer.length_for(chosen.seconds), offer.size_for(chosen.size)
    confirm = chosen.confirm or "first"
    text = words(
        "<b>Settings</b>\n"
        "Language: {language}\n"
        "Length and format: {seconds} s, {shape}, {price} a video\n"
        "Show the price and ask before charging: {confirm}\n\n"
        "“For my first videos” means at least the first {first}; I order later ones right away. Changing settings "
        "costs nothing.",
        language=words("English"),  # each catalogue translates this to its own language's name
        seconds=seconds,
        shape=words(SHAPES[shape_of(size)]).lower(),
        price=words.usd(offer.price(seconds, size)),
        confirm=words(CONFIRM_NAMES[confirm]),
        first=FIRST_VIDEOS,
    )
    now = {"language": words.language, "seconds": str(seconds), "size": size, "confirm": confirm}
    rows = [_row(key, value, user, words, _offered(key, chosen, for_sale)) for key, value in now.items()]
    models = _row("model", short(offer.model.offer), user, words, for_sale)
    if models:
        text = Markup("\n\n").join([text, words("Model: {name}", name=offer.model.offer)])
    below = ([button] for button in (*rows[3], *models))
    return text, InlineKeyboardMarkup(inline_keyboard=[*rows[:3], *below])


def _offered(key: str, chosen: Preferences, for_sale: ForSale) -> ForSale:
    """Lengths and formats are those of the user's model; models are those of the bot."""
    return for_sale if key == "model" else for_sale.of(chosen.model)


def short(offer: str) -> str:
    """An offer's name for a button's data, which is at most 64 bytes."""
    return hashlib.sha256(offer.encode()).hexdigest()[:SHORT_CHARACTERS]


def _row(key: str, now: str, user: int, words: Words, for_sale: ForSale) -> list[InlineKeyboardButton]:
    return [
        InlineKeyboardButton(
            text=f"● {name}" if value == now else name,
            callback_data=ChooseOf(key=key, value=value, user=user).pack(),
        )
        for value, name in choices(key, words, for_sale).items()
    ]


def make_router() -> Router:
    """This module's handlers, in the order in which they are tried."""
    router = Router(name="preferences")
    router.message.register(settings, Command("settings", ignore_case=True))
    for data in (ChooseOf, Choose):
        router.callback_query.register(choose, data.filter(), F.message)
    return router
