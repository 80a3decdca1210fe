"""`onetake check --provider`: for each account at a vendor, is the key accepted, and does a lost answer heal by itself?

In       the settings, and the name of one provider or None for all that are configured
Out      findings
Effects  free reads: an unknown job, the first page of the list, and PUBLIC_URL's own health check; nothing that pays
"""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import httpx2

from app.exits import run_async
from cli.checks.diagnostics import Finding, Health
from net.certificates import proxy_for, trusted
from pipeline.formatting import lasting
from pipeline.settings.config import Settings
from pipeline.settings.endpoints import configured, endpoint_of
from pipeline.settings.parts import VideoEndpoint
from pipeline.settings.resources import models_file
from providers.apis import api_of
from providers.catalogue import load_catalogue
from providers.job import Job, ListPage
from providers.orders import OPENAI
from providers.port import Callback, Facts, Marker, ReadError, Scope
from providers.transport import open_provider

NOT_ACCEPTED = frozenset({401, 403})
PUBLIC_SECONDS = 10.0


def probe_vendors(settings: Settings, only: str | None = None) -> list[Finding]:
    """Empty if no such account is configured."""
    names = [name for name in configured(settings) if name != OPENAI and only in {None, name}]
    found = [finding for name in names for finding in run_async(_probe(endpoint_of(settings, name), settings))]
    return [*found, *run_async(_public(settings))] if names else found


async def _probe(endpoint: VideoEndpoint, settings: Settings) -> list[Finding]:
    api = api_of(endpoint.provider, endpoint.base_url)
    models = tuple(m.name for m in load_catalogue(models_file()).videos if m.provider == endpoint.provider)
    async with open_provider(
        endpoint.base_url,
        endpoint.api_key,
        api=api,
        connect_seconds=endpoint.connect_seconds,
        request_seconds=endpoint.request_seconds,
    ) as provider:
        unknown = await provider.job(str(uuid4()), models[0] if models else "")
        listed = await provider.page(None, Scope(models[:1])) if api.facts.has_list else None
    return list(findings(api.facts, unknown, listed, public=settings.public_url is not None))


def findings(
    facts: Facts, unknown: Job | ReadError, listed: ListPage | ReadError | None, *, public: bool
) -> Iterator[Finding]:
    """`unknown`: what the provider says of a job that does not exist; `listed`: its list, where it has one."""
    refusals = ((unknown, NOT_ACCEPTED), (listed, {401}))  # a key may buy, and have no right to see the list
    errors = [each for each, statuses in refusals if isinstance(each, ReadError) and each.status in statuses]
    if refused := next(iter(errors), None):
        names = " and ".join(facts.key_names)
        yield Finding(facts.name, Health.BAD, f"does not accept {names} (HTTP {refused.status})")
        return
    if isinstance(unknown, ReadError) and unknown.status is None:
        yield Finding(facts.name, Health.BAD, f"cannot be reached ({unknown.detail})")
        return
    yield Finding(facts.name, Health.GOOD, "accepts the key")
    yield _lost_answer(facts, listed, public=public)
    yield _never_made(facts)


def _lost_answer(facts: Facts, listed: ListPage | ReadError | None, *, public: bool) -> Finding:
    """What happens to a job that was made, but whose answer was lost."""
    if facts.marker is Marker.OWN_ID:
        return Finding(facts.name, Health.GOOD, "a lost answer heals by itself: the job is looked up by our own id")
    if facts.marker in {Marker.ECHOED_REQUEST, Marker.ECHOED_FIELD}:
        if isinstance(listed, ReadError):
            words = f"a lost answer waits for a person: the list cannot be read with this key ({listed.detail})"
            return Finding(facts.name, Health.NOTE, words)
        within = f", within {lasting(facts.record_seconds)}" if facts.record_seconds else ""
        shown = "the whole request" if facts.marker is Marker.ECHOED_REQUEST else "a field of ours"
        return Finding(facts.name, Health.GOOD, f"a lost answer heals by itself{within}: the list shows {shown}")
    if facts.callback is Callback.NONE:
        return Finding(facts.name, Health.NOTE, "a lost answer waits for a person: there is no list and no callback")
    if public:
        return Finding(facts.name, Health.GOOD, "a lost answer heals once its callback arrives; else a person")
    words = "a lost answer waits for a person; with PUBLIC_URL set it heals by itself once the callback arrives"
    return Finding(facts.name, Health.NOTE, words)


def _never_made(facts: Facts) -> Finding:
    """What happens to an order of which no job was made."""
    cannot = "a video that was never made is settled by a person:"
    if facts.marker is Marker.OWN_ID and not facts.lookup_proves_absence:
        return Finding(facts.name, Health.NOTE, f"{cannot} the look-up may not tell an unknown job from a running one")
    if not facts.has_list and facts.marker is not Marker.OWN_ID:
        return Finding(facts.name, Health.NOTE, f"{cannot} there is no list that could prove it")
    if facts.absent_after is None:
        words = f"{cannot} it is not known how late a job may appear in the list, unless purchases around it are listed"
        return Finding(facts.name, Health.NOTE, words)
    after = lasting(facts.absent_after.total_seconds())
    return Finding(facts.name, Health.NOTE, f"a video is proven missing after {after} and several complete looks")


async def _public(settings: Settings) -> list[Finding]:
    """Whether PUBLIC_URL answers: its web server has a health check."""
    if settings.public_url is None:
        return []
    about = "public"
    try:
        async with (
            asyncio.timeout(PUBLIC_SECONDS),
            httpx2.AsyncClient(
                verify=trusted(), proxy=proxy_for(settings.public_url), trust_env=False, follow_redirects=False
            ) as http,
        ):
            answer = await http.get(f"{settings.public_url}/healthz")
    except (httpx2.HTTPError, TimeoutError, ValueError) as error:
        words = f"PUBLIC_URL does not answer from here ({type(error).__name__}): is the bot running behind it?"
        return [Finding(about, Health.NOTE, words)]
    if answer.status_code == httpx2.codes.OK and answer.content.strip() == b'{"ok": true}':
        return [Finding(about, Health.GOOD, "PUBLIC_URL answers: callbacks can arrive")]
    return [Finding(about, Health.NOTE, f"PUBLIC_URL answers HTTP {answer.status_code}, but not as onetake does")]
