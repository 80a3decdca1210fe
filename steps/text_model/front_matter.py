"""Markdown with YAML front matter, the format of templates and the brand. Pure.

In       a file's name and text
Out      the front matter's values, and the sections by heading
Raises   TemplateError: the file, and what is wrong with it
"""

import re
from collections.abc import Set
from typing import Any

import yaml

FRONT_AND_BODY = re.compile(r"\A---\n(.*?)\n---\n(.*)\Z", re.DOTALL)
FRONT_STARTS = 2  # the line of the file on which the front matter begins
HEADING = re.compile(r"^## +(\w+) *$", re.MULTILINE)


class TemplateError(Exception):
    """A template, or the brand that templates refer to, cannot be used."""


def decoded(name: str, raw: bytes) -> str:
    """The text with Unix line breaks, whatever system it was written on."""
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise TemplateError(f"{name}: cannot be read ({error})") from error


def parts(name: str, text: str) -> tuple[str, str]:
    """The text between the two lines of ---, and what follows."""
    match = FRONT_AND_BODY.match(text)
    if not match:
        raise TemplateError(f"{name}: has no front matter between two lines of ---")
    return match[1], match[2]


def table(name: str, text: str, known: Set[str]) -> dict[str, Any]:
    """The front matter's values. Unknown names are refused, so that a typo is not silently ignored."""
    try:
        front = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line, words = yaml_mistake(error)
        raise TemplateError(f"{name}, line {line + FRONT_STARTS}: the front matter is not YAML: {words}") from error
    if not isinstance(front, dict):
        raise TemplateError(f"{name}: front matter is not a table of names")
    if unknown := set(front) - known:
        raise TemplateError(f"{name}: unknown names in the front matter: {', '.join(sorted(map(str, unknown)))}")
    return front


def yaml_mistake(error: yaml.YAMLError) -> tuple[int, str]:
    """The line, counted from 0, and what is wrong there. For an unclosed bracket, the line where it opens."""
    mark, words = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None) or ""
    if "flow" in context:
        mark = getattr(error, "context_mark", None) or mark
        words = f"{context.removeprefix('while ')}, {words}; is a bracket or a quote never closed?"
    return (mark.line if mark else 0), words


def sections(name: str, body: str) -> dict[str, str]:
    """Text by `## heading`, in order."""
    found = HEADING.split(body)
    names = found[1::2]
    by_name = dict(zip(names, found[2::2], strict=True))
    if len(names) > len(by_name):
        raise TemplateError(f"{name}: a section appears twice ({', '.join(names)})")
    return by_name
