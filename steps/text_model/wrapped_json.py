"""Find the object that a text model answered with, however it wrapped it. Pure.

In       the texts of an answer, the model of what was asked for, and the texts of what was asked
Out      the one object that fits the schema's shape, mended and as JSON; None if there is none, or more than one

What is mended leaves no doubt: case, spaces, a region behind a language, "true" for true, a key too many. Whether the
object then keeps to the contract is checked afterwards, as strictly as ever.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from steps.languages import LANGUAGES, named

TEXT_CHARACTERS_MAX = 100_000
OBJECTS_TRIED_MAX = 100  # braces in one text; prose has a few
DEPTH_MAX = 4
THOUGHTS = r"(?:think|thinking|thought|reasoning)"
THOUGHT_ENDS = re.compile(rf"</{THOUGHTS}>|\[/{THOUGHTS}\]|<\|channel\|>final<\|message\|>", re.IGNORECASE)
THOUGHT_BEGINS = re.compile(rf"<{THOUGHTS}>|\[{THOUGHTS}\]|<\|channel\|>analysis", re.IGNORECASE)
TRUTHS = {"true": True, "false": False}
DECODER = json.JSONDecoder(strict=False)  # a line break inside a text is forgiven

Schema = Mapping[str, Any]


def find_answer(texts: Sequence[str], output: type[BaseModel], asked: Sequence[str]) -> str | None:
    """An object that stands in `asked` is a quotation of it and answers nothing: a user may have written a verdict.

    Two objects that differ are none: which of them is meant would be a guess.
    """
    schema = output.model_json_schema()
    texts = [*map(_without_thoughts, texts)]
    found = [each for each in _answers_in(texts, schema) if not is_quoted(each, schema, asked)]
    if not found or any(each != found[0] for each in found) or _is_doubted(found[0], texts, schema):
        return None
    return json.dumps(found[0])


def _is_doubted(answer: Mapping[str, Any], texts: Sequence[str], schema: Schema) -> bool:
    """Whether a yes stands beside another word on the same question, or has words behind it that may take it back."""
    key = next(iter(schema.get("required", ())), "")
    if answer.get(key) is not True:
        return False
    inside = (each for text in texts for value in _objects(text) for each in _all_within(value))
    words = [value for each in inside for name, value in each.items() if _plain(name) == key]
    behind = any(re.search(r"[^\W_]", text[text.rfind("}") + 1 :]) for text in texts if "}" in text)
    return behind or any(TRUTHS.get(_plain(str(word)), word) is not True for word in words)


def _all_within(value: object) -> Iterator[dict[str, Any]]:
    """Every object in it, itself included."""
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from _all_within(each)


def holds_answer(text: str, output: type[BaseModel]) -> bool:
    """Whether a laxer search than ours would find one in it: a quotation, a thought, one of two that differ."""
    return any(True for _ in _answers_in([text], output.model_json_schema()))


def is_quoted(answer: Mapping[str, Any], schema: Schema, asked: Sequence[str]) -> bool:
    """Whether a text that was asked holds every key and every text of it, in whatever notation or nesting."""
    parts = {*schema.get("required", ()), *(each for each in answer.values() if isinstance(each, str))}
    words = [_words(part) for part in parts]
    return any(all(f" {each} " in f" {said} " for each in words if each) for said in map(_words, asked))


def _words(text: str) -> str:
    text = re.sub(r"\\+u([0-9a-fA-F]{4})|\\+[nrt]", lambda found: chr(int(found[1] or "20", 16)), text)
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _answers_in(texts: Iterable[str], schema: Schema) -> Iterator[dict[str, Any]]:
    for text in texts:
        for value in _objects(text):
            yield from _shaped(value, schema, DEPTH_MAX)


def _without_thoughts(text: str) -> str:
    """What follows the last thought; some servers cut off its opening mark, and one without an end is all thought."""
    text = text[max((found.end() for found in THOUGHT_ENDS.finditer(text)), default=0) :]
    begun = THOUGHT_BEGINS.search(text)
    return text[: begun.start()] if begun else text


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text."""
    text, at = text[:TEXT_CHARACTERS_MAX], 0
    for _ in range(OBJECTS_TRIED_MAX):
        at = text.find("{", at)
        if at < 0:
            return
        try:
            value, at = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
        else:
            yield value


def _shaped(value: object, schema: Schema, depth: int) -> Iterator[dict[str, Any]]:
    """The value itself if it has all that is required, else those within it that have."""
    if isinstance(value, dict):
        mended = _mend_object(value, schema)
        if all(name in mended for name in schema.get("required", ())):
            yield mended
            return
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner if depth else ():
        yield from _shaped(each, schema, depth - 1)


def _mend_object(value: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """With the keys of the schema and no others; one that may be null may be missing."""
    named = {_plain(key): each for key, each in value.items()} | dict(value)
    mended = {}
    for name, field in schema.get("properties", {}).items():
        if name in named:
            mended[name] = _mend(named[name], field, schema)
        elif _may_be_null(field):
            mended[name] = None
    return mended


def _mend(value: object, field: Schema, schema: Schema) -> object:
    if "$ref" in field:
        field = schema["$defs"][field["$ref"].rsplit("/", 1)[-1]]
    match field.get("type"):
        case "boolean" if isinstance(value, str):
            return TRUTHS.get(_plain(value), value)
        case "array":
            items = [] if value is None else value if isinstance(value, list) else [value]
            return [_mend(item, field.get("items", {}), schema) for item in items]
        case "string" if value is None:
            return ""
        case "string" if isinstance(value, str) and "enum" in field:
            return _one_of(value, field["enum"])
    return value


def _one_of(value: str, words: Sequence[str]) -> str:
    plain = _plain(value)
    language = named(plain) or plain.split("_")[0]
    if plain not in words and language in LANGUAGES and language in words:
        return language
    return plain if plain in words else value


def _may_be_null(field: Schema) -> bool:
    return any(each.get("type") == "null" for each in field.get("anyOf", ()))


def _plain(text: str) -> str:
    return text.strip().casefold().replace("-", "_").replace(" ", "_")
