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
COMMAS_MAX = 20  # before a closing bracket, in one object
# <think>, [THINK], ◁think▷, <seed:think>, <|START_THINKING|>, and the channels of gpt-oss and Gemma
THOUGHTS = r"(?:\w+[:_])?(?:think|thinking|thoughts?|reasoning)"
THOUGHT_ENDS = re.compile(
    rf"[<\[◁]\|?(?:/|end_(?:of_)?){THOUGHTS}\|?[>\]▷]"
    r"|<\|channel\|>final(?: ?<\|constrain\|>\w+)?<\|message\|>|<channel\|>",
    re.IGNORECASE,
)
THOUGHT_BEGINS = re.compile(rf"[<\[◁]\|?{THOUGHTS}\|?[>\]▷]|<\|channel\|>analysis|<\|channel>thought", re.IGNORECASE)
# What may stand behind an answer without a word on it: it ends here. Any other tag may call it a draft or a quotation.
END_MARKS = re.compile(
    r"</(?:s|(?:final_)?answer|response|output|result|json|verdict|tool_call|function_call|function)>"
    r"|<[|｜](?:end|end_?of_?text|end_of_turn|end▁of▁sentence|end_response|eos|eo[tm]_id|im_end|return|call)[|｜]>"
    r"|<end_of_turn>|<eos>",
    re.IGNORECASE,
)
COURTESIES = re.compile(
    r"(?:i )?hope (?:this|that) helps"
    r"|(?:please )?let me know if you (?:need|want|have) (?:anything else|any other questions|any questions)"
    r"|(?:is there )?anything else(?: i can help(?: you)? with)?|av[ií]same si necesitas algo más"
)
TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
NONE_WORDS = {"", "none", "null", "n/a", "na"}  # in a list of words of ours
WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # inside a name in camelCase
DECODER = json.JSONDecoder(strict=False)  # a line break inside a text is forgiven

Schema = Mapping[str, Any]


def find_answer(texts: Sequence[str], output: type[BaseModel], asked: Sequence[str]) -> str | None:
    """An object that stands in `asked` is a quotation of it and answers nothing: a user may have written a verdict.

    Two objects that differ are none: which of them is meant would be a guess.
    """
    schema = output.model_json_schema()
    texts = [*map(_after_thoughts, texts)]
    answers = [*map(_before_thoughts, texts)]
    found = [each for each in _answers_in(answers, schema) if not is_quoted(each, schema, asked)]
    if not found or any(each != found[0] for each in found) or _is_doubted(found[0], answers, texts, schema):
        return None
    return json.dumps(found[0])


def _is_doubted(answer: Mapping[str, Any], answers: Sequence[str], texts: Sequence[str], schema: Schema) -> bool:
    """Whether a yes stands beside another word on the same question, or has words behind it that may take it back.

    `texts`: the answers with what the model thought behind them.
    """
    key = next(iter(schema.get("required", ())), "")
    if answer.get(key) is not True:
        return False
    inside = (each for text in answers for value in _objects(text) for each in _all_within(value))
    words = [value for each in inside for name, value in each.items() if _plain(name) == key]
    ends = ((text, answer.rfind("}") + 1) for answer, text in zip(answers, texts, strict=True))
    behind = any(_may_take_back(text[end:]) for text, end in ends if end)
    return behind or any(TRUTHS.get(_plain(str(word)), word) is not True for word in words)


def _may_take_back(behind: str) -> bool:
    words = _words(END_MARKS.sub("", behind))
    return words != "" and not COURTESIES.fullmatch(words)


def _all_within(value: object) -> Iterator[dict[str, Any]]:
    """Every object in it, itself included."""
    if isinstance(value, dict):
        yield value
    for each in _inside(value):
        yield from _all_within(each)


