"""Prompt templates: front matter, sections, and a fence around what users wrote.

In       `prompts/<id>.md`: YAML front matter between `---` lines, then `## system` and `## user` in Jinja2
Out      Template.render(**inputs): the chat messages
Raises   TemplateError: file, and what is wrong with it
Effects  none but reading; PromptShelf reads again when a file changes and keeps the last good version

What a user wrote enters a message only through `fenced(...)`, whose result is never rendered again: a
prompt's `{{ 7*7 }}` stays those nine characters. The marks of the fence, written inside the text, are
defused. A template that lets free text out of its fence, or fails on its own examples, does not load.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateSyntaxError
from jinja2 import Template as Compiled
from jinja2 import TemplateError as JinjaError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import SandboxedEnvironment

FENCE_OPEN = "<<<user_text"
FENCE_CLOSE = "user_text>>>"
NEAR_MARK = re.compile(r"<+\s*user_text|user_text\s*>+", re.IGNORECASE)  # what a model could take for a mark
ROLES = ("system", "user")
FRONT_NAMES = {"id", "purpose", "inputs", "output", "model", "settings", "languages"}
INPUT_NAMES = {"type", "example", "max_length", "values"}
PROBE = "onetake probe 7f3a"  # stands for free text in the check that it stays inside its fence

# What an edited template can die of while it is rendered: Jinja's own, and whatever its expressions compute.
RENDER_ERRORS = (JinjaError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError)

Message = dict[str, str]


class TemplateError(Exception):
    """A template cannot be used."""


@dataclass(frozen=True)
class Input:
    """One variable of a template: its type, an example, and a bound or a set of values. Without values it is
    free text, which only its fence may hold."""

    type: str
    example: Any
    max_length: int | None = None
    values: tuple[str, ...] = ()

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, in words; None if nothing is."""
        if not isinstance(value, str):
            return "is not text"
        if self.values and value not in self.values:
            return f"is none of {', '.join(self.values)}"
        if self.max_length is not None and len(value) > self.max_length:
            return f"is longer than {self.max_length} characters"
        return None


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
        for name, value in values.items():
            if problem := self.inputs[name].problem(value):
                raise TemplateError(f"{self.id}: {name} {problem}")
        try:
            return [
                {"role": role, "content": _compiled(body).render(**values).strip()}
                for role, body in self.sections.items()
            ]
        except RENDER_ERRORS as error:
            raise TemplateError(f"{self.id}: {error}") from error


def fenced(text: str) -> str:
    """The text inside its fence. A mark inside it loses its brackets, so only ours opens or closes."""
    defused, marks = NEAR_MARK.subn("user_text", text)
    while marks:  # a mark may be put together from what is left around another
        defused, marks = NEAR_MARK.subn("user_text", defused)
    return f"{FENCE_OPEN}\n{defused}\n{FENCE_CLOSE}"


def load_template(path: Path) -> Template:
    """Reads and checks: front matter, sections, syntax, every example in every language, and the fence."""
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{path.name}: cannot be read ({error})") from error
    template = _parse(path, text, hashlib.sha256(raw).hexdigest())
    if template.id != path.stem:
        raise TemplateError(f"{path.name}: its id is {template.id}; id and file name are the same")
    _check_examples(template)
    _check_fence(template)
    return template


def _parse(path: Path, text: str, sha256: str) -> Template:
    match = re.match(r"\A---\n(.*?)\n---\n(.*)\Z", text, re.DOTALL)
    if not match:
        raise TemplateError(f"{path.name}: begins without front matter between two lines of ---")
    front = _front_matter(path, match[1])
    sections = _sections(path, match[2])
    try:
        _check_syntax(path, sections, set(front["inputs"]))
        return Template(
            id=front["id"],
            sha256=sha256,
            purpose=front["purpose"],
            inputs={name: _input(path, name, spec) for name, spec in front["inputs"].items()},
            output=front["output"],
            model=front.get("model"),
            settings=front.get("settings") or {},
            languages=tuple(front["languages"]),
            sections=sections,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise TemplateError(f"{path.name}: front matter lacks {error}") from error


class PromptShelf:
    """A folder's templates by id. A changed file is read again; a broken edit keeps the last good version."""

    def __init__(self, folder: Path, on_broken: Callable[[TemplateError], None] | None = None) -> None:
        self._folder = folder
        self._on_broken = on_broken
        self._good: dict[str, Template] = {}
        self._seen: dict[str, tuple[int, ...]] = {}

    def get(self, template_id: str) -> Template:
        """Raises TemplateError if there is no good version yet."""
        path = self._folder / f"{template_id}.md"
        try:
            stat = path.stat()
            stamp: tuple[int, ...] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            stamp = ()
        if self._seen.get(template_id) != stamp:
            self._seen[template_id] = stamp
            try:
                self._good[template_id] = load_template(path)
            except TemplateError as error:
                if template_id not in self._good:
                    del self._seen[template_id]
                    raise
                if self._on_broken:
                    self._on_broken(error)
        return self._good[template_id]


@cache
def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, trim_blocks=True)
    environment.globals = {"fenced": fenced}
    return environment


