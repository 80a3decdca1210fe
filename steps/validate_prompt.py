"""Decide whether a prompt may become a video, and make it a better one.

In       a user's prompt and language, a template, the text model
Out      Brief (improved prompt, title, category, language) or Rejected (policy areas, a word on why, a safe rewrite)
Raises   TextModelError: unreachable, refused, or never answering what was asked
Effects  one or two calls of the text model
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from steps.ask_model import Asked, TextModelClient, ask
from steps.templates import Template

TITLE_CHARACTERS_MAX = 80
IMPROVED_CHARACTERS_MAX = 2000
EXPLANATION_CHARACTERS_MAX = 400


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
    """What the text model is asked for."""

    model_config = ConfigDict(extra="forbid")

    allowed: bool
    reasons: list[PolicyArea] = Field(max_length=10, description="policy areas the prompt touches; empty if allowed")
    explanation: str = Field(max_length=EXPLANATION_CHARACTERS_MAX, description="one sentence for the user")
    safe_rewrite: str | None = Field(description="a prompt close to the wish that would be allowed, or null")
    improved_prompt: str = Field(max_length=IMPROVED_CHARACTERS_MAX, description="camera, light, motion, sound")
    title: str = Field(max_length=200, description=f"one line, at most {TITLE_CHARACTERS_MAX} characters")
    category: Category
    language: Literal["es", "en"]

    @field_validator("title", "explanation", "improved_prompt")
    @classmethod
    def _tidy(cls, text: str) -> str:
        return _without_controls(text)

    @field_validator("title")
    @classmethod
    def _one_line(cls, title: str) -> str:
        line = " ".join(title.split())
        return line if len(line) <= TITLE_CHARACTERS_MAX else line[: TITLE_CHARACTERS_MAX - 1].rstrip() + "…"

    @model_validator(mode="after")
    def _says_what_it_must(self) -> "Verdict":
        if self.allowed and (not self.improved_prompt.strip() or not self.title):
            raise ValueError("an allowed prompt needs an improved_prompt and a title")
        if not self.allowed and not self.reasons:
            raise ValueError("a refused prompt needs at least one reason")
        return self


@dataclass(frozen=True)
class Brief:
    """An approved wish: what will be asked of the video model, and what the caption is written from."""

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
    prompt: str, language: str, template: Template, client: TextModelClient, model: str
) -> tuple[Brief | Rejected, Asked[Verdict]]:
    """The decision, and the call behind it for the books."""
    asked = await ask(client, template, {"prompt": prompt, "language": language}, Verdict, model)
    return decide(asked.value, language), asked


def decide(verdict: Verdict, language: str) -> Brief | Rejected:
    """A verdict that allows and names reasons at once does not allow."""
    if verdict.allowed and not verdict.reasons:
        return Brief(verdict.improved_prompt.strip(), verdict.title, verdict.category.value, language)
    rewrite = (verdict.safe_rewrite or "").strip()
    return Rejected(
        tuple(dict.fromkeys(reason.value for reason in verdict.reasons)),
        verdict.explanation,
        rewrite or None,
    )


def _without_controls(text: str) -> str:
    return "".join(c for c in text if c.isprintable() or c in "\n\t ").strip()
