"""`onetake bot`: the Telegram bot and the engine in one process. Without a token or keys, the outside is simulated.

In       Settings
Out      runs until a signal: intake stops first; unfinished runs are resumed at the next start
Raises   Stop, ConfigError, CatalogueError, DatabaseUnavailable, LedgerError: one clear sentence each
"""

import asyncio
import contextlib
import fcntl
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any

import typer
from aiogram import Bot
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramNotFound,
    TelegramUnauthorizedError,
)
from aiogram.methods import SetMyCommands
from aiogram.types import BotCommand
from pydantic import SecretStr

from app.context import App, open_context
from app.exits import Exit, Stop
from app.programs import simulator
from app.telegram import back_of, open_bot
from app.web_page import WebPage, listening, page_of
from bot.app import ALLOWED_UPDATES, BotApp, open_bot_app
from bot.info_pages import COMMANDS
from bot.translations import Words
from bot.transport import webhook
from bot.transport.client import SendError
from bot.transport.polling import Conflict, poll
from cli.commands.run_worker import alone, pace_of, stopping_signal
from cli.commands.simulation import missing_parts
from cli.output import logs
from pipeline.cancellation import stop
from pipeline.clock import time_of_day
from pipeline.settings.config import Settings
from pipeline.settings.vendor_keys import KEYS
from pipeline.worker import Engine, open_engine
from steps.languages import DEFAULT, LANGUAGES

SIMULATED_PORT = 8090
# By provider: one with a list of whole requests, and one that knows our own id.
DEMO_OFFERS = {
    "fal": "fal/fal-ai/veo3.1/fast",
    "kling": "kling/kling-v2-5-turbo",
}
RENDER_SECONDS = 12.0  # of the simulated provider: long enough to watch
BATCH_SECONDS = 5.0  # to finish the updates that are being handled when a signal arrives


async def serve(settings: Settings, *, worker: bool) -> None:
    """Runs the bot until a signal."""
    logs.to_stderr(settings)
    async with AsyncExitStack() as opened:
        staged, demo = await opened.enter_async_context(_stage(settings))
        built = await opened.enter_async_context(open_context(staged))
        engine = await opened.enter_async_context(open_engine(built.session.queue_dsn))
        bot = await opened.enter_async_context(open_bot(staged))
        if built.session.host is not None:
            await built.session.host.take()
        await _introduce(bot)
        bot_app = await opened.enter_async_context(open_bot_app(bot, back_of(built, engine, staged, demo=demo)))
        await _serve(bot_app, engine, built, staged, worker=worker, demo=demo)
    typer.echo(f"{time_of_day()} bot stopped; unfinished runs continue at the next start")


@asynccontextmanager
async def _stage(settings: Settings) -> AsyncIterator[tuple[Settings, bool]]:
    """Yields the settings to run with, and whether this is a demo: services without a token or key are simulated."""
    bare = settings.openai_api_key is None and settings.video_api_key is None
    if settings.telegram_bot_token is not None and not bare:
        yield settings, False
        return
    if missing := missing_parts():
        raise Stop(
            "without TELEGRAM_BOT_TOKEN, or without any API key, the bot uses the simulator, which needs "
            f"{missing}: run `make run`"
        )
    folder = settings.onetake_home / "demo"
    options = ["--render-seconds", str(RENDER_SECONDS), "--refund-failed"]
    with _alone_in(folder) as sign:
        typer.echo(f"{time_of_day()} demo data has its own folder: ONETAKE_HOME={folder}")
        async with simulator(folder, options, _free_port(SIMULATED_PORT)) as root:
            print(f"{root}/chat", file=sign, flush=True)
            yield simulated(settings, root), True
            if settings.telegram_bot_token is None:
                typer.echo(f"{time_of_day()} simulator stopped")


@contextmanager
def _alone_in(folder: Path) -> Iterator[IO[str]]:
    """Locks the folder for one demo; yields the lock file, in which a second demo reads the first one's address.

    Raises Stop if one is running: two would share one ledger, each with its own provider, and an audit would flag the
    orders of the other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "running").open("a+", encoding="utf-8") as sign:
        try:
            fcntl.flock(sign, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sign.seek(0)
            where = sign.read().strip() or folder
            raise Stop(f"a demo is already running at {where}; stop it first, or set another ONETAKE_HOME") from None
        sign.truncate(0)
        yield sign


def simulated(settings: Settings, root: str) -> Settings:
    """The settings with a simulated provider and text model, and their own ledger; without a token, also Telegram."""
    changes: dict[str, Any] = {
        "openai_api_key": SecretStr("simulated"),
        "openai_base_url": f"{root}/v1",
        "video_api_key": None,
        "video_base_url": None,
        "video_model": "sim-1",
        "video_usd_per_second": None,
        "video_create_body": None,
        "video_extra_headers": None,
        "public_url": None,
        **_simulated_accounts(root),
        "database_url": None,
        "supabase_url": None,
        "supabase_service_role_key": None,
        "onetake_home": settings.onetake_home / "demo",
        "poll_seconds": settings.poll_seconds or 1.0,
    }
    if settings.telegram_bot_token is None:
        # A bot id that no earlier start had: message ids start over, and a request key must not be used twice.
        token = SecretStr(f"{int(time.time())}:simulated")
        changes |= {"telegram_bot_token": token, "telegram_api_base": root, "webhook_url": None, "webhook_secret": None}
        typer.echo(f"{time_of_day()} no TELEGRAM_BOT_TOKEN: everything outside is simulated, no real money is spent")
        typer.echo(f"\n    talk to the bot in a browser:  {root}/chat\n")
    else:
        typer.echo(f"{time_of_day()} no provider keys: videos are simulated, no real money is spent")
    return settings.model_copy(update=changes)


def _simulated_accounts(root: str) -> dict[str, Any]:
    """No real account is left: a demo has simulated ones at two providers, besides the one of the default model."""
    keys = {name: None for names in KEYS.values() for name in names}
    urls = {f"{provider}_base_url": None for provider in KEYS}
    known = {name: SecretStr("simulated:simulated") for provider in DEMO_OFFERS for name in KEYS[provider]}
    there = {f"{provider}_base_url": f"{root}/{provider}" for provider in DEMO_OFFERS}
    return keys | urls | known | there | {"video_models": ",".join(DEMO_OFFERS.values())}


def _free_port(wanted: int) -> int:
    """The wanted port, or 0 (any) if it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0
    return wanted


