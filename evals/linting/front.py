"""Rules for the front matter: names, inputs, output model, languages, model, settings."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from evals.linting.draft import Draft, Found, near
from steps.languages import CODES
from steps.text_model.front_matter import FRONT_AND_BODY, FRONT_STARTS, yaml_mistake
from steps.text_model.model_settings import SETTINGS, misfit
from steps.text_model.templates import FRONT_NAMES, INPUT_NAMES, INPUT_TYPES, Input

OPTIONAL_NAMES = {"model", "settings"}


def front(draft: Draft) -> Found:
    if not FRONT_AND_BODY.match(draft.text):
        yield draft.problem(1, "front-matter", "has no front matter; begin with it, between two lines of ---")
        return
    try:
        if not isinstance(yaml.safe_load(draft.parts[0]), dict):
            yield draft.problem(2, "front-matter", "is not a table of names; write `name: value` lines")
    except yaml.YAMLError as error:
        line, what = yaml_mistake(error)
        yield draft.problem(line + FRONT_STARTS, "front-matter", f"is not YAML: {what}; fix this line")


def names(draft: Draft) -> Found:
    for name in draft.front:
        if name not in FRONT_NAMES:
            hint = near(str(name), FRONT_NAMES) or "; remove it"
            yield draft.problem(draft.name_line(str(name)), "unknown-name", f"`{name}` is not a known name{hint}")
    for name in sorted(FRONT_NAMES - OPTIONAL_NAMES - set(draft.front)) if draft.front else ():
        yield draft.problem(1, "missing-name", f"`{name}` is missing from the front matter; add it")
    if "purpose" in draft.front and not str(draft.front["purpose"] or "").strip():
        yield draft.problem(draft.name_line("purpose"), "purpose", "is empty; say in one line what the prompt is for")


def identity(draft: Draft) -> Found:
    stem = draft.file.removesuffix(".md")
    if "id" in draft.front and draft.front["id"] != stem:
        words = f"is `{draft.front['id']}`; it must be `{stem}`, to match the file"
        yield draft.problem(draft.name_line("id"), "id", words)


def inputs(draft: Draft) -> Found:
    for name, spec in draft.inputs.items():
        for key in spec:
            if key not in INPUT_NAMES:
                hint = near(str(key), INPUT_NAMES) or "; remove it"
                yield draft.problem(
                    draft.input_line(name, str(key)), "input-name", f"{name}: `{key}` is not a known key{hint}"
                )
        if spec.get("type") not in INPUT_TYPES:
            hint = f"; the types are {', '.join(INPUT_TYPES)}"
            yield draft.problem(
                draft.input_line(name, "type"), "input-type", f"{name} is of type {spec.get('type')}{hint}"
            )
            continue
        yield from _bounds(draft, name, spec)


def _bounds(draft: Draft, name: str, spec: Mapping[str, Any]) -> Found:
    values = spec.get("values") or []
    if spec["type"] == "str" and not values and type(spec.get("max_length")) is not int:
        words = f"{name} is free text without a maximum length; add max_length: 4000"
        yield draft.problem(draft.input_line(name), "unbounded", words)
    if spec["type"] == "int" and not all(type(spec.get(key)) is int for key in ("min", "max")):
        yield draft.problem(draft.input_line(name), "unbounded", f"{name} has no bounds; add min: and max:")
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        words = f"values of {name} are not words; quote yes and no in YAML"
        yield draft.problem(draft.input_line(name, "values"), "input-values", words)
        return
    if "example" not in spec:
        yield draft.problem(
            draft.input_line(name), "example", f"{name} has no example; add one: `show` and lint use it"
        )
        return
    typed = Input(
        spec["type"], spec["example"], spec.get("max_length"), tuple(values), spec.get("min"), spec.get("max")
    )
    if problem := typed.problem(spec["example"]):
        words = f"the example of {name} {problem}; fix the example or the bound"
        yield draft.problem(draft.input_line(name, "example"), "example", words)


def contract(draft: Draft) -> Found:
    for name in sorted(set(draft.inputs) - draft.contract.inputs):
        hint = near(name, draft.contract.inputs - set(draft.inputs))
        given = ", ".join(sorted(draft.contract.inputs))
        meant = hint or "; remove it (a new input needs Python)"
        words = f"the step does not give `{name}`{meant}; it gives {given}"
        yield draft.problem(draft.input_line(name), "contract", words)
    for name in sorted(draft.contract.inputs - set(draft.inputs)) if draft.inputs else ():
        yield draft.problem(draft.name_line("inputs"), "contract", f"the step gives `{name}`; declare it under inputs")


def output(draft: Draft) -> Found:
    wanted = draft.contract.output.__name__
    if "output" in draft.front and draft.front["output"] != wanted:
        words = f"is {draft.front['output']}; the step reads {wanted}: write output: {wanted}"
        yield draft.problem(draft.name_line("output"), "output-model", words)


def output_fields(draft: Draft) -> Found:
    system = " ".join(text for name, _, text in draft.sections if name == "system")
    line = next((line for name, line, _ in draft.sections if name == "system"), 1)
    for name in draft.contract.output.model_fields if system else ():
        if not re.search(rf"\b{re.escape(name)}\b", system):
            words = f"does not say what `{name}` should be; describe it, or the model will guess"
            yield draft.problem(line, "output-field", words, error=False)


def languages(draft: Draft) -> Found:
    declared = draft.front.get("languages")
    if not isinstance(declared, list):
        if "languages" in draft.front:
            yield draft.problem(draft.name_line("languages"), "language", "languages are a list: [es, en]")
        return
    for language in CODES:
        if language not in declared:
            words = f"lacks {language}, which the bot supports; write languages: [{', '.join(CODES)}]"
            yield draft.problem(draft.name_line("languages"), "language", words)
    values = (draft.inputs.get("language") or {}).get("values") or []
    if values and sorted(map(str, values)) != sorted(map(str, declared)):
        words = (
            f"the input `language` takes {', '.join(map(str, values))}; languages says {', '.join(map(str, declared))}"
        )
        yield draft.problem(draft.input_line("language", "values"), "language", words)


def model(draft: Draft) -> Found:
    model = draft.front.get("model")
    if model is not None and draft.text_models and model not in draft.text_models:
        hint = near(str(model), draft.text_models) or f"; known are {', '.join(sorted(draft.text_models))}"
        words = f"{model} is not in models.toml, so it is booked at the highest price listed there{hint}"
        yield draft.problem(draft.name_line("model"), "model", words, error=False)


def settings(draft: Draft) -> Found:
    settings = draft.front.get("settings")
    for name, value in settings.items() if isinstance(settings, dict) else ():
        line = draft.line_of(rf"\b{re.escape(str(name))}\s*:", draft.name_line("settings") - 1)
        if name not in SETTINGS:
            hint = near(str(name), SETTINGS) or f"; choose one of {', '.join(sorted(SETTINGS))}"
            yield draft.problem(line, "setting", f"`{name}` cannot be set here{hint}")
        elif words := misfit(name, value):
            yield draft.problem(line, "setting-value", words)


RULES = (front, names, identity, inputs, contract, output, output_fields, languages, model, settings)
