"""Parse numbers and dates as providers write them in JSON. Pure: unreadable values are None."""

import math
from datetime import UTC, datetime

EPOCH_SECONDS_MAX = 1e11  # the year 5138: a larger time is in milli-, micro- or nanoseconds


def epoch(value: object, *, any_zone: bool = False) -> float | None:
    """Epoch seconds, from seconds, milli-, micro- or nanoseconds, or from an ISO 8601 date with its zone.

    `any_zone`: a date without a zone counts as UTC, for callers that only check whether there is a date.
    """
    is_date = isinstance(value, str) and "-" in value[1:]
    found = _seconds_of_date(str(value), any_zone=any_zone) if is_date else number(value)
    if found is None or not math.isfinite(found):
        return None
    while found > EPOCH_SECONDS_MAX:
        found /= 1000
    return found


def _seconds_of_date(text: str, *, any_zone: bool) -> float | None:
    try:
        date = datetime.fromisoformat(text)
        if date.tzinfo is None and not any_zone:  # it may be hours off
            return None
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]  # anything that is not a number raises
    except (TypeError, ValueError, OverflowError):
        return None


def percent(value: object) -> int | None:
    """Percent. Some providers count from 0 to 1, some to 100, some write `100%`, and some send either as text."""
    if not isinstance(value, str):
        return round(100 * value) if isinstance(value, float) and 0 <= value <= 1 else whole(value)
    text = value.strip()
    found = number(text.removesuffix("%"))
    is_share = found is not None and 0 <= found <= 1 and "." in text and "%" not in text
    return round(100 * found) if found is not None and is_share else whole(found)


def whole(value: object) -> int | None:
    found = number(value)
    return round(found) if found is not None and abs(found) < 1e9 else None
