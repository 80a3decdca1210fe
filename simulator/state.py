"""What the doors of one simulator share: books, faults, clips, pace and habits.

In       settings
Out      one `SimulatorState`, kept under `WORLD` in the aiohttp application
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from aiohttp import web

from simulator.faults.arming import FaultBox
from simulator.settings import Habits, Settings
from simulator.videos.books import Books
from simulator.videos.clips import ClipShelf


@dataclass(slots=True)
class SimulatorState:
    """The state of one simulated outside world.

    `looks` and `fetches` count reads per job, for habits that change after some;
    `repeats` are pending proxy retries.
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

    def now(self) -> float:
        """Wall time: jobs in the books must mean the same after a restart."""
        return time.time()


WORLD = web.AppKey("world", SimulatorState)


def open_context(settings: Settings) -> SimulatorState:
    """Build the world; with a books path, what was there before the restart is there again."""
    return SimulatorState(
        settings=settings,
        books=Books(settings.books_path, refund_failed=settings.refund_failed),
        faults=FaultBox(settings.seed, settings.fault_rates),
        clips=ClipShelf(settings.clip_folder, tiny=settings.tiny_clips),
        habits=settings.habits,
        speed=settings.speed,
    )
