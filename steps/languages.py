"""The languages that users may choose.

To add one: its code in `Code` and its entry in `LANGUAGES` here, its catalogue in `bot/locales/`, its code under
`languages` in both templates in `prompts/`, and its section in `prompts/brand.md`. English is the language of the code,
so it needs no catalogue.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Code = Literal["es", "en"]  # the text model is sent the codes in this order
CODES: tuple[str, ...] = get_args(Code)
DEFAULT = "en"


@dataclass(frozen=True)
class Language:
    """`also`: names that text models use for it. `small_words`, `letters`: for recognizing a text in it.

    `dollar`: how it writes the sign, as in most of Latin America `$` alone is the local peso.
    """

    name: str
    also: tuple[str, ...]
    hashtags: tuple[str, ...]
    small_words: frozenset[str]
    letters: str = ""
    dollar: str = "$"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LANGUAGES: Mapping[str, Language] = {
    "en": Language(
        name="English",
        also=("english", "inglés"),
        hashtags=("#video", "#ai", "#madewithai", "#creative"),
        small_words=_words("the a an of and in on with for to is its it as at by from this that over very"),
    ),
    "es": Language(
        name="Español",
        also=("spanish", "español", "castellano"),
        hashtags=("#video", "#ia", "#hechoconia", "#creatividad"),
        small_words=_words("el la los las un una unos del al que y en con por para su es se lo como más sin sobre muy"),
        letters="ñ¿¡áéíóú",
        dollar="US$",
    ),
}


def closest(locale: str | None) -> str:
    """The language of a locale such as `es-419` or `es_ES.UTF-8`; English if we do not have it."""
    code = re.split(r"[-_.@]", (locale or "").lower(), maxsplit=1)[0]
    return code if code in LANGUAGES else DEFAULT


def named(word: str) -> str | None:
    """The language for which a text model uses this name, in lower case."""
    return next((code for code, language in LANGUAGES.items() if word in language.also), None)


def spoken_in(text: str) -> str | None:
    """The language of a text by its small words and letters; None if two languages score the same."""
    words = re.findall(r"\w+", text.casefold())
    scores = {
        code: sum(word in language.small_words for word in words)
        + sum(letter in language.letters for letter in text.casefold())
        for code, language in LANGUAGES.items()
    }
    best = max(scores.values())
    found = [code for code, score in scores.items() if score == best]
    return found[0] if len(found) == 1 else None
