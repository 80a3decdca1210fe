"""Faults on demand: armed by a control call, or drawn from a seed.

In       a target, one draw per request: `create`, `retrieve`, `list`, `content`, `file`, `chat`, `render`,
         `telegram`, `rest`, `storage`
Out      the fault this request meets, or None
Raises   ValueError for an unknown target, kind or number; the message lists the known ones

Each target has its own random generator, which draws the same number of times per request: the same
requests meet the same faults, whatever is armed in between.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from simulator.faults.kinds import KINDS, SEEDED, Params


@dataclass(slots=True)
class Fault:
    """One fault. `times` None means until cleared; the first `skip` requests pass."""

    target: str
    kind: str
    times: int | None = 1
    skip: int = 0
    params: Params = field(default_factory=dict)

    def number(self, name: str, default: float) -> float:
        """A parameter as a number."""
        return float(self.params.get(name, default))

    def text(self, name: str, default: str) -> str:
        """A parameter as text."""
        return str(self.params.get(name, default))

    def flag(self, name: str, default: bool) -> bool:
        """A parameter as a bool."""
        return bool(self.params.get(name, default))


class FaultBox:
    """The faults that are armed, the drawn sequences, and a count of the faults met so far."""

    def __init__(self, seed: int | None, rates: Mapping[str, float]) -> None:
        self._armed: list[Fault] = []
        self.met: dict[str, int] = {}
        self.seed(seed, rates)

    def seed(self, seed: int | None, rates: Mapping[str, float]) -> None:
        """Restart the drawn sequences from this seed."""
        for target, rate in rates.items():
            _check_target(target)
            if not 0 <= rate <= 1:
                raise ValueError(f"the rate of {target} must be between 0 and 1")
        self._rates = dict(rates)
        self._dice = {target: random.Random(f"{seed}:{target}") for target in KINDS}

    def arm(self, fault: Fault) -> None:
        """Arm a fault for the next requests of its target."""
        _check_target(fault.target)
        if fault.kind not in KINDS[fault.target]:
            known = ", ".join(KINDS[fault.target])
            raise ValueError(f"unknown kind {fault.kind!r} for {fault.target}; known: {known}")
        if fault.times is not None and fault.times < 1:
            raise ValueError("times must be at least 1, or null for always")
        self._armed.append(fault)

    def clear(self) -> None:
        """Clear all faults, armed and drawn."""
        self._armed.clear()
        self._rates.clear()

    def next(self, target: str, meets: Callable[[Fault], bool] = lambda _: True) -> Fault | None:
        """The fault this request meets. A fault meant for other requests stays armed."""
        drawn = self._draw(target)
        fault = self._take_armed(target, meets) or (drawn if drawn is not None and meets(drawn) else None)
        if fault is not None:
            name = f"{target}:{fault.kind}"
            self.met[name] = self.met.get(name, 0) + 1
        return fault

    def as_json(self) -> dict[str, Any]:
        """The armed faults, the rates, and how often each kind was met."""
        return {"armed": [asdict(fault) for fault in self._armed], "rates": self._rates, "met": self.met}

    def _draw(self, target: str) -> Fault | None:
        rate = self._rates.get(target, 0.0)
        if not rate:
            return None
        dice = self._dice[target]
        hit = dice.random() < rate
        kind, params = dice.choice(SEEDED[target])
        return Fault(target, kind, params=params) if hit else None

    def _take_armed(self, target: str, meets: Callable[[Fault], bool]) -> Fault | None:
        for fault in self._armed:
            if fault.target != target or not meets(fault):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                return None
            if fault.times is not None:
                fault.times -= 1
                if fault.times == 0:
                    self._armed.remove(fault)
            return fault
        return None


def _check_target(target: str) -> None:
    if target not in KINDS:
        raise ValueError(f"unknown target {target!r}; known: {', '.join(KINDS)}")
