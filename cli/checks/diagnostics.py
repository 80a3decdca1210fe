"""Checks the configuration part by part, so that one wrong setting does not hide another."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from app.exits import Stop, run_async
from app.ledger_session import ledger_name, open_ledger, over_rest
from app.model_choice import choose_from_settings
from pipeline.formatting import usd
from pipeline.ledger.operators import Controls
from pipeline.ledger.transports.common import LedgerError
from pipeline.postgres.embedded import DatabaseUnavailable, is_made
from pipeline.settings.config import Settings
from pipeline.settings.data_folder import default_home, shown, user_home, why_unusable
from pipeline.settings.endpoints import configured, endpoint_of
from pipeline.settings.env_file import env_file_in_use
from pipeline.settings.setting_checks import ConfigError
from providers.catalogue import CatalogueError, VideoModel, check_shape, price_microusd
from providers.orders import OPENAI
from steps.contracts import CONTRACTS
from steps.text_model.front_matter import TemplateError
from steps.text_model.prompt_store import PromptStore

FREE_GB_MIN = 1
BYTES_IN_GB = 1_000_000_000


class Health(Enum):
    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    about: str
    health: Health
    words: str


def examine(settings: Settings) -> list[Finding]:
    return [
        *_settings(),
        *_video(settings),
        *_text(settings),
        *_home(settings),
        *_prompts(settings),
        *_database(settings),
        *_storage(settings),
    ]


def _settings() -> Iterator[Finding]:
    path = env_file_in_use(os.environ)
    if path is None:
        ignored = os.environ.get("ONETAKE_IGNORE_ENV_FILE") == "1"
        why = "ONETAKE_IGNORE_ENV_FILE is set" if ignored else "there is no .env"
        yield Finding("settings", Health.GOOD, f"read from the environment ({why})")
    else:
        yield Finding("settings", Health.GOOD, f"read from {path} and the environment")


def _video(settings: Settings) -> Iterator[Finding]:
    accounts = configured(settings)
    for name in (each for each in accounts if each != OPENAI):
        yield Finding("account", Health.GOOD, f"{name}, fingerprint {endpoint_of(settings, name).fingerprint}")
    if settings.video_model is None and accounts:
        words = "VIDEO_MODEL is not set: name a model with --model (`onetake models` lists them); the bot needs one"
        yield Finding("video", Health.NOTE, words)
        return
    try:
        _, model = choose_from_settings(settings)
    except CatalogueError as error:
        yield Finding("video", Health.BAD, str(error))
        model = None
    try:
        endpoint = endpoint_of(settings, model.provider if model else OPENAI)
    except ConfigError as error:
        yield Finding("video key", Health.BAD, str(error))
        return
    yield Finding("video key", Health.GOOD, f"set (fingerprint {endpoint.fingerprint})")
    if model is not None:
        yield from _model(model, endpoint.base_url, settings)


def _model(model: VideoModel, base_url: str, settings: Settings) -> Iterator[Finding]:
    seconds, size = settings.video_seconds, settings.video_size
    try:
        check_shape(model, seconds, size)
    except CatalogueError as error:
        yield Finding(
            "video",
            Health.NOTE,
            f"the default length or size does not fit: {error}; set VIDEO_SECONDS and VIDEO_SIZE",
        )
    else:
        price = usd(price_microusd(model, seconds, size))
        yield Finding("video", Health.GOOD, f"{model.offer} at {base_url}; {price} for {seconds} s at {size}")
    if model.provider != OPENAI:
        return
    if urlsplit(base_url).hostname not in {"127.0.0.1", "localhost"} or model.name != "sim-1":
        yield Finding(
            "video",
            Health.NOTE,
            "a proxy behind this address may retry a purchase on its own (LiteLLM: set num_retries: 0)",
        )
    if not model.list_shows_all:
        yield Finding("video", Health.NOTE, "this endpoint's list is incomplete: a lost answer needs `onetake settle`")
    if settings.video_list_proves_absence and (model.absent_after is None or not model.list_shows_all):
        words = (
            "VIDEO_LIST_PROVES_ABSENCE has no effect: models.toml lacks start_limit_seconds, render_limit_seconds or "
            "list_lag_seconds for this model, or says that its list does not show every job"
        )
        yield Finding("video", Health.NOTE, words)
    if settings.video_key_exclusive:
        words = "VIDEO_KEY_EXCLUSIVE is set: if anyone else uses this key, a lost answer may be matched to their video"
        yield Finding("video", Health.NOTE, words)


def _text(settings: Settings) -> Iterator[Finding]:
    try:
        text = settings.text
    except ConfigError as error:
        yield Finding("text", Health.BAD, str(error))
    else:
        yield Finding("text", Health.GOOD, f"{text.model} at {text.base_url}; key set")


def _home(settings: Settings) -> Iterator[Finding]:
    from steps.save_video import free_bytes

    home = settings.onetake_home
    if why := why_unusable(home):
        yield Finding("home", Health.BAD, f"ONETAKE_HOME: {home} cannot be used as a folder ({why})")
        return
    free = free_bytes(home) / BYTES_IN_GB
    health = Health.GOOD if free >= FREE_GB_MIN else Health.BAD
    yield Finding("home", health, f"{home}, {free:.1f} GB free" + ("" if free >= FREE_GB_MIN else "; 1 GB is needed"))
    if home == default_home() != user_home():
        words = f"used because {shown(home)} exists; without it, or from other folders, {user_home()} is used"
        yield Finding("home", Health.NOTE, words)


def _prompts(settings: Settings) -> Iterator[Finding]:
    store = PromptStore(settings.prompts, contracts=CONTRACTS)
    for name in CONTRACTS:
        try:
            store.get(name)
        except TemplateError as error:
            yield Finding("prompts", Health.BAD, str(error))
            return
    yield Finding("prompts", Health.GOOD, f"{len(CONTRACTS)} templates in {settings.prompts}")


def _database(settings: Settings) -> Iterator[Finding]:
    async def look() -> tuple[Controls, str]:
        async with open_ledger(settings, reads=True) as session:
            limits = {limit.key: limit.value for limit in await session.operators.limits()}
            return await session.operators.controls(), str(limits["rollout"])

    try:
        controls, rollout = run_async(look())
    except (ConfigError, DatabaseUnavailable, LedgerError, Stop) as error:
        yield Finding("database", Health.BAD, str(error))
        return
    made = settings.database_url is not None or over_rest(settings) or is_made(settings.onetake_home)
    state = "up to date" if made else "not created yet; the first order or operator command creates it"
    yield Finding("database", Health.GOOD, f"{ledger_name(settings)}, {state}")
    yield from _telegram(settings, rollout)
    if controls.paused:
        why = f" ({controls.pause_reason})" if controls.pause_reason else ""
        yield Finding("control", Health.NOTE, f"buying is paused{why}; `onetake resume` ends it")


def _storage(settings: Settings) -> Iterator[Finding]:
    project = settings.supabase
    if project is None:
        return
    from pipeline.clips.bucket import BucketError, open_bucket  # only with a project: it loads supabase

    async def look() -> bool:
        async with open_bucket(project.url, project.key, project.bucket) as bucket:
            return await bucket.is_there()

    try:
        there = run_async(look())
    except (ConfigError, BucketError, LedgerError) as error:
        yield Finding("storage", Health.BAD, str(error))
        return
    words = "private" if there else "not created yet; the first start creates it as private"
    kept = f"kept {settings.media_keep_days:g} days" if settings.media_keep_days else "kept forever"
    yield Finding("storage", Health.GOOD, f"bucket {project.bucket}, {words}; clips are {kept}")


def _telegram(settings: Settings, rollout: str) -> Iterator[Finding]:
    if settings.telegram_bot_token is None:
        yield Finding("telegram", Health.NOTE, "no TELEGRAM_BOT_TOKEN: `onetake bot` runs simulated, in a browser")
        return
    how = f"webhook {settings.webhook_url}" if settings.webhook_url else "polling"
    yield Finding("telegram", Health.GOOD, f"token set, {how}, rollout {rollout}, {len(settings.admins)} operators")
    if rollout == "all" and not settings.admins:
        words = (
            "anyone may order and no operator gets alerts: set ADMIN_IDS, or run `onetake limits set rollout allowlist`"
        )
        yield Finding("telegram", Health.NOTE, words)
