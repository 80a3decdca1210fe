"""Write the caption and the hashtags that go out with the clip, while it renders.

In       the brief, the user's language, a template, the text model
Out      Caption: text and 3 to 8 hashtags that together fit Telegram's 1024 units
Raises   TextModelError; the caller then uses `plain_caption`, so that no paid clip waits for a caption
Effects  one or two calls of the text model
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from steps.languages import LANGUAGES, closest
from steps.text_model.ask_model import Asked, TextModelClient, ask
from steps.text_model.brand import NO_BRAND, Brand, banned_in
from steps.text_model.templates import Contract, Template
from steps.validate_prompt import Brief, without_controls

CAPTION_UNITS_MAX = 1024  # UTF-16 code units, as Telegram counts, hashtags included
HASHTAGS_MIN, HASHTAGS_MAX = 3, 8
HASHTAG_CHARACTERS_MAX = 40


class CaptionDraft(BaseModel):
    """What the text model is asked for; what can be mended is, the rest goes back to it once."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description="the caption, without hashtags, at most 600 characters")
    hashtags: list[str] = Field(description=f"{HASHTAGS_MIN} to {HASHTAGS_MAX} hashtags")

    @field_validator("text")
    @classmethod
    def _tidy(cls, text: str) -> str:
        clean = without_controls(text)
        if not clean:
            raise ValueError("the caption is empty")
        return clean

    @field_validator("hashtags")
    @classmethod
    def _normal(cls, hashtags: list[str]) -> list[str]:
        normal = normalized(hashtags)
        if len(normal) < HASHTAGS_MIN:
            raise ValueError(f"{HASHTAGS_MIN} to {HASHTAGS_MAX} different hashtags are needed")
        return normal

    @model_validator(mode="after")
    def _fits(self) -> "CaptionDraft":
        length = units(joined(self.text, self.hashtags))
        if length > CAPTION_UNITS_MAX:
            raise ValueError(f"caption and hashtags are {length} long; {CAPTION_UNITS_MAX} fit")
        return self


CONTRACT = Contract("write_caption", frozenset({"title", "improved_prompt", "category", "language"}), CaptionDraft)


@dataclass(frozen=True)
class Caption:
    text: str
    hashtags: tuple[str, ...]


async def write_caption(
    brief: Brief, language: str, template: Template, client: TextModelClient, model: str
) -> tuple[Caption, Asked[CaptionDraft]]:
    """The caption, with the brand's hashtags, and the call behind it for its cost."""
    asked = await ask(client, template, inputs(brief, language), draft_without(template.brand.banned_words), model)
    return branded(Caption(asked.value.text, tuple(asked.value.hashtags)), template.brand), asked


def inputs(brief: Brief, language: str) -> dict[str, object]:
    """The template's inputs."""
    return {
        "title": brief.title,
        "improved_prompt": brief.improved_prompt,
        "category": brief.category,
        "language": language,
    }


@cache
def draft_without(banned_words: tuple[str, ...]) -> type[CaptionDraft]:
    """A draft that rejects these words, so that they go back to the model like any other mistake.

    The schema is the same. A separate class, because instructor's `context=` renders messages as templates.
    """

    def unbanned(draft: CaptionDraft) -> CaptionDraft:
        if banned := banned_in(joined(draft.text, [tag.removeprefix("#") for tag in draft.hashtags]), banned_words):
            raise ValueError(f"these words are not used: {', '.join(banned)}")
        return draft

    return create_model(
        CaptionDraft.__name__,
        __base__=CaptionDraft,
        __doc__=CaptionDraft.__doc__,
        __validators__={"_unbanned": model_validator(mode="after")(unbanned)},  # type: ignore[dict-item]  # as documented
    )


def branded(caption: Caption, brand: Brand) -> Caption:
    """The caption with the required hashtags, and as many of the others as fit."""
    wanted = {tag.casefold(): tag for tag in brand.required_hashtags}
    own = [tag for tag in caption.hashtags if tag.casefold() not in wanted]
    for kept in range(min(len(own), HASHTAGS_MAX - len(wanted)), -1, -1):
        tags = (*own[:kept], *wanted.values())
        if units(joined(caption.text, tags)) <= CAPTION_UNITS_MAX:
            return Caption(caption.text, tags)
    return caption


def plain_caption(brief: Brief, brand: Brand = NO_BRAND) -> Caption:
    """The title as a caption, with hashtags that fit every video."""
    return branded(Caption(brief.title, LANGUAGES[closest(brief.language)].hashtags), brand)


def joined(text: str, hashtags: list[str] | tuple[str, ...]) -> str:
    """Caption and hashtags as they are sent."""
    return f"{text}\n\n{' '.join(hashtags)}"


def units(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def normalized(hashtags: list[str]) -> list[str]:
    """Unique `#word` tags: letters with marks, digits and underscores of any script, with at least one letter."""
    tags: dict[str, str] = {}
    for raw in hashtags:
        for part in re.split(r"[\s,]*#", raw) if "#" in raw.strip().lstrip("#") else [raw]:
            word = "".join(c for c in part if c == "_" or unicodedata.category(c)[0] in "LM" or c.isdecimal())
            word = unicodedata.normalize("NFC", word)[:HASHTAG_CHARACTERS_MAX]
            if any(c.isalpha() for c in word):
                tags.setdefault(word.casefold(), f"#{word}")
    return list(tags.values())[:HASHTAGS_MAX]
