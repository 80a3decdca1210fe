"""Limits and changes of limits, as operators read them. Pure: money in dollars, times in seconds."""

from collections.abc import Mapping

from pipeline.formatting import usd
from pipeline.settings.limit_values import is_money

UNITS: Mapping[str, tuple[str, str]] = {"_microusd": ("$", ""), "_seconds": ("", "s"), "_percent": ("", "%")}
NOT_SET: Mapping[str, str] = {
    "unknown_limit": "there is no such limit",
    "not_per_user": "that limit applies to all users and cannot be set for one",
}


def unit(key: str) -> tuple[str, str]:
    """The text before and after the number."""
    return next((around for ending, around in UNITS.items() if key.endswith(ending)), ("", ""))


def value_words(key: str, value: object) -> str:
    """A limit's value; None means that the user has no own limit."""
    if value is None:
        return "the default"
    if is_money(key) and isinstance(value, int):
        return usd(value)
    before, behind = unit(key)
    return f"{before}{value}{' ' if behind else ''}{behind}"


def change_words(key: str, value: object) -> str:
    """One side of a recorded change: of a limit, a user's limit, a user, or the pause."""
    if key == "paused":
        paused, why = (value.get("paused"), value.get("reason")) if isinstance(value, dict) else (value, None)
        return (f"paused: {why}" if why else "paused") if paused else "accepting orders"
    if key.startswith("difference:"):
        return f"explained: {value}" if value else "open"
    if isinstance(value, dict):
        said = [word for word in ("blocked", "invited") if value.get(word)]
        return (", ".join(said) or "can order") + (f": {value['reason']}" if value.get("reason") else "")
    return value_words(key.rpartition(":")[2], value)


def changed_what(key: str) -> str:
    """`paused` -> `Orders`; `user:tg:42:cooldown_seconds` -> `cooldown_seconds of tg:42`."""
    if key == "paused":
        return "Orders"
    if key.startswith("difference:"):
        return f"Difference {key.removeprefix('difference:')}"
    if not key.startswith("user:"):
        return key
    kind, number, *limit = key.removeprefix("user:").split(":")
    return f"{limit[0]} of {kind}:{number}" if limit else f"{kind}:{number}"
