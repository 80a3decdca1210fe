"""The voice that all templates share: one edit of `prompts/brand.md` rebrands what the bot writes.

In       `brand.md`: name, tone, banned words and required hashtags in the front matter; notes per language as sections
Out      Brand: values for templates (`{{ brand.tone }}`), and the two rules that code enforces: no banned word is
         sent, no required hashtag is missing
Raises   TemplateError
Effects  reads the file
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from steps.text_model.front_matter import TemplateError, decoded, parts, sections, table

BRAND_ID = "brand"
BRAND_FILE = "brand.md"
FRONT_NAMES = {"name", "tone", "banned_words", "required_hashtags"}
REQUIRED_HASHTAGS_MAX = 4  # of the eight that a caption may have
HASHTAG = re.compile(r"#\w{1,40}")


class Notes(dict[str, str]):
    """Notes per language. A missing one raises an error about the notes, not Jinja's about an undefined name."""

    def __missing__(self, language: str) -> str:
        raise TemplateError(f"{BRAND_FILE}: has no notes for {language}; add a section ## {language}")


@dataclass(frozen=True)
class Brand:
    """`notes`: further rules, by language code. `sha256`: of the file's bytes, identifies the version."""

    sha256: str
    name: str
    tone: str
    banned_words: tuple[str, ...] = ()
    required_hashtags: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    text: bytes = field(default=b"", repr=False)


NO_BRAND = Brand("", "", "")


def load_brand(path: Path) -> Brand:
    """The brand of a folder; NO_BRAND where there is no such file."""
    try:
        return read_brand(path.read_bytes())
    except FileNotFoundError:
        return NO_BRAND
    except OSError as error:
        raise TemplateError(f"{path.name}: cannot be read ({error})") from error


def read_brand(raw: bytes) -> Brand:
    front_text, body = parts(BRAND_FILE, decoded(BRAND_FILE, raw))
    front = table(BRAND_FILE, front_text, FRONT_NAMES)
    for name in ("name", "tone"):
        if not isinstance(front.get(name), str) or not front[name].strip():
            raise TemplateError(f"{BRAND_FILE}: {name} is missing; it must be one line of text")
    words, tags = (_words(front, name) for name in ("banned_words", "required_hashtags"))
    if wrong := [tag for tag in tags if not HASHTAG.fullmatch(tag)]:
        raise TemplateError(f"{BRAND_FILE}: {', '.join(wrong)} is no hashtag; letters, digits, _ and a # before")
    if len(tags) > REQUIRED_HASHTAGS_MAX:
        raise TemplateError(f"{BRAND_FILE}: at most {REQUIRED_HASHTAGS_MAX} required hashtags; a caption has eight")
    notes = Notes({name: text.strip() for name, text in sections(BRAND_FILE, body).items()})
    return Brand(hashlib.sha256(raw).hexdigest(), front["name"].strip(), front["tone"].strip(), words, tags, notes, raw)


def banned_in(text: str, banned_words: Iterable[str]) -> tuple[str, ...]:
    """The banned words in a text: whole words, ignoring case and accents."""
    plain = _plain(text)
    return tuple(word for word in banned_words if re.search(rf"(?<!\w){re.escape(_plain(word))}(?!\w)", plain))


def _words(front: Mapping[str, object], name: str) -> tuple[str, ...]:
    words = front.get(name) or []
    if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
        raise TemplateError(
            f"{BRAND_FILE}: {name} must be a list of words; quote hashtags, as # starts a comment in YAML"
        )
    return tuple(word.strip() for word in words)


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))
