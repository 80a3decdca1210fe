"""Build what a run needs from the settings.

In       Settings
Out      `open_context`: ledger, provider, text model, prompts; `open_partners` alone for a dry run
Raises   ConfigError, CatalogueError, DatabaseUnavailable, LedgerError: one clear sentence each
Effects  those of `open_ledger`. Importing this loads the SDKs, which takes a second: import it inside a command.
"""

import random
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import typer

from app.ledger_session import LedgerSession, open_ledger
from app.model_choice import choose_for_accounts, choose_from_settings
from pipeline.clips.bucket import Bucket, BucketError, BucketPublic, open_bucket
from pipeline.clock import boot_seconds
from pipeline.context import ProviderAccount, ProviderRules, RunContext, TextModel
from pipeline.ledger.records import Slots
from pipeline.prompts.versions import PromptVersions
from pipeline.purchase.answer_files import AnswerFiles
from pipeline.purchase.verdicts import ListFacts
from pipeline.settings.config import Settings
from pipeline.settings.endpoints import configured, endpoint_of
from pipeline.settings.parts import VideoEndpoint
from pipeline.settings.setting_checks import ConfigError
from providers.apis import api_of
from providers.catalogue import Catalogue, CatalogueError, VideoModel, find_model, text_cost_microusd
from providers.orders import OPENAI
from providers.port import Facts, Marker
from providers.transport import open_provider
from steps.contracts import CONTRACTS
from steps.text_model.ask_model import open_text_model
from steps.text_model.front_matter import TemplateError
from steps.text_model.prompt_store import PromptStore

DAY_SECONDS = 86_400  # a shorter record is about what a row shows: at Replicate the row itself stays
TYPICAL_SECONDS = 90  # of a render, where neither the catalogue nor the ledger knows better


@dataclass(frozen=True)
class App:
    """An open ledger session, the context of a run, and the settings they were built from."""

    session: LedgerSession
    context: RunContext
    catalogue: Catalogue
    model: VideoModel
    settings: Settings


@asynccontextmanager
async def open_context(settings: Settings, model_name: str | None = None) -> AsyncIterator[App]:
    """Opens everything; `model_name`: what is ordered, if not VIDEO_MODEL.

    On exit it waits for in-flight purchases: nothing ever cancels one.
    """
    catalogue, model = choose_from_settings(settings, model_name)
    async with (
        open_partners(settings, catalogue, model) as (account, text),
        open_ledger(settings) as session,
        _open_bucket(settings) as bucket,
    ):
        context = _context(settings, session, account, text, bucket)
        try:
            yield App(session, context, catalogue, model, settings)
        finally:
            await context.purchases.all_done()


@asynccontextmanager
async def open_partners(
    settings: Settings, catalogue: Catalogue, model: VideoModel
) -> AsyncIterator[tuple[ProviderAccount, TextModel]]:
    """The two outside services: the video provider and the text model."""
    text = settings.text

    def cost(name: str, tokens_in: int, tokens_out: int) -> int:
        return text_cost_microusd(catalogue, name, tokens_in, tokens_out)

    async with (
        open_shop(settings, catalogue, model) as account,
        open_text_model(text.base_url, text.api_key, text.timeout_seconds) as client,
    ):
        yield account, TextModel(client, text.model, cost)


@asynccontextmanager
async def open_shop(settings: Settings, catalogue: Catalogue, model: VideoModel) -> AsyncIterator[ProviderAccount]:
    """The account at the model's provider alone, with those at all other configured ones: enough for an audit."""
    async with AsyncExitStack() as opened:
        default = endpoint_of(settings, model.provider)
        others = [endpoint_of(settings, name) for name in configured(settings) if name != model.provider]
        accounts = [await _open_account(each, settings, catalogue, model, opened) for each in (default, *others)]
        yield replace(accounts[0], others=tuple(accounts[1:]))


