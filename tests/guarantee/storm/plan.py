"""What will happen in one seed: everything drawn beforehand from one random generator. Pure.

In       a seed
Out      a Plan: the provider's habits and fault rates, the limits, and who does what when
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from tests.fixtures import PRICE_MICROUSD

STORM_SECONDS = 1.2
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
    """A request; the same key again is the same request again. `walks`: a process of its own carries it, as
    `onetake create` does, and is killed after so many seconds if that is a number."""

    user: str
    key: str
    prompt: str
    again: bool = False
    confirm: bool = False
    walks: bool = False
    killed_after: float | None = None


@dataclass(frozen=True)
class Cancel:
    which: int  # of the runs accepted so far


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
    rules: Mapping[str, bool]  # what models.toml would say of this provider
    no_list: bool
    hides_prompts: bool
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
        rules={"list_trusted": dice.random() < 0.6, "refuses_429_before_work": False},
        no_list=dice.random() < 0.08,
        hides_prompts=dice.random() < 0.1,
        skew_seconds=dice.choice((0, 0, 0, -60, 60)),
        render_seconds=dice.choice((0.01, 0.1, 0.4)),
        tell_fails=dice.choice((0.0, 0.0, 0.3)),
        actions=tuple(sorted(actions, key=lambda each: each[0])),
    )


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
        if dice.random() < 0.4:  # a double tap, or the message delivered once more
            actions.append((at + dice.choice((0.0, 0.01, 0.5)), ask))
        if dice.random() < 0.25:  # the same wish typed again
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
