"""The Spanish catalogue says all that the code says, and nothing that is said can break a message.

`python -m tests.bot.test_locales` prints the entries that are missing, to be filled in.
"""

import ast
import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from html import unescape
from io import BytesIO
from itertools import product
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from bot import messages, settings
from bot.delivery import cards
from bot.requests import create
from bot.translations import LOCALES, WORD_JOINER, Words, code
from bot.transport.replies import ALERT_CHARACTERS_MAX
from steps.check_limits import PromptProblem, RefusalKind, Refused
from steps.languages import LANGUAGES, closest

BOT = Path(__file__).parent.parent.parent / "bot"
CATALOGUE = LOCALES / "es" / "LC_MESSAGES" / "bot.po"
MARKED: Mapping[str, None] = {"N_": None, "plain": None}  # on a button, in an alert, or said elsewhere
CALLS: Mapping[str, tuple[int, int] | None] = {**MARKED, "words": None, "count": (1, 2)}
BUTTON_CALLS = {"button", "_button", "InlineKeyboardButton"}
BUTTON_CHARACTERS_MAX = 32  # a row on a phone shows hardly more
TAG = re.compile(r"</?\w[^<>]*>")
COMMAND = re.compile(r"(?<![\w/<])/[a-z]+")
ENGLISH, SPANISH = Words("en"), Words("es")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

Sentence = str | tuple[str, ...]  # with its plural, if it has one


def spoken(calls: Mapping[str, tuple[int, int] | None] = CALLS) -> dict[Sentence, list[str]]:
    """Every sentence in the code, file by file, and the files that say it."""
    where: dict[Sentence, list[str]] = {}
    for file, _, sentence, _, _ in sorted(extract_from_dir(BOT, keywords=calls), key=lambda found: found[:2]):
        where.setdefault(sentence, []).append(f"bot/{file}")
    return where


@cache
def catalogue() -> Catalog:
    with CATALOGUE.open("rb") as source:
        return read_po(source)


@cache
def written() -> dict[Sentence, Sentence]:
    """What is in the catalogue, English to Spanish."""
    return {
        found.id if isinstance(found.id, str) else tuple(found.id): found.string
        if isinstance(found.string, str)
        else tuple(found.string or ())
        for found in catalogue()
        if found.id
    }


def pairs() -> Iterator[tuple[str, str]]:
    """English and Spanish, each form of a sentence by itself."""
    for english, spanish in written().items():
        yield from zip(forms(english), forms(spanish), strict=True)


def in_spanish(english: str) -> str:
    """As it is in the catalogue, not filled in; what is missing there is another test's to tell."""
    return dict(pairs()).get(english, english)


def forms(sentence: Sentence) -> tuple[str, ...]:
    return (sentence,) if isinstance(sentence, str) else sentence


def none(found: Iterable[object], of: str) -> None:
    """Nothing was found; or the failure names all of it."""
    names = "\n".join(map(repr, found))
    assert not names, f"{of}:\n{names}"


def test_every_sentence_is_in_the_catalogue() -> None:
    none((said for said in spoken() if said not in written()), "missing; python -m tests.bot.test_locales")


def test_catalogue_has_no_unused_entries() -> None:
    said = spoken()
    none((known for known in written() if known not in said), "no longer said")
    none(catalogue().obsolete, "commented out")


def test_catalogue_has_no_fuzzy_or_empty_entries() -> None:
    none((found.id for found in catalogue() if found.id and found.fuzzy), "fuzzy")
    none((english for english, spanish in written().items() if not all(forms(spanish))), "empty")


def fields(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def signs(text: str) -> list[str]:
    """Emoji and arrows. Answers to our questions are known by the first."""
    return [each for each in text if unicodedata.category(each) in {"So", "Sm", "Mn"}]


BONES: Mapping[str, Callable[[str], object]] = {
    "placeholders": fields,
    "tags": lambda text: Counter(TAG.findall(text)),
    "commands": lambda text: sorted(COMMAND.findall(text)),
    "signs": signs,
    "first sign": lambda text: signs(text[:1]),
    "lines": lambda text: text.count("\n"),
    "spaces at the edges": lambda text: (text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]),
}


@pytest.mark.parametrize("bones", BONES)
def test_translation_keeps_placeholders_tags_commands_and_layout(bones: str) -> None:
    different = (english for english, spanish in pairs() if BONES[bones](english) != BONES[bones](spanish))
    none(different, f"other {bones}")


@pytest.mark.parametrize(
    ("english", "spanish"),
    [
        ("othing was charged", "o se cobró nada"),
        ("othing is charged yet", "odavía no se cobra nada"),
        ("othing was changed", "o se cambió nada"),
        ("ideo maker", "proveedor de video"),
        ("set aside", "reservado"),
        ("eople who run this bot", "quienes administran este bot"),
    ],
)
def test_recurring_phrases_are_always_translated_the_same(english: str, spanish: str) -> None:
    none((found for found, translated in pairs() if english in found and spanish not in translated), "otherwise")


