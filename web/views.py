"""The read-only pages. Each reads the ledger and shows it; changes are in `web.changes`."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from pipeline.clips.storage import kind_of_run
from pipeline.context import ProviderAccount
from pipeline.ledger.dashboard import Filters
from pipeline.ledger.records import Run, State
from pipeline.ledger.users import USER_ID_WORDS, as_user_id, is_user_id
from pipeline.operator_text import delivery_words, may_take_back
from pipeline.prompts.sent import Sent, sent_for
from pipeline.purchase.reconcile import request_over
from providers.job import Job
from providers.list_jobs import Look, look
from providers.orders import OPENAI
from providers.port import Scope
from providers.shown_request import shown_request
from steps.text_model.front_matter import TemplateError
from web.context import CONTEXT, WebContext
from web.rendering import AUTH, page

RUNS_AT_ONCE = 50
LIST_SECONDS = 10.0  # timeout for the provider's list
AUDITS_SHOWN = 30
STRAYS_SHOWN = 30
CHANGES_SHOWN = 50
USERS_SHOWN = 100
IMPACT_DAYS = 30


async def home(_: web.Request) -> web.StreamResponse:
    raise web.HTTPSeeOther("/admin")


async def overview(request: web.Request) -> web.Response:
    return page(request, "overview.html", seen=await request.app[CONTEXT].dashboard.overview())


async def runs(request: web.Request) -> web.Response:
    filters = Filters(**{f.name: request.query.get(f.name, "").strip() for f in fields(Filters)})
    filters = replace(filters, user_id=as_user_id(filters.user_id))
    before = moment_of(request.query.get("before"))
    wrong = _wrong(filters)
    found = () if wrong else await request.app[CONTEXT].dashboard.runs(_in_utc(filters), RUNS_AT_ONCE, before)
    shown = {name: value for name, value in asdict(filters).items() if value}
    more = shown | {"before": found[-1].reserved_at.isoformat()} if len(found) == RUNS_AT_ONCE else None
    return page(
        request,
        "runs.html",
        filters=filters,
        runs=found,
        more=more,
        wrong=wrong,
        states=[*State],
        models=sorted({model.name for model in request.app[CONTEXT].catalogue.videos}),
    )


def moment_of(text: str | None) -> datetime | None:
    """Parse a time as UTC; without a zone it is UTC, like the budgets' days. None if it is invalid."""
    try:
        moment = datetime.fromisoformat(text or "")
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # OverflowError: a zone can shift the time out of the calendar
        return None


def _wrong(filters: Filters) -> str:
    if filters.state and filters.state not in {"open", "doubt", *State}:
        return f"There is no state {filters.state}."
    if filters.user_id and not is_user_id(filters.user_id):
        return f"{USER_ID_WORDS[0].upper()}{USER_ID_WORDS[1:]}, not {filters.user_id}."
    for text in (filters.since, filters.until):
        if text and moment_of(text) is None:
            return f"{text} is not a valid time; write it as 2026-11-23 or 2026-11-23T14:00."
    return ""


def _in_utc(filters: Filters) -> Filters:
    at = {name: moment for name in ("since", "until") if (moment := moment_of(getattr(filters, name)))}
    return replace(filters, **{name: moment.isoformat() for name, moment in at.items()})


async def found_run(request: web.Request) -> Run:
    ref = request.match_info["ref"]
    run = await request.app[CONTEXT].ledger.find(ref)
    if run is None:
        raise web.HTTPNotFound(text=f"There is no run {ref[:40]}.")
    return run


async def run(request: web.Request) -> web.Response:
    admin_context = request.app[CONTEXT]
    row = await found_run(request)
    if row.ref != request.match_info["ref"]:
        raise web.HTTPSeeOther(f"/admin/runs/{row.ref}")
    events = await admin_context.operators.events(row.run_id)
    until, signature = request.app[AUTH].sign_link(row.ref)
    return page(
        request,
        "run.html",
        run=row,
        events=events,
        sent=await _sent(row, events, admin_context),
        order=_order(row),
        job=request.query.get("job", ""),
        link=f"/media/{row.ref}?until={until}&signature={signature}",
        settles=row.state is State.UNCERTAIN or row.parked,
        takes_back=may_take_back(row, events),
        cancels=row.state in {State.RESERVED, State.APPROVED},
        delivers=row.state is State.SAVED and row.audience.get("kind") != "terminal",
        delivery=delivery_words(row, events),
        has_clip=row.file is not None and row.dropped_at is None,
    )


async def _sent(row: Run, events: Any, admin_context: WebContext) -> tuple[tuple[Sent, ...], str]:
    """The messages, or why they cannot be shown."""
    try:
        return await sent_for(row, events, admin_context.ledger.rpc), ""
    except TemplateError as error:
        return (), str(error)


def _order(row: Run) -> str | None:
    """The order that was, or would be, sent to the provider."""
    if row.improved_prompt is None:
        return None
    sent = shown_request(row.order(), row.base_url)
    how = f" ({row.create_body})" if row.provider == OPENAI else ""
    return f"{sent['method']} {sent['url']}{how}\n" + json.dumps(sent["body"], indent=2, ensure_ascii=False)


