"""The answer fits any schema."""

from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from simulator.text_model.fitting import MISSING, fit

SCHEMAS: dict[str, dict[str, Any]] = {
    "nothing said": {},
    "a word among three": {"enum": ["a", "b", 3]},
    "a constant": {"const": 7},
    "a long string": {"type": "string", "minLength": 40, "maxLength": 44},
    "a short string": {"type": "string", "maxLength": 3},
    "a hashtag": {"type": "string", "pattern": r"^#\w"},
    "a bounded whole number": {"type": "integer", "minimum": 5, "maximum": 9},
    "a number above": {"type": "number", "exclusiveMinimum": 2},
    "a number below": {"type": "number", "exclusiveMaximum": -2},
    "nullable": {"type": ["string", "null"]},
    "null": {"type": "null"},
    "either": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "integer"}, "minItems": 2}]},
    "items": {"type": "array", "items": {"type": "string", "enum": ["x", "y"]}, "minItems": 3},
    "an object in an object": {
        "type": "object",
        "additionalProperties": False,
        "required": ["inner", "flag"],
        "properties": {
            "inner": {"$ref": "#/$defs/Inner"},
            "all": {"allOf": [{"$ref": "#/$defs/Inner"}]},
            "flag": {"type": "boolean"},
        },
        "$defs": {"Inner": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
    },
    "itself": {
        "$ref": "#/$defs/Tree",
        "$defs": {
            "Tree": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "left": {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]},
                    "all": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
                },
            }
        },
    },
}
VALUES: list[Any] = [MISSING, None, "word " * 30, ["x"] * 5, {"n": 1, "flag": False}, 3, 2.5, True]


@pytest.mark.parametrize("value", VALUES, ids=["nothing", "null", "text", "list", "object", "3", "2.5", "yes"])
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_any_value_is_made_to_fit_any_schema(schema: dict[str, Any], value: Any) -> None:
    OAS31Validator(schema).validate(fit(value, schema))


def test_fit_keeps_valid_values_and_drops_unknown_fields() -> None:
    schema = {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}}}}
    assert fit({"tags": ["#a", "#b"], "strange": 1}, schema) == {"tags": ["#a", "#b"]}


def test_fit_pads_short_arrays_and_cuts_long_ones() -> None:
    few = fit(["#a"], {"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True})
    assert (len(few), len(set(few)), few[0]) == (3, 3, "#a")
    assert fit(["#a", "#b", "#c"], {"type": "array", "maxItems": 2}) == ["#a", "#b"]


def test_fit_maps_a_similar_word_to_its_enum_value_and_others_to_other() -> None:
    assert fit("animals", {"enum": ["animal", "other"]}) == "animal"
    assert fit("science", {"enum": ["city", "other"]}) == "other"
