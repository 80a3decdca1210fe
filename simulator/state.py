"""State shared by all routes of one simulator: books, faults, clips, speed and habits.

In       settings
Out      one `SimulatorState`, kept under `STATE` in the aiohttp application
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from simulator.faults.arming import FaultBox
from simulator.settings import Habits, Settings
from simulator.videos.books import Books
from simulator.videos.clips import ClipShelf


@dataclass(slots=True)
class SimulatorState:
    """The state of one simulator.

    `looks` and `fetches` count reads per job, for habits that change after a number of reads;
    `repeats` are pending proxy retries; `root` is this server's own address; `new_ids` draws the job ids of providers
    with a form of their own.
    """

    settings: Settings
    books: Books
    faults: FaultBox
    clips: ClipShelf
    habits: Habits
    speed: float
    skew_seconds: float = 0.0
    looks: Counter[str] = field(default_factory=Counter)
    fetches: Counter[str] = field(default_factory=Counter)
    repeats: set[asyncio.Task[None]] = field(default_factory=set)
    root: str = ""
    new_ids: dict[str, Callable[[], str]] = field(default_factory=dict)

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until it ends or the simulator stops."""
        task = asyncio.create_task(work)
        self.repeats.add(task)
        task.add_done_callback(self.repeats.discard)

    def now(self) -> float:
        """Wall time: times in the books must still be right after a restart."""
        return time.time()


STATE = web.AppKey("world", SimulatorState)


def open_context(settings: Settings) -> SimulatorState:
    """Build the state; with a books path, load what earlier processes wrote there."""
    return SimulatorState(
        settings=settings,
        books=Books(settings.books_path, refund_failed=settings.refund_failed),
        faults=FaultBox(settings.seed, settings.fault_rates),
        clips=ClipShelf(settings.clip_folder, tiny=settings.tiny_clips),
        habits=settings.habits,
        speed=settings.speed,
    )