@cache
def _compiled(body: str) -> Compiled:
    """Compiling takes longer than everything else a run does in Python; a body is compiled once."""
    return _environment().from_string(body)


def _front_matter(path: Path, text: str) -> dict[str, Any]:
    try:
        front = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TemplateError(f"{path.name}: front matter is not YAML ({error})") from error
    if not isinstance(front, dict):
        raise TemplateError(f"{path.name}: front matter is not a table of names")
    if unknown := set(front) - FRONT_NAMES:
        raise TemplateError(f"{path.name}: front matter does not know {', '.join(sorted(map(str, unknown)))}")
    if not isinstance(front.get("model"), str | None):
        raise TemplateError(f"{path.name}: model is a name or null, not {front['model']}")
    if not isinstance(front.get("settings"), dict | None):
        raise TemplateError(f"{path.name}: settings are a table of names, not {front['settings']}")
    return front


def _sections(path: Path, body: str) -> dict[str, str]:
    parts = re.split(r"^## +(\w+) *$", body, flags=re.MULTILINE)
    names = parts[1::2]
    sections = dict(zip(names, parts[2::2], strict=True))
    if len(names) > len(sections):
        raise TemplateError(f"{path.name}: a section stands there twice ({', '.join(names)})")
    unknown = [name for name in sections if name not in ROLES]
    if unknown or not sections:
        wrong = ", ".join(unknown) or "none"
        raise TemplateError(f"{path.name}: sections are ## system and ## user, not {wrong}")
    return sections


def _check_syntax(path: Path, sections: Mapping[str, str], names: set[str]) -> None:
    for section, body in sections.items():
        try:
            variables = find_undeclared_variables(_environment().parse(body))  # it knows filters, too
        except TemplateSyntaxError as error:
            where = f"{path.name}, section {section}, line {error.lineno}"
            raise TemplateError(f"{where}: {error.message}") from error
        if unknown := variables - names - {"fenced"}:
            raise TemplateError(f"{path.name}, section {section}: {', '.join(sorted(unknown))} is no input")


def _check_examples(template: Template) -> None:
    examples = {name: spec.example for name, spec in template.inputs.items()}
    for language in template.languages:
        template.render(**examples | ({"language": language} if "language" in examples else {}))


def _check_fence(template: Template) -> None:
    """Renders with a probe in every free text, and looks for it outside of the fence."""
    free = [name for name, spec in template.inputs.items() if not spec.values]
    probes = {name: PROBE[: template.inputs[name].max_length] for name in free}
    values = {name: probes.get(name, spec.example) for name, spec in template.inputs.items()}
    fence = re.compile(rf"{re.escape(FENCE_OPEN)}\n.*?\n{re.escape(FENCE_CLOSE)}", re.DOTALL)
    for message in template.render(**values):
        bare = fence.sub("", message["content"]).casefold()  # `|upper` lets nothing out, either
        if FENCE_OPEN in bare or FENCE_CLOSE in bare or any(probe in bare for probe in probes.values()):
            raise TemplateError(f"{template.id}: free text ({', '.join(free)}) stands outside of {{{{ fenced(...) }}}}")


def _input(path: Path, name: str, spec: dict[str, Any]) -> Input:
    if unknown := set(spec) - INPUT_NAMES:
        raise TemplateError(f"{path.name}: input {name} does not know {', '.join(sorted(unknown))}")
    if spec["type"] != "str":
        raise TemplateError(f"{path.name}: input {name} is of type {spec['type']}; there is only str")
    values, max_length = spec.get("values", []), spec.get("max_length")
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TemplateError(f"{path.name}: values of {name} are a list of words; YAML's yes and no want quotes")
    if max_length is not None and (type(max_length) is not int or max_length < 1):
        raise TemplateError(f"{path.name}: max_length of {name} is a number, not {max_length}")
    return Input(spec["type"], spec["example"], max_length, tuple(values))
