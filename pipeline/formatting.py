"""Money, numbers and time as a person reads them. Pure."""

from datetime import datetime, timedelta

MICROUSD = 1_000_000
CENT = 10_000


def usd(microusd: int) -> str:
    """`$0.80`; amounts with fractions of a cent show them, `$0.0012`."""
    sign = "-" if microusd < 0 else ""
    amount = abs(microusd)
    if amount % CENT == 0:
        return f"{sign}${amount / MICROUSD:,.2f}"
    digits = f"{amount / MICROUSD:,.6f}".rstrip("0")
    return f"{sign}${digits}"


def many(count: int, what: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def sentence(words: str) -> str:
    """Adds a full stop unless the text has an end mark."""
    return words if words.endswith((".", "!", "?", "…")) else f"{words}."


def whole_cents(microusd: int) -> int:
    """Rounded, for sums that are read at a glance; fractions of a cent come from the text model."""
    return round(microusd / CENT) * CENT


def lasting(seconds: float) -> str:
    """`8 s`, `4 min`, `1 h 10 min`, `2 d`: two units at most."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24)} d"


def short(seconds: float) -> str:
    """For a line that is redrawn often: `0.4 s`, `12 s`, `3:07`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def reopening(until: datetime | None, now: datetime) -> str:
    """` at 14:05 UTC (in 4 min)`, with the day if it is not today; empty if unknown."""
    if until is None:
        return ""
    left = (until - now).total_seconds()
    if left < 120:
        return f" in {lasting(max(1.0, left))}"
    clock = until.strftime("%H:%M UTC" if until.date() == now.date() else "%Y-%m-%d %H:%M UTC")
    return f" at {clock} (in {lasting(left)})"


def ago(then: datetime | None, now: datetime) -> str:
    return "-" if then is None else f"{lasting((now - then) / timedelta(seconds=1))} ago"
