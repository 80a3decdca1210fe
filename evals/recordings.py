"""Recordings of cases: `cassettes/prompts/<template>/<version>/<case>.yaml`, in VCR's format.

In       a question asked over HTTP, or a recording
Out      its answer: from an endpoint, recorded on the way; or from the recording, offline
Raises   Unplayable: the question is not the recorded one
Effects  reads and writes the recordings' folder

Written here because vcrpy patches HTTP for the whole process, and cases run concurrently. vcrpy can still read these
files (`tests/evals/test_workbench.py`).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import yaml

from evals.secrets import KEY_IN_TEXT
from net.certificates import proxy_for, trusted

REPLAY_URL = "http://127.0.0.1:9/v1"  # the discard port: nothing listens there
SIMULATOR_PRINT = "fp_simulator"  # `system_fingerprint` of every answer of our simulator
VERSION_CHARACTERS = 12


class Unplayable(Exception):
    """The recording does not answer this question."""


@dataclass(frozen=True)
class Note:
    """How a recording was made. `sha256` of its file: reveals edits by hand."""

    against: str
    at: str
    model: str
    versions: dict[str, str]
    request: str
    sha256: str
    ms: int = 0  # duration of the original call

    @property
    def simulated(self) -> bool:
        return self.against.startswith("the simulator")


@dataclass
class Tape(httpx2.AsyncBaseTransport):
    """HTTP for one question: forwards it and records the exchange, or answers from a recording."""

    kept: list[dict[str, Any]] = field(default_factory=list)
    recording: bool = False
    played: int = 0
    problem: str | None = None  # what was wrong with a replay: the SDK hides exceptions as connection errors

    def __post_init__(self) -> None:
        self._out: httpx2.AsyncHTTPTransport | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        if not self.recording:
            try:
                return self._play(json.loads(body))
            except Unplayable as error:
                self.problem = str(error)
                raise
        if self._out is None:
            proxy = proxy_for(str(request.url))
            self._out = httpx2.AsyncHTTPTransport(verify=trusted(), proxy=proxy, trust_env=False)
        response = await self._out.handle_async_request(request)
        answer = await response.aread()
        self.kept.append(_kept(request, body, response, answer))
        headers = {"content-type": response.headers.get("content-type", "application/json")}
        return httpx2.Response(response.status_code, headers=headers, content=answer)

    def _play(self, asked: Any) -> httpx2.Response:
        if self.played == len(self.kept):
            raise Unplayable("more was asked than was recorded")
        kept = self.kept[self.played]
        if json.loads(kept["request"]["body"]) != asked:
            raise Unplayable("the question differs from the recorded one")
        self.played += 1
        response = kept["response"]
        headers = {name: values[0] for name, values in response["headers"].items() if name == "content-type"}
        return httpx2.Response(response["status"]["code"], headers=headers, content=response["body"]["string"].encode())

    async def aclose(self) -> None:
        if self._out is not None:
            await self._out.aclose()


def _kept(request: httpx2.Request, body: bytes, response: httpx2.Response, answer: bytes) -> dict[str, Any]:
    """One exchange in VCR's format, with only the headers that a replay needs."""
    path = "/chat/completions" if request.url.path.endswith("/chat/completions") else request.url.path
    return {
        "request": {
            "method": request.method,
            "uri": f"{REPLAY_URL}{path}",
            "body": _pretty(body),
            "headers": {"authorization": ["REDACTED"], "content-type": ["application/json"]},
        },
        "response": {
            "status": {"code": response.status_code, "message": response.reason_phrase},
            "headers": {"content-type": [response.headers.get("content-type", "application/json")]},
            "body": {"string": _pretty(answer)},
        },
    }


def _pretty(body: bytes) -> str:
    text = KEY_IN_TEXT.sub("REDACTED", body.decode("utf-8", "replace"))
    try:
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    except ValueError:
        return text


class _Readable(yaml.SafeDumper):
    """Writes text unescaped, so that reviewers see words."""


_Readable.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def as_yaml(interactions: Sequence[dict[str, Any]]) -> str:
    table = {"interactions": list(interactions), "version": 1}
    return yaml.dump(table, Dumper=_Readable, allow_unicode=True, width=1000, sort_keys=False)


def interactions_in(text: str) -> list[dict[str, Any]]:
    found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["interactions"]  # noqa: S506  # safe, in C
    return list(found)


def version_of(versions: dict[str, str]) -> str:
    """One short name for the versions of all files that an answer depends on."""
    if len(versions) == 1:
        return next(iter(versions.values()))[:VERSION_CHARACTERS]
    joined = "\n".join(f"{name} {sha256}" for name, sha256 in sorted(versions.items()))
    return hashlib.sha256(joined.encode()).hexdigest()[:VERSION_CHARACTERS]


def usage(interactions: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Tokens in and out, summed over all calls."""
    tokens = [json.loads(each["response"]["body"]["string"]).get("usage") or {} for each in interactions]
    return sum(each.get("prompt_tokens", 0) for each in tokens), sum(
        each.get("completion_tokens", 0) for each in tokens
    )


def is_simulated(interactions: Sequence[dict[str, Any]]) -> bool:
    return any(SIMULATOR_PRINT in each["response"]["body"]["string"] for each in interactions)


class Shelf:
    """The recordings in a folder and their notes, by (template, version, case)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._note_file = folder / "recorded.json"
        found = json.loads(self._note_file.read_text()) if self._note_file.exists() else {}
        self.notes: dict[str, Note] = {name: Note(**note) for name, note in found.items()}

    def path(self, key: str) -> Path:
        return self.folder / f"{key}.yaml"

    def read(self, key: str) -> list[dict[str, Any]] | None:
        """None if the case was never recorded."""
        path = self.path(key)
        return interactions_in(path.read_text(encoding="utf-8")) if key in self.notes and path.exists() else None

    def edited(self) -> list[str]:
        """Recordings that were changed, are missing, or have no note."""
        there = {path.relative_to(self.folder).with_suffix("").as_posix() for path in self.folder.rglob("*.yaml")}
        changed = {
            key
            for key in there & set(self.notes)
            if hashlib.sha256(self.path(key).read_bytes()).hexdigest() != self.notes[key].sha256
        }
        return sorted(changed | there ^ set(self.notes))

    def write(self, key: str, interactions: Sequence[dict[str, Any]], note: dict[str, Any]) -> None:
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = as_yaml(interactions)
        path.write_text(text, encoding="utf-8")
        self.notes[key] = Note(**note, sha256=hashlib.sha256(text.encode()).hexdigest())

    def remove(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)
        self.notes.pop(key, None)
        for folder in (self.path(key).parent, self.path(key).parent.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def save_notes(self) -> None:
        """One line for each recording, so that branches that record different cases merge cleanly."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"{json.dumps(key)}: {json.dumps(vars(note), ensure_ascii=False)}"
            for key, note in sorted(self.notes.items())
        ]
        self._note_file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
