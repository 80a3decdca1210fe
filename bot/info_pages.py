"""Commands about the bot and the user's own videos: /start, /help, /videos, /status, /limits, /cancel."""

from aiogram import F, Router
from aiogram.filters import Command, CommandStart
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message, User
from markupsafe import Markup, escape

from bot import messages
from bot.callback_data import Act, RunTap, VideosPage, VideosPageOf, is_anothers
from bot.delivery.address import user_id
from bot.requests.create import examples
from bot.requests.for_sale import ForSale
from bot.requests.ordering import Enqueue, Orders
from bot.translations import N_, Words
from bot.transport.replies import Replies
from pipeline.formatting import lasting
from pipeline.ledger.client import Ledger
from pipeline.ledger.notifications import Notifications
from pipeline.ledger.records import Run, State
from pipeline.ledger.users import FIRST_VIDEOS, Allowance, Customer, Customers, UserVideos

PAGE_VIDEOS = 5
TITLE_CHARACTERS_MAX = 48

# Telegram's command menu, set in every language.
COMMANDS = (
    ("create", N_("make a video: /create a paper boat in the rain")),
    ("videos", N_("watch your videos again")),
    ("status", N_("your videos in progress")),
    ("limits", N_("your remaining videos today, and the price")),
    ("settings", N_("language, length, format, and asking before charging")),
    ("cancel", N_("cancel requests that are not ordered yet")),
    ("help", N_("how this works")),
)


async def start(
    message: Message,
    words: Words,
    customer: Customer,
    for_sale: ForSale,
    notifications: Notifications,
    enqueue: Enqueue,
    replies: Replies,
) -> None:
    likes = customer.preferences
    offer = for_sale.of(likes.model)
    price = words.usd(offer.price(offer.length_for(likes.seconds), offer.size_for(likes.size)))
    text = words(
        "Hello! Describe a scene, and I'll make a short video of it, with a caption to post.\n\n"
        "One request buys one video, never two. A video costs {price}, which the video maker charges the people who "
        "run this bot. {asking}\n\n"
        "Tap an example, or send <code>/create</code> and what the video should show.",
        price=price,
        asking=words("I show the price and wait until you tap Create; /settings changes that.")
        if customer.asks_first
        else words("With your /settings, /create orders right away; an example shows its price first."),
    )
    await replies.beside(message, messages.with_demo(text, words, demo=for_sale.demo), examples(words))
    if message.from_user is not None:  # retry undelivered videos, whatever the reason
        for run_id in await notifications.again(user_id(message.from_user.id)):
            await enqueue(run_id)


async def help_(message: Message, words: Words, for_sale: ForSale, replies: Replies) -> None:
    lines = [
        words("{command}: {about}", command=escape(f"/{name}"), about=escape(words.plain(about)))
        for name, about in COMMANDS
    ]
    text = words(
        "<b>How it works</b>\n"
        "1. Send /create and a prompt. I check and improve it; nothing is charged yet.\n"
        "2. You see the prompt, the price and the options. Tap Create to order, once. I ask first for at least your "
        "first {n} videos and order later ones right away, unless you choose otherwise in /settings.\n"
        "3. The video arrives as a reply, with a caption and hashtags.\n\n"
        "If the video maker's answer gets lost, I find out what happened to the order; I never order twice. Every "
        "video has a reference such as <code>A7K2QX</code>: keep it in case you have questions. Prices are what the "
        "video maker charges the people who run this bot.\n\n"
        "{commands}",
        n=FIRST_VIDEOS,
        commands=Markup("\n").join(lines),
    )
    await replies.beside(message, messages.with_demo(text, words, demo=for_sale.demo))


async def status(message: Message, words: Words, sender: User, customers: Customers, replies: Replies) -> None:
    allowance = await customers.allowance(user_id(sender.id))
    if not allowance.unfinished:
        await replies.to(message, words("You have no video in progress. Send /create and what the video should show."))
        return
    lines = [_status_line(run, words) for run in allowance.unfinished]
    await replies.to(message, Markup("\n").join([words("<b>In progress</b>"), *lines]))


