"""Renders the card of a run: from its row to text and buttons. Pure.

In       a run as the ledger has it, and the `Scene`: what else the card shows
Out      Card: HTML of at most 4096 characters, rows of buttons
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from markupsafe import Markup

from bot import messages
from bot.callback_data import Act, RunTap
from bot.requests.for_sale import ForSale, shape_of
from bot.translations import N_, Words
from pipeline.formatting import lasting
from pipeline.ledger.records import Run, State
from pipeline.purchase.estimate import Expected

QUOTE_CHARACTERS_MAX = 900
TICK_SECONDS = 15.0  # how often the elapsed time is updated; each edit counts against the chat's rate limit
SHAPES = {"vertical": N_("Vertical"), "horizontal": N_("Horizontal"), "square": N_("Square")}
SHAPE_SIGNS = {"vertical": "↕", "horizontal": "↔", "square": "◻"}

Rows = Sequence[Sequence[InlineKeyboardButton]]


@dataclass(frozen=True)
class Card:
    text: Markup
    rows: tuple[tuple[InlineKeyboardButton, ...], ...] = ()

    @property
    def keyboard(self) -> InlineKeyboardMarkup | None:
        return keyboard(self.rows)


@dataclass(frozen=True)
class Scene:
    """What a card shows besides its run. `videos_left` only matters before the purchase."""

    for_sale: ForSale
    expected: Expected | None = None
    slow_seconds: float = 180.0
    videos_left: int | None = None
    take: int = 1


def keyboard(rows: Rows) -> InlineKeyboardMarkup | None:
    return InlineKeyboardMarkup(inline_keyboard=[list(row) for row in rows]) if rows else None


def button(words: Words, sentence: str, tap: RunTap, **values: object) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=words.plain(sentence, **values), callback_data=tap.pack())


def card(run: Run, words: Words, scene: Scene) -> Card:
    """The run's card in its current state."""
    body, rows = _PAGES[run.state](run, words, scene)
    text = Markup("\n\n").join([_heading(run, words), body])
    return Card(messages.with_demo(text, words, demo=scene.for_sale.demo), rows)


def _heading(run: Run, words: Words) -> Markup:
    title = words("<b>{title}</b>", title=run.title) if run.title else words("<b>Your video</b>")
    return words("{title} · <code>{ref}</code>", title=title, ref=run.ref)


_Page = tuple[Markup, tuple[tuple[InlineKeyboardButton, ...], ...]]


def _reserved(run: Run, words: Words, _: Scene) -> _Page:
    doing = words("⏳ Checking your prompt. Nothing is charged yet.")
    if run.position:
        doing = words.count(
            "⏳ {n} request ahead of yours. Nothing is charged yet.",
            "⏳ {n} requests ahead of yours. Nothing is charged yet.",
            run.position,
        )
    return doing, ((button(words, N_("Cancel"), RunTap(ref=run.ref, act=Act.CANCEL)),),)


def _approved(run: Run, words: Words, scene: Scene) -> _Page:
    if messages.waits_for_create(run):
        return _asking(run, words, scene)
    if run.deferred_by == "no_slot":
        doing = words("⏳ Waiting for a free slot at the video maker. Nothing is charged yet.")
        if run.position:
            doing = words.count(
                "⏳ Waiting for a free slot at the video maker; {n} request ahead of yours. Nothing is charged yet.",
                "⏳ Waiting for a free slot at the video maker; {n} requests ahead of yours. Nothing is charged yet.",
                run.position,
            )
    elif run.deferred_by:
        doing = words(
            "⏳ Ordering is stopped right now; nothing is charged. Your request continues automatically when ordering "
            "resumes. If that takes more than ten minutes, I cancel it without charge, and you can try again."
        )
    else:
        doing = words(
            "⏳ About to order your video, once. {price} is set aside, and charged when the video is made.",
            price=words.usd(run.held_microusd),
        )
    return Markup("\n\n").join([_quote(run, words), doing]), ((_cancel(run, words),),)


