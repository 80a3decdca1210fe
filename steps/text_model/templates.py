"""Prompt templates: front matter, sections, and a fence around what users wrote.

In       `prompts/<id>.md`: YAML front matter between `---` lines, then `## system` and `## user` in Jinja2;
         `prompts/brand.md`, whose voice every template may use as `brand`
Out      Template.render(**inputs): the chat messages
Raises   TemplateError: file, and what is wrong with it
Effects  none but reading

What a user wrote enters a message only through `fenced(...)`, whose result is never rendered again: a
prompt's `{{ 7*7 }}` stays those nine characters. The marks of the fence, written inside the text, are
defused. A template that lets free text out of its fence, or fails on its own examples, does not load.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError
from jinja2 import Template as Compiled
from jinja2 import TemplateError as JinjaError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import SandboxedEnvironment
from pydantic import BaseModel

from steps.text_model import front_matter
from steps.text_model.brand import BRAND_FILE, BRAND_ID, NO_BRAND, Brand, load_brand
from steps.text_model.fence import FENCE_CLOSE, FENCE_OPEN, fenced
from steps.text_model.front_matter import TemplateError, decoded
from steps.text_model.model_settings import SETTINGS, misfit

ROLES = ("system", "user")
FRONT_NAMES = {"id", "purpose", "inputs", "output", "model", "settings", "languages"}
INPUT_NAMES = {"type", "example", "max_length", "values", "min", "max"}
INPUT_TYPES = {"str": str, "int": int}
GIVEN_NAMES = {"fenced", "brand"}  # what every template may use without declaring it
PROBE = "onetake probe 7f3a"  # stands for free text in the check that it stays inside its fence

# What an edited template can die of while it is rendered: Jinja's own, and whatever its expressions compute.
RENDER_ERRORS = (JinjaError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError)

Message = dict[str, str]


@dataclass(frozen=True)
class Input:
    """One variable of a template: its type, an example, and bounds or a set of values. Text without values is
    free, and only its fence may hold it."""

    type: str
    example: Any
    max_length: int | None = None
    values: tuple[str, ...] = ()
    min: int | None = None
    max: int | None = None

    @property
    def free(self) -> bool:
        """What users or models wrote."""
        return self.type == "str" and not self.values

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, in words; None if nothing is."""
        if self.type == "int":
            return self._number_problem(value)
        if not isinstance(value, str):
            return "is not text"
        if self.values and value not in self.values:
            return f"is none of {', '.join(self.values)}"
        if self.max_length is not None and len(value) > self.max_length:
            return f"is longer than {self.max_length} characters"
        return None

    def _number_problem(self, value: object) -> str | None:
        if type(value) is not int:
            return "is not a whole number"
        if (self.min is not None and value < self.min) or (self.max is not None and value > self.max):
            return f"is not between {self.min} and {self.max}"
        return None


@dataclass(frozen=True)
class Contract:
    """What a step gives its template, and what it wants of the text model. A template that does not fit its
    contract is a broken edit."""

    id: str
    inputs: frozenset[str]
    output: type[BaseModel]


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
    brand: Brand = NO_BRAND
    speaks_brand: bool = False
    text: bytes = field(default=b"", repr=False)

    @property
    def versions(self) -> dict[str, str]:
        """What an answer depends on, file by file: the sha256 of the template, and of the brand if it speaks of it."""
        return {self.id: self.sha256} | ({BRAND_ID: self.brand.sha256} if self.speaks_brand else {})

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
                {"role": role, "content": _compiled(body).render(**values, brand=self.brand).strip()}
                for role, body in self.sections.items()
            ]
        except RENDER_ERRORS as error:
            raise TemplateError(f"{self.id}: {error}") from error


