"""Eval cases: inputs of a template, and what its answer must satisfy. `prompts/cases/*.yaml`.

In       YAML files: template, group, and cases by name
Out      Case: input, expectations by output field; Mistake: file, line, case, and what is wrong with it
Raises   Stop: the first mistake, and the number of others
"""

import json
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.exits import Stop
from steps.contracts import CONTRACTS
from steps.languages import CODES
from steps.text_model.front_matter import yaml_mistake
from steps.text_model.templates import Contract, Template

NAME = re.compile(r"[a-z0-9_]{1,40}")


class Check(BaseModel):
    """The checks on one field: characters for text, items for lists; `a|b` means either."""

    model_config = ConfigDict(extra="forbid")

    language: str | None = Field(default=None, pattern=f"^({'|'.join(CODES)})$")
    min_length: int | None = None
    max_length: int | None = None
    min: int | None = None
    max: int | None = None
    must_contain: list[str] = []
    must_not_contain: list[str] = []


class CaseFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    template: str
    group: str
    cases: dict[str, Any]


class CaseText(BaseModel):
    model_config = ConfigDict(extra="forbid")

    input: dict[str, Any]
    expect: dict[str, Check | bool | int | str | list[str] | None]


@dataclass(frozen=True)
class Case:
    """`expect`: output field -> a value it equals, a list it contains, or a Check. `where`: its file and line."""

    name: str
    template: str
    group: str
    input: Mapping[str, Any] = field(repr=False)
    expect: Mapping[str, Any] = field(repr=False)
    where: tuple[str, int] = ("", 0)


@dataclass(frozen=True)
class Mistake:
    """A mistake in a case file; lines count from 1."""

    file: str
    line: int
    words: str

    def __str__(self) -> str:
        return f"prompts/cases/{self.file}:{self.line}: {self.words}"


def read_cases(folder: Path) -> tuple[tuple[Case, ...], list[Mistake]]:
    """All cases in `prompts/cases`, in the order of files and cases, and all mistakes in them."""
    cases: dict[str, Case] = {}
    mistakes: list[Mistake] = []
    for path in sorted(folder.glob("*.yaml")):
        for found in _read(path):
            if isinstance(found, Mistake):
                mistakes.append(found)
            elif found.name in cases:
                first = ":".join(map(str, cases[found.name].where))
                mistakes.append(Mistake(*found.where, f"{found.name}: duplicate case name, already used at {first}"))
            else:
                cases[found.name] = found
    return tuple(cases.values()), mistakes


def load_cases(folder: Path) -> tuple[Case, ...]:
    """All cases in `prompts/cases`. Raises Stop."""
    cases, mistakes = read_cases(folder)
    stop_at(mistakes)
    return cases


def stop_at(mistakes: list[Mistake]) -> None:
    """Raise Stop if there are mistakes."""
    if mistakes:
        more = f"; and {len(mistakes) - 1} more: `onetake prompts lint` lists them" if len(mistakes) > 1 else ""
        raise Stop(f"{mistakes[0]}{more}")


def misfits(case: Case, template: Template) -> Iterator[Mistake]:
    """Inputs that the template does not accept."""
    for name, value in case.input.items():
        if name in template.inputs and (problem := template.inputs[name].problem(value)):
            yield Mistake(*case.where, f"{case.name}: the input {name} {problem}")


def find_case(cases: tuple[Case, ...], name: str) -> Case:
    for case in cases:
        if case.name == name:
            return case
    near = [case.name for case in cases if name in case.name][:5]
    hint = f"; did you mean {', '.join(near)}?" if near else "; `onetake prompts eval --cases` lists them all"
    raise Stop(f"there is no case {name}{hint}")


class _Loader(yaml.SafeLoader):
    """Rejects duplicate names: plain YAML silently keeps the last one, and a case would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [name.value for name, _ in node.value]
        for place, (name, _) in enumerate(node.value):
            if name.value in names[:place]:
                raise yaml.MarkedYAMLError(problem=f"{name.value} appears twice", problem_mark=name.start_mark)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> Iterator[Case | Mistake]:
    try:
        text = path.read_text(encoding="utf-8")
        file = CaseFile.model_validate(yaml.load(text, _Loader))  # noqa: S506  # a subclass of SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        yield Mistake(path.name, 1, f"cannot be read ({error}); save it as UTF-8")
        return
    except yaml.YAMLError as error:
        line, words = yaml_mistake(error)
        yield Mistake(path.name, line + 1, f"is not YAML: {words}")
        return
    except ValidationError as error:
        yield Mistake(path.name, 1, _first(error))
        return
    contract = CONTRACTS.get(file.template)
    lines = _lines(text)
    if contract is None:
        words = f"template {file.template} does not exist; choose one of {', '.join(CONTRACTS)}"
        yield Mistake(path.name, lines["template"], words)
        return
    for name, raw in file.cases.items():
        yield _case(path.name, lines.get(name, 1), name, raw, file, contract)


def _case(file: str, line: int, name: str, raw: object, of: CaseFile, contract: Contract) -> Case | Mistake:
    try:
        case = CaseText.model_validate(raw)
    except ValidationError as error:
        return Mistake(file, line, f"{name}: {_first(error)}")
    if words := _problem(name, case, contract):
        return Mistake(file, line, f"{name}: {words}")
    return Case(name, of.template, of.group, case.input, case.expect, (file, line))


def _problem(name: str, case: CaseText, contract: Contract) -> str | None:
    if not NAME.fullmatch(name):
        return "a case name must be at most 40 lower-case letters, digits and _"
    if wrong := set(case.input) ^ contract.inputs:
        return f"inputs must be {', '.join(sorted(contract.inputs))}; missing or unknown: {', '.join(sorted(wrong))}"
    fields = contract.output.model_fields
    if wrong := set(case.expect) - set(fields):
        return f"{contract.output.__name__} has no {', '.join(sorted(wrong))}; its fields are {', '.join(fields)}"
    for field_name, wanted in case.expect.items():
        if isinstance(wanted, Check):
            continue
        try:
            TypeAdapter(fields[field_name].annotation).validate_json(json.dumps(wanted), strict=True)
        except ValidationError as error:
            return f"{field_name} can never be {json.dumps(wanted, ensure_ascii=False)}: {_first(error)}"
    return None


def _first(error: ValidationError) -> str:
    """pydantic's first error; if an expectation has none of the allowed forms, the one about a Check is clearest."""
    found = error.errors()
    first = next((each for each in found if "Check" in each["loc"]), found[0])
    where = ".".join(str(part) for part in first["loc"] if part != "Check")
    words = first["msg"][0].lower() + first["msg"][1:]
    return f"{where}: {words}" if where else words


def _lines(text: str) -> dict[str, int]:
    """The line numbers of the file's names and cases."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode), "it was read as a table"
    lines = {}
    for name, value in node.value:
        lines[str(name.value)] = name.start_mark.line + 1
        if name.value == "cases" and isinstance(value, yaml.MappingNode):
            lines |= {str(case.value): case.start_mark.line + 1 for case, _ in value.value}
    return lines
