"""The plan of one seed: everything is drawn in advance from one random generator. Pure.

In       a seed
Out      a Plan: the provider's habits and fault rates, the limits, and who does what when
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.support.fixtures import PRICE_MICROUSD

STORM_SECONDS = 1.2
LONGEST_SECONDS = 2.0  # a slow render, and a list that shows it late
WORKERS = 3
PROMPTS = (
    "a paper boat in the rain",
    "a red fox at dawn",
    "a grey owl over snow",
    "render-fails: a lighthouse in fog",
    "a tin robot waters a cactus",
)
RATES_MAX = {"create": 0.7, "retrieve": 0.25, "list": 0.3, "content": 0.3, "chat": 0.15, "render": 0.25}


@dataclass(frozen=True)
class Ask:
    """A request; the same key means the same request again. `walks`: its own process works on it, as `onetake create`
    does; if `killed_after` is set, it is killed after so many seconds."""

    user: str
    key: str
    prompt: str
    again: bool = False
    confirm: bool = False
    walks: bool = False
    killed_after: float | None = None


@dataclass(frozen=True)
class Cancel:
    which: int  # index into the runs accepted so far


@dataclass(frozen=True)
class Confirm:
    which: int


@dataclass(frozen=True)
class Kill:
    worker: int
    gone_for: float


@dataclass(frozen=True)
class Freeze:
    worker: int
    seconds: float


@dataclass(frozen=True)
class Pause:
    seconds: float


Action = Ask | Cancel | Confirm | Kill | Freeze | Pause


@dataclass(frozen=True)
class Plan:
    seed: int
    rates: Mapping[str, float]
    limits: Mapping[str, int]
    rules: Mapping[str, Any]  # what models.toml and the operator would set for this provider
    habits: Mapping[str, Any]  # how this provider differs from the protocol, lies included
    foreign: str  # another client uses the key: "" or how similar its orders are to ours
    restarts_at: float | None  # when the provider drops its list
    skew_seconds: float
    render_seconds: float
    tell_fails: float
    actions: tuple[tuple[float, Action], ...]


def plan(seed: int) -> Plan:
    dice = random.Random(seed)
    users = [f"tg:{seed}{n:02}" for n in range(dice.randint(6, 12))]
    actions = [*_asks(dice, users), *_trouble(dice)]
    actions += [(dice.uniform(0.1, STORM_SECONDS), Cancel(dice.randrange(100))) for _ in range(dice.randint(0, 3))]
    actions += [(dice.uniform(0.2, STORM_SECONDS), Confirm(dice.randrange(100))) for _ in range(dice.randint(2, 6))]
    rough = dice.random()
    habits = _habits(dice)
    restarts_at = dice.uniform(0.3, STORM_SECONDS) if dice.random() < 0.08 else None
    return Plan(
        seed=seed,
        rates={target: round(dice.uniform(0, most) * rough, 3) for target, most in RATES_MAX.items()},
        limits={
            "budget_day_microusd": dice.choice((5, 9, 30)) * PRICE_MICROUSD,
            "active_runs_per_user": dice.choice((1, 1, 2, 3)),
            "cooldown_seconds": 0,
            "duplicate_window_seconds": dice.choice((1, 300)),
            "breaker_open_seconds": 1,
            "breaker_failures": dice.choice((3, 5, 1000)),
            "breaker_user_submissions": dice.choice((2, 3, 1000)),
        },
        rules=_rules(dice, habits, restarts_at),
        habits=habits,
        foreign=dice.choice(("same", "similar", "other")) if dice.random() < 0.15 else "",
        restarts_at=restarts_at,
        skew_seconds=dice.choice((0, 0, 0, -60, 60, -600, 28_800)),
        render_seconds=dice.choice((0.01, 0.1, 0.4)),
        tell_fails=dice.choice((0.0, 0.0, 0.3)),
        actions=tuple(sorted(actions, key=lambda each: each[0])),
    )


def _rules(dice: random.Random, habits: Mapping[str, Any], restarts_at: float | None) -> dict[str, Any]:
    """In half of the seeds the provider's limits are known: T covers the longest render and a lagging list.

    In half of those, absence needs no witness; an operator must not set that if the list forgets or hides jobs.
    """
    rules: dict[str, Any] = {"refuses_429_before_work": False}
    if dice.random() < 0.5:
        rules["absent_after"] = timedelta(seconds=LONGEST_SECONDS)
        forgets = restarts_at is not None or habits.keys() & {"list_share", "list_hides", "has_more"}
        rules["absence_without_witness"] = dice.random() < 0.5 and not forgets
    return rules


# Habits of providers, proxies and gateways. Most seeds have one or none, some have several at once.
LIES: tuple[Mapping[str, Any], ...] = (
    {"no_list_status": 400},
    {"null_prompts": True},
    {"prompt_characters": 9, "prompt_ellipsis": "..."},
    {"prompt_rewrite": "upper"},
    {"prompt_rewrite": "swapped", "lies_in": ["list"]},
    {"prompt_rewrite": "cinematic"},
    {"created_at": "zero"},
    {"created_at": "negative"},
    {"created_at": "hours_ahead"},
    {"created_at": "hours_behind"},
    {"created_at": "milliseconds"},
    {"created_at": "null"},
    {"expires_at": "hour_one", "completed_at": "a_year_ago"},
    {"dates_drift_seconds": 30},
    {"list_share": 0.6},
    {"list_hides": ["queued", "in_progress"]},
    {"list_lag_seconds": 0.3},
    {"list_age_seconds": 0.3},
    {"list_order": "oldest_first"},
    {"list_order": "shuffled"},
    {"list_order": "shards", "page_size": 3},
    {"list_says": {"error": {"message": "one shard is away"}}},
    {"list_headers": {"Warning": '199 - "shard 2 is away"'}, "list_share": 0.6},
    {"cursor_by_second": True, "page_size": 3},
    {"envelope": "jsend"},
    {"clip_url": "previews", "content_status": 404},
    {"list_status": 206, "list_share": 0.6},
    {"prompts_shifted": True, "lies_in": ["list"]},
    {"prompt_rewrite": "escaped", "lies_in": ["list"]},
    {"prompt_rewrite": "middle"},
    {"prompt_rewrite": "redacted"},
    {"has_more": "never"},
    {"has_more": "missing"},
    {"page_size": 3},
    {"odd_rows": ["integer_id", "null"]},
    {"odd_rows": ["nul_id", "surrogate_id"]},
    {"poison": "nul"},
    {"poison": "surrogate"},
    {"envelope": "code"},
    {"envelope": "task"},
    {"bom": True},
    {"aliased_ids": True},
    {"failed_status": 422},
    {"failed_looks": 1},
    {"status_words": {"completed": "finished", "failed": "FAILURE"}},
    {"status_words": {"completed": "abracadabra"}},
    {"clip_404s": 2},
    {"clip_steps": 3},
    {"clip_url": "url", "content_status": 404},
    {"shown": {"seconds": "4"}, "lies_in": ["list"]},
)


def _habits(dice: random.Random) -> dict[str, Any]:
    habits: dict[str, Any] = {}
    for _ in range(dice.choice((0, 0, 1, 1, 1, 2, 3))):
        habits |= dice.choice(LIES)
    return habits


def _asks(dice: random.Random, users: list[str]) -> list[tuple[float, Action]]:
    actions: list[tuple[float, Action]] = []
    for number in range(len(users) + dice.randint(2, 8)):
        user = users[number % len(users)]
        at = dice.uniform(0, STORM_SECONDS * 0.8)
        walks = dice.random() < 0.2
        ask = Ask(
            user,
            f"{user}:{number}",
            dice.choice(PROMPTS),
            again=dice.random() < 0.2,
            confirm=not walks and dice.random() < 0.15,
            walks=walks,
            killed_after=dice.uniform(0.05, 0.8) if walks and dice.random() < 0.5 else None,
        )
        actions.append((at, ask))
        if dice.random() < 0.4:  # a double press, or a redelivered message
            actions.append((at + dice.choice((0.0, 0.01, 0.5)), ask))
        if dice.random() < 0.25:  # the same prompt typed again
            actions.append((at + dice.uniform(0, 0.6), Ask(user, f"{user}:{number}b", ask.prompt)))
    return actions


def _trouble(dice: random.Random) -> list[tuple[float, Action]]:
    actions: list[tuple[float, Action]] = [
        (dice.uniform(0.1, STORM_SECONDS), Kill(dice.randrange(WORKERS), dice.uniform(0, 0.4)))
        for _ in range(dice.randint(0, 5))
    ]
    for _ in range(dice.randint(0, 3)):
        frozen_for = dice.choice((0.05, 0.3, 0.7, 1.5))
        actions.append((dice.uniform(0.1, STORM_SECONDS), Freeze(dice.randrange(WORKERS), frozen_for)))
    if dice.random() < 0.3:
        actions.append((dice.uniform(0.1, STORM_SECONDS), Pause(dice.uniform(0.05, 0.6))))
    return actions