def digest(messages: Sequence[Message]) -> str:
    """A name for exactly these messages: sha256, in hexadecimal."""
    return hashlib.sha256(json.dumps(list(messages), ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def load_template(path: Path, contract: Contract | None = None) -> Template:
    """Reads and checks: front matter, sections, syntax, every example in every language, the fence, the contract.
    The brand is the folder's."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TemplateError(f"{path.name}: cannot be read ({error})") from error
    return read_template(path.name, raw, load_brand(path.with_name(BRAND_FILE)), contract)


def read_template(name: str, raw: bytes, brand: Brand = NO_BRAND, contract: Contract | None = None) -> Template:
    """The checked template of a file of this name and content."""
    path = Path(name)
    template = _parse(path, decoded(name, raw), raw, brand)
    if template.id != path.stem:
        raise TemplateError(f"{path.name}: its id is {template.id}; id and file name must be the same")
    if contract:
        _check_contract(template, contract)
    _check_examples(template)
    check_fence(template)
    return template


def _parse(path: Path, text: str, raw: bytes, brand: Brand) -> Template:
    front_text, body = front_matter.parts(path.name, text)
    front = _front_matter(path, front_text)
    sections = _sections(path, body)
    try:
        used = _check_syntax(path, text, sections, set(front["inputs"]))
        return Template(
            id=front["id"],
            sha256=hashlib.sha256(raw).hexdigest(),
            purpose=front["purpose"],
            inputs={name: _input(path, name, spec) for name, spec in front["inputs"].items()},
            output=front["output"],
            model=front.get("model"),
            settings=front.get("settings") or {},
            languages=tuple(front["languages"]),
            sections=sections,
            brand=brand,
            speaks_brand=BRAND_ID in used,
            text=raw,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise TemplateError(f"{path.name}: the front matter has no {error}") from error


@cache
def environment() -> SandboxedEnvironment:
    """Jinja2 in a sandbox, where a name that is missing is an error."""
    jinja = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, trim_blocks=True)
    jinja.globals = {"fenced": fenced}
    return jinja


@cache
def _compiled(body: str) -> Compiled:
    """Compiling takes longer than everything else a run does in Python; a body is compiled once."""
    return environment().from_string(body)


def _front_matter(path: Path, text: str) -> dict[str, Any]:
    front = front_matter.table(path.name, text, FRONT_NAMES)
    if not isinstance(front.get("model"), str | None):
        raise TemplateError(f"{path.name}: model must be a name or null, not {front['model']}")
    if not isinstance(front.get("settings"), dict | None):
        raise TemplateError(f"{path.name}: settings must be a table of names, not {front['settings']}")
    settings = front.get("settings") or {}
    if unknown := settings.keys() - SETTINGS.keys():
        raise TemplateError(f"{path.name}: unknown settings: {', '.join(sorted(map(str, unknown)))}")
    if wrong := [words for name, value in settings.items() if (words := misfit(name, value))]:
        raise TemplateError(f"{path.name}: settings: {'; '.join(wrong)}")
    return front


def _sections(path: Path, body: str) -> dict[str, str]:
    sections = front_matter.sections(path.name, body)
    unknown = [name for name in sections if name not in ROLES]
    if unknown or not sections:
        wrong = ", ".join(unknown) or "none"
        raise TemplateError(f"{path.name}: sections must be ## system and ## user, not {wrong}")
    return sections


def _check_syntax(path: Path, text: str, sections: Mapping[str, str], names: set[str]) -> set[str]:
    """The names that are used. `text`: the whole file, for its lines."""
    used: set[str] = set()
    for section, body in sections.items():
        try:
            variables = find_undeclared_variables(environment().parse(body))  # it knows filters, too
        except TemplateSyntaxError as error:
            line = text.count("\n", 0, text.index(body)) + error.lineno
            where = f"{path.name}, line {line}, section {section}"
            raise TemplateError(f"{where}: {error.message}") from error
        if unknown := variables - names - GIVEN_NAMES:
            raise TemplateError(f"{path.name}, section {section}: {', '.join(sorted(unknown))} is no input")
        used |= variables
    return used


def _check_contract(template: Template, contract: Contract) -> None:
    if wrong := set(template.inputs) ^ contract.inputs:
        wanted = ", ".join(sorted(contract.inputs))
        raise TemplateError(f"{template.id}: its inputs are {wanted}; {', '.join(sorted(wrong))} differs")
    if template.output != contract.output.__name__:
        raise TemplateError(f"{template.id}: its output is {contract.output.__name__}, not {template.output}")


def _check_examples(template: Template) -> None:
    examples = {name: spec.example for name, spec in template.inputs.items()}
    for language in template.languages:
        template.render(**examples | ({"language": language} if "language" in examples else {}))


def check_fence(template: Template) -> None:
    """Renders with a probe in every free text, and looks for it outside of the fence. Raises TemplateError."""
    free = [name for name, spec in template.inputs.items() if spec.free]
    probes = {name: PROBE[: template.inputs[name].max_length] for name in free}
    values = {name: probes.get(name, spec.example) for name, spec in template.inputs.items()}
    fence = re.compile(rf"{re.escape(FENCE_OPEN)}\n.*?\n{re.escape(FENCE_CLOSE)}", re.DOTALL)
    for message in template.render(**values):
        bare = fence.sub("", message["content"]).casefold()  # `|upper` lets nothing out, either
        if FENCE_OPEN in bare or FENCE_CLOSE in bare or any(probe in bare for probe in probes.values()):
            raise TemplateError(f"{template.id}: free text ({', '.join(free)}) must be inside {{{{ fenced(...) }}}}")


def _input(path: Path, name: str, spec: dict[str, Any]) -> Input:
    if unknown := set(spec) - INPUT_NAMES:
        raise TemplateError(f"{path.name}: input {name}: unknown fields: {', '.join(sorted(unknown))}")
    if spec["type"] not in INPUT_TYPES:
        raise TemplateError(f"{path.name}: input {name} is of type {spec['type']}; there are {', '.join(INPUT_TYPES)}")
    values, max_length = spec.get("values", []), spec.get("max_length")
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TemplateError(f"{path.name}: values of {name} must be a list of words; quote yes and no in YAML")
    if max_length is not None and (type(max_length) is not int or max_length < 1):
        raise TemplateError(f"{path.name}: max_length of {name} must be a number, not {max_length}")
    bounds = [spec.get(bound) for bound in ("min", "max")]
    if not all(bound is None or type(bound) is int for bound in bounds):
        raise TemplateError(f"{path.name}: min and max of {name} must be whole numbers")
    return Input(spec["type"], spec["example"], max_length, tuple(values), *bounds)
