"""Decide whether a prompt may become a video, and improve it.

In       a user's prompt and language, a template, the text model
Out      Brief (improved prompt, title, category, language) or Rejected (policy areas, why, a safe rewrite)
Raises   TextModelError: unreachable, refused, or no valid answer
Effects  one or two calls of the text model
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from steps.languages import Code
from steps.text_model.ask_model import Asked, TextModelClient, ask
from steps.text_model.templates import Contract, Template

TITLE_CHARACTERS_MAX = 80
IMPROVED_CHARACTERS_MAX = 2000
EXPLANATION_CHARACTERS_MAX = 400
DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")


class PolicyArea(StrEnum):
    """What a prompt can be refused for."""

    SEXUAL = "sexual"
    MINORS = "minors"
    VIOLENCE = "violence"
    HATE = "hate"
    SELF_HARM = "self_harm"
    WEAPONS = "weapons"
    REAL_PERSON = "real_person"
    COPYRIGHT = "copyright"
    ILLEGAL = "illegal"
    OTHER = "other"


class Category(StrEnum):
    """What a video is of; for statistics and captions."""

    NATURE = "nature"
    ANIMALS = "animals"
    PEOPLE = "people"
    CITY = "city"
    FOOD = "food"
    PRODUCT = "product"
    FANTASY = "fantasy"
    ABSTRACT = "abstract"
    OTHER = "other"


class Verdict(BaseModel):
    """What the text model is asked for; what can be mended is, the rest goes back to it once."""

    model_config = ConfigDict(extra="forbid")

    allowed: bool
    reasons: list[PolicyArea] = Field(description="policy areas the prompt touches; empty if allowed")
    explanation: str = Field(description="one sentence for the user")
    safe_rewrite: str | None = Field(description="a prompt close to the wish that would be allowed, or null")
    improved_prompt: str = Field(description="camera, light, motion, sound; at most 120 words")
    title: str = Field(description=f"one line, at most {TITLE_CHARACTERS_MAX} characters")
    category: Category
    language: Code

    @field_validator("improved_prompt", "safe_rewrite")
    @classmethod
    def _bounded(cls, text: str | None) -> str | None:
        clean = without_controls(text or "")
        if len(clean) > IMPROVED_CHARACTERS_MAX:
            raise ValueError(f"at most {IMPROVED_CHARACTERS_MAX} characters")
        return clean if text is not None else None

    @field_validator("explanation")
    @classmethod
    def _short(cls, text: str) -> str:
        return _cut(without_controls(text), EXPLANATION_CHARACTERS_MAX)

    @field_validator("title")
    @classmethod
    def _one_line(cls, title: str) -> str:
        return _cut(" ".join(without_controls(title).split()), TITLE_CHARACTERS_MAX)

    @model_validator(mode="after")
    def _says_what_it_must(self) -> "Verdict":
        if self.allowed and (not self.improved_prompt or not self.title):
            raise ValueError("an allowed prompt needs an improved_prompt and a title")
        if not self.allowed and not self.reasons:
            raise ValueError("a refused prompt needs at least one reason")
        return self


CONTRACT = Contract("validate_prompt", frozenset({"prompt", "language", "seconds"}), Verdict)


@dataclass(frozen=True)
class Brief:
    """An approved request: what the video model gets, and what the caption is written from."""

    improved_prompt: str
    title: str
    category: str
    language: str


@dataclass(frozen=True)
class Rejected:
    reasons: tuple[str, ...]
    explanation: str
    safe_rewrite: str | None


async def validate_prompt(
    prompt: str, language: str, seconds: int, template: Template, client: TextModelClient, model: str
) -> tuple[Brief | Rejected, Asked[Verdict]]:
    """The decision, and the call behind it for its cost. `seconds`: the requested length of the video."""
    asked = await ask(client, template, inputs(prompt, language, seconds), Verdict, model)
    return decide(asked.value, language), asked


def inputs(prompt: str, language: str, seconds: int) -> dict[str, object]:
    """The template's inputs."""
    return {"prompt": prompt, "language": language, "seconds": seconds}


def decide(verdict: Verdict, language: str) -> Brief | Rejected:
    """A verdict that allows the prompt but names reasons is a rejection."""
    if verdict.allowed and not verdict.reasons:
        return Brief(verdict.improved_prompt, verdict.title, verdict.category.value, language)
    return Rejected(
        tuple(dict.fromkeys(reason.value for reason in verdict.reasons)),
        verdict.explanation,
        verdict.safe_rewrite or None,
    )


def without_controls(text: str) -> str:
    """Without what neither a terminal nor the ledger should get. Joiners stay: emoji are made of them."""
    plain = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cs"})
    return without_directions(plain).strip()


def without_directions(text: str) -> str:
    """Without what turns the order of the letters after it around, also of those that are not part of the text."""
    return DIRECTIONS.sub("", text)


def _cut(text: str, characters_max: int) -> str:
    return text if len(text) <= characters_max else text[: characters_max - 1].rstrip() + "…"
