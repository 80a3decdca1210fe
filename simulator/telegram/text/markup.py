"""Telegram's HTML: only its tags, closed and nested, and only its named references. Pure.

In       text with markup
Out      plain text and entities
Raises   Refused with Telegram's own error message and the byte offset of the error
"""

import re
from dataclasses import dataclass, field, replace

from simulator.telegram.api.refusals import Refused, bad_request
from simulator.telegram.text.entities import Entity, units

KINDS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "blockquote": "blockquote",
    "code": "code",
    "pre": "pre",
    "a": "text_link",
    "tg-emoji": "",
    "tg-time": "",
}
"""Tag to entity; the last two are let through and leave only their text."""

_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_REFERENCE = re.compile(r"&(?:#x([0-9a-fA-F]+)|#([0-9]+)|([a-zA-Z]+));?")
_REFERENCE_LENGTH_MAX = 9
_TAG_NAME = re.compile(r"[^\s>]*")
_SPACE = re.compile(r"\s*")
_ATTRIBUTE_NAME = re.compile(r"[^\s=>/\"']*")
_TOKEN = re.compile(r"[A-Za-z0-9.-]*")
_LINK = re.compile(r"(?:(?:https?|ftp|ton)://[^\s/]+|tg://\w|mailto:\S|tel:\S)", re.IGNORECASE)
_BARE_LINK = re.compile(r"[\w-]+(?:\.[\w-]+)+(?:[:/?#]|$)")


@dataclass(slots=True)
class _Open:
    tag: str
    argument: str
    offset: int
    written: int


@dataclass(slots=True)
class _Parse:
    text: str
    at: int = 0
    written: list[str] = field(default_factory=list)
    offset: int = 0
    open: list[_Open] = field(default_factory=list)
    entities: list[Entity] = field(default_factory=list)

    def wrong(self, words: str, place: int, rest: str = "") -> Refused:
        """The error and its position, counted in bytes as Telegram does here."""
        offset = len(self.text[:place].encode())
        return bad_request(f"can't parse entities: {words} at byte offset {offset}{rest}")

    def write(self, plain: str) -> None:
        self.written.append(plain)
        self.offset += units(plain)


def parse_html(text: str) -> tuple[str, list[Entity]]:
    """Parse the markup."""
    parse = _Parse(text)
    while parse.at < len(text):
        sign = text[parse.at]
        if sign == "&":
            parse.at, plain = _reference(text, parse.at)
            parse.write(plain)
        elif sign == "<" and text.startswith("</", parse.at):
            _end_tag(parse)
        elif sign == "<":
            _start_tag(parse)
        else:
            _plain(parse)
    if parse.open:
        tag = parse.open[-1].tag
        raise bad_request(f"can't parse entities: Can't find end tag corresponding to start tag \"{tag}\"")
    # Only a `pre` block has a language: on a `code` tag alone it means nothing.
    return "".join(parse.written), [replace(e, language="") if e.kind == "code" else e for e in parse.entities]


def _plain(parse: _Parse) -> None:
    ends = [end for sign in "<&" if (end := parse.text.find(sign, parse.at)) != -1]
    end = min(ends, default=len(parse.text))
    parse.write(parse.text[parse.at : end])
    parse.at = end


def _reference(text: str, at: int) -> tuple[int, str]:
    """Where the reference ends and what it stands for; an unknown one is plain text."""
    match = _REFERENCE.match(text, at)
    if match is None:
        return at + 1, "&"
    hexadecimal, decimal, name = match.groups()
    if name is not None:
        return (match.end(), _NAMED[name]) if name in _NAMED else (at + 1, "&")
    code = int(hexadecimal, 16) if hexadecimal else int(decimal[:12])
    length = len(match.group().rstrip(";"))
    if not 0 < code < 0x10FFFF or length > _REFERENCE_LENGTH_MAX:
        return at + 1, "&"
    if 0xD800 <= code <= 0xDFFF:
        words = "Text contains invalid Unicode characters after decoding HTML entities"
        raise bad_request(f"can't parse entities: {words}, check for unmatched surrogate code units")
    return match.end(), chr(code)


