"""Operators' changes on the page: each is recorded in the ledger with who made it, and answers with one sentence."""

import asyncio
import contextlib
from datetime import timedelta
from typing import NoReturn
from urllib.parse import urlencode

from aiohttp import web

from pipeline.context import ProviderAccount
from pipeline.formatting import many, sentence, usd
from pipeline.ledger.dashboard import DeliverAgain
from pipeline.ledger.operators import LimitNotSet, LimitSet
from pipeline.ledger.records import Run, State
from pipeline.ledger.users import USER_ID_WORDS, as_user_id, is_user_id
from pipeline.operator_text import (
    delivery_words,
    found_words,
    incomplete_words,
    taken_back_words,
    why_not_found,
    why_not_settled,
    why_not_taken_back,
)
from pipeline.purchase import settling
from pipeline.purchase.audit import Audit, audit, last_audit, together
from pipeline.purchase.settling import Contradicts, NotSeen
from pipeline.settings.limit_values import big_change, read_value
from web.context import CONTEXT, WebContext
from web.limit_words import NOT_SET, value_words
from web.rendering import SESSION, say
from web.views import found_run, moment_of

AUDIT_SECONDS_MAX = 60
DELIVERY_SECONDS_MAX = 5.0  # how long the request waits for the outcome; after that, the run's page shows it
DELIVERY_LOOK_SECONDS = 0.2
WORDS_MAX = 500
TICK_UNSEEN = "Check the id; if you are certain, tick “The provider does not show this job, but I am certain”."
TICK_DESPITE = "If it is this order anyway, tick “Use this job although it differs from the order”."
TICK_SURE = "If you mean it, tick “Yes, change it this much” and set it again"
TICK_EARLY = (
    "If the provider's records show that it was not made, tick “It is early, but I have checked the provider's "
    "records”."
)


async def _words(request: web.Request, name: str) -> str:
    """One field on one line, without characters that PostgreSQL rejects: NULs and lone surrogates."""
    given = str((await request.post()).get(name, "")).replace("\0", " ")
    return " ".join(given.encode(errors="replace").decode().split())[:WORDS_MAX]


async def _needs(request: web.Request, *names: str) -> str | None:
    """The first of these fields that is empty."""
    for name in names:
        if not await _words(request, name):
            return name
    return None


async def settle_found(request: web.Request) -> web.StreamResponse:
    """Settle as found: the provider's records show that the video was made, as this job."""
    admin_context, who = request.app[CONTEXT], request[SESSION].who
    row = await found_run(request)
    job, why = await _words(request, "job"), await _words(request, "why")
    if await _needs(request, "job", "why", "sure"):
        say(request, f"{row.ref} was not settled: a job id, a reason and the confirmation are required.", good=False)
        raise web.HTTPSeeOther(f"/admin/runs/{row.ref}")
    unseen, despite = bool(await _words(request, "unseen")), bool(await _words(request, "despite"))
    found = await settling.settle_found(
        row, job, who, why, admin_context.operators, admin_context.account, unseen=unseen, despite=despite
    )
    if isinstance(found, NotSeen):
        _insist(request, row, job, f"{settling.not_seen_words(found)} {TICK_UNSEEN}")
    if isinstance(found, Contradicts):
        _insist(request, row, job, f"{settling.contradiction_words(row, found)} {TICK_DESPITE}")
    if found.recorded.recorded:
        await admin_context.enqueue(row.run_id)
        say(request, found_words(row, job, found.job))
    else:
        say(request, why_not_found(await found_run(request), found.recorded, job), good=False)
    raise web.HTTPSeeOther(f"/admin/runs/{row.ref}")


def _insist(request: web.Request, row: Run, job: str, words: str) -> NoReturn:
    """Redirect to the form, with the job id still in it."""
    say(request, words, good=False)
    raise web.HTTPSeeOther(f"/admin/runs/{row.ref}?{urlencode({'job': job})}#settle")