async def _open_account(
    endpoint: VideoEndpoint, settings: Settings, catalogue: Catalogue, default: VideoModel, opened: AsyncExitStack
) -> ProviderAccount:
    """`default`: stands for a model that the catalogue no longer has, if it is this provider's."""
    api = api_of(endpoint.provider, endpoint.base_url, settings.extra_headers)

    def rules_for(name: str) -> ProviderRules:
        listed = default if (endpoint.provider, name) == (default.provider, default.name) else None
        listed = listed or find_model(catalogue, name, endpoint.base_url, endpoint.provider)
        if listed is None and endpoint.provider == default.provider:
            listed = default
        return rules(listed, api.facts, settings)

    provider = await opened.enter_async_context(
        open_provider(
            endpoint.base_url,
            endpoint.api_key,
            api=api,
            connect_seconds=endpoint.connect_seconds,
            request_seconds=endpoint.request_seconds,
        )
    )
    slots = Slots(settings.provider_in_flight_max, settings.provider_creates_per_minute)
    return ProviderAccount(provider, endpoint.base_url, endpoint.fingerprint, rules_for, slots)


@asynccontextmanager
async def open_shop_if_set(settings: Settings) -> AsyncIterator[ProviderAccount | None]:
    """None if the settings name no provider: a run can be settled without one."""
    try:
        catalogue, model = choose_for_accounts(settings)
        endpoint_of(settings, model.provider)
    except (ConfigError, CatalogueError):
        yield None
        return
    async with open_shop(settings, catalogue, model) as account:
        yield account


def rules(model: VideoModel | None, facts: Facts, settings: Settings) -> ProviderRules:
    """What is known of a run's provider, from its facts, and of its model, from the catalogue."""
    ours = facts.name == OPENAI  # behind this protocol each server has its own habits: models.toml has them
    return ProviderRules(
        refuses_429_before_work=model.refuses_429_before_work if model and ours else facts.refuses_429_before_work,
        typical_render_seconds=model.typical_render_seconds if model else TYPICAL_SECONDS,
        listing=ListFacts(
            shows_all=model.list_shows_all if model and ours else facts.has_list,
            echoes_prompts=model.list_echoes_prompts if model and ours else facts.echoes_prompts,
            absent_after=model.absent_after if model and ours else facts.absent_after,
            absence_without_witness=settings.video_list_proves_absence and ours,  # both are about VIDEO_API_KEY
            exclusive_key=settings.video_key_exclusive and ours,
            record=timedelta(seconds=record) if (record := facts.record_seconds or 0) >= DAY_SECONDS else None,
            newest_first=facts.newest_first,
            per_model=facts.per_model,
            has_list=facts.has_list,
            looked_up=facts.marker is Marker.OWN_ID,
            lookup_proves_absence=facts.lookup_proves_absence is True,
        ),
    )


@asynccontextmanager
async def _open_bucket(settings: Settings) -> AsyncIterator[Bucket | None]:
    """Raises BucketPublic. An unreachable Storage does not block startup: clips wait in their folder."""
    project = settings.supabase
    if project is None:
        yield None
        return
    async with open_bucket(project.url, project.key, project.bucket) as bucket:
        try:
            await bucket.prepare()
        except BucketPublic:
            raise
        except BucketError as error:
            typer.echo(f"onetake: clips stay in ONETAKE_HOME until Storage is available: {error}", err=True)
        yield bucket


def _context(
    settings: Settings, session: LedgerSession, account: ProviderAccount, text: TextModel, bucket: Bucket | None
) -> RunContext:
    return RunContext(
        ledger=session.ledger,
        account=account,
        text=text,
        prompts=PromptVersions(PromptStore(settings.prompts, _say_broken, CONTRACTS), session.ledger.rpc),
        answers=AnswerFiles(settings.onetake_home / "answers"),
        media=settings.onetake_home / "media",
        waits=settings.waits,
        boot_seconds=boot_seconds,
        new_token=lambda: secrets.token_hex(16),
        jitter=random.random,
        bucket=bucket,
        keep_days=settings.media_keep_days,
    )


def _say_broken(error: TemplateError) -> None:
    typer.echo(f"onetake: {error}; the last good version is used", err=True)
