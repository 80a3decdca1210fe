"""Renders `web/templates`: escaped by default, money and times as operators read them.

In       a template's name and its values
Out      an HTML answer; `fragment` alone for the live feed
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pipeline.formatting import MICROUSD, lasting, sentence, usd
from pipeline.ledger.records import State
from pipeline.operator_text import NOT_CLEAN, PAID, SEEMS_FAILED, doubt_words, incomplete_words, look_words, paid_parts
from pipeline.settings.limit_values import is_money
from web import limit_words
from web.auth import Auth, LoginSession

TEMPLATES = Path(__file__).parent / "templates"
AUTH: web.AppKey[Auth] = web.AppKey("auth", Auth)
NEWS: web.AppKey[dict[str, list[tuple[str, str]]]] = web.AppKey("news", dict)
SESSION: web.RequestKey[LoginSession] = web.RequestKey("session", LoginSession)  # set by the guard once logged in
DEMO: web.RequestKey[bool] = web.RequestKey("demo", bool)
NEWS_KEPT = 1000  # sessions
NOT_SHOWN = frozenset({"versions", "messages"})  # event fields that are shown elsewhere
REPEATED_CHARACTERS_MIN = 20  # shorter texts and numbers may repeat; sentences are shown once

# What a state means to an operator; the ledger's own words stay, because commands and scripts use them.
STATES: Mapping[State, str] = {
    State.RESERVED: "its prompt is being checked",
    State.APPROVED: "waiting for its user's tap, a free slot or the end of a pause",
    State.SUBMITTING: "the order is being sent",
    State.UNCERTAIN: "in doubt: the provider's answer was lost",
    State.RENDERING: "the provider is rendering it",
    State.SAVED: "saved, not yet delivered to its user",
    State.DELIVERED: "delivered to its user",
    State.REJECTED: "the prompt was rejected, nothing was ordered",
    State.CANCELED: "canceled before anything was ordered",
    State.FAILED: "ended without a video",
}
DIFFERENCES: Mapping[str, str] = {
    "two_paid_calls": "two paid calls",
    "perhaps_two_paid_calls": "possibly two paid calls",
    "job_without_run": "a job without a run",
    "run_without_job": "a run without its job",
    "late_job": "a job that turned up late",
    "released_but_made": "released, but made",
    "charged_but_failed": "charged, but failed",
    "charged_without_clip": "charged, without a video",
    "charged_otherwise": "charged another amount",
    "not_as_ordered": "not as ordered",
    "in_doubt": "in doubt",
}
STRAYS: Mapping[str, str] = {
    "another_token": "it answers a request that this ledger has no record of sending",
    "unknown_run": "its run is not in this ledger",
}
CAUSES: Mapping[str, str] = {
    "duplicate": "same prompt again, within minutes",
    "replayed": "same request again (a repeated update or a client's retry)",
    "busy": "user already has an unfinished video",
    "cooldown": "too soon after the last one",
    "daily_limit": "user's daily limit reached",
    "budget_exhausted": "budget used up",
    "paused": "paused",
    "breaker_open": "breaker open",
    "blocked": "user blocked",
    "not_invited": "user not invited",
    "idempotency_mismatch": "key already used for another request",
}
STEPS: Mapping[str, str] = {
    "validate_prompt": "check the prompt",
    "generate_video": "order the video (the paid call)",
    "write_caption": "write the caption",
    "save_video": "save",
    "whole": "whole run, from order to saved video",
}


def cents(microusd: int) -> Markup:
    """Rounded to the cent, for large type; the exact amount is in the title."""
    return Markup('<span title="{}">${:,.2f}</span>').format(usd(microusd), microusd / MICROUSD)


def dollars(microusd: int) -> str:
    """Exact, for an input field: `50.00`, `0.004`."""
    return usd(microusd).removeprefix("$").replace(",", "")


def time(at: datetime | str | None) -> Markup:
    """UTC in the HTML; the page's script converts it to the viewer's zone."""
    if at is None or at == "infinity":
        return Markup("-")
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    return Markup('<time datetime="{}">{}</time>').format(_datetime(at), f"{at:%Y-%m-%d %H:%M:%S} UTC")


def age(at: datetime) -> Markup:
    """How long ago; the page's script keeps it current."""
    return Markup('<time datetime="{}" data-age>{}</time>').format(_datetime(at), f"{at:%H:%M:%S} UTC")


