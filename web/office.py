"""What the page needs of the house behind it. Built by `cli`, as the bot's is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from aiohttp import web

from pipeline.config import Waits
from pipeline.ledger import Ledger
from pipeline.operators import Operators
from pipeline.records import Run
from pipeline.watch import Watch
from pipeline.world import Shop
from steps.catalogue import Catalogue


@dataclass(frozen=True)
class Office:
    """`clip_of` raises FileNotFoundError; `evals`: where `onetake prompts eval` leaves its last result.

    `flood_waits`: how often Telegram told this process to wait. `unreadable_updates`: how many of its updates this
    process could not read. `demo`: everything outside is simulated.
    """

    ledger: Ledger
    operators: Operators
    watch: Watch
    shop: Shop
    waits: Waits
    catalogue: Catalogue
    enqueue: Callable[[UUID | str], Awaitable[None]]
    clip_of: Callable[[Run], Awaitable[Path]]
    evals: Path
    flood_waits: Callable[[], int]
    unreadable_updates: Callable[[], int]
    demo: bool = False


OFFICE: web.AppKey[Office] = web.AppKey("office", Office)
