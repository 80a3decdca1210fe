"""Ask whether a request may become a run, and set its money aside. One `reserve`, one transaction.

In       a Request, fully decided: what would be bought, at what price, from whom
Out      Admitted (the run; `replayed` if this key had it already) or Refused (a kind, and until when)
Raises   what the road to the ledger raises
Effects  the reservation; asking again with the same key answers the same
"""

import hashlib
import json
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

PROMPT_CHARACTERS_MAX = 4000  # as many as a long Telegram message, and more than any model shows

Reserve = Callable[[str, Mapping[str, Any]], Awaitable[Any]]


class PromptProblem(StrEnum):
    """Why a prompt does not even reach the limits."""

    EMPTY = "empty"
    TOO_LONG = "too_long"
    CONTROL_CHARACTERS = "control_characters"


class RefusalKind(StrEnum):
    """In the order in which `reserve` asks; the first that applies is the answer."""

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
    """`asked_*` is what the user named, None if left to us; `key` is the same for the same wish, for ever."""

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


@dataclass(frozen=True)
class Admitted:
    run_id: UUID
    ref: str
    state: str
    replayed: bool


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
    if all(unicodedata.category(c) in {"Cc", "Cf", "Zs", "Zl", "Zp"} for c in clean):
        return PromptProblem.EMPTY  # nothing but what cannot be seen, such as zero-width spaces
    return clean


def prompt_hash(prompt: str) -> str:
    """The same for prompts that differ only in case and white space."""
    return hashlib.sha256(" ".join(prompt.casefold().split()).encode()).hexdigest()


def request_hash(request: Request) -> str:
    """What was asked for under a key. Defaults are left out: they may change while the key stays the same."""
    asked = [request.user_id, request.prompt, request.asked_seconds, request.asked_size]
    return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()


async def check_limits(request: Request, reserve: Reserve) -> Admitted | Refused:
    answer = await reserve("reserve", _arguments(request))
    return read_reservation(answer)


def read_reservation(answer: Mapping[str, Any]) -> Admitted | Refused:
    """The tagged answer of `reserve`, typed."""
    if answer["kind"] == "accepted":
        run = answer["run"]
        return Admitted(UUID(run["run_id"]), run["ref"], run["state"], answer["replayed"])
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
    }
