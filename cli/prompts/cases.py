"""Eval cases: what goes into a template, and what an answer must be like. `prompts/cases/*.yaml`.

In       YAML files: template, group, and cases by name
Out      Case: input, expectations by output field
Raises   Stop: file, case, and what is wrong with it
"""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cli.exits import Stop
from steps.contracts import CONTRACTS

NAME = re.compile(r"[a-z0-9_]{1,40}")


class Check(BaseModel):
    """What a field must be like. Characters for text, items for lists; `a|b` is one of the two."""

    model_config = ConfigDict(extra="forbid")

    language: str | None = Field(default=None, pattern="^(es|en)$")
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
    cases: dict[str, "CaseText"]


class CaseText(BaseModel):
    model_config = ConfigDict(extra="forbid")

    input: dict[str, Any]
    expect: dict[str, Check | bool | int | str | list[str] | None]


@dataclass(frozen=True)
class Case:
    """`expect`: output field -> a value it equals, a list it holds, or a Check."""

    name: str
    template: str
    group: str
    input: Mapping[str, Any] = field(repr=False)
    expect: Mapping[str, Any] = field(repr=False)


def load_cases(folder: Path) -> tuple[Case, ...]:
    """All of `prompts/cases`, in the order of files and cases."""
    cases: dict[str, Case] = {}
    for path in sorted(folder.glob("*.yaml")):
        for case in _read(path):
            if case.name in cases:
                raise Stop(f"{path.name}: the case {case.name} is in two files; a name is for one case")
            cases[case.name] = case
    return tuple(cases.values())


def find_case(cases: tuple[Case, ...], name: str) -> Case:
    for case in cases:
        if case.name == name:
            return case
    near = [case.name for case in cases if name in case.name][:5]
    hint = f"; did you mean {', '.join(near)}?" if near else "; `onetake prompts eval` lists them"
    raise Stop(f"there is no case {name}{hint}")


class _Loader(yaml.SafeLoader):
    """YAML keeps the last of two values of one name, in silence: a case would be gone."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [name.value for name, _ in node.value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise yaml.MarkedYAMLError(problem=f"{twice[0]} is there twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> list[Case]:
    try:
        file = CaseFile.model_validate(yaml.load(path.read_text(encoding="utf-8"), _Loader))  # noqa: S506  # a safe one
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Stop(f"{path.name}: cannot be read ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Stop(f"{path.name}: {where}: {first['msg']}") from error
    contract = CONTRACTS.get(file.template)
    if contract is None:
        raise Stop(f"{path.name}: template {file.template} does not exist; there are {', '.join(CONTRACTS)}")
    for name, case in file.cases.items():
        if not NAME.fullmatch(name):
            raise Stop(f"{path.name}: {name}: a case's name is small letters, digits and _, at most 40")
        if wrong := set(case.input) ^ contract.inputs:
            raise Stop(f"{path.name}: {name}: inputs are {', '.join(sorted(contract.inputs))}; {sorted(wrong)} differs")
        if wrong := set(case.expect) - set(contract.output.model_fields):
            raise Stop(f"{path.name}: {name}: {', '.join(sorted(wrong))} is no field of {contract.output.__name__}")
    return [Case(name, file.template, file.group, case.input, case.expect) for name, case in file.cases.items()]