def _inside(value: object) -> Iterator[object]:
    """What an object or a list holds; a text that is an object in JSON counts as that object."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        opened = _opened(each) if isinstance(each, str) else each
        yield opened if isinstance(opened, dict) else each


def holds_answer(text: str, output: type[BaseModel]) -> bool:
    """Whether a laxer search than ours would find one in it: a quotation, a thought, one of two that differ."""
    return any(True for _ in _answers_in([text], output.model_json_schema()))


def is_quoted(answer: Mapping[str, Any], schema: Schema, asked: Sequence[str]) -> bool:
    """Whether a text that was asked holds every key and every text of it, in whatever notation or nesting.

    One of our own words may have been written otherwise, as "Spanish" for "es".
    """
    fields = {name: _resolved(field, schema) for name, field in schema.get("properties", {}).items()}
    texts = (each for name, each in answer.items() if isinstance(each, str) and "enum" not in fields[name])
    parts = {*schema.get("required", ()), *texts}
    words = [_words(part) for part in parts]
    return any(all(f" {each} " in f" {said} " for each in words if each) for said in map(_words, asked))


def _words(text: str) -> str:
    text = re.sub(r"\\+u([0-9a-fA-F]{4})|\\+[nrt]", lambda found: chr(int(found[1] or "20", 16)), text)
    return " ".join(re.findall(r"[^\W_]+", WORD_BEGINS.sub("_", text).casefold()))


def _answers_in(texts: Iterable[str], schema: Schema) -> Iterator[dict[str, Any]]:
    for text in texts:
        for value in _objects(text):
            yield from _shaped(value, schema, DEPTH_MAX)


def _after_thoughts(text: str) -> str:
    """What follows the last thought, whose opening mark some servers cut off. The text may be JSON of a text."""
    for _ in range(2):
        text = text[max((found.end() for found in THOUGHT_ENDS.finditer(text)), default=0) :]
        opened = _opened(text)
        text = opened if isinstance(opened, str) else text
    return text


def _before_thoughts(text: str) -> str:
    """A thought without an end is all thought."""
    begun = THOUGHT_BEGINS.search(text)
    return text[: begun.start()] if begun else text


def _opened(text: str) -> object:
    """What a text is in JSON; None if it is none."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text."""
    text, at = text[:TEXT_CHARACTERS_MAX], 0
    for _ in range(OBJECTS_TRIED_MAX):
        at = text.find("{", at)
        if at < 0:
            return
        try:
            value, at = _decoded(text, at)
        except (ValueError, RecursionError):
            at += 1
        else:
            yield value


def _decoded(text: str, at: int) -> tuple[Any, int]:
    """The object that begins there, and its end. A comma before a closing bracket is forgiven; a blank replaces it."""
    for _ in range(COMMAS_MAX):
        try:
            return DECODER.raw_decode(text, at)
        except json.JSONDecodeError as error:
            comma = text.rfind(",", at, error.pos + 1)
            needless = re.compile(r",\s*[}\]]").match(text, comma) if comma >= 0 else None
            if needless is None or needless.end() <= error.pos:
                raise
            text = f"{text[:comma]} {text[comma + 1 :]}"
    return DECODER.raw_decode(text, at)


def _shaped(value: object, schema: Schema, depth: int) -> Iterator[dict[str, Any]]:
    """The value itself if it has all that is required, else those within it that have."""
    if isinstance(value, dict):
        mended = _mend_object(value, schema)
        if all(name in mended for name in schema.get("required", ())):
            yield mended
            return
    for each in _inside(value) if depth else ():
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
    field = _resolved(field, schema)
    match field.get("type"):
        case "boolean" if isinstance(value, str | int):
            return TRUTHS.get(_plain(str(value)), value)
        case "array":
            return _mend_list(value, _resolved(field.get("items", {}), schema), schema)
        case "string" if value is None:
            return ""
        case "string" if isinstance(value, list) and len(value) == 1:
            return _mend(value[0], field, schema)
        case "string" if isinstance(value, str) and "enum" in field:
            return _one_of(value, field["enum"])
    return value


def _mend_list(value: object, item: Schema, schema: Schema) -> list[object]:
    """A list of one may be bare; where each is one of our words, "none" stands for no word."""
    values = [] if value is None else value if isinstance(value, list) else [value]
    if "enum" in item:
        values = [each for each in values if not isinstance(each, str) or _plain(each) not in NONE_WORDS]
    return [_mend(each, item, schema) for each in values]


def _resolved(field: Schema, schema: Schema) -> Schema:
    return schema["$defs"][field["$ref"].rsplit("/", 1)[-1]] if "$ref" in field else field


def _one_of(value: str, words: Sequence[str]) -> str:
    plain = _plain(value)
    language = named(plain) or plain.split("_")[0]
    if plain not in words and language in LANGUAGES and language in words:
        return language
    return plain if plain in words else value


def _may_be_null(field: Schema) -> bool:
    return any(each.get("type") == "null" for each in field.get("anyOf", ()))


def _plain(text: str) -> str:
    return WORD_BEGINS.sub("_", text.strip()).casefold().replace("-", "_").replace(" ", "_")