def _status_line(run: Run, words: Words) -> Markup:
    if run.state is State.RESERVED or messages.waits_for_create(run):
        money = words("nothing is charged yet")
    elif run.held_microusd:
        money = words("{price} set aside", price=words.usd(run.held_microusd))
    else:
        money = words("{price} charged", price=words.usd(run.spent_microusd))
    return words(
        "<code>{ref}</code> {title}: {state}, for {time}; {money}.",
        ref=run.ref,
        title=_title(run),
        state=messages.state(run, words),
        time=lasting(run.age(run.state_since).total_seconds()),
        money=money,
    )


def _title(run: Run) -> str:
    title = run.title or run.prompt
    return title if len(title) <= TITLE_CHARACTERS_MAX else f"{title[: TITLE_CHARACTERS_MAX - 1]}…"


async def limits(
    message: Message,
    words: Words,
    sender: User,
    customers: Customers,
    for_sale: ForSale,
    customer: Customer,
    replies: Replies,
) -> None:
    allowance = await customers.allowance(user_id(sender.id))
    text = limits_text(allowance, customer, words, for_sale)
    await replies.to(message, messages.with_demo(text, words, demo=for_sale.demo))


def limits_text(allowance: Allowance, customer: Customer, words: Words, for_sale: ForSale) -> Markup:
    likes = customer.preferences
    offer = for_sale.of(likes.model)
    seconds, size = offer.length_for(likes.seconds), offer.size_for(likes.size)
    price = offer.price(seconds, size)
    tomorrow = lasting((allowance.tomorrow - allowance.now).total_seconds())
    lines = [
        words("<b>Today</b>"),
        *_in_the_way(allowance, price, words),
        words.count(
            "{n} video left of {all}; resets in {time}.",
            "{n} videos left of {all}; resets in {time}.",
            allowance.videos_left,
            all=allowance.videos_per_day,
            time=tomorrow,
        ),
        words("One video of {seconds} s ({size}) costs {price}.", seconds=seconds, size=size, price=words.usd(price)),
        words.count(
            "You can make {n} video at a time, with {pause} s between requests.",
            "You can make {n} videos at a time, with {pause} s between requests.",
            allowance.active_at_once,
            pause=allowance.cooldown_seconds,
        ),
    ]
    return Markup("\n").join(lines)


def _in_the_way(allowance: Allowance, price: int, words: Words) -> list[Markup]:
    """Why a request would be refused now."""
    found = []
    if allowance.blocked:
        found.append(words("You cannot order videos here at the moment."))
    if not allowance.invited:
        found.append(words("For now, only invited people can order videos here."))
    if allowance.paused:
        why = words(": {reason}", reason=allowance.pause_reason.rstrip(".")) if allowance.pause_reason else ""
        found.append(words("Ordering is paused{why}. No videos can be ordered until the pause ends.", why=why))
    if allowance.day_left_microusd < price:
        left = lasting((allowance.tomorrow - allowance.now).total_seconds())
        found.append(
            words(
                "The bot's budget for today has less than {price} left; it resets in {time}.",
                price=words.usd(price),
                time=left,
            )
        )
    if allowance.month_left_microusd < price:
        left = lasting((allowance.next_month - allowance.now).total_seconds())
        found.append(
            words(
                "The bot's budget for this month has less than {price} left; it resets in {time}.",
                price=words.usd(price),
                time=left,
            )
        )
    return found