async def clip(request: web.Request) -> web.StreamResponse:
    """Serve the video: with a session, or by a signed link until it expires."""
    row = await found_run(request)
    try:
        path = await request.app[CONTEXT].clip_of(row)
    except FileNotFoundError:
        raise web.HTTPNotFound(text=f"The video of {row.ref} is neither on this machine nor in its bucket.") from None
    kind = kind_of_run(row)
    name = f"onetake-{row.ref}.{kind}"
    headers = {"Content-Type": kind.content_type, "Content-Disposition": f'inline; filename="{name}"'}
    return web.FileResponse(path, headers=headers)


@dataclass(frozen=True)
class Nearby:
    """A job in the provider's list that was made while a run's request may have been in flight."""

    job: Job
    at: datetime | None
    owned: bool


async def doubt(request: web.Request) -> web.Response:
    admin_context = request.app[CONTEXT]
    rows = await admin_context.dashboard.runs(Filters(state="doubt"), RUNS_AT_ONCE)
    seen: dict[str, Look] = {}
    for account in admin_context.account.all:
        theirs = [row for row in rows if account.matches(row) and row.submitting_at is not None]
        listed = await _list(theirs, account, admin_context) if theirs else None
        seen |= {row.ref: listed for row in theirs if listed is not None}
    nearby = {row.ref: await _near(row, seen[row.ref], admin_context) for row in rows if row.ref in seen}
    return page(request, "doubt.html", runs=rows, nearby=nearby, seen=seen)


async def _list(rows: list[Run], account: ProviderAccount, admin_context: WebContext) -> Look:
    if not account.provider.api.facts.has_list:
        return Look((), False, "no_list")
    oldest = min(row.submitting_at for row in rows if row.submitting_at is not None) - admin_context.waits.clock_skew
    scope = Scope(tuple(sorted({row.model for row in rows})), oldest.timestamp())
    try:
        async with asyncio.timeout(LIST_SECONDS):
            return await look(account.provider, back_to=oldest.timestamp(), scope=scope)
    except TimeoutError:
        return Look((), False, f"reading it timed out after {LIST_SECONDS:.0f} s")


async def _near(row: Run, seen: Look, admin_context: WebContext) -> list[Nearby]:
    assert row.submitting_at is not None, "the caller passes only runs that were submitted"
    since = row.submitting_at - admin_context.waits.clock_skew
    until = row.submitting_at + request_over(row, admin_context.waits) + admin_context.waits.clock_skew
    jobs = [
        job for job in seen.jobs if job.created_at is None or since.timestamp() <= job.created_at <= until.timestamp()
    ]
    owned = (await admin_context.ledger.doubts_at(row.base_url, row.key_fingerprint, [job.key for job in jobs])).owned
    return [Nearby(job, _at(job.created_at), job.key in owned) for job in jobs]


def _at(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


async def audits(request: web.Request) -> web.Response:
    dashboard, operators = request.app[CONTEXT].dashboard, request.app[CONTEXT].operators
    return page(
        request,
        "audit.html",
        audits=await dashboard.audits(AUDITS_SHOWN),
        clean_day=(await dashboard.overview(1)).clean_day,
        differences=await operators.open_differences(),
        strays=await operators.stray_answers(STRAYS_SHOWN),
    )


async def limits(request: web.Request) -> web.Response:
    admin_context = request.app[CONTEXT]
    found = {limit.key: limit for limit in await admin_context.operators.limits()}
    return page(
        request,
        "limits.html",
        limits=found,
        controls=await admin_context.operators.controls(),
        users=await admin_context.operators.users(USERS_SHOWN),
        changes=await admin_context.dashboard.changes(CHANGES_SHOWN),
        models=admin_context.catalogue.videos,
        provider=admin_context.account.base_url,
        tried=request.query.get("tried", ""),
        tried_value=request.query.get("value", ""),
        sure=request.query.get("sure") == "True",
    )


async def prompts(request: web.Request) -> web.Response:
    admin_context = request.app[CONTEXT]
    impact = await admin_context.operators.impact(IMPACT_DAYS)
    evals = await asyncio.to_thread(_last_evals, admin_context)
    return page(request, "prompts.html", impact=impact, evals=evals, days=IMPACT_DAYS, home=admin_context.evals.parent)


@dataclass(frozen=True)
class EvalGroup:
    """`pass_rate` None: the answers say nothing about wording."""

    cases: int
    answered: int
    pass_rate: float | None
    pass_rate_before: float | None


@dataclass(frozen=True)
class LastEvals:
    at: datetime
    answered_by: tuple[str, ...]
    pass_rate: float | None
    groups: Mapping[str, EvalGroup]
    stale: str | None

    @property
    def cases(self) -> int:
        return sum(group.cases for group in self.groups.values())


_EVALS = TypeAdapter(LastEvals)


def _last_evals(admin_context: WebContext) -> LastEvals | None:
    """The last result of `onetake prompts eval` with this data folder, if any."""
    try:
        return _EVALS.validate_json(admin_context.evals.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
