"""A template's file as the rules see it: parsed as far as possible, with line numbers. Pure."""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml
from jinja2 import TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables

from evals.secrets import KEY_IN_TEXT
from steps.text_model.brand import Brand
from steps.text_model.front_matter import FRONT_AND_BODY, HEADING
from steps.text_model.templates import Contract, environment

SECRETS = re.compile(
    KEY_IN_TEXT.pattern + r"|\b\d{8,10}:[A-Za-z0-9_-]{30,}|(?i:\b(?:password|api[_-]?key|token)\s*[:=]\s*[\w-]{8,})"
)


@dataclass(frozen=True)
class Problem:
    """`line` counts from 1. The bot rejects an error, or it would mislead the model; a warning is for a person."""

    file: str
    line: int
    rule: str
    words: str
    error: bool = True

    def __str__(self) -> str:
        return f"prompts/{self.file}:{self.line}: {'error' if self.error else 'warning'} [{self.rule}] {self.words}"


Found = Iterator[Problem]


@dataclass(frozen=True)
class Draft:
    """A template's file, parsed as far as possible."""

    file: str
    text: str
    contract: Contract
    brand: Brand
    text_models: frozenset[str]

    @cached_property
    def parts(self) -> tuple[str, str]:
        match = FRONT_AND_BODY.match(self.text)
        return (match[1], match[2]) if match else ("", self.text)

    @cached_property
    def body_starts(self) -> int:
        """Lines before the body."""
        return self.text.count("\n") - self.parts[1].count("\n")

    @cached_property
    def front(self) -> dict[str, Any]:
        try:
            front = yaml.safe_load(self.parts[0])
        except yaml.YAMLError:
            return {}
        return front if isinstance(front, dict) else {}

    @cached_property
    def inputs(self) -> dict[str, dict[str, Any]]:
        inputs = self.front.get("inputs")
        return (
            {str(name): spec for name, spec in inputs.items() if isinstance(spec, dict)}
            if isinstance(inputs, dict)
            else {}
        )

    @cached_property
    def sections(self) -> list[tuple[str, int, str]]:
        """Heading, its line, and the text after it."""
        marks = list(HEADING.finditer(self.parts[1]))
        ends = [mark.start() for mark in marks[1:]] + [len(self.parts[1])]
        return [
            (mark[1], self.body_starts + self.parts[1].count("\n", 0, mark.end()) + 1, self.parts[1][mark.end() : end])
            for mark, end in zip(marks, ends, strict=True)
        ]

    @cached_property
    def trees(self) -> list[tuple[int, nodes.Template]]:
        """The lines and Jinja trees of the sections that can be parsed."""
        found = []
        for _, line, text in self.sections:
            try:
                tree = environment().parse(text)
                find_undeclared_variables(tree)  # rejects unknown filters, too
                found.append((line, tree))
            except TemplateSyntaxError:
                continue
        return found

    @cached_property
    def used(self) -> set[str]:
        return set().union(*(find_undeclared_variables(tree) for _, tree in self.trees))

    def problem(self, line: int, rule: str, words: str, *, error: bool = True) -> Problem:
        return Problem(self.file, line, rule, words, error)

    def line_of(self, pattern: str, start: int = 0) -> int:
        """The first matching line after the first `start` lines; 1 if there is none."""
        for number, line in enumerate(self.text.split("\n")[start:], start + 1):
            if re.search(pattern, line):
                return number
        return 1

    def name_line(self, name: str) -> int:
        return self.line_of(rf"^\s*{re.escape(name)}\s*:")

    def input_line(self, name: str, key: str = "") -> int:
        start = self.name_line(name)
        return self.line_of(rf"\b{re.escape(key)}\s*:", start - 1) if key and start > 1 else start


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The most similar known word; None if none is similar."""
    return next(iter(difflib.get_close_matches(word, list(known), 1, 0.6)), None)


def near(word: str, known: Iterable[str]) -> str:
    meant = nearest(word, known)
    return f"; did you mean `{meant}`?" if meant else ""
