"""Operators in chat: what is spent and in doubt, and the switches. For all but ADMIN_IDS it does not exist."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiogram import Bot, F, Router
from aiogram.enums import ChatType
from aiogram.filters import BaseFilter, Command, CommandObject
from aiogram.types import CallbackQuery, ForceReply, InlineKeyboardButton, InlineKeyboardMarkup, Message, User
from markupsafe import Markup

from bot import sentences
from bot.address import user_id
from bot.alarms import cause
from bot.ordering import Enqueue
from bot.replies import Replies
from bot.run_taps import receipt_text
from bot.taps import AdminTap
from bot.words import N_, Words, code
from pipeline.amounts import lasting
from pipeline.ledger import Ledger
from pipeline.operators import Controls, LimitNotSet, Operators, Stats
from pipeline.records import Run, State

IN_DOUBT_SHOWN = 5
LIMIT_NOT_SET: Mapping[str, str] = {
    "unknown_limit": N_("there is no limit of this name"),
    "bad_value": N_("a whole number is needed (for rollout: all, percent or allowlist)"),
    "not_per_user": N_("this limit is for all, not for one user"),
}
JOB_QUESTION_SIGN = "🔖"  # our question for a job id begins with it


class IsAdmin(BaseFilter):
    """By the sender's id, in a private chat: in a group the buttons would stand open."""

    async def __call__(self, event: Message | CallbackQuery, admins: frozenset[int]) -> bool:
        message = event if isinstance(event, Message) else event.message
        private = message is not None and message.chat.type == ChatType.PRIVATE
        return private and event.from_user is not None and event.from_user.id in admins


@dataclass(frozen=True)
class Office:
    """What the operators' verbs use."""

    who: str
    words: Words
    ledger: Ledger
    operators: Operators
    enqueue: Enqueue


async def admin(
    message: Message,
    command: CommandObject,
    words: Words,
    sender: User,
    ledger: Ledger,
    operators: Operators,
    enqueue: Enqueue,
    replies: Replies,
) -> None:
    office = Office(user_id(sender.id), words, ledger, operators, enqueue)
    verb, *arguments = (command.args or "").split()[:40] or [""]
    if not verb:
        await replies.to(message, *await overview(office))
        return
    act = _VERBS.get(verb.lower())
    if act is None:
        await replies.to(message, usage(words))
        return
    await replies.to(message, await act(office, arguments))


async def overview(office: Office) -> tuple[Markup, InlineKeyboardMarkup]:
    words = office.words
    stats, controls = await office.operators.stats(), await office.operators.controls()
    doubts = await in_doubt(office.operators)
    text = Markup("\n").join([*_numbers(stats, words), *_controls(controls, words), *_doubt_lines(doubts, words)])
    rows = [
        [
            _button(words, N_("✅ Found it · {ref}"), "found", run.ref),
            _button(words, N_("🚫 Not charged · {ref}"), "no", run.ref),
        ]
        for run in doubts
    ]
    switch = (
        _button(words, N_("▶ Resume"), "resume")
        if controls.paused or controls.breakers
        else _button(words, N_("⏸ Pause"), "pause")
    )
    rows.append([switch, _button(words, N_("🔄 Refresh"), "look")])
    return text, InlineKeyboardMarkup(inline_keyboard=rows)


async def in_doubt(operators: Operators) -> list[Run]:
    """Runs a person may decide: uncertain, or parked while rendering."""
    found = [
        *await operators.runs(IN_DOUBT_SHOWN, State.UNCERTAIN),
        *(run for run in await operators.runs(IN_DOUBT_SHOWN * 10, State.RENDERING) if run.parked),
    ]
    return found[:IN_DOUBT_SHOWN]


def _numbers(stats: Stats, words: Words) -> list[Markup]:
    today, month = stats.today, stats.this_month
    spent = words(
        "Today {spent} spent and {held} set aside, of {budget}.",
        spent=words.usd(today.spent_microusd if today else 0),
        held=words.usd(today.held_microusd if today else 0),
        budget=words.usd(stats.budget_day_microusd),
    )
    monthly = words(
        "This month {spent} spent or set aside, of {budget}.",
        spent=words.usd((month.spent_microusd + month.held_microusd) if month else 0),
        budget=words.usd(stats.budget_month_microusd),
    )
    saved = words(
        "{videos} videos from {paid} paid calls; {blocked} duplicates blocked, {saved} saved.",
        videos=stats.total_videos,
        paid=stats.paid_calls,
        blocked=stats.duplicates_blocked,
        saved=words.usd(stats.money_saved_microusd),
    )
    return [words("<b>onetake</b>"), spent, monthly, saved]


def _controls(controls: Controls, words: Words) -> list[Markup]:
    lines = []
    if controls.paused:
        why = controls.pause_reason or words("no reason given")
        lines.append(words("⏸ Paused by {who}: {why}.", who=controls.paused_by, why=why))
    lines += [
        words(
            "⚡ Ordering has stopped by itself for {scope}: {cause}.", scope=each.scope, cause=cause(each.cause, words)
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
            state=sentences.state(run, words),
            time=lasting(run.age(run.submitting_at).total_seconds()),
            held=words.usd(run.held_microusd),
            prompt=run.prompt[:80],
        )
        for run in doubts
    ]