def test_spanish_spells_video_without_an_accent() -> None:
    none((spanish for _, spanish in pairs() if "vídeo" in spanish.casefold()), "with an accent")


# Buttons and alerts: no markup, little room.


def on_buttons() -> set[str]:
    """The English of every button."""
    found = {*create.EXAMPLE_NAMES, *cards.SHAPES.values(), *settings.CONFIRM_NAMES.values()}
    for file in BOT.rglob("*.py"):
        for call in calls_of(ast.parse(file.read_text(encoding="utf-8")), BUTTON_CALLS):
            found |= {
                marked.args[0].value
                for marked in calls_of(call, set(MARKED))
                if marked.args and isinstance(marked.args[0], ast.Constant) and isinstance(marked.args[0].value, str)
            }
    return found


def calls_of(tree: ast.AST, names: set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            if name in names:
                yield node


def filled(text: str) -> str:
    """With values about as long as they get."""
    longest_state = max(map(in_spanish, messages.STATE_WORDS.values()), key=len)
    values = {"mark": "● ", "n": "12", "state": longest_state}
    return text.format_map({name: values.get(name, "$12.00") for name in fields(text)})


def label(text: str) -> str:
    """A button's words, without its sign and price: `✅ Create · {price}` is "Create"."""
    return re.sub(r"^\W+|\W*\{\w+\}\W*", "", text)


def test_button_labels_fit_their_row() -> None:
    assert "✅ Create · {price}" in on_buttons()
    texts = (filled(in_spanish(said)) for said in on_buttons())
    none((text for text in texts if len(text) > BUTTON_CHARACTERS_MAX), "too long")


def test_alert_texts_fit_the_length_limit_and_have_no_markup() -> None:
    apart = [text for said in spoken(MARKED) for text in (*forms(said), *map(in_spanish, forms(said)))]
    none((text for text in apart if len(filled(text)) > ALERT_CHARACTERS_MAX), "too long")
    none((text for text in apart if TAG.search(text)), "with markup")


@pytest.mark.parametrize("words", [ENGLISH, SPANISH], ids=LANGUAGES)
def test_every_refusal_fits_the_length_limit_of_an_alert(words: Words) -> None:
    """A tap is refused in an alert; what is cut off there is the word on money."""
    variants = product(
        RefusalKind,
        (None, NOON + timedelta(hours=23, minutes=59)),
        (None, "month", "rejected_prompts", "canceled_drafts", "user", "waits_for_tap"),
        (None, "the provider is down"),
    )
    said = [
        messages.refusal(Refused(kind, until, of_ref="A7K2QX", reason=reason, what=what), words, NOON)
        for kind, until, what, reason in variants
    ]
    said += [messages.prompt_problem(problem, words) for problem in PromptProblem]
    none((text for text in said if len(text.striptags()) > ALERT_CHARACTERS_MAX), "too long")


def test_sentences_name_buttons_by_their_exact_labels() -> None:
    labels = {label(said): label(in_spanish(said)) for said in on_buttons()}
    named = re.compile(rf"\b[Tt]ap(?:ped)?(?: on)? ({'|'.join(sorted(filter(None, labels), key=len, reverse=True))})\b")
    mentions = [(english, spanish, each) for english, spanish in pairs() for each in named.findall(english)]
    assert {each for *_, each in mentions} >= {"Create", "Try again", "Again"}
    none((english for english, spanish, each in mentions if f"«{labels[each]}»" not in spanish), "another name")


# HTML, as Telegram reads it.


def unreadable(html: str) -> str:
    """Why Telegram would refuse this; empty if it reads it."""
    open_tags: list[str] = []
    for piece in re.split(r"(<[^<>]*>)", html):
        if not piece.startswith("<"):
            if re.search(r"[<>]|&(?!(?:lt|gt|amp|quot|#\d+);)", piece):
                return f"not escaped: {piece}"
        elif piece.startswith("</"):
            if not open_tags or open_tags.pop() != piece[2:-1]:
                return f"closes nothing: {piece}"
        elif piece in {"<b>", "<i>", "<code>", "<blockquote>", "<blockquote expandable>"}:
            open_tags.append(piece[1:-1].partition(" ")[0])
        else:
            return f"unknown: {piece}"
    return f"left open: {open_tags}" if open_tags else ""


@pytest.mark.parametrize(
    "html", ["<b>a", "a</b>", "<b><i>a</b></i>", "a < b", "a & b", "<script>a</script>", "a &nbsp; b", "<b a>c</b>"]
)
def test_html_checker_rejects_what_telegram_rejects(html: str) -> None:
    assert unreadable(html)


@pytest.mark.parametrize("words", [ENGLISH, SPANISH], ids=LANGUAGES)
@pytest.mark.parametrize("value", ["A7K2QX", "</b><a href='tg://x'>&{0}{ref} @me /create x.com"])
def test_every_sentence_is_valid_html_whatever_its_values(words: Words, value: str) -> None:
    said = []
    for sentence in spoken():
        values = {name: value for text in forms(sentence) for name in fields(text)}
        if isinstance(sentence, str):
            said.append(words(sentence, **values))
        else:
            said += [words.count(sentence[0], sentence[1], number, **values) for number in (0, 1, 2)]
    none(((str(text), why) for text in said if (why := unreadable(text))), "unreadable")


# Whose language it is, and whose words they are.


@pytest.mark.parametrize("app", ["es", "es-MX", "es-419", "ES", "es-ES"])
def test_spanish_app_language_gets_spanish_text(app: str) -> None:
    assert Words(closest(app))("Nothing was charged.") == "No se cobró nada."


@pytest.mark.parametrize("app", [None, "", "en", "en-GB", "fr", "pt-br", "et", "est", "zh-hans"])
def test_other_app_language_gets_english_text(app: str | None) -> None:
    assert Words(closest(app))("Nothing was charged.") == "Nothing was charged."


def test_language_names_are_capitalized_as_within_a_sentence() -> None:
    assert (ENGLISH("English"), SPANISH("English")) == ("English", "español")


def test_language_without_a_catalogue_falls_back_to_english() -> None:
    assert Words("fr").language == "en"
    assert Words("fr")("Nothing was charged.") == "Nothing was charged."


def test_untranslated_sentence_falls_back_to_english() -> None:
    assert SPANISH("Said by nobody, {who}.", who="you") == "Said by nobody, you."


@pytest.mark.parametrize(("number", "said"), [(0, "Te quedan 0"), (1, "Te queda 1"), (2, "Te quedan 2")])
def test_spanish_uses_the_right_plural_form(number: int, said: str) -> None:
    [left] = [each for each in written() if not isinstance(each, str) and each[0].startswith("{n} video left")]
    assert SPANISH.count(left[0], left[1], number, all=10, time="2 h").startswith(said)


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("<b>bold</b>", "&lt;b&gt;bold&lt;/|b&gt;"),
        ("&lt;", "&amp;lt;"),
        ("{ref} {}", "{ref} {}"),
        ("@name", "@|name"),
        ("/create", "/|create"),
        ("go /create@a_bot", "go /|create@|a_bot"),
        ("https://evil.example/x", "https://|evil.|example/x"),
        ("tg://resolve?domain=name", "tg://|resolve?domain=name"),
        ("t.me/name", "t.|me/name"),
        ("me@mail.example", "me@|mail.|example"),
        ("❤.ws", "❤.|ws"),
        ("foo~.com", "foo~.|com"),
        ("1.1.1.1", "1.|1.|1.1"),
        ("＠name", "＠|name"),
    ],
)
def test_user_text_cannot_become_markup_mentions_commands_or_links(text: str, harmless: str) -> None:
    assert SPANISH("{what} {money}", what=text, money=7) == f"{harmless.replace('|', WORD_JOINER)} 7"


