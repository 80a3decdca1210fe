"""One sentence for a request that no recording answers, and for a recording that nobody asked for.

Pure but for reading which template asks for which answer.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.exits import Stop
from evals.staleness import survey
from evals.workbench import Bench
from steps.text_model.front_matter import TemplateError
from tests.cassette.scrubbing import read_body, scrub_request

ROOT = Path(__file__).parents[2]
AGAIN = "If that was meant, record again: make record"
SHOWN_CHARACTERS = 60


def explain_miss(cassette: Any, request: Any) -> str:
    """Which prompt or request changed; for an edited prompt, the sentence of the workbench."""
    if words := stale_words(cassette):
        return f"{_name(cassette)}: {words}"
    wanted = scrub_request(request)
    where = f"{_name(cassette)} has no answer for {_line(wanted)}"
    if not len(cassette):
        return f"{_name(cassette)} was never recorded; {_line(wanted)} needs it. Record it: make record"
    same_call = [kept for kept in cassette.requests if _call(kept) == _call(wanted)]
    if not same_call:
        near = ", ".join(sorted({_line(kept) for kept in cassette.requests}))
        return f"{where}: it holds {near}. {AGAIN}"
    found = [differences(read_body(kept), read_body(wanted)) for kept in same_call]
    if not all(found):
        return f"{where}: it was recorded {found.count([])} times and asked for once more. {AGAIN}"
    return f"{where}: {'; '.join(min(found, key=_size))}. {AGAIN}"


def stale_words(cassette: Any) -> str | None:
    """What there is to say if the recording was made with other prompts than today's."""
    path = Path(cassette.path)
    try:
        found = survey(Bench(ROOT / "prompts"))
    except (Stop, TemplateError) as error:
        return str(error)
    stale = any(entry.name == f"{path.parent.name}/{path.stem}" for entry in found.stale_tests)
    return found.words() if stale else None


def explain_leftover(cassette: Any) -> str:
    left = [kept for place, kept in enumerate(cassette.requests) if not cassette.play_counts[place]]
    return f"{_name(cassette)} was only partly played: nothing asked for {', '.join(map(_line, left))}. {AGAIN}"


def differences(kept: Any, wanted: Any) -> list[str]:
    """What a request says otherwise than its recording, chat messages by section of their template."""
    if not (isinstance(kept, dict) and isinstance(wanted, dict)):
        return [] if kept == wanted else [_two("the body", str(kept), str(wanted))]
    names = [name for name in [*kept, *wanted] if kept.get(name) != wanted.get(name)]
    said = []
    for name in dict.fromkeys(names):
        if name == "messages":
            said += _messages(kept, wanted)
        elif name == "response_format":
            said.append(f"the answer model {_output(wanted)} changed")
        else:
            said.append(_two(f"the field `{name}`", _show(kept.get(name)), _show(wanted.get(name))))
    return said


def template_for(output: str) -> str:
    """The template that asks for this answer."""
    asking = [
        path
        for path in sorted((ROOT / "prompts").glob("*.md"))
        if re.search(rf"^output: *{re.escape(output)} *$", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    return f"prompts/{asking[0].name}" if asking else "a template"


def _messages(kept: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    before, now = kept.get("messages", []), wanted.get("messages", [])
    template = template_for(_output(wanted))
    if len(before) != len(now):
        return [f"{len(now)} messages of {template}, recorded {len(before)}"]
    return [
        _two(f"the {new.get('role')} message of {template}", str(old.get("content")), str(new.get("content")))
        for old, new in zip(before, now, strict=True)
        if old != new
    ]


def _output(body: dict[str, Any]) -> str:
    shape = (body.get("response_format") or {}).get("json_schema") or {}
    return str(shape.get("name") or (shape.get("schema") or {}).get("title") or "?")


def _two(what: str, kept: str, wanted: str) -> str:
    """The first place where two texts part."""
    start = next((i for i, (a, b) in enumerate(zip(kept, wanted, strict=False)) if a != b), min(len(kept), len(wanted)))
    begin = max(0, start - 20)
    old, new = kept[begin : begin + SHOWN_CHARACTERS], wanted[begin : begin + SHOWN_CHARACTERS]
    return f"{what} changed: recorded {old!r}, now {new!r}"


def _size(said: Iterable[str]) -> int:
    return sum(map(len, said))


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _call(request: Any) -> tuple[str, str, str]:
    parts = urlsplit(request.uri)
    return request.method, parts.path, parts.query


def _line(request: Any) -> str:
    parts = urlsplit(request.uri)
    return f"{request.method} {parts.path}{'?' + parts.query if parts.query else ''}"


def _name(cassette: Any) -> str:
    path = Path(cassette.path)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