def _asking(run: Run, words: Words, scene: Scene) -> _Page:
    """The price and the choices, before the purchase."""
    left = ""
    if scene.videos_left is not None:
        left = words.count(
            "This is your last video for today.",
            "You have {n} videos left today, this one included.",
            max(1, scene.videos_left),
        )
    price = words(
        "{seconds} s, {shape} ({size}): <b>{price}</b>. {left}",
        seconds=run.seconds,
        shape=words(SHAPES[shape_of(run.size)]).lower(),
        size=run.size,
        price=words.usd(run.price_microusd),
        left=left,
    )
    if scene.for_sale.others:
        price = Markup("\n").join([price, words("Model: {name}", name=run.offer)])
    wait = words(
        "Nothing is charged until you tap Create. You have {time} to decide.", time=lasting(_confirm_seconds(run))
    )
    rows = (
        tuple(_length(run, words, seconds) for seconds in scene.for_sale.for_run(run).lengths),
        tuple(_shape(run, words, size) for size in scene.for_sale.for_run(run).sizes),
        (
            button(
                words,
                N_("✅ Create · {price}"),
                RunTap(ref=run.ref, act=Act.CREATE, arg=f"{run.seconds}-{run.size}"),
                price=words.usd(run.price_microusd),
            ),
        ),
        (button(words, N_("✏️ Edit"), RunTap(ref=run.ref, act=Act.EDIT)), _cancel(run, words)),
    )
    return Markup("\n\n").join([words("Here's the video I'll make:"), _quote(run, words), price, wait]), tuple(
        r for r in rows if len(r)
    )


def _confirm_seconds(run: Run) -> float:
    """The whole time to decide, not what is left of it: the card is not edited as time passes."""
    if run.confirm_until is None or run.approved_at is None:
        return 0.0
    return (run.confirm_until - run.approved_at).total_seconds()


def _length(run: Run, words: Words, seconds: int) -> InlineKeyboardButton:
    mark = "● " if seconds == run.seconds else ""
    return button(
        words, N_("{mark}{n} s"), RunTap(ref=run.ref, act=Act.SECONDS, arg=str(seconds)), mark=mark, n=seconds
    )


def _shape(run: Run, words: Words, size: str) -> InlineKeyboardButton:
    shape = shape_of(size)
    mark = "● " if shape == shape_of(run.size) else ""
    name = words.plain(SHAPES[shape])
    return button(
        words,
        "{mark}{sign} {name}",
        RunTap(ref=run.ref, act=Act.SIZE, arg=size),
        mark=mark,
        sign=SHAPE_SIGNS[shape],
        name=name,
    )


def _submitting(run: Run, words: Words, _: Scene) -> _Page:
    doing = words(
        "⏳ Ordering your video now, once. {price} is set aside, and charged when the video is made.",
        price=words.usd(run.held_microusd),
    )
    return Markup("\n\n").join([_quote(run, words), doing]), ()


def _uncertain(run: Run, words: Words, _: Scene) -> _Page:
    return words("🔎 {what}", what=messages.doubt(run, words)), ()


def _rendering(run: Run, words: Words, scene: Scene) -> _Page:
    if run.parked:
        return words("🕰 {what}", what=messages.late(run, words)), ()
    parts = [_quote(run, words), _elapsed(run, words, scene)]
    parts.append(words("Ordered once. {price} is set aside until it is ready.", price=words.usd(run.held_microusd)))
    return Markup("\n\n").join(parts), ()