def _start_tag(parse: _Parse) -> None:
    begin = parse.at
    tag = _token(parse, _TAG_NAME, begin + 1).lower()
    if parse.at >= len(parse.text):
        raise parse.wrong("Unclosed start tag", begin)
    if tag not in KINDS:
        raise parse.wrong(f'Unsupported start tag "{tag}"', begin)
    argument = ""
    while True:
        _token(parse, _SPACE, parse.at)
        if parse.text.startswith(">", parse.at):
            break
        argument = _attribute(parse, tag, begin) or argument
    parse.at += 1
    if tag == "span" and argument != "spoiler":
        raise parse.wrong('Tag "span" must have class "tg-spoiler"', begin)
    parse.open.append(_Open(tag, argument, parse.offset, len(parse.written)))


def _attribute(parse: _Parse, tag: str, begin: int) -> str:
    """Parse one attribute; returns the value that matters for this tag, or an empty string."""
    name = _token(parse, _ATTRIBUTE_NAME, parse.at)
    if not name:
        raise parse.wrong(f'Empty attribute name in the tag "{tag}"', begin)
    _token(parse, _SPACE, parse.at)
    value = ""
    if parse.text.startswith("=", parse.at):
        _token(parse, _SPACE, parse.at + 1)
        value = _value(parse)
    if parse.at >= len(parse.text):
        raise parse.wrong("Unclosed start tag", begin)
    match tag, name:
        case ("a", "href"):
            return value
        case ("code", "class") if value.startswith("language-"):
            return value.removeprefix("language-")
        case ("span", "class") if value.startswith("tg-"):
            return value.removeprefix("tg-")
        case ("blockquote", "expandable"):
            return "expandable"
        case _:
            return ""


def _value(parse: _Parse) -> str:
    quote = parse.text[parse.at : parse.at + 1]
    if quote not in {'"', "'"}:
        begin = parse.at
        value = _token(parse, _TOKEN, begin).lower()
        following = parse.text[parse.at : parse.at + 1]
        if following and not following.isspace() and following != ">":
            raise parse.wrong("Unexpected end of name token", begin)
        return value
    end = parse.text.find(quote, parse.at + 1)
    raw = parse.text[parse.at + 1 : end if end != -1 else None]
    parse.at = end + 1 if end != -1 else len(parse.text)
    read, at = "", 0
    while at < len(raw):
        at, plain = _reference(raw, at) if raw[at] == "&" else (at + 1, raw[at])
        read += plain
    return read


def _end_tag(parse: _Parse) -> None:
    begin = parse.at
    if not parse.open:
        raise parse.wrong("Unexpected end tag", begin)
    name = _token(parse, _TAG_NAME, begin + 2).lower()
    _token(parse, _SPACE, parse.at)
    if not parse.text.startswith(">", parse.at):
        raise parse.wrong("Unclosed end tag", begin)
    parse.at += 1
    opened = parse.open.pop()
    if name and name != opened.tag:
        raise parse.wrong("Unmatched end tag", begin, f', expected "</{opened.tag}>", found "</{name}>"')
    if parse.offset > opened.offset:
        _close(parse, opened)


def _close(parse: _Parse, opened: _Open) -> None:
    kind, length = KINDS[opened.tag], parse.offset - opened.offset
    last = parse.entities[-1] if parse.entities else None
    same = last is not None and (last.offset, last.length) == (opened.offset, length)
    if kind == "text_link":
        url = checked_link(opened.argument or "".join(parse.written[opened.written :]))
        if url:
            parse.entities.append(Entity(kind, opened.offset, length, url))
    elif last is not None and same and {kind, last.kind} == {"code", "pre"}:
        # A block with a language: `code` stands directly inside `pre`.
        parse.entities[-1] = Entity("pre", opened.offset, length, language=opened.argument or last.language)
    elif kind == "blockquote" and opened.argument:
        parse.entities.append(Entity("expandable_blockquote", opened.offset, length))
    elif kind:
        language = opened.argument if kind == "code" else ""
        parse.entities.append(Entity(kind, opened.offset, length, language=language))


def checked_link(url: str) -> str:
    """The URL if it may be opened, else an empty string."""
    url = url.strip()
    if _LINK.match(url):
        return url
    return f"http://{url}" if _BARE_LINK.match(url) else ""


def _token(parse: _Parse, pattern: re.Pattern[str], place: int) -> str:
    match = pattern.match(parse.text, place)
    assert match is not None
    parse.at = match.end()
    return match.group()