@pytest.mark.parametrize("text", ["half / half", "9.30 h, $0.80", "either/or", "Done. And then", "at @ noon", "…"])
def test_ordinary_user_text_is_not_changed(text: str) -> None:
    assert SPANISH("{what} {todo}", what=text, todo="") == f"{text} "


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("@/.:<>&{}ab"))))
def test_escaped_user_text_loses_nothing_and_contains_no_mention_command_or_link(text: str) -> None:
    said = str(SPANISH("❌ {what}", what=text))
    assert unreadable(said) == ""
    assert unescape(said).replace(WORD_JOINER, "") == f"❌ {text}".replace(WORD_JOINER, "")
    assert re.search(r"@\w|(?<![\w/<])/\w|://\S|\w\.[a-zA-Z]{2}", unescape(said)) is None


def test_our_own_markup_is_not_escaped() -> None:
    ours = Markup("<b>/help</b> @onetake_bot")
    assert SPANISH("❌ {what}", what=ours) == f"❌ {ours}"
    assert SPANISH("❌ {what}", what=code("/create <a> @b.com")) == "❌ <code>/create &lt;a&gt; @b.com</code>"
    assert SPANISH("❌ {what}", what=SPANISH("<b>{title}</b>", title="<i>")) == "❌ <b>&lt;i&gt;</b>"


def test_button_text_is_not_escaped() -> None:
    assert SPANISH.plain("✅ Create · {price}", price="<$1> @a") == "✅ Crear · <$1> @a"


def as_po(wanted: Mapping[Sentence, list[str]], spanish: Mapping[Sentence, Sentence]) -> str:
    """Entries as a translator reads them: where each is said, without line numbers, which would change all the time."""
    new = Catalog(locale="es")
    for sentence, files in wanted.items():
        new.add(sentence, spanish.get(sentence), locations=[(file, 0) for file in files])
    for entry in new:
        entry.flags.clear()  # Babel guesses at placeholders; a per cent sign is not one
    out = BytesIO()
    write_po(out, new, width=100, omit_header=True, include_lineno=False)
    return out.getvalue().decode()


if __name__ == "__main__":
    sys.stdout.write(as_po({said: files for said, files in spoken().items() if said not in written()}, {}))