async def _introduce(bot: Bot) -> None:
    """Checks the token with Telegram, and sets the bot's commands in each language. Raises Stop."""
    try:
        me = await bot.me()
    except (TelegramUnauthorizedError, TelegramNotFound):
        raise Stop("TELEGRAM_BOT_TOKEN: Telegram does not accept this token; get a new one from @BotFather") from None
    except TelegramAPIError as error:
        raise Stop(f"TELEGRAM_API_BASE: Telegram could not be reached ({type(error).__name__}); try again") from None
    except ClientDecodeError:
        raise Stop("TELEGRAM_API_BASE: this address does not serve Telegram's Bot API") from None
    for language in LANGUAGES:
        words = Words(language)
        commands = [BotCommand(command=name, description=words.plain(about)) for name, about in COMMANDS]
        with contextlib.suppress(TelegramAPIError, ClientDecodeError):  # the bot works without the menu
            await bot(SetMyCommands(commands=commands, language_code=None if language == DEFAULT else language))
    typer.echo(f"{time_of_day()} bot @{me.username} ready")


async def _serve(bot_app: BotApp, engine: Engine, built: App, settings: Settings, *, worker: bool, demo: bool) -> None:
    stopping = stopping_signal()
    async with AsyncExitStack() as opened:
        tasks: list[asyncio.Task[Any]] = []
        if worker:
            work = engine.work(built.context, bot_app.delivery.tell, pace_of(settings), bot_app.cards.follow)
        else:
            work = _nothing()  # this machine holds its host lease all the same
        tasks.append(asyncio.create_task(alone(work, built)))
        page = page_of(settings, built, engine, bot_app, demo=demo)
        intake = asyncio.create_task(_intake(bot_app, settings, stopping, page, demo=demo))
        opened.push_async_callback(_stop_all, tasks)
        await asyncio.wait([intake, *tasks[:1]], return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            typer.echo(f"{time_of_day()} stopping; a second Ctrl-C or SIGTERM stops at once")
        stopping.set()
        await asyncio.wait([intake], timeout=BATCH_SECONDS)
        await stop(intake)
        if not intake.cancelled():
            await intake


async def _nothing() -> None:
    await asyncio.Event().wait()


async def _stop_all(tasks: "list[asyncio.Task[Any]]") -> None:
    for task in tasks:
        await stop(task)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _intake(
    bot_app: BotApp, settings: Settings, stopping: asyncio.Event, page: WebPage | None, *, demo: bool
) -> None:
    if settings.webhook_url is None:
        async with AsyncExitStack() as opened:
            if page is not None:
                await opened.enter_async_context(listening(page, settings, demo=demo))
            await _poll(bot_app, stopping)
        return
    assert settings.webhook_secret is not None, "the settings see to it"
    secret = settings.webhook_secret.get_secret_value()
    try:
        async with webhook.serve(
            bot_app.bot,
            bot_app.incoming.read,
            bot_app.feed,
            settings.webhook_url,
            secret,
            settings.http_host,
            settings.http_port,
            ALLOWED_UPDATES,
            page.app if page is not None else None,
        ) as port:
            typer.echo(
                f"{time_of_day()} webhook listens on {settings.http_host}:{port}{webhook.path_of(settings.webhook_url)}"
            )
            if page is not None:
                page.say(f"http://{settings.http_host}:{port}")
            await stopping.wait()
    except OSError as error:
        raise Stop(f"HTTP_PORT: cannot listen on {settings.http_port} ({error.strerror or error})") from error
    except (TelegramAPIError, ClientDecodeError, SendError) as error:
        raise Stop(f"WEBHOOK_URL: Telegram did not accept it ({type(error).__name__})") from error


async def _poll(bot_app: BotApp, stopping: asyncio.Event) -> None:
    try:
        await poll(bot_app.bot, bot_app.incoming.read, bot_app.feed, ALLOWED_UPDATES, stopping)
    except Conflict as error:
        raise Stop(
            "another process is polling with this bot token; stop it, or use a different token here. "
            "Nothing was lost: Telegram keeps the updates",
            Exit.ENDED_OTHERWISE,
        ) from error
    except (TelegramUnauthorizedError, TelegramNotFound):
        raise Stop(
            "TELEGRAM_BOT_TOKEN: Telegram no longer accepts it, so the bot receives nothing; set the new one. "
            "Accepted requests continue at the next start",
            Exit.ENDED_OTHERWISE,
        ) from None