def _elapsed(run: Run, words: Words, scene: Scene) -> Markup:
    """The elapsed time and an estimate; a percentage only if the provider reports one."""
    if run.failing_since is not None:
        return words("🔎 Your video seems to have failed; I am checking once more. Nothing is decided yet.")
    elapsed = run.age(run.rendering_at).total_seconds()
    shown = lasting(TICK_SECONDS * (elapsed // TICK_SECONDS)) if elapsed >= TICK_SECONDS else ""
    share = words(" {n} %.", n=run.progress) if run.progress else ""
    if elapsed > scene.slow_seconds:
        return words(
            "🎬 Rendering for {time}, longer than usual. You don't need to do anything.{share}",
            time=shown,
            share=share,
        )
    if scene.expected is None:
        return words("🎬 Rendering.{share}", share=share)
    about = lasting(scene.expected.seconds)
    if not shown:
        return words("🎬 Rendering, about {about}.{share}", about=about, share=share)
    return words(
        "🎬 Rendering for {time}; it usually takes about {about}.{share}", time=shown, about=about, share=share
    )


def _saved(run: Run, words: Words, _: Scene) -> _Page:
    if run.told_state is run.state:
        return words(
            "Your video is ready, but I could not send it here. {money} You can get it with /videos.",
            money=messages.money(run, words),
        ), ()
    return words("📤 Ready; uploading it now. {money}", money=messages.money(run, words)), ()


def _delivered(run: Run, words: Words, _: Scene) -> _Page:
    return words(
        "✅ Here it is, below. {money} Keep {ref} in case you have questions.",
        money=messages.money(run, words),
        ref=run.ref,
    ), ()


def _rejected(run: Run, words: Words, scene: Scene) -> _Page:
    why = words(
        "🚫 This prompt was turned down. {why}. {money}",
        why=_short(run.detail or "").rstrip(".") or words("It breaks the rules"),
        money=words(messages.NOTHING),
    )
    if not run.safe_rewrite:
        return words("{what} {todo}", what=why, todo=words(messages.SAY_DIFFERENTLY)), ()
    for_sale = words("This version should pass. Tap Use this, or send your own with /create:")
    rewrite = RunTap(ref=run.ref, act=Act.REWRITE, arg=str(scene.take))
    return (
        Markup("\n\n").join([why, for_sale, words("<blockquote>{text}</blockquote>", text=_short(run.safe_rewrite))]),
        ((button(words, N_("Use this · {price}"), rewrite, price=words.usd(run.price_microusd)),),),
    )


def _canceled(run: Run, words: Words, scene: Scene) -> _Page:
    rows = () if run.reason == "edited" else _retry(run, words, scene)
    return messages.canceled(run, words), rows


def _failed(run: Run, words: Words, scene: Scene) -> _Page:
    rows = () if run.reason == "already_sent" else _retry(run, words, scene)  # the first order may still be found
    return words("❌ {what}", what=messages.failure(run, words)), rows


def _retry(run: Run, words: Words, scene: Scene) -> tuple[tuple[InlineKeyboardButton, ...], ...]:
    change = button(words, N_("✏️ Change"), RunTap(ref=run.ref, act=Act.CHANGE))
    if run.reason in messages.IN_OTHER_WORDS_ONLY:
        return ((change,),)
    tap = RunTap(ref=run.ref, act=Act.RETRY, arg=str(scene.take))
    return ((button(words, N_("🔁 Try again · {price}"), tap, price=words.usd(run.price_microusd)), change),)


def _cancel(run: Run, words: Words) -> InlineKeyboardButton:
    return button(words, N_("Cancel"), RunTap(ref=run.ref, act=Act.CANCEL))


def _quote(run: Run, words: Words) -> Markup:
    return words("<blockquote expandable>{prompt}</blockquote>", prompt=_short(run.improved_prompt or run.prompt))


def _short(text: str) -> str:
    return text if len(text) <= QUOTE_CHARACTERS_MAX else f"{text[:QUOTE_CHARACTERS_MAX]}…"


_PAGES = {
    State.RESERVED: _reserved,
    State.APPROVED: _approved,
    State.SUBMITTING: _submitting,
    State.UNCERTAIN: _uncertain,
    State.RENDERING: _rendering,
    State.SAVED: _saved,
    State.DELIVERED: _delivered,
    State.REJECTED: _rejected,
    State.CANCELED: _canceled,
    State.FAILED: _failed,
}
