"""Build what a run needs from the settings.

In       Settings
Out      `open_context`: ledger, provider, text model, prompts; `open_partners` alone for a dry run
Raises   ConfigError, CatalogueError, DatabaseUnavailable, LedgerError: one clear sentence each
Effects  those of `open_ledger`. Importing this loads the SDKs, which takes a second: import it inside a command.
"""

import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import typer

from app.ledger_session import LedgerSession, open_ledger
from app.model_choice import choose_from_settings
from pipeline.clips.bucket import Bucket, BucketError, BucketPublic, open_bucket
from pipeline.clock import boot_seconds
from pipeline.context import ProviderAccount, ProviderRules, RunContext, TextModel
from pipeline.ledger.records import Slots
from pipeline.prompts.versions import PromptVersions
from pipeline.purchase.answer_files import AnswerFiles
from pipeline.purchase.verdicts import ListFacts
from pipeline.settings.config import Settings
from pipeline.settings.setting_checks import ConfigError
from providers.catalogue import Catalogue, CatalogueError, VideoModel, find_model, text_cost_microusd
from providers.transport import open_provider
from steps.contracts import CONTRACTS
from steps.text_model.ask_model import open_text_model
from steps.text_model.front_matter import TemplateError
from steps.text_model.prompt_store import PromptStore


@dataclass(frozen=True)
class App:
    """An open ledger session, the context of a run, and the settings they were built from."""

    session: LedgerSession
    context: RunContext
    catalogue: Catalogue
    model: VideoModel
    settings: Settings


@asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[App]:
    """Opens everything. On exit it waits for in-flight purchases: nothing ever cancels one."""
    catalogue, model = choose_from_settings(settings)
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
    """The video provider alone: enough for an audit."""
    video = settings.video

    def rules_for(name: str) -> ProviderRules:
        listed = model if name == model.name else find_model(catalogue, name, video.base_url)
        return rules(listed or model, settings)

    async with open_provider(
        video.base_url,
        video.api_key,
        connect_seconds=video.connect_seconds,
        request_seconds=video.request_seconds,
    ) as provider:
        slots = Slots(settings.provider_in_flight_max, settings.provider_creates_per_minute)
        yield ProviderAccount(provider, video.base_url, video.fingerprint, rules_for, slots)


@asynccontextmanager
async def open_shop_if_set(settings: Settings) -> AsyncIterator[ProviderAccount | None]:
    """None if the settings name no provider: a run can be settled without one."""
    try:
        _ = settings.video
        catalogue, model = choose_from_settings(settings)
    except (ConfigError, CatalogueError):
        yield None
        return
    async with open_shop(settings, catalogue, model) as account:
        yield account


def rules(model: VideoModel, settings: Settings) -> ProviderRules:
    return ProviderRules(
        refuses_429_before_work=model.refuses_429_before_work,
        typical_render_seconds=model.typical_render_seconds,
        listing=ListFacts(
            shows_all=model.list_shows_all,
            echoes_prompts=model.list_echoes_prompts,
            absent_after=model.absent_after,
            absence_without_witness=settings.video_list_proves_absence,
            exclusive_key=settings.video_key_exclusive,
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