def _datetime(at: datetime) -> str:
    """In HTML's format: at most three digits after the second."""
    return at.isoformat(timespec="seconds")


def linked(words: str, ref: str | None) -> Markup:
    """The text, with the run's ref in it linked to its page."""
    link = Markup('<a href="/admin/runs/{ref}"><code>{ref}</code></a>').format(ref=ref)
    return escape(words).replace(ref, link) if ref else escape(words)


def details(detail: Mapping[str, object]) -> list[tuple[str, str]]:
    """The readable details of an event: nothing empty, nothing repeated, no Python notation."""
    shown: dict[str, str] = {}
    for name, value in detail.items():
        if name in NOT_SHOWN or value in (None, "", [], {}):
            continue
        words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        words = incomplete_words(words) if words.startswith("list_unreadable") else words
        if words not in shown.values() or len(words) < REPEATED_CHARACTERS_MIN:
            shown[name.replace("_", " ")] = words
    return list(shown.items())


def breakable(key: str) -> Markup:
    """A name with line-break opportunities after its underscores, for narrow pages."""
    return Markup("_<wbr>").join(key.split("_"))


def took(ms: float | None) -> str:
    if ms is None:
        return ""
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s" if ms < 120_000 else lasting(ms / 1000)


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def rate(part: float | None) -> str:
    return "-" if part is None else f"{100 * part:.0f} %"


def number(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def _environment() -> Environment:
    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    made.filters |= {
        "usd": usd,
        "cents": cents,
        "dollars": dollars,
        "time": time,
        "age": age,
        "took": took,
        "why": doubt_words,
        "incomplete": incomplete_words,
        "look": look_words,
        "lasting": lasting,
        "number": number,
        "linked": linked,
        "details": details,
        "breakable": breakable,
        "capfirst": lambda text: text[:1].upper() + text[1:],
        "sentence": sentence,
    }
    made.globals |= {
        "share": share,
        "rate": rate,
        "STATES": STATES,
        "CAUSES": CAUSES,
        "STEPS": STEPS,
        "NOT_CLEAN": NOT_CLEAN,
        "PAID": PAID,
        "paid_parts": paid_parts,
        "SEEMS_FAILED": SEEMS_FAILED,
        "DIFFERENCES": DIFFERENCES,
        "STRAYS": STRAYS,
        "State": State,
        "unit": limit_words.unit,
        "is_money": is_money,
        "value_words": limit_words.value_words,
        "change_words": limit_words.change_words,
        "changed_what": limit_words.changed_what,
    }
    return made


_PAGES = _environment()


def fragment(name: str, values: Mapping[str, Any]) -> str:
    return _PAGES.get_template(name).render(values)


def page(request: web.Request, name: str, status: int = 200, **values: Any) -> web.Response:
    """A whole page; on top, the messages for this session since its last page."""
    session = request.get(SESSION)
    auth = request.app[AUTH]
    common = {
        "session": session,
        "csrf": auth.csrf(session) if session else "",
        "news": request.app[NEWS].pop(session.sid, []) if session else [],
        "path": request.path,
        "demo": request.get(DEMO, False),
    }
    return web.Response(text=fragment(name, common | values), status=status, content_type="text/html", charset="utf-8")


def say(request: web.Request, words: str, *, good: bool = True) -> None:
    """Queue a message for the top of this session's next page."""
    news, session = request.app[NEWS], request[SESSION]
    while len(news) >= NEWS_KEPT:
        news.pop(next(iter(news)))
    news.setdefault(session.sid, []).append(("good" if good else "bad", words))
