"""/admin: spending, runs in doubt, and switches. For users outside ADMIN_IDS it is an unknown command."""

import re
from hashlib import sha256

from aiogram import Bot, F, Router
from aiogram.enums import ChatType
from aiogram.filters import BaseFilter, Command, CommandObject
from aiogram.types import CallbackQuery, ForceReply, InlineKeyboardButton, InlineKeyboardMarkup, Message, User
from markupsafe import Markup

from bot import messages
from bot.admin.alert_words import cause
from bot.admin.context import AdminContext, AdminTools
from bot.admin.settle import more_is_known, not_charged
from bot.admin.verbs import VERBS, pause, usage
from bot.callback_data import AdminTap
from bot.delivery.address import user_id
from bot.translations import N_, Words, code
from bot.transport.replies import Replies
from pipeline.formatting import lasting, whole_cents
from pipeline.ledger.operators import Controls, Operators, Stats
from pipeline.ledger.records import Run, State
from pipeline.operator_text import paid_parts

IN_DOUBT_SHOWN = 5
JOB_QUESTION_SIGN = "🔖"  # the first character of our question for a job id


class IsAdmin(BaseFilter):
    """Whether the sender's id is in ADMIN_IDS."""

    async def __call__(self, event: Message | CallbackQuery, admins: frozenset[int]) -> bool:
        return event.from_user is not None and event.from_user.id in admins


async def elsewhere(message: Message, words: Words, replies: Replies) -> None:
    await replies.to(
        message,
        words(
            "/admin works only in our private chat, because the whole group would see the answer. Nothing was changed."
        ),
    )


async def admin(
    message: Message,
    command: CommandObject,
    words: Words,
    sender: User,
    tools: AdminTools,
    replies: Replies,
) -> None:
    admin_context = AdminContext(user_id(sender.id), words, tools)
    verb, *arguments = (command.args or "").split()[:40] or [""]
    if not verb:
        await replies.to(message, *await overview(admin_context))
        return
    act = VERBS.get(verb.lower())
    if act is None:
        await replies.to(message, usage(words))
        return
    await replies.to(message, await act(admin_context, arguments))


async def overview(admin_context: AdminContext) -> tuple[Markup, InlineKeyboardMarkup]:
    words = admin_context.words
    stats, controls = await admin_context.operators.stats(), await admin_context.operators.controls()
    doubts = await in_doubt(admin_context.operators)
    text = Markup("\n").join([*_numbers(stats, words), *_controls(controls, words), *_doubt_lines(doubts, words)])
    rows = [
        [
            _button(words, N_("✅ Found it · {ref}"), "found", run.ref),
            _button(words, N_("🚫 Not charged · {ref}"), "no", run.ref),
        ]
        for run in doubts
    ]
    switch = (
        _button(words, N_("▶ Resume"), "resume", shown=_mark(controls.paused_at))
        if controls.paused or controls.breakers
        else _button(words, N_("⏸ Pause"), "pause")
    )
    rows.append([switch, _button(words, N_("🔄 Refresh"), "look")])
    return text, InlineKeyboardMarkup(inline_keyboard=rows)


async def in_doubt(operators: Operators) -> list[Run]:
    """Runs that an operator may settle: uncertain, or parked while rendering."""
    found = [
        *await operators.runs(IN_DOUBT_SHOWN, State.UNCERTAIN),
        *(run for run in await operators.runs(IN_DOUBT_SHOWN * 10, State.RENDERING) if run.parked),
    ]
    return found[:IN_DOUBT_SHOWN]


def _numbers(stats: Stats, words: Words) -> list[Markup]:
    today, month = stats.today, stats.this_month
    spent = words(
        "Today: {spent} spent and {held} set aside, of {budget}.",
        spent=words.usd(whole_cents(today.spent_microusd) if today else 0),
        held=words.usd(today.held_microusd if today else 0),
        budget=words.usd(stats.budget_day_microusd),
    )
    monthly = words(
        "This month: {spent} spent or set aside, of {budget}.",
        spent=words.usd(whole_cents(month.spent_microusd + month.held_microusd) if month else 0),
        budget=words.usd(stats.budget_month_microusd),
    )
    saved = words(
        "{duplicates}, {saved} saved.",
        duplicates=words.count("{n} duplicate blocked", "{n} duplicates blocked", stats.duplicates_blocked),
        saved=words.usd(stats.money_saved_microusd),
    )
    return [words("<b>onetake</b>"), spent, monthly, _paid_calls(stats, words), saved]


def _paid_calls(stats: Stats, words: Words) -> Markup:
    """`3 paid calls: 2 videos, 1 rendering.`"""
    calls = words.count("{n} paid call", "{n} paid calls", stats.paid_calls)
    parts = Markup(", ").join(_paid_part(name, times, words) for name, times in paid_parts(stats).items())
    return (Markup("{}: {}.") if parts else Markup("{}.")).format(calls, parts)


def _paid_part(name: str, times: int, words: Words) -> Markup:
    match name:
        case "made":
            return words.count("{n} video", "{n} videos", times)
        case "rendering":
            return words.count("{n} rendering", "{n} rendering", times)
        case "failed":
            return words.count("{n} failed", "{n} failed", times)
        case _:
            return words.count("{n} other", "{n} others", times)


