"""`onetake worker`: runs the engine until a signal."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import typer

from app.context import App, open_context
from app.exits import Exit
from cli.output import logs
from pipeline.cancellation import stop
from pipeline.clock import time_of_day
from pipeline.ledger.notifications import Notifications
from pipeline.ledger.records import Run
from pipeline.settings.config import Settings
from pipeline.worker import Engine, Follow, Pace, Tell, open_engine

TOLD_ELSEWHERE = timedelta(minutes=1)  # how long a notification is postponed if this process has no bot token


async def work(settings: Settings) -> None:
    logs.to_stderr(settings)
    async with AsyncExitStack() as opened:
        built = await opened.enter_async_context(open_context(settings))
        engine = await opened.enter_async_context(open_engine(built.session.queue_dsn))
        audience = await opened.enter_async_context(open_audience(settings, built, engine))
        if built.session.host is not None:
            await built.session.host.take()
        typer.echo(f"{time_of_day()} worker ready: {built.session.name}, buys {built.model.name}")
        working = engine.work(built.context, audience.tell, pace_of(settings), audience.follow)
        await _until_told_to_stop(asyncio.create_task(alone(working, built)))
        typer.echo(f"{time_of_day()} worker stopped; unfinished runs continue with the next worker")


@dataclass(frozen=True)
class Audience:
    """How users are notified of their runs, and how progress is shown."""

    tell: Tell
    follow: Follow


@asynccontextmanager
async def open_audience(settings: Settings, built: App, engine: Engine) -> AsyncIterator[Audience]:
    """Notifies chats, if a bot token is set. A run of the terminal is reported by the command that watches it."""
    if settings.telegram_bot_token is None:
        yield Audience(_nobody_in_chats(Notifications(built.session.ledger.rpc)), nullcontext)
        return
    from app.telegram import back_of, open_bot
    from bot.app import open_bot_app

    async with open_bot(settings) as bot, open_bot_app(bot, back_of(built, engine, settings), alarms=False) as bot_app:
        yield Audience(bot_app.delivery.tell, bot_app.cards.follow)


async def alone(work: Coroutine[object, object, None], built: App) -> None:
    """Runs the work; if only one machine may, then while this one holds the host lease. Raises HostTaken."""
    if built.session.host is None:
        await work
    else:
        await built.session.host.hold(work)


def _nobody_in_chats(notifications: Notifications) -> Tell:
    async def tell(run: Run) -> None:
        if run.audience.get("kind") != "terminal":  # a process with the bot's token will notify
            await notifications.later(run, run.read_at + TOLD_ELSEWHERE)

    return tell


def pace_of(settings: Settings) -> Pace:
    return Pace(
        concurrency=settings.worker_concurrency,
        heartbeat_seconds=settings.heartbeat_seconds,
        stalled_seconds=settings.stalled_seconds,
        sweep_seconds=settings.sweep_seconds,
    )


def stopping_signal() -> asyncio.Event:
    """An event that the first SIGTERM or Ctrl-C sets; a second one ends the process at once."""
    stop = asyncio.Event()
    told = 0

    def on_signal() -> None:
        nonlocal told
        told += 1
        if told > 1:
            os._exit(Exit.TERMINATED)  # at once; the system releases locks and connections
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


async def _until_told_to_stop(working: "asyncio.Task[None]") -> None:
    told = stopping_signal()
    stopping = asyncio.create_task(told.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    if told.is_set():
        typer.echo(f"{time_of_day()} stopping; a second Ctrl-C or SIGTERM stops at once")
    for task in (working, stopping):
        await stop(task)
    if not working.cancelled():
        working.result()
