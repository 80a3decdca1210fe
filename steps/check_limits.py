"""Check whether a request may become a run, and set its money aside. One `reserve`, one transaction.

In       a Request, fully decided: what would be bought, at what price, from whom
Out      Admitted (the run; `replayed` if this key already had one) or Refused (a kind, and until when)
Raises   what the transport to the ledger raises
Effects  the reservation; a repeated call with the same key gets the same answer
"""

import hashlib
import json
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any
from uuid import UUID

from providers.orders import OPENAI

PROMPT_CHARACTERS_MAX = 4000  # as many as a long Telegram message, and more than any model shows
# Characters outside category Cf that Unicode says to ignore: fillers and variation selectors.
FILLERS = (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2065, 0x2800, 0x3164, 0xFFA0, *range(0xFFF0, 0xFFF9), 0xE0000)
SELECTORS = (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0002, 0xE0020), *range(0xE0080, 0xE1000))
UNSEEN = frozenset(map(chr, (*FILLERS, *SELECTORS)))
JOINER = "\u200d"  # joins two emoji into a third
TAGS, TAGGED = frozenset(map(chr, range(0xE0020, 0xE0080))), "\U0001f3f4"  # letters of England's flag, and its base

Reserve = Callable[[str, Mapping[str, Any]], Awaitable[Any]]


class PromptProblem(StrEnum):
    """Why a prompt is refused before the limits are checked."""

    EMPTY = "empty"
    TOO_LONG = "too_long"
    CONTROL_CHARACTERS = "control_characters"


class RefusalKind(StrEnum):
    """In the order in which `reserve` checks them; the first that applies is the answer."""

    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    BLOCKED = "blocked"
    NOT_INVITED = "not_invited"
    PAUSED = "paused"
    BREAKER_OPEN = "breaker_open"
    DUPLICATE = "duplicate"
    BUSY = "busy"
    COOLDOWN = "cooldown"
    DAILY_LIMIT = "daily_limit"
    BUDGET_EXHAUSTED = "budget_exhausted"


@dataclass(frozen=True)
class Request:
    """`asked_*`: as the user specified, None for our default; `key`: the same for the same request, forever."""

    key: str
    call_id: UUID
    user_id: str
    prompt: str
    language: str
    audience: Mapping[str, Any]
    model: str
    seconds: int
    size: str
    asked_seconds: int | None
    asked_size: str | None
    create_body: str
    price_microusd: int
    bills_failed: bool
    base_url: str
    key_fingerprint: str
    confirm: bool = False
    again: bool = False
    provider: str = OPENAI
    input: Mapping[str, Any] = field(default_factory=dict)
    callback_url: str | None = None


@dataclass(frozen=True)
class Admitted:
    """`row`: the whole run, as the ledger returned it."""

    run_id: UUID
    ref: str
    state: str
    replayed: bool
    row: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Refused:
    kind: RefusalKind
    until: datetime | None = None
    of_run_id: UUID | None = None
    of_ref: str | None = None
    reason: str | None = None
    what: str | None = None


def check_prompt(prompt: str) -> str | PromptProblem:
    """The prompt as it will be used (NFC, trimmed), or what is wrong with it. Line breaks are fine."""
    clean = unicodedata.normalize("NFC", prompt).strip()
    if not clean:
        return PromptProblem.EMPTY
    if len(clean) > PROMPT_CHARACTERS_MAX:
        return PromptProblem.TOO_LONG
    if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\r\t" for c in clean):
        return PromptProblem.CONTROL_CHARACTERS
    if not _visible(clean).split():
        return PromptProblem.EMPTY  # only invisible characters, such as zero-width spaces
    return clean


def prompt_hash(prompt: str) -> str:
    """The same for prompts that differ only in case, white space and invisible characters."""
    shown = unicodedata.normalize("NFC", _visible(prompt).casefold())
    return hashlib.sha256(" ".join(shown.split()).encode()).hexdigest()


def _visible(text: str) -> str:
    """The text without invisible characters, except inside emoji sequences, which they tell apart."""
    shown = [c for c in text if c not in UNSEEN and (unicodedata.category(c) != "Cf" or c == JOINER or c in TAGS)]
    kept: list[str] = []
    for c, following in pairwise([*shown, " "]):
        before = kept[-1] if kept else " "
        if c == JOINER and not (_is_picture(before) and _is_picture(following)):
            continue
        if c in TAGS and before not in TAGS and before != TAGGED:
            continue
        kept.append(c)
    return "".join(kept)


def _is_picture(character: str) -> bool:
    """Whether the character is an emoji, or the skin tone after one."""
    return unicodedata.category(character) in {"So", "Sk", "Sm"}


def request_hash(request: Request) -> str:
    """Identifies what was requested under a key. Defaults are left out: they may change while the key stays."""
    asked = [request.user_id, request.prompt, request.asked_seconds, request.asked_size]
    return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()


async def check_limits(request: Request, reserve: Reserve, replacing: UUID | None = None) -> Admitted | Refused:
    """`replacing`: a draft of the same user, canceled in the same transaction; it stays if the request is refused."""
    if replacing is None:
        answer = await reserve("reserve", _arguments(request))
    else:
        answer = await reserve("replace_draft", {"run_id": str(replacing), "request": _arguments(request)})
    return read_reservation(answer)


def read_reservation(answer: Mapping[str, Any]) -> Admitted | Refused:
    """The tagged answer of `reserve`, typed."""
    if answer["kind"] == "accepted":
        run = answer["run"]
        return Admitted(UUID(run["run_id"]), run["ref"], run["state"], answer["replayed"], run)
    until, of = answer.get("until"), answer.get("of_run_id")
    return Refused(
        kind=RefusalKind(answer["kind"]),
        until=datetime.fromisoformat(until) if until else None,
        of_run_id=UUID(of) if of else None,
        of_ref=answer.get("of_ref"),
        reason=answer.get("reason"),
        what=answer.get("what"),
    )


def _arguments(request: Request) -> dict[str, Any]:
    return {
        "key": request.key,
        "call_id": str(request.call_id),
        "request_hash": request_hash(request),
        "user_id": request.user_id,
        "audience": dict(request.audience),
        "language": request.language,
        "prompt": request.prompt,
        "prompt_hash": prompt_hash(request.prompt),
        "model": request.model,
        "seconds": request.seconds,
        "size": request.size,
        "create_body": request.create_body,
        "price_microusd": request.price_microusd,
        "bills_failed": request.bills_failed,
        "base_url": request.base_url,
        "key_fingerprint": request.key_fingerprint,
        "confirm": request.confirm,
        "again": request.again,
        "provider": request.provider,
        "input": dict(request.input),
        "callback_url": request.callback_url,
    }
