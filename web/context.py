"""What the page needs from the rest of the process. Built by `cli`, as the bot's is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from aiohttp import web

from pipeline.context import ProviderAccount
from pipeline.ledger.client import Ledger
from pipeline.ledger.dashboard import Dashboard
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import Run
from pipeline.settings.parts import Waits
from providers.catalogue import Catalogue


@dataclass(frozen=True)
class WebContext:
    """`clip_of` raises FileNotFoundError; `evals`: the file with the last result of `onetake prompts eval`.

    `flood_waits`: how often Telegram told this process to wait. `unreadable_updates`: how many updates this
    process could not parse. `demo`: everything outside is simulated.
    """

    ledger: Ledger
    operators: Operators
    dashboard: Dashboard
    account: ProviderAccount
    waits: Waits
    catalogue: Catalogue
    enqueue: Callable[[UUID | str], Awaitable[None]]
    clip_of: Callable[[Run], Awaitable[Path]]
    evals: Path
    flood_waits: Callable[[], int]
    unreadable_updates: Callable[[], int]
    demo: bool = False


CONTEXT: web.AppKey[WebContext] = web.AppKey("office", WebContext)