async def settle_not_charged(request: web.Request) -> web.StreamResponse:
    admin_context, who = request.app[CONTEXT], request[SESSION].who
    row = await found_run(request)
    if await _needs(request, "why", "sure"):
        say(request, f"{row.ref} was not settled: a reason and the confirmation are required.", good=False)
        raise web.HTTPSeeOther(f"/admin/runs/{row.ref}")
    shown = {"state": await _words(request, "shown_state"), "job_id": await _words(request, "shown_job") or None}
    early, why = bool(await _words(request, "early")), await _words(request, "why")
    settled = await settling.settle_not_charged(
        row, who, why, admin_context.ledger, admin_context.account, admin_context.waits, shown=shown, early=early
    )
    if settled.why in settling.NOT_YET:
        say(request, f"{settling.early_words(row, settled)} {TICK_EARLY}", good=False)
    elif settled.settled:
        await admin_context.enqueue(row.run_id)  # notifies its user
        released = usd(row.held_microusd)
        words = f"{row.ref} is settled as not charged: {released} was released, and its user is being notified."
        say(request, f"{words} {settling.on_whose_word(row)}".rstrip())
    else:
        fresh = await found_run(request)
        say(request, why_not_settled(fresh, settled.why), good=fresh.reason == "not_charged")
    raise web.HTTPSeeOther(f"/admin/runs/{row.ref}")


async def take_back(request: web.Request) -> web.StreamResponse:
    """Take back the last settlement."""
    admin_context = request.app[CONTEXT]
    row = await found_run(request)
    if await _needs(request, "why"):
        say(request, f"{row.ref} was not changed: a reason is required.", good=False)
        raise web.HTTPSeeOther(f"/admin/runs/{row.ref}")
    settled = await admin_context.operators.take_back(row.run_id, request[SESSION].who, await _words(request, "why"))
    fresh = await found_run(request)
    if settled.settled:
        await admin_context.enqueue(row.run_id)
        say(request, taken_back_words(row, fresh))
    else:
        say(request, why_not_taken_back(fresh, settled.why), good=False)
    raise web.HTTPSeeOther(f"/admin/runs/{row.ref}")


async def cancel(request: web.Request) -> web.StreamResponse:
    admin_context = request.app[CONTEXT]
    row = await found_run(request)
    if await admin_context.ledger.cancel(row.run_id, request[SESSION].who):
        await admin_context.enqueue(row.run_id)
        say(request, f"{row.ref} is canceled; nothing was ordered, and {usd(row.held_microusd)} was released.")
    else:
        fresh = await found_run(request)
        gone = fresh.state is State.CANCELED  # perhaps by this very call: it is retried when its answer was lost
        words = "nothing was ordered" if gone else "it can no longer be canceled, and nothing was changed"
        say(request, f"{row.ref} is {fresh.state}: {words}.", good=gone)
    raise web.HTTPSeeOther(f"/admin/runs/{row.ref}")


async def deliver(request: web.Request) -> web.StreamResponse:
    admin_context = request.app[CONTEXT]
    row = await found_run(request)
    match await admin_context.dashboard.deliver_again(row.run_id, request[SESSION].who):
        case DeliverAgain.ASKED:
            await admin_context.enqueue(row.run_id)
            fresh = await _until_told(row, admin_context)
            words = delivery_words(fresh, await admin_context.operators.events(row.run_id))
            say(request, f"{row.ref}: {words}", good=fresh.told_state is not State.SAVED)
        case DeliverAgain.UNDER_WAY:
            say(request, f"{row.ref} is being delivered right now; check again in a minute.")
        case DeliverAgain.STATE:
            fresh = await found_run(request)
            words = f"There is nothing to deliver: {row.ref} is {fresh.state}."
            say(request, words, good=fresh.state is State.DELIVERED)
    raise web.HTTPSeeOther(f"/admin/runs/{row.ref}")


async def _until_told(row: Run, admin_context: WebContext) -> Run:
    """The run once its delivery has an outcome, or after a few seconds."""
    fresh = row
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DELIVERY_SECONDS_MAX):
            while fresh.told_state is not fresh.state or fresh is row:
                fresh = await admin_context.ledger.load(row.run_id) or row
                await asyncio.sleep(DELIVERY_LOOK_SECONDS)
    return fresh


async def audit_now(request: web.Request) -> web.StreamResponse:
    admin_context = request.app[CONTEXT]

    async def audited(account: ProviderAccount) -> Audit:
        last = await last_audit(admin_context.ledger.rpc, account)
        since = min(last.next_since, last.now - timedelta(hours=24))
        return await audit(admin_context.ledger, account, admin_context.waits, since)

    try:
        async with asyncio.timeout(AUDIT_SECONDS_MAX):
            found = together(await asyncio.gather(*map(audited, admin_context.account.all)))
    except TimeoutError:
        say(request, f"Timed out reading the provider's list after {AUDIT_SECONDS_MAX} s. Try again later.", good=False)
        raise web.HTTPSeeOther("/admin/audit") from None
    if found.clean:
        say(request, f"Clean: {many(found.jobs, 'job')} at the provider and {many(found.runs, 'run')} here agree.")
    elif not found.complete:
        why = incomplete_words(found.why_incomplete)
        say(request, f"The provider's list is not complete: {why}. The audit proves nothing.", good=False)
    else:
        say(request, f"{many(len(found.differences), 'difference')}; see the list below.", good=False)
    raise web.HTTPSeeOther("/admin/audit")