async def cancel(
    message: Message, words: Words, sender: User, customers: Customers, ledger: Ledger, orders: Orders, replies: Replies
) -> None:
    """Cancels runs that are not ordered yet, and lists those that can no longer be canceled."""
    who = user_id(sender.id)
    said = []
    for run in (await customers.allowance(who)).unfinished:
        if await ledger.cancel(run.run_id, who):
            await orders.go_on(run)
            said.append(words("{ref} is canceled. Nothing was charged.", ref=run.ref))
        elif run.state is not State.SAVED:
            said.append(
                words(
                    "{ref} is already ordered and cannot be canceled. I will let you know here what happens.",
                    ref=run.ref,
                )
            )
    if not said:
        said.append(words("There is nothing to cancel. Nothing was charged."))
    await replies.to(message, Markup("\n").join(said))


async def videos(message: Message, words: Words, sender: User, customers: Customers, replies: Replies) -> None:
    videos = await customers.videos(user_id(sender.id), PAGE_VIDEOS, 0)
    await replies.to(message, *videos_page(videos, 0, sender.id, words))


async def turn_page(
    tap: CallbackQuery, callback_data: VideosPage, words: Words, customers: Customers, replies: Replies
) -> None:
    if is_anothers(tap, callback_data):
        await replies.tap(
            tap, words.plain(N_("These are somebody else's videos. Send /videos for your own.")), alert=True
        )
        return
    who, number = user_id(tap.from_user.id), callback_data.number
    videos = await customers.videos(who, PAGE_VIDEOS, number * PAGE_VIDEOS)
    if not videos.runs:
        number = max(0, videos.total - 1) // PAGE_VIDEOS
        videos = await customers.videos(who, PAGE_VIDEOS, number * PAGE_VIDEOS)
    await replies.tap(tap)
    assert tap.message is not None, "the filter asked for one"
    await replies.rewrite(tap.message, *videos_page(videos, number, tap.from_user.id, words))


def videos_page(videos: UserVideos, number: int, user: int, words: Words) -> tuple[Markup, InlineKeyboardMarkup | None]:
    if not videos.total:
        return words("You have no videos yet. Send /create and what the first one should show."), None
    first = number * PAGE_VIDEOS
    heading = words.count(
        "<b>{n} video</b>; tap its number to see it again, for free.",
        "<b>{n} videos</b>; tap a number to see one again, for free.",
        videos.total,
    )
    lines = [
        words(
            "{number}. <b>{title}</b> · <code>{ref}</code> · {day} · {price}",
            number=first + place,
            title=_title(run),
            ref=run.ref,
            day=f"{run.reserved_at:%Y-%m-%d}",
            price=words.usd(run.spent_microusd),
        )
        for place, run in enumerate(videos.runs, 1)
    ]
    numbers = [
        InlineKeyboardButton(text=str(first + place), callback_data=RunTap(ref=run.ref, act=Act.RESEND).pack())
        for place, run in enumerate(videos.runs, 1)
    ]
    turns = []
    if number:
        newer = VideosPageOf(number=number - 1, user=user)
        turns.append(InlineKeyboardButton(text=words.plain(N_("◀ Newer")), callback_data=newer.pack()))
    if first + PAGE_VIDEOS < videos.total:
        older = VideosPageOf(number=number + 1, user=user)
        turns.append(InlineKeyboardButton(text=words.plain(N_("Older ▶")), callback_data=older.pack()))
    keyboard = InlineKeyboardMarkup(inline_keyboard=[row for row in (numbers, turns) if row])
    return Markup("\n").join([heading, *lines]), keyboard


def make_router() -> Router:
    """This module's handlers, in the order in which they are tried."""
    router = Router(name="pages")
    router.message.register(start, CommandStart(ignore_case=True))
    router.message.register(help_, Command("help", ignore_case=True))
    router.message.register(status, Command("status", ignore_case=True))
    router.message.register(limits, Command("limits", ignore_case=True))
    router.message.register(cancel, Command("cancel", ignore_case=True))
    router.message.register(videos, Command("videos", ignore_case=True))
    for data in (VideosPageOf, VideosPage):
        router.callback_query.register(turn_page, data.filter(), F.message)
    return router
