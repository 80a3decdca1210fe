"""Limits, and changes of them, as operators read and write them. Pure: money in dollars, times in seconds.

Raises   ValueError from `read_value`: its text says what was expected
"""

from collections.abc import Mapping
from decimal import Decimal

from pipeline.amounts import MICROUSD, usd

MICROUSD_MAX = 2**63
# A budget that is raised by more at once is a slip of the finger, or micro-dollars where dollars are meant.
RAISE_TIMES_MAX = 10
RAISE_FROM_MICROUSD = 10 * MICROUSD  # what a lower budget counts as
UNITS: Mapping[str, tuple[str, str]] = {"_microusd": ("$", ""), "_seconds": ("", "s"), "_percent": ("", "%")}
NOT_SET: Mapping[str, str] = {
    "unknown_limit": "there is no such limit",
    "not_per_user": "that limit is for all, not for one user",
}


def is_money(key: str) -> bool:
    return key.endswith("_microusd")


def unit(key: str) -> tuple[str, str]:
    """What stands before and behind its number."""
    return next((around for ending, around in UNITS.items() if key.endswith(ending)), ("", ""))


def read_value(key: str, text: str) -> int | str:
    """What the ledger takes for it: micro-dollars, a whole number, or a word for the rollout."""
    if key == "rollout":
        return text
    if is_money(key):
        return _microusd(text)
    if not (text.isascii() and text.removeprefix("-").isdecimal()):
        raise ValueError(f"it must be a whole number, not {text or 'nothing'}")
    return int(text[:20])


def _microusd(dollars: str) -> int:
    expected = f"it must be dollars, such as 5.50, not {dollars or 'nothing'}"
    try:
        amount = Decimal(dollars.removeprefix("$")) * MICROUSD
        whole = 0 <= amount < MICROUSD_MAX and amount == amount.to_integral_value()
    except ArithmeticError:
        raise ValueError(expected) from None
    if not whole:
        raise ValueError(expected)
    return int(amount)


def too_much_at_once(wanted: int, present: int) -> bool:
    return wanted > RAISE_TIMES_MAX * max(present, RAISE_FROM_MICROUSD)


def value_words(key: str, value: object) -> str:
    """Of a limit; None is one that a user does not have."""
    if value is None:
        return "the limit of all"
    if is_money(key) and isinstance(value, int):
        return usd(value)
    before, behind = unit(key)
    return f"{before}{value}{' ' if behind else ''}{behind}"


def change_words(key: str, value: object) -> str:
    """One side of a change as it was kept: of a limit, of a user's limit, of a user, of the pause."""
    if key == "paused":
        paused, why = (value.get("paused"), value.get("reason")) if isinstance(value, dict) else (value, None)
        return (f"paused: {why}" if why else "paused") if paused else "orders are taken"
    if key.startswith("difference:"):
        return f"explained: {value}" if value else "open"
    if isinstance(value, dict):
        said = [word for word in ("blocked", "invited") if value.get(word)]
        return (", ".join(said) or "may order") + (f": {value['reason']}" if value.get("reason") else "")
    return value_words(key.rpartition(":")[2], value)


def changed_what(key: str) -> str:
    """`paused` -> `Buying`; `user:tg:42:cooldown_seconds` -> `cooldown_seconds of tg:42`."""
    if key == "paused":
        return "Buying"
    if key.startswith("difference:"):
        return f"Difference {key.removeprefix('difference:')}"
    if not key.startswith("user:"):
        return key
    kind, number, *limit = key.removeprefix("user:").split(":")
    return f"{limit[0]} of {kind}:{number}" if limit else f"{kind}:{number}"
