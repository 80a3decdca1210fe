"""Settings of a simulated provider: its models and prices, its speed, its habits.

In       plain values, set by a test or by the command line
Out      frozen dataclasses; `Habits` can be replaced at run time, the rest is fixed at the start
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INSTANT = math.inf
"""The speed at which every render is finished the moment it is asked for."""

PROTOCOL_SECONDS = (4, 8, 12)
PROTOCOL_SIZES = ("720x1280", "1280x720", "1024x1792", "1792x1024")
SECONDS_MAX = 20


@dataclass(frozen=True, slots=True)
class Model:
    """A video model: its price per second and its limits. Empty tuples mean 1..20 s and any WxH."""

    microusd_per_second: int
    seconds: tuple[int, ...] = PROTOCOL_SECONDS
    sizes: tuple[str, ...] = PROTOCOL_SIZES


MODELS: Mapping[str, Model] = {
    "sim-1": Model(100_000),
    "sim-1-pro": Model(300_000),
    "sim-open": Model(100_000, seconds=(), sizes=()),
}


VENDOR_PRICES: Mapping[str, int] = {"fal-ai/veo3.1/fast": 150_000, "kling-v2-5-turbo": 70_000}
"""What the models of other providers that a demo offers cost, in micro-dollars a second."""

ANSWERS = ("create", "retrieve", "list")
DATE_WORDS = ("zero", "negative", "hour_one", "a_year_ago", "hours_behind", "hours_ahead", "milliseconds")
DATE_SHAPES = ("text", "digits", "null", "missing")

WORDS: Mapping[str, tuple[str, ...]] = {
    "lies_in": ANSWERS,
    "created_at": (*DATE_WORDS, *DATE_SHAPES),
    "completed_at": (*DATE_WORDS, *DATE_SHAPES),
    "expires_at": (*DATE_WORDS, *DATE_SHAPES),
    "prompt_rewrite": (
        "upper",
        "cinematic",
        "escaped",
        "ascii",
        "middle",
        "redacted",
        "composed",
        "swapped",
        "translated",
    ),
    "poison": ("nul", "surrogate"),
    "poisoned": ("prompt", "model", "status", "error"),
    "envelope": ("data", "code", "code_task", "code_lone", "code_request", "task", "lone_task", "output", "jsend"),
    "list_order": ("oldest_first", "newest_first", "shuffled", "shards"),
    "has_more": ("missing", "null", "always", "never"),
    "odd_rows": ("integer_id", "no_id", "null", "string", "nested", "nul_id", "surrogate_id"),
    "neighbours": ("other", "same", "similar"),
    "clip_url": ("url", "video_url", "output", "data", "previews"),
    "callbacks": ("twice", "late", "never", "wrong_signature"),
    "clip_lie": (
        "empty",
        "ftyp_only",
        "no_moov",
        "trailing_garbage",
        "box_overrun",
        "html",
        "json_error",
        "webm",
        "quicktime",
        "open_mdat_cut",
        "one_byte_mdat",
        "fragment_lost",
        "zeros",
        "sound_alone",
        "hole",
        "padded",
    ),
}
"""The words allowed in a habit. A test compares them with the tables that implement them."""


@dataclass(frozen=True, slots=True)
class Habits:
    """Standing differences between a server and the published protocol. `README.md` explains every field.

    Raises   ValueError for a value that its field does not allow
    """

    sparse: bool = False
    null_prompts: bool = False
    no_list_status: int | None = None
    json_only: bool = False
    strange_ids: bool = False
    model_prefix: str = ""
    unknown_models: bool = False

    # Job fields. `lies_in` names the answers that this block applies to.
    lies_in: Sequence[str] = ANSWERS
    created_at: str = ""
    completed_at: str = ""
    expires_at: str = ""
    dates_shift_seconds: float = 0.0
    dates_drift_seconds: float = 0.0
    status_words: Mapping[str, Any] = field(default_factory=dict)
    shown: Mapping[str, Any] = field(default_factory=dict)
    hidden: Sequence[str] = ()
    prompt_characters: int | None = None
    prompt_ellipsis: str = ""
    prompt_rewrite: str = ""
    poison: str = ""
    poisoned: Sequence[str] = ("prompt", "model", "status", "error")

    # The shape of an answer about one job.
    aliased_ids: bool = False
    task_ids: bool = False
    integer_ids: bool = False
    envelope: str = ""
    cache_age: int = 0
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    bom: bool = False
    failed_status: int | None = None
    failed_looks: int = 0

    # The list.
    forgotten_before: float = 0.0
    forgotten_are_404: bool = False
    record_seconds: float | None = None
    input_seconds: float | None = None
    list_share: float = 1.0
    list_hides: Sequence[str] = ()
    list_lag_seconds: float = 0.0
    list_age_seconds: float = 0.0
    list_order: str = ""
    has_more: str = ""
    page_size: int | None = None
    odd_rows: Sequence[str] = ()
    list_says: Mapping[str, Any] = field(default_factory=dict)
    list_status: int = 200
    list_headers: Mapping[str, str] = field(default_factory=dict)
    cursor_by_second: bool = False
    asset_ids: bool = False
    list_models: Sequence[str] = ()
    list_first: Sequence[str] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    prompts_shifted: bool = False
    neighbours: str = ""

    # The clip.
    clip_url: str = ""
    clip_signed: bool = False
    content_status: int | None = None
    clip_lie: str = ""
    clip_404s: int = 0
    clip_steps: int = 1
    preview_seconds: int = 0

    # The report of a job's end, to the address that its order names.
    callbacks: str = ""
    callback_late_seconds: float = 2.0

    def __post_init__(self) -> None:
        for name, known in WORDS.items():
            value = getattr(self, name)
            said = {value} if isinstance(value, str) else set(value)
            if unknown := said - {"", *known}:
                raise ValueError(f"unknown {name} {', '.join(sorted(unknown))}; known: {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Settings:
    """All start settings of a simulator."""

    seed: int | None = None
    fault_rates: Mapping[str, float] = field(default_factory=dict)
    hang_seconds: float = 120.0
    speed: float = 1.0
    render_seconds: float = 40.0
    expires_after_seconds: float = 3600.0
    refund_failed: bool = False
    models: Mapping[str, Model] = field(default_factory=lambda: dict(MODELS))
    unknown_model_microusd_per_second: int = 100_000
    vendor_microusd_per_second: Mapping[str, int] = field(default_factory=dict)
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
    """Parse a speed: a positive number, or the word `instant`. Raises ValueError."""
    if text == "instant":
        return INSTANT
    speed = float(text)
    if not speed > 0:
        raise ValueError("speed must be a positive number or 'instant'")
    return speed
