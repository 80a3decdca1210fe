"""The verbs of /admin: one function per verb, each of which answers with one message.

In       an AdminContext, and the words after the verb
Out      `VERBS`; `usage` for an unknown verb
Effects  the ledger's functions for operators, each with the operator's id
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from markupsafe import Markup

from bot import messages
from bot.admin.context import AdminContext
from bot.admin.settle import DESPITE, EARLY, UNSEEN, found, no_such_run, not_charged, take_back
from bot.requests.receipt_text import receipt_text
from bot.translations import N_, Words, code
from pipeline.ledger.operators import LimitNotSet
from pipeline.settings.limit_values import big_change, is_money, read_typed

USERS_READ_MAX = 100_000
YES = frozenset({"yes", "sí", "si"})
LIMIT_NOT_SET: Mapping[str, str] = {
    "unknown_limit": N_("there is no limit with this name"),
    "bad_value": N_("it must be a whole number, or dollars for a budget (for rollout: all, percent or allowlist)"),
    "not_per_user": N_("this limit applies to all users and cannot be set for one"),
}
LEDGER_REJECTED = N_("the ledger rejected it")


def usage(words: Words) -> Markup:
    return words(
        "<code>/admin</code> shows an overview: money, runs in doubt, switches.\n"
        "<code>/admin pause REASON</code> stops ordering; videos already ordered continue. <code>/admin resume</code> "
        "ends the pause.\n"
        "<code>/admin show REF</code> shows everything about one video.\n"
        "<code>/admin found REF JOB</code>: the provider's records show that it was made, as this job. The job is "
        "looked up at the provider first; to insist, add <code>unseen REASON</code> or <code>despite REASON</code>.\n"
        "<code>/admin notcharged REF</code>: the records show that it was not made; its money is released. While it "
        "may still turn up, add <code>early REASON</code>.\n"
        "<code>/admin takeback REF</code> undoes the last of these two.\n"
        "<code>/admin block ID REASON</code>, <code>/admin unblock ID</code>: whether a user can order. <code>/admin "
        "invite ID</code> lets a user order while the rollout is allowlist.\n"
        "<code>/admin limits</code> lists every limit by its key, <code>/admin limits ID</code> those of one user; "
        "<code>/admin limit KEY VALUE</code> sets one, <code>/admin limit KEY VALUE ID</code> for one user.\n"
        "<code>/admin rollout all</code> (or <code>allowlist</code>, <code>percent 10</code>): who can order at all.\n"
        "REF is a video's reference, ID a Telegram id; money is in dollars: 5 or 5.50."
    )


async def pause(admin_context: AdminContext, arguments: list[str]) -> Markup:
    """A pause that lasts keeps its reason unless another is given."""
    before = await admin_context.operators.controls()
    kept = None if arguments else before.pause_reason
    await admin_context.operators.pause(" ".join(arguments) or kept, admin_context.who)
    said = admin_context.words(
        "⏸ Paused: no more videos are ordered; those already ordered continue. <code>/admin resume</code> ends the "
        "pause."
    )
    if kept is None:
        return said
    return Markup(" ").join([said, admin_context.words("Users still see the reason given before: {why}", why=kept)])


async def resume(admin_context: AdminContext, _: list[str]) -> Markup:
    before = await admin_context.operators.controls()
    await admin_context.operators.resume(admin_context.who)
    if not (before.paused or before.breakers):
        return admin_context.words("Nothing was paused; videos can be ordered.")
    return admin_context.words("▶ Resumed: videos can be ordered again, and every breaker is closed.")


async def _found(admin_context: AdminContext, arguments: list[str]) -> Markup:
    """`arguments`: REF JOB; to insist, also `unseen` or `despite`, and a reason."""
    if len(arguments) < 2:
        return usage(admin_context.words)
    ref, job_id, *insists = arguments
    word = insists[0].lower() if insists else None
    if word not in {None, UNSEEN, DESPITE}:
        return usage(admin_context.words)
    return await found(admin_context, ref, job_id, word, " ".join(insists[1:]) or None)


async def _not_charged(admin_context: AdminContext, arguments: list[str]) -> Markup:
    """`arguments`: REF and an optional reason, or REF, `early` and a required reason."""
    run = await admin_context.ledger.find(arguments[0]) if arguments else None
    if run is None:
        return no_such_run(admin_context.words, arguments[0]) if arguments else usage(admin_context.words)
    early = arguments[1:2] != [] and arguments[1].lower() == EARLY
    why = " ".join(arguments[2 if early else 1 :]) or None
    return await not_charged(admin_context, run, why, early=early)


async def _take_back(admin_context: AdminContext, arguments: list[str]) -> Markup:
    if not arguments:
        return usage(admin_context.words)
    return await take_back(admin_context, arguments[0], " ".join(arguments[1:]) or None)


async def _show(admin_context: AdminContext, arguments: list[str]) -> Markup:
    if not arguments:
        return usage(admin_context.words)
    run = await admin_context.ledger.find(arguments[0])
    if run is None:
        return admin_context.words("There is no run {ref}.", ref=arguments[0])
    state = admin_context.words("{state}, {who}", state=messages.state(run, admin_context.words), who=run.user_id)
    return Markup("\n").join([state, receipt_text(run, admin_context.words, demo=False)])


def _no_id(admin_context: AdminContext, said: str) -> Markup:
    """Refuses a name: Telegram's updates carry numbers, so a name would match nobody."""
    return admin_context.words(
        "{said} is not a Telegram id; an id is a number. <code>/admin show REF</code> shows the id of the user who "
        "ordered a video. Nothing was changed.",
        said=said,
    )