def _button(words: Words, sentence: str, act: str, ref: str = "") -> InlineKeyboardButton:
    return InlineKeyboardButton(text=words.plain(sentence, ref=ref), callback_data=AdminTap(act=act, ref=ref).pack())


def usage(words: Words) -> Markup:
    return words(
        "<code>/admin</code> shows the state of things: money, doubts, switches.\n"
        "<code>/admin pause REASON</code> stops buying; what was bought goes on. <code>/admin resume</code> ends it.\n"
        "<code>/admin show REF</code> tells all about one video.\n"
        "<code>/admin found REF JOB</code>: the provider's books show that it was made, as this job; "
        "its price counts as spent and the video is fetched.\n"
        "<code>/admin notcharged REF</code>: they show that it was not made; its price is free again.\n"
        "<code>/admin block ID REASON</code>, <code>/admin unblock ID</code>: whether somebody may order. "
        "<code>/admin invite ID</code> puts them on the list of those who may while the rollout is allowlist.\n"
        "<code>/admin limits</code> lists every limit by its key; <code>/admin limit KEY VALUE</code> sets one, "
        "<code>/admin limit KEY VALUE ID</code> for one user.\n"
        "<code>/admin rollout all</code> (or <code>allowlist</code>, <code>percent 10</code>): who may order at all.\n"
        "REF is a video's reference, ID a Telegram id; money is in millionths of a dollar: 800000 is $0.80."
    )


async def _pause(office: Office, arguments: list[str]) -> Markup:
    await office.operators.pause(" ".join(arguments) or None, office.who)
    return office.words(
        "⏸ Paused: nothing is bought from now on; what was bought goes on. <code>/admin resume</code> ends it."
    )


async def _resume(office: Office, _: list[str]) -> Markup:
    await office.operators.resume(office.who)
    return office.words("▶ Resumed: videos can be bought again, and every breaker is closed.")


async def _found(office: Office, arguments: list[str]) -> Markup:
    words = office.words
    if len(arguments) != 2:
        return usage(words)
    run = await office.ledger.find(arguments[0])
    if run is None:
        return words("There is no run {ref}. Nothing was changed.", ref=arguments[0])
    recorded = await office.operators.settle_found(run.run_id, arguments[1], office.who)
    if recorded.recorded and run.file is not None:
        return words(
            "{ref} is job {job}, and its video is here already. Nothing was changed.",
            ref=run.ref,
            job=code(arguments[1]),
        )
    if recorded.recorded:
        await office.enqueue(run.run_id)
        return words(
            "{ref} is job {job}. Its price counts as spent; the video is fetched now.",
            ref=run.ref,
            job=code(arguments[1]),
        )
    if recorded.why == "owned":
        return words(
            "Job {job} is run {ref}'s already. Nothing was changed.",
            job=code(arguments[1]),
            ref=recorded.owner or "?",
        )
    return words(
        "{ref} is neither in doubt nor parked: {state}. Nothing was changed.",
        ref=run.ref,
        state=sentences.state(run, words),
    )


async def _not_charged(office: Office, arguments: list[str]) -> Markup:
    words = office.words
    run = await office.ledger.find(arguments[0]) if arguments else None
    if run is None:
        return usage(words) if not arguments else words("There is no run {ref}. Nothing was changed.", ref=arguments[0])
    settled = await office.operators.settle_not_charged(run.run_id, office.who, " ".join(arguments[1:]) or None)
    if not settled.settled:
        run = await office.ledger.find(run.ref) or run
        return words(
            "{ref} is neither in doubt nor parked: {state}. Nothing was changed.",
            ref=run.ref,
            state=sentences.state(run, words),
        )
    await office.enqueue(run.run_id)
    return words(
        "{ref} is settled as not charged: {held} is free again, its user is told.",
        ref=run.ref,
        held=words.usd(run.held_microusd),
    )


async def _show(office: Office, arguments: list[str]) -> Markup:
    run = await office.ledger.find(arguments[0]) if arguments else None
    if run is None:
        return usage(office.words)
    state = office.words("{state}, {who}", state=sentences.state(run, office.words), who=run.user_id)
    return Markup("\n").join([state, receipt_text(run, office.words, demo=False)])


async def _block(office: Office, arguments: list[str]) -> Markup:
    if not arguments or not arguments[0].isdecimal():
        return usage(office.words)
    user = await office.operators.block(f"tg:{arguments[0]}", " ".join(arguments[1:]) or None, office.who)
    return office.words("{user} is blocked. What they ordered goes on.", user=user.user_id)


async def _unblock(office: Office, arguments: list[str]) -> Markup:
    if not arguments or not arguments[0].isdecimal():
        return usage(office.words)
    user = await office.operators.unblock(f"tg:{arguments[0]}", office.who)
    return office.words("{user} may ask again.", user=user.user_id)


