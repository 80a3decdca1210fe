"""What is ordered, the raw answer to the one paid request, and what that answer may mean. Pure: no I/O, no clock."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from providers.job import Job

OPENAI = "openai"  # the provider of model names without a prefix: whatever speaks the OpenAI Videos protocol
SEED = "$seed"  # stands for the run's seed in `Order.input`, and in `models.toml`
SEEDS = 2**31 - 1  # the largest seed that all providers accept is a positive signed 32-bit number


@dataclass(frozen=True)
class Order:
    """What is sent, and nothing else. `size` is WIDTHxHEIGHT; `create_body` is multipart or json.

    `input`: what the model is asked for besides the prompt, by the provider's own names, such as `aspect_ratio`.
    `callback_url`: where the provider may report the end of the job.
    """

    run_id: str
    prompt: str
    model: str
    seconds: int
    size: str
    create_body: str
    provider: str = OPENAI
    input: Mapping[str, Any] = field(default_factory=dict)
    callback_url: str | None = None

    @property
    def params(self) -> dict[str, Any]:
        """`input` with the run's seed in it."""
        return {name: seed_of(self.run_id) if value == SEED else value for name, value in self.input.items()}

    @property
    def marks(self) -> frozenset[str]:
        """What a job of this order may show as its marker: our id, the run's seed, the token of its callback."""
        found = {self.run_id}
        if SEED in self.input.values():
            found.add(str(seed_of(self.run_id)))
        if self.callback_url:
            found.add(self.callback_url.rsplit("/", 1)[-1])
        return frozenset(found)

    @property
    def has_seed(self) -> bool:
        """Whether no other order asks for the same, because this one has its own seed."""
        return SEED in self.input.values()

    def fields(self) -> dict[str, str]:
        """The fields of the body in the OpenAI Videos protocol; `seconds` is sent as a string."""
        return {
            "prompt": self.prompt,
            "model": self.model,
            "seconds": str(self.seconds),
            "size": self.size,
        }

    def request_hash(self) -> str:
        """sha256 of what is asked for as canonical JSON, for receipts."""
        asked = (
            self.fields() if self.provider == OPENAI else {"prompt": self.prompt, "model": self.model, **self.params}
        )
        canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def seed_of(run_id: str) -> int:
    """The run's own seed, 1 to 2^31-1. Run ids are random, so two runs have one seed once in a thousand million."""
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8]) % SEEDS + 1


class Fault(StrEnum):
    """Why there is no answer."""

    NEVER_SENT = "never_sent"  # the submit deadline had passed; nothing was sent
    NEVER_CONNECTED = "never_connected"  # refused, DNS, TLS: no byte of the request was sent
    LOST = "lost"  # anything after that


@dataclass(frozen=True)
class Answer:
    """The raw answer to a create request: a status with a body, or a fault instead of both.

    `attempts`: further requests that a gateway says it sent for ours (retries and fallbacks). `location`: the path in
    the header of that name, if any; a person may find the job by it.
    """

    status: int | None
    body: str
    fault: Fault | None = None
    attempts: int = 0
    location: str = ""
    cached: bool = False  # its headers say that it answers an older request
    gateway_model: str = ""  # which model a gateway says that it asked in the end

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Answer":
        """Raises KeyError, TypeError or ValueError if the file is damaged."""
        status, body, fault, attempts = kept["status"], kept["body"], kept.get("fault"), kept.get("attempts", 0)
        location = kept.get("location", "")
        if not isinstance(status, int | None) or not isinstance(attempts, int):
            raise TypeError("not an answer")
        if not isinstance(body, str) or not isinstance(location, str):
            raise TypeError("not an answer")
        return cls(
            status,
            body,
            Fault(fault) if fault else None,
            attempts,
            location,
            kept.get("cached") is True,
            str(kept.get("gateway_model", "")),
        )


@dataclass(frozen=True)
class Made:
    """The provider has the job: it is ours, and we owe its price."""

    job: Job


@dataclass(frozen=True)
class ClearNo:
    """The provider itself refused: there is no job. `reason`: a stable word, `detail`: the provider's words.

    `may_bill`: the provider may charge for this refusal all the same, as fal does for some 422.
    """

    reason: str
    detail: str
    may_bill: bool = False


@dataclass(frozen=True)
class Unclear:
    """The answer does not show whether there is a job. `reason` is a stable word."""

    reason: str
    detail: str