async def _block(admin_context: AdminContext, arguments: list[str]) -> Markup:
    if not arguments:
        return usage(admin_context.words)
    if not arguments[0].isdecimal():
        return _no_id(admin_context, arguments[0])
    user = await admin_context.operators.block(f"tg:{arguments[0]}", " ".join(arguments[1:]) or None, admin_context.who)
    return admin_context.words("{user} is blocked. Orders in progress continue.", user=user.user_id)


async def _unblock(admin_context: AdminContext, arguments: list[str]) -> Markup:
    if not arguments:
        return usage(admin_context.words)
    if not arguments[0].isdecimal():
        return _no_id(admin_context, arguments[0])
    user = await admin_context.operators.unblock(f"tg:{arguments[0]}", admin_context.who)
    return admin_context.words("{user} can order again.", user=user.user_id)


async def _invite(admin_context: AdminContext, arguments: list[str]) -> Markup:
    if not arguments:
        return usage(admin_context.words)
    if not arguments[0].isdecimal():
        return _no_id(admin_context, arguments[0])
    user = await admin_context.operators.invite(f"tg:{arguments[0]}", admin_context.who)
    return admin_context.words("{user} is invited.", user=user.user_id)


async def _limit(admin_context: AdminContext, arguments: list[str]) -> Markup:
    sure = arguments[-1:] != [] and arguments[-1].lower() in YES
    arguments = arguments[:-1] if sure else arguments
    if not 2 <= len(arguments) <= 3:
        return usage(admin_context.words)
    key, value, *user = arguments
    if user and not user[0].isdecimal():
        return _no_id(admin_context, user[0])
    try:
        wanted = None if value == "default" else read_typed(key, value)
    except ValueError:
        return _not_set(admin_context, key, "bad_value")
    present = next((limit.value for limit in await admin_context.operators.limits() if limit.key == key), None)
    if (
        not sure
        and not user
        and isinstance(wanted, int)
        and isinstance(present, int)
        and big_change(key, wanted, present)
    ):
        return admin_context.words(
            "{key} was not changed: it is {before}, and {after} is more than ten times higher or lower. Enter money "
            "in dollars. If you mean it, send it again with <code>yes</code> at the end.",
            key=key,
            before=admin_context.words.usd(present),
            after=admin_context.words.usd(wanted),
        )
    return await _set(admin_context, key, wanted, f"tg:{user[0]}" if user else None)


async def _rollout(admin_context: AdminContext, arguments: list[str]) -> Markup:
    if not arguments:
        return usage(admin_context.words)
    if len(arguments) > 1:
        said = await _set(
            admin_context, "rollout_percent", int(arguments[1]) if arguments[1].isdecimal() else arguments[1], None
        )
        return Markup("\n").join([said, await _set(admin_context, "rollout", arguments[0], None)])
    return await _set(admin_context, "rollout", arguments[0], None)


async def _set(admin_context: AdminContext, key: str, value: int | str | None, user: str | None) -> Markup:
    answer = await admin_context.operators.set_limit(key, value, admin_context.who, user)
    if isinstance(answer, LimitNotSet):
        return _not_set(admin_context, key, answer.why)
    return admin_context.words(
        "{key}{user}: {before} → {after}.",
        key=key,
        user=f" ({user})" if user else "",
        before=_shown(admin_context, key, answer.before),
        after=_shown(admin_context, key, answer.after),
    )


def _not_set(admin_context: AdminContext, key: str, why: str) -> Markup:
    words = admin_context.words(LIMIT_NOT_SET.get(why, LEDGER_REJECTED))
    return admin_context.words(
        "{key} was not changed: {why}. <code>/admin limits</code> lists them all.", key=key, why=words
    )


def _shown(admin_context: AdminContext, key: str, value: int | str | None) -> int | str:
    if value is None:
        return admin_context.words("not set")
    return admin_context.words.usd(value) if is_money(key) and isinstance(value, int) else value


async def _limits(admin_context: AdminContext, arguments: list[str]) -> Markup:
    """All limits; with an id, those that apply to this user."""
    if arguments and not arguments[0].isdecimal():
        return _no_id(admin_context, arguments[0])
    limits = await admin_context.operators.limits()
    if arguments:
        known = {user.user_id: user.limits for user in await admin_context.operators.users(USERS_READ_MAX)}
        own = known.get(f"tg:{arguments[0]}", {})
        limits = tuple(replace(each, value=own.get(each.key, each.value)) for each in limits if each.per_user)
    return Markup("\n").join(
        admin_context.words(
            "{key} = <b>{value}</b>", key=code(each.key), value=_shown(admin_context, each.key, each.value)
        )
        for each in limits
    )


VERBS: Mapping[str, Callable[[AdminContext, list[str]], Awaitable[Markup]]] = {
    "pause": pause,
    "resume": resume,
    "found": _found,
    "notcharged": _not_charged,
    "takeback": _take_back,
    "show": _show,
    "block": _block,
    "unblock": _unblock,
    "invite": _invite,
    "limit": _limit,
    "limits": _limits,
    "rollout": _rollout,
}