async def _invite(office: Office, arguments: list[str]) -> Markup:
    if not arguments or not arguments[0].isdecimal():
        return usage(office.words)
    user = await office.operators.invite(f"tg:{arguments[0]}", office.who)
    return office.words("{user} is invited.", user=user.user_id)


async def _limit(office: Office, arguments: list[str]) -> Markup:
    if not 2 <= len(arguments) <= 3:
        return usage(office.words)
    key, value, *user = arguments
    wanted = None if value == "default" else int(value) if value.isdecimal() else value
    return await _set(office, key, wanted, f"tg:{user[0]}" if user else None)


async def _rollout(office: Office, arguments: list[str]) -> Markup:
    if not arguments:
        return usage(office.words)
    if len(arguments) > 1:
        said = await _set(
            office, "rollout_percent", int(arguments[1]) if arguments[1].isdecimal() else arguments[1], None
        )
        return Markup("\n").join([said, await _set(office, "rollout", arguments[0], None)])
    return await _set(office, "rollout", arguments[0], None)


async def _set(office: Office, key: str, value: int | str | None, user: str | None) -> Markup:
    answer = await office.operators.set_limit(key, value, office.who, user)
    if isinstance(answer, LimitNotSet):
        why = office.words(LIMIT_NOT_SET.get(answer.why, N_("the ledger did not take it")))
        return office.words(
            "{key} was not changed: {why}. <code>/admin limits</code> lists them all.", key=key, why=why
        )
    return office.words(
        "{key}{user}: {before} → {after}.",
        key=key,
        user=f" ({user})" if user else "",
        before=answer.before,
        after=answer.after,
    )


async def _limits(office: Office, _: list[str]) -> Markup:
    found = await office.operators.limits()
    return Markup("\n").join(
        office.words("{key} = <b>{value}</b>", key=code(each.key), value=each.value) for each in found
    )


_VERBS: Mapping[str, Callable[[Office, list[str]], Awaitable[Markup]]] = {
    "pause": _pause,
    "resume": _resume,
    "found": _found,
    "notcharged": _not_charged,
    "show": _show,
    "block": _block,
    "unblock": _unblock,
    "invite": _invite,
    "limit": _limit,
    "limits": _limits,
    "rollout": _rollout,
}


async def tapped(
    tap: CallbackQuery,
    callback_data: AdminTap,
    words: Words,
    ledger: Ledger,
    operators: Operators,
    enqueue: Enqueue,
    replies: Replies,
) -> None:
    assert tap.message is not None, "the filter asked for one"
    office = Office(user_id(tap.from_user.id), words, ledger, operators, enqueue)
    match callback_data.act:
        case "found":
            await replies.tap(tap)
            question = words(
                "🔖 Answer with the provider's job id of {ref}; its price then counts as spent. "
                "Nothing is changed until then.",
                ref=code(callback_data.ref),
            )
            await replies.to(
                tap.message, question, ForceReply(selective=True, input_field_placeholder=words.plain(N_("job id")))
            )
            return
        case "no":
            await replies.tap(tap)
            question = words(
                "Is it certain that {ref} was not charged? Look into the provider's books first: "
                "its money becomes free, and its user is told that nothing was made.",
                ref=code(callback_data.ref),
            )
            yes = _button(words, N_("🚫 Yes, not charged · {ref}"), "sure", callback_data.ref)
            await replies.to(tap.message, question, InlineKeyboardMarkup(inline_keyboard=[[yes]]))
            return
        case "sure":
            await replies.tap(tap)
            await replies.rewrite(tap.message, await _not_charged(office, [callback_data.ref]), None)
            return
        case "pause":
            await _pause(office, [])
        case "resume":
            await _resume(office, [])
    await replies.tap(tap, words.plain(N_("Done.")) if callback_data.act != "look" else "")
    await replies.rewrite(tap.message, *await overview(office))


async def job_id(
    message: Message,
    bot: Bot,
    words: Words,
    sender: User,
    ledger: Ledger,
    operators: Operators,
    enqueue: Enqueue,
    replies: Replies,
) -> None:
    """The answer to "which job is it?"."""
    asked = message.reply_to_message
    ref = re.search(r"\b[A-Z2-7]{6}\b", asked.text or "") if asked else None
    if asked is None or asked.from_user is None or asked.from_user.id != bot.id or ref is None:
        return
    office = Office(user_id(sender.id), words, ledger, operators, enqueue)
    await replies.to(message, await _found(office, [ref.group(), *(message.text or "").split()]))


def make_router() -> Router:
    """What is answered here, in the order in which it is asked."""
    router = Router(name="admin")
    router.message.filter(IsAdmin())
    router.callback_query.filter(IsAdmin())
    router.message.register(admin, Command("admin"))
    router.callback_query.register(tapped, AdminTap.filter(), F.message)
    router.message.register(job_id, F.text, F.reply_to_message.text.startswith(JOB_QUESTION_SIGN))
    return router
