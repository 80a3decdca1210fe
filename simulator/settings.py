"""What a simulated provider is like: its models and prices, its pace, its habits.

In       plain values, set by a test or by the command line
Out      frozen dataclasses; `Habits` may be replaced while running, the rest stays as started
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

INSTANT = math.inf
"""The speed at which every render is finished the moment it is asked for."""

PROTOCOL_SECONDS = (4, 8, 12)
PROTOCOL_SIZES = ("720x1280", "1280x720", "1024x1792", "1792x1024")
SECONDS_MAX = 20


@dataclass(frozen=True, slots=True)
class Model:
    """A video model: what a second costs and what it can make. Empty tuples mean 1..20 s, any WxH."""

    microusd_per_second: int
    seconds: tuple[int, ...] = PROTOCOL_SECONDS
    sizes: tuple[str, ...] = PROTOCOL_SIZES


MODELS: Mapping[str, Model] = {
    "sim-1": Model(100_000),
    "sim-1-pro": Model(300_000),
    "sim-open": Model(100_000, seconds=(), sizes=()),
}


@dataclass(frozen=True, slots=True)
class Habits:
    """How answers of this server differ from the published protocol, as gateways' answers do."""

    sparse: bool = False
    null_prompts: bool = False
    no_list_status: int | None = None
    json_only: bool = False
    strange_ids: bool = False
    model_prefix: str = ""
    unknown_models: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a simulator is started with."""

    seed: int | None = None
    fault_rates: Mapping[str, float] = field(default_factory=dict)
    hang_seconds: float = 120.0
    speed: float = 1.0
    render_seconds: float = 40.0
    expires_after_seconds: float = 3600.0
    refund_failed: bool = False
    models: Mapping[str, Model] = field(default_factory=lambda: dict(MODELS))
    unknown_model_microusd_per_second: int = 100_000
    api_keys: frozenset[str] | None = None
    habits: Habits = Habits()
    tiny_clips: bool = False
    clip_folder: Path | None = None
    books_path: Path | None = None
    telegram_tokens: frozenset[str] | None = None
    telegram_limits: bool = False
    telegram_upload_bytes_max: int = 50_000_000
    postgrest: str | None = None
    supabase_keys: Mapping[str, str] = field(default_factory=dict)


def parse_speed(text: str | float) -> float:
    """Read a speed: a positive number, or the word `instant`. Raises ValueError."""
    if text == "instant":
        return INSTANT
    speed = float(text)
    if not speed > 0:
        raise ValueError("speed must be a positive number or 'instant'")
    return speed
