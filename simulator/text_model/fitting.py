"""Makes an answer fit a JSON schema, as strict structured output does in a real model. Pure.

In       a schema, and the natural value (or nothing)
Out      a value that fits: properties, enums, lengths, item counts, number bounds
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

MISSING = object()
DEPTH_MAX = 12
FILLER = "sample text "


def properties(schema: Schema) -> Mapping[str, Schema]:
    """The properties of the top-level object, with `$ref` resolved."""
    found = _resolved(schema, schema).get("properties", {})
    return found if isinstance(found, Mapping) else {}


def enum_inside(schema: Schema, name: str) -> Sequence[object]:
    """The values a property (or its items) may have; empty if unrestricted."""
    found = _resolved(properties(schema).get(name, {}), schema)
    found = _resolved(found.get("items", found), schema)
    for branch in [found, *(_resolved(each, schema) for each in found.get("anyOf", ()))]:
        if "enum" in branch:
            return list(branch["enum"])
    return ()


def fit(value: object, schema: Schema, root: Schema | None = None, depth: int = 0) -> Any:
    """The value itself if it fits, else the nearest value that does."""
    root = schema if root is None else root
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return _one_of(value, schema["enum"])
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return fit(value, _branch(value, [_resolved(each, root) for each in branches], depth), root, depth + 1)
    match _kind(value, schema):
        case "object":
            return _object(value, schema, root, depth)
        case "array":
            return _array(value, schema, root, depth)
        case "string":
            return _string(value, schema)
        case "integer":
            return int(_number(value, schema))
        case "number":
            return _number(value, schema)
        case "boolean":
            return value if isinstance(value, bool) else True
        case _:
            return None


def _object(value: object, schema: Schema, root: Schema, depth: int) -> dict[str, Any]:
    given = value if isinstance(value, Mapping) else {}
    if depth > DEPTH_MAX:
        return {}
    wanted = schema.get("properties", {})
    required = set(schema.get("required", wanted))
    # Below two levels only required properties are invented: a schema may contain itself.
    names = [name for name in wanted if name in given or name in required or depth < 2]
    return {name: fit(given.get(name, MISSING), wanted[name], root, depth + 1) for name in names}


def _array(value: object, schema: Schema, root: Schema, depth: int) -> list[Any]:
    given = list(value) if isinstance(value, list | tuple) else []
    least, most = int(schema.get("minItems", 0)), int(schema.get("maxItems", 1_000))
    items = schema.get("items", {})
    fitted = [fit(each, items, root, depth + 1) for each in given[:most]]
    if schema.get("uniqueItems"):
        fitted = [each for place, each in enumerate(fitted) if each not in fitted[:place]]
    while len(fitted) < least:
        extra = f"#extra{len(fitted)}" if fitted and str(fitted[0]).startswith("#") else MISSING
        fitted.append(fit(extra, items, root, depth + 1))
    return fitted


def _string(value: object, schema: Schema) -> str:
    text = value if isinstance(value, str) else FILLER.strip()
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    if len(text) < least:
        text = (text + " " + FILLER * (least // len(FILLER) + 1))[:least].rstrip().ljust(least, "x")
    if most is not None and len(text) > int(most):
        text = text[: int(most)].rstrip()
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and not _matches(pattern, text):
        # Two patterns are supported: a hashtag that must, or must not, start with `#`.
        text = next((each for each in (text.lstrip("#"), f"#{text}") if _matches(pattern, each)), text)
    return text


def _number(value: object, schema: Schema) -> float | int:
    number: float | int = value if isinstance(value, int | float) and not isinstance(value, bool) else 1
    low = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", math.inf) - 1)
    bounded: float | int = min(max(number, low), high)
    return bounded


def _one_of(value: object, allowed: Sequence[object]) -> object:
    if value in allowed:
        return value
    other = next((each for each in allowed if isinstance(each, str) and each.startswith(("other", "otr"))), None)
    if not isinstance(value, str):
        return other or allowed[0]
    near = (each for each in allowed if isinstance(each, str) and each.lower()[:4] == value.lower()[:4])
    return next(near, other or allowed[-1])


def _branch(value: object, branches: Sequence[Schema], depth: int) -> Schema:
    if value is None or (value is MISSING and depth > DEPTH_MAX):
        return next((each for each in branches if each.get("type") == "null"), branches[0])
    real = [each for each in branches if each.get("type") != "null"] or list(branches)
    return next((each for each in real if each.get("type") == _natural(value)), real[0])


def _kind(value: object, schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        if value is None and "null" in kind:
            return "null"
        kind = next((each for each in kind if each == _natural(value)), kind[0])
    return str(kind or ("object" if "properties" in schema else _natural(value)))


def _natural(value: object) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null" if value is None else "string")


def _resolved(schema: Schema, root: Schema) -> Schema:
    for _ in range(DEPTH_MAX):
        parts = schema.get("allOf", ())
        reference = schema.get("$ref") or (len(parts) == 1 and parts[0].get("$ref"))
        if not reference:
            return schema
        target: Any = root
        for name in str(reference).removeprefix("#/").split("/"):
            target = target[name]
        schema = target
    return schema


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True