async def explain(request: web.Request) -> web.StreamResponse:
    """Close every open difference of one job or run, for good."""
    subject, why = await _words(request, "subject"), await _words(request, "why")
    if not subject or not why:
        say(request, "Nothing was changed: an explanation is required.", good=False)
        raise web.HTTPSeeOther("/admin/audit")
    closed = await request.app[CONTEXT].operators.explain(subject, request[SESSION].who, why)
    if closed:
        say(request, f"Explained: {many(closed, 'difference')} about {subject} closed, for good.")
    else:
        say(request, f"No difference about {subject} is open. Nothing was changed.", good=False)
    raise web.HTTPSeeOther("/admin/audit")


async def pause(request: web.Request) -> web.StreamResponse:
    why = await _words(request, "why")
    if not why:
        say(request, "Nothing was changed: a reason is required, because users see it.", good=False)
        raise web.HTTPSeeOther("/admin/limits")
    await request.app[CONTEXT].operators.pause(why, request[SESSION].who)
    say(request, f"Paused. Users see this reason: {sentence(why)} Videos already ordered are still delivered.")
    raise web.HTTPSeeOther("/admin/limits")


async def resume(request: web.Request) -> web.StreamResponse:
    shown = moment_of(await _words(request, "shown_pause"))
    controls = await request.app[CONTEXT].operators.resume_if(shown, request[SESSION].who)
    if controls.changed:
        say(
            request,
            "Somebody paused or resumed orders after this page was loaded. Nothing was changed.",
            good=False,
        )
    else:
        say(request, "Orders are accepted again, and every breaker is closed.")
    raise web.HTTPSeeOther("/admin/limits")


async def set_limit(request: web.Request) -> web.StreamResponse:
    """Set a limit; a rejected value is shown in its field again."""
    key, value, user = [await _words(request, name) for name in ("key", "value", "user_id")]
    user = as_user_id(user)
    whose = f"{key} of {user}" if user else key
    answer = await _try_limit(request, key, value, user)
    if isinstance(answer, str):
        say(request, f"{whose} was not changed: {answer}.", good=False)
        tried = "" if user else f"?{urlencode({'tried': key, 'value': value, 'sure': answer.endswith(TICK_SURE)})}"
        raise web.HTTPSeeOther(f"/admin/limits{tried}")
    before, after = value_words(key, answer.before), value_words(key, answer.after)
    say(request, f"{whose}: changed from {before} to {after}." if before != after else f"{whose}: unchanged, {after}.")
    raise web.HTTPSeeOther("/admin/limits")


async def _try_limit(request: web.Request, key: str, value: str, user: str) -> LimitSet | str:
    """The limit as set, or the reason why it was not."""
    operators = request.app[CONTEXT].operators
    if user and not is_user_id(user):
        return f"{USER_ID_WORDS}, not {user}"
    try:
        wanted = None if user and not value else read_value(key, value)  # None removes the user's own limit
    except ValueError as error:
        return str(error)
    present = next((limit.value for limit in await operators.limits() if limit.key == key), None)
    if not user and (question := big_change(key, wanted, present)) and not await _words(request, "sure"):
        return f"{question}. {TICK_SURE}"
    answer = await operators.set_limit(key, wanted, request[SESSION].who, user or None)
    if isinstance(answer, LimitNotSet):
        return NOT_SET.get(answer.why) or f"it must be {answer.allowed}"
    return answer


async def set_user(request: web.Request) -> web.StreamResponse:
    operators, who = request.app[CONTEXT].operators, request[SESSION].who
    user, act, why = [await _words(request, name) for name in ("user_id", "act", "why")]
    user = as_user_id(user)
    if not is_user_id(user):
        say(request, f"Nothing was changed: {USER_ID_WORDS}, not {user or 'nobody'}.", good=False)
        raise web.HTTPSeeOther("/admin/limits")
    match act:
        case "block":
            await operators.block(user, why or None, who)
            say(request, f"{user} is blocked; videos already ordered are still delivered.")
        case "unblock":
            await operators.unblock(user, who)
            say(request, f"{user} can order again.")
        case "invite":
            await operators.invite(user, who)
            say(request, f"{user} is invited, and can order while the rollout is allowlist.")
        case _:
            say(request, "Nothing was changed: choose block, unblock or invite.", good=False)
    raise web.HTTPSeeOther("/admin/limits")
