"""Prompt templates: front matter, sections, and a fence around what users wrote.

In       `prompts/<id>.md`: YAML front matter between `---` lines, then `## system` and `## user` in Jinja2
Out      Template.render(**inputs): the chat messages
Raises   TemplateError: file, and what is wrong with it
Effects  none but reading; PromptShelf reads again when a file changes and keeps the last good version

What a user wrote enters a message only through `fenced(...)`, whose result is never rendered again: `{{ 7*7 }}` in a
prompt stays those seven characters. The marks of the fence, written inside the text, are defused.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment

FENCE_OPEN = "<<<user_text"
FENCE_CLOSE = "user_text>>>"
ROLES = ("system", "user")

Message = dict[str, str]


class TemplateError(Exception):
    """A template cannot be used."""


@dataclass(frozen=True)
class Input:
    """One variable of a template: its type (str, int or list), an example, and a bound or a set of values."""

    type: str
    example: Any
    max_length: int | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Template:
    """A checked template. `sha256` of the file's bytes is its identity, stored on every run that used it."""

    id: str
    sha256: str
    purpose: str
    inputs: Mapping[str, Input]
    output: str
    model: str | None
    settings: Mapping[str, Any]
    languages: tuple[str, ...]
    sections: Mapping[str, str] = field(repr=False)

    def render(self, **values: object) -> list[Message]:
        """The messages for these inputs, in the order of the sections. Raises TemplateError."""
        if set(values) != set(self.inputs):
            wrong = sorted(set(values) ^ set(self.inputs))
            raise TemplateError(f"{self.id}: inputs do not match: {', '.join(wrong)}")
        environment = _environment()
        try:
            return [
                {"role": role, "content": environment.from_string(body).render(**values).strip()}
                for role, body in self.sections.items()
            ]
        except (UndefinedError, TemplateSyntaxError, SecurityError, TypeError) as error:
            raise TemplateError(f"{self.id}: {error}") from error


def fenced(text: str) -> str:
    """The text inside its fence. A mark inside it loses its brackets, so only ours opens or closes."""
    defused = text.replace(FENCE_OPEN, "user_text").replace(FENCE_CLOSE, "user_text")
    while FENCE_OPEN in defused or FENCE_CLOSE in defused:  # a mark put together from the pieces of another
        defused = defused.replace(FENCE_OPEN, "user_text").replace(FENCE_CLOSE, "user_text")
    return f"{FENCE_OPEN}\n{defused}\n{FENCE_CLOSE}"


def load_template(path: Path) -> Template:
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{path.name}: cannot be read ({error})") from error
    match = re.match(r"\A---\n(.*?)\n---\n(.*)\Z", text, re.DOTALL)
    if not match:
        raise TemplateError(f"{path.name}: begins without front matter between two lines of ---")
    front = _front_matter(path, match[1])
    sections = _sections(path, match[2])
    _check_syntax(path, sections)
    try:
        return Template(
            id=front["id"],
            sha256=hashlib.sha256(raw).hexdigest(),
            purpose=front["purpose"],
            inputs={name: _input(spec) for name, spec in front["inputs"].items()},
            output=front["output"],
            model=front.get("model"),
            settings=front.get("settings") or {},
            languages=tuple(front["languages"]),
            sections=sections,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise TemplateError(f"{path.name}: front matter lacks {error}") from error


class PromptShelf:
    """The templates of a folder by id. A file that changed is read again; a broken edit keeps the last good version."""

    def __init__(self, folder: Path, on_broken: Callable[[TemplateError], None] = lambda error: None) -> None:
        self._folder = folder
        self._on_broken = on_broken
        self._good: dict[str, Template] = {}
        self._seen: dict[str, tuple[int, int]] = {}

    def get(self, template_id: str) -> Template:
        """Raises TemplateError if there is no good version yet."""
        path = self._folder / f"{template_id}.md"
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
        except OSError:
            stamp = (0, 0)
        if self._seen.get(template_id) != stamp:
            self._seen[template_id] = stamp
            try:
                self._good[template_id] = load_template(path)
            except TemplateError as error:
                if template_id not in self._good:
                    del self._seen[template_id]
                    raise
                self._on_broken(error)
        return self._good[template_id]


def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, trim_blocks=True)
    environment.globals = {"fenced": fenced}
    return environment


def _front_matter(path: Path, text: str) -> dict[str, Any]:
    try:
        front = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TemplateError(f"{path.name}: front matter is not YAML ({error})") from error
    if not isinstance(front, dict):
        raise TemplateError(f"{path.name}: front matter is not a table of names")
    return front


def _sections(path: Path, body: str) -> dict[str, str]:
    parts = re.split(r"^## +(\w+) *$", body, flags=re.MULTILINE)
    sections = {name: text for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    unknown = [name for name in sections if name not in ROLES]
    if unknown or not sections:
        raise TemplateError(f"{path.name}: sections are ## system and ## user, not {', '.join(unknown) or 'none'}")
    return sections


def _check_syntax(path: Path, sections: Mapping[str, str]) -> None:
    for name, body in sections.items():
        try:
            _environment().parse(body)
        except TemplateSyntaxError as error:
            raise TemplateError(f"{path.name}, section {name}, line {error.lineno}: {error.message}") from error


def _input(spec: dict[str, Any]) -> Input:
    return Input(spec["type"], spec["example"], spec.get("max_length"), tuple(spec.get("values", ())))
