"""Format and print limits and users. Formatting is pure; printing is thin."""

from collections.abc import Callable, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.formatting import usd
from pipeline.ledger.operators import Breaker, Controls, Limit, LimitNotSet, LimitSet, User
from pipeline.settings.limit_values import is_money


def limit_words(key: str, value: int | str | None) -> str:
    """`$10.00` for money, the bare value otherwise."""
    if value is None:
        return "the default"
    return usd(value) if is_money(key) and isinstance(value, int) else str(value)


def set_words(key: str, answer: LimitSet, words: Callable[[str, int | str | None], str], user: str | None) -> str:
    whose = f" for {user}" if user else ""
    return f"{key}{whose}: {words(key, answer.after)}, was {words(key, answer.before)}"


def why_not_set(key: str, value: str, answer: LimitNotSet, known: Sequence[str]) -> str:
    if answer.why == "unknown_limit":
        return f"there is no limit {key}; choose one of {', '.join(known)}"
    if answer.why == "not_per_user":
        return f"{key} applies to everyone; it cannot be set for one user"
    return f"{key}: {answer.allowed}, not {value}"


def breaker_words(breaker: Breaker) -> str:
    whose = "for all" if breaker.scope == "all" else f"for {breaker.scope.removeprefix('user:')}"
    why = "too many submissions" if breaker.cause == "submissions" else "failures at the provider"
    until = breaker.open_until.strftime("%H:%M UTC")
    return f"breaker half open {whose} ({why})" if breaker.half_open else f"breaker open {whose} until {until} ({why})"


def control_words(controls: Controls) -> list[str]:
    words = [breaker_words(breaker) for breaker in controls.breakers]
    if controls.paused:
        why = f": {controls.pause_reason}" if controls.pause_reason else ""
        words.insert(0, f"paused by {controls.paused_by}{why}")
    return words or ["accepting orders: not paused, no breaker open"]


def print_limits(limits: Sequence[Limit], controls: Controls) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("limit", no_wrap=True)
    table.add_column("value", no_wrap=True)
    table.add_column("about", style="dim", overflow="fold")
    for limit in limits:
        table.add_row(limit.key, limit_words(limit.key, limit.value), limit.about)
    console.print(table)
    console.print()
    for words in control_words(controls):
        console.print(Text(words, "yellow" if controls.paused or controls.breakers else "green"))


def print_users(users: Sequence[User], ledger: str) -> None:
    if not users:
        typer.echo(f"no users in {ledger}")
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("user", no_wrap=True)
    table.add_column("videos", justify="right")
    table.add_column("spent", justify="right")
    table.add_column("", overflow="fold")
    for user in users:
        table.add_row(user.user_id, str(user.videos), usd(user.spent_microusd), Text(_user_notes(user)))
    console.print(table)


def _user_notes(user: User) -> str:
    notes = []
    if user.blocked:
        notes.append(f"blocked: {user.blocked_reason}" if user.blocked_reason else "blocked")
    if user.invited:
        notes.append("invited")
    notes += [f"{key} {limit_words(key, value)}" for key, value in user.limits.items()]
    return ", ".join(notes)
