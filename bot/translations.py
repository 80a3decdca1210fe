"""The bot's texts: an English sentence is translated, then filled in with values that are made harmless.

In       a sentence with {fields}, and values; the catalogues `locales/<language>/LC_MESSAGES/bot.po`
Out      Markup: HTML as Telegram reads it; or plain text for buttons
Effects  none; the catalogues are read once
"""

import gettext
import re
from functools import cache
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from markupsafe import Markup, escape

from pipeline.formatting import usd
from steps.languages import DEFAULT, LANGUAGES, closest
from steps.validate_prompt import without_directions

LOCALES = Path(__file__).parent / "locales"
# After these, Telegram detects a mention, a command or a link; an invisible joiner prevents that.
WORD_JOINER = "\u2060"
TELLTALE = re.compile(r"[@＠](?=\w)|(?<![\w/])/(?=\w)|://(?=\S)|(?<=[^\s\d])[.．。](?=\w)|(?<=\d)\.(?=[^\W\d]|\d+\.\d)")


def N_(sentence: str) -> str:  # noqa: N802 - gettext's own name for it
    """Marks a sentence for the catalogue; it is translated where it is used."""
    return sentence


def tame(text: str) -> str:
    """A user's or a model's text, without direction overrides, in which Telegram finds no mention, command or link."""
    return TELLTALE.sub(lambda found: found.group() + WORD_JOINER, without_directions(text))


def code(text: str) -> Markup:
    """Text to copy with a tap, exactly as it is: Telegram detects nothing inside `code`."""
    return Markup("<code>{}</code>").format(text)


class Words:
    """The texts in one language. A call returns a sentence as HTML; values, except Markup, are tamed and escaped."""

    def __init__(self, language: str) -> None:
        self.language = closest(language)
        self._catalogue = _catalogue(self.language)

    def __call__(self, sentence: str, **values: object) -> Markup:
        return _filled(self._catalogue.gettext(sentence), values)

    def count(self, one: str, many: str, number: int, **values: object) -> Markup:
        """The singular or plural sentence for this number, which is `{n}` in it."""
        return _filled(self._catalogue.ngettext(one, many, number), {**values, "n": number})

    def plain(self, sentence: str, **values: object) -> str:
        """Plain text, for buttons and alerts, which have no markup."""
        return self._catalogue.gettext(sentence).format(**values)

    def usd(self, microusd: int) -> str:
        """`$0.80`, with the sign as the language writes it: in Spanish `US$0.80`."""
        return usd(microusd).replace("$", LANGUAGES[self.language].dollar)


def _filled(sentence: str, values: dict[str, object]) -> Markup:
    safe = {name: value if isinstance(value, Markup) else escape(tame(str(value))) for name, value in values.items()}
    return Markup(sentence).format(**safe)  # noqa: S704 - the sentence is the catalogue's own


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    if language == DEFAULT:
        return gettext.NullTranslations()
    with (LOCALES / language / "LC_MESSAGES" / "bot.po").open("rb") as source:
        catalogue = read_po(source, locale=language)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
