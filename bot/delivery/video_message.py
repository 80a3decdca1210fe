"""The caption of a video, and the buttons below it. Pure."""

from aiogram.types import CopyTextButton, InlineKeyboardButton, InlineKeyboardMarkup
from markupsafe import Markup

from bot.callback_data import Act, RunTap
from bot.delivery.cards import button
from bot.translations import N_, Words, tame
from media.clip_file import Facts, as_ordered
from pipeline.ledger.records import Run
from steps.write_caption import CAPTION_UNITS_MAX, units

COPY_CHARACTERS_MAX = 256  # the most that a button may copy (Bot API)


def caption(run: Run, words: Words, *, demo: bool, facts: Facts | None = None) -> Markup:
    """The caption, hashtags and notes below the video: at most 1024 UTF-16 units, as Telegram counts."""
    tags = " ".join(run.hashtags or ())
    odd = not_as_ordered(run, facts, words) if facts else ""
    note = words.plain("Demo: simulated, nothing was really charged.") if demo else ""
    tail = "\n\n".join(part for part in (tags, odd, note) if part)
    body = tame(run.caption or run.title or "")
    room = CAPTION_UNITS_MAX - units(tail) - 2
    while units(body) > room:
        body = f"{body[: len(body) - (units(body) - room) - 1].rstrip()}…"
    return Markup("{}\n\n{}").format(body, tail) if tail else Markup("{}").format(body)


def not_as_ordered(run: Run, facts: Facts, words: Words) -> str:
    """How the clip differs from the order; empty if it does not."""
    if as_ordered(facts, run.seconds, run.size):
        return ""
    made = f"{facts.seconds:.1f}".removesuffix(".0") if facts.seconds is not None else None
    shape = f"{facts.width}x{facts.height}" if facts.width is not None and facts.height is not None else None
    if made is None:
        return words.plain("The provider made {shape} instead of {size}.", shape=shape, size=run.size)
    if shape is None:
        return words.plain("The provider made {made} s instead of {seconds} s.", made=made, seconds=run.seconds)
    return words.plain(
        "The provider made {made} s at {shape} instead of {seconds} s at {size}.",
        made=made,
        shape=shape,
        seconds=run.seconds,
        size=run.size,
    )


def under_video(run: Run, words: Words, take: int) -> InlineKeyboardMarkup:
    """The buttons of a delivered video."""
    again = RunTap(ref=run.ref, act=Act.AGAIN, arg=str(take))
    rows = (
        (
            button(words, N_("🔁 Again · {price}"), again, price=words.usd(run.price_microusd)),
            button(words, N_("✏️ Change"), RunTap(ref=run.ref, act=Act.CHANGE)),
        ),
        (_copy(run, words), button(words, N_("🧾 Receipt"), RunTap(ref=run.ref, act=Act.RECEIPT))),
    )
    return InlineKeyboardMarkup(inline_keyboard=[list(row) for row in rows])


def _copy(run: Run, words: Words) -> InlineKeyboardButton:
    """A button that copies up to 256 characters itself; a longer caption is sent as a message to copy."""
    text = caption_text(run)
    if len(text) <= COPY_CHARACTERS_MAX:
        return InlineKeyboardButton(text=words.plain(N_("📋 Copy caption")), copy_text=CopyTextButton(text=text))
    return button(words, N_("📋 Copy caption"), RunTap(ref=run.ref, act=Act.COPY))


def caption_text(run: Run) -> str:
    """Caption and hashtags, for posting elsewhere."""
    return "\n\n".join(part for part in (run.caption or run.title or "", " ".join(run.hashtags or ())) if part)