def _controls(controls: Controls, words: Words) -> list[Markup]:
    lines = []
    if controls.paused:
        why = controls.pause_reason or words("no reason given")
        lines.append(words("⏸ Paused by {who}: {why}.", who=controls.paused_by, why=why))
    lines += [
        words(
            "⚡ Ordering was stopped automatically for {scope}: {cause}.",
            scope=each.scope,
            cause=cause(each.cause, words),
        )
        for each in controls.breakers
    ]
    return lines


def _doubt_lines(doubts: list[Run], words: Words) -> list[Markup]:
    if not doubts:
        return [words("Nothing is in doubt.")]
    return [words("<b>In doubt</b>")] + [
        words(
            "<code>{ref}</code> {who}: {state}, for {time}, {held} set aside. {prompt}",
            ref=run.ref,
            who=run.user_id,
            state=messages.state(run, words),
            time=lasting(run.age(run.submitting_at).total_seconds()),
            held=words.usd(run.held_microusd),
            prompt=run.prompt[:80],
        )
        for run in doubts
    ]


def _button(words: Words, sentence: str, act: str, ref: str = "", shown: str = "") -> InlineKeyboardButton:
    """`shown`: a hash of the state that the message shows; a tap changes nothing if it is out of date."""
    tap = AdminTap(act=act, ref=ref, shown=shown)
    return InlineKeyboardButton(text=words.plain(sentence, ref=ref), callback_data=tap.pack())


def _mark(*told: object) -> str:
    return sha256(repr(told).encode()).hexdigest()[:12]


def _mark_of(run: Run | None) -> str:
    return _mark(run.state.value, run.job_id) if run is not None else ""


async def tapped(
    tap: CallbackQuery,
    callback_data: AdminTap,
    words: Words,
    tools: AdminTools,
    replies: Replies,
) -> None:
    assert tap.message is not None, "the filter asked for one"
    admin_context = AdminContext(user_id(tap.from_user.id), words, tools)
    match callback_data.act:
        case "found":
            await replies.tap(tap)
            question = words(
                "🔖 Reply with the provider's job id for {ref}. I look the job up at the provider first; nothing is "
                "changed until then.",
                ref=code(callback_data.ref),
            )
            await replies.beside(tap.message, question, ForceReply(input_field_placeholder=words.plain(N_("job id"))))
            return
        case "no":
            await replies.tap(tap)
            question = words(
                "Are you sure that {ref} was not charged? Check the provider's records first: confirming releases the "
                "money and notifies the user that nothing was made.",
                ref=code(callback_data.ref),
            )
            mark = _mark_of(await tools.ledger.find(callback_data.ref))
            yes = _button(words, N_("🚫 Yes, not charged · {ref}"), "sure", callback_data.ref, mark)
            await replies.to(tap.message, question, InlineKeyboardMarkup(inline_keyboard=[[yes]]))
            return
        case "sure":
            await replies.tap(tap)
            run = await tools.ledger.find(callback_data.ref)
            said = (
                await not_charged(admin_context, run)
                if run is not None and _mark_of(run) == callback_data.shown
                else more_is_known(words, callback_data.ref)
            )
            await replies.rewrite(tap.message, said, None)
            return
        case "pause":
            await pause(admin_context, [])
        case "resume":
            paused_at = (await tools.operators.controls()).paused_at
            stale = _mark(paused_at) != callback_data.shown
            if stale or (await tools.operators.resume_if(paused_at, admin_context.who)).changed:
                await replies.tap(
                    tap, words.plain(N_("Somebody paused or resumed orders in the meantime. Nothing was changed."))
                )
                await replies.rewrite(tap.message, *await overview(admin_context))
                return
    await replies.tap(tap, words.plain(N_("Done.")) if callback_data.act != "look" else "")
    await replies.rewrite(tap.message, *await overview(admin_context))


async def job_id(
    message: Message,
    bot: Bot,
    words: Words,
    sender: User,
    tools: AdminTools,
    replies: Replies,
) -> None:
    """Handles the reply to our question for a job id."""
    asked = message.reply_to_message
    ref = re.search(r"\b[A-Z2-7]{6}\b", asked.text or "") if asked else None
    if asked is None or asked.from_user is None or asked.from_user.id != bot.id or ref is None:
        return
    admin_context = AdminContext(user_id(sender.id), words, tools)
    await replies.to(message, await VERBS["found"](admin_context, [ref.group(), *(message.text or "").split()[:40]]))


def make_router() -> Router:
    """This module's handlers, in the order in which they are tried."""
    router = Router(name="admin")
    private = F.chat.type == ChatType.PRIVATE
    router.message.filter(IsAdmin())
    router.callback_query.filter(IsAdmin(), F.message.chat.type == ChatType.PRIVATE)
    router.message.register(admin, Command("admin", ignore_case=True), private)
    router.message.register(elsewhere, Command("admin", ignore_case=True))  # a group would see the buttons
    router.callback_query.register(tapped, AdminTap.filter(), F.message)
    router.message.register(job_id, private, F.text, F.reply_to_message.text.startswith(JOB_QUESTION_SIGN))
    return router
