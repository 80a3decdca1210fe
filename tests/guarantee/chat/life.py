"""One life of the bot in its own process: polling, handlers, ledger and worker, with every outside call watched.

In       where to poll, which data folder to use, and where this life ends
Out      a process; its log of points and its stderr are files
Effects  those of `onetake bot`; a life that is not killed runs until SIGTERM
"""

import asyncio
import os
import signal
import sys
import traceback
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from unittest import mock
from uuid import uuid4

from aiogram import Bot
from aiogram.client.telegram import TelegramAPIServer

from bot.app import ALLOWED_UPDATES, open_bot_app
from bot.delivery import delivery, progress_cards
from bot.transport import client, polling, rate_limiter
from bot.transport.polling import poll
from bot.transport.session import TelegramSession
from pipeline.cancellation import stop
from pipeline.worker import Pace, open_engine
from tests.bot.chat import TOKEN
from tests.bot.harness import dependencies_at
from tests.guarantee.chat.trace_points import ChatTracePoints
from tests.guarantee.crash.trace_points import End
from tests.support.fixtures import PROVES_ABSENCE, Simulator, open_test_context, quick_waits

PACE = Pace(concurrency=4, heartbeat_seconds=0.2, stalled_seconds=0.8, sweep_seconds=0.2)
# Several lives share two cores: a request that is only slow must not count as lost.
WAITS = quick_waits(SUBMIT_DEADLINE_SECONDS="2", CONNECT_TIMEOUT_SECONDS="2", REQUEST_TIMEOUT_SECONDS="1.5")
# The bot's own waits, shorter than in production.
QUICKER = (
    (rate_limiter, "CHAT_GAP_SECONDS", 0.05),
    (client, "CHAT_GAP_SECONDS", 0.05),
    (progress_cards, "LOOK_SECONDS", 0.2),
    (progress_cards, "GRACE_SECONDS", 1.0),
    (delivery, "AGAIN", timedelta(seconds=0.3)),
    (delivery, "AGAIN_LATER", timedelta(seconds=1)),
    (polling, "PAUSES_SECONDS", (0.2,)),
)


@dataclass(frozen=True)
class Place:
    dsn: str
    sim: Simulator


@dataclass(frozen=True)
class House:
    """The data folder that all lives of a case share."""

    home: Path

    def points(self, life: int) -> list[str]:
        log = self.log(life)
        return log.read_text().splitlines() if log.exists() else []

    def log(self, life: int) -> Path:
        return self.home / f"life{life}.points"

    def said(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.home.glob("*.stderr")))[-2000:]


def new_house(folder: Path, name: str) -> House:
    home = folder / uuid4().hex[:12]
    home.mkdir(parents=True)
    (home / "name").write_text(name)
    return House(home)


def hasten(telling_seconds: float) -> None:
    """Shorten the bot's waits in this process and its forks; permanently.

    As in production, a dead worker's notification lease far outlasts its job: the next worker finds the lease taken.
    """
    for module, name, value in (*QUICKER, (delivery, "TELLING_SECONDS", telling_seconds)):
        mock.patch.object(module, name, value).start()


def begin(house: House, place: Place, life: int, end: End | None = None) -> int:
    """Start a new life; returns its pid."""
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    code = 1
    try:
        descriptor = os.open(house.home / f"life{life}.stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        ChatTracePoints(house.home, house.log(life), end).watch()
        asyncio.run(live(house, place))
        code = 0
    except BaseException:  # noqa: BLE001 - top level of a process: recorded, and never raised into the parent
        traceback.print_exc()
    finally:
        os._exit(code)


async def live(house: House, place: Place) -> None:
    """`onetake bot` without its greeting: answers updates and works on runs."""
    session = TelegramSession(api=TelegramAPIServer.from_base(place.sim.url.removesuffix("/v1")))
    async with AsyncExitStack() as opened:
        opened.push_async_callback(session.close)
        context = await opened.enter_async_context(
            open_test_context(place.dsn, place.sim, house.home, WAITS, **PROVES_ABSENCE)
        )
        engine = await opened.enter_async_context(open_engine(place.dsn, pool_max=4))
        bot = Bot(TOKEN, session=session)
        back = dependencies_at(context, engine, shared_turns=True)
        bot_app = await opened.enter_async_context(open_bot_app(bot, back, alarms=False))
        work = asyncio.create_task(engine.work(context, bot_app.delivery.tell, PACE, bot_app.cards.follow))
        opened.push_async_callback(stop, work)
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        await poll(bot_app.bot, bot_app.incoming.read, bot_app.feed, ALLOWED_UPDATES, stopping)
