"""Reads a text request, whatever its template calls its sections. Pure.

In       chat messages
Out      the user's text (found by its fence), the language to answer in, and the words objected to
"""

import re
from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]

_FENCE = re.compile(r"<<<user_text\b[ \t]*\n?(.*?)\n?[ \t]*user_text>>>", re.DOTALL)
_MENTION = re.compile(r"[\s.…,`'\"]*(?:and|y|to|a|or|o)?[\s.…,`'\"]*", re.IGNORECASE)
"""What stands between the two marks when a template only talks about them."""

_LANGUAGE_NAME = r"(es|en|spanish|english|español|espanol|castellano|inglés|ingles)\b"
_MARKER = re.compile(r"\b(?:language|lang|idioma)\b[\s:=\"'`*]*(?:is|es:)?[\s\"'`*]*" + _LANGUAGE_NAME, re.IGNORECASE)
_ORDERED = re.compile(
    r"\b(?:answer|reply|respond|write|written|responde|contesta|escribe)\b[^.\n]{0,40}\b(?:in|en)\s+[\"'`*]*"
    + _LANGUAGE_NAME,
    re.IGNORECASE,
)
_SPANISH = re.compile(
    r"[ñ¿¡áéíóú]|\b(?:el|la|los|las|un|una|unos|con|sobre|por|para|del|al|que|y|en|de|bajo|entre|junto)\b",
    re.IGNORECASE,
)
_ENGLISH = re.compile(
    r"\b(?:the|a|an|of|with|and|in|on|over|under|at|by|from|to|is|are|its|his|her|through|near)\b",
    re.IGNORECASE,
)
_NOT_USED = re.compile(r"\bwords are not used: ([^\n\[\]]+)")


def texts(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Role and plain text of each message; content parts are joined."""
    return [(str(message.get("role", "user")), _text(message.get("content"))) for message in messages]


def user_text(messages: Sequence[Message]) -> str:
    """The text in the fence of the last message that has one, else the last user message."""
    read = texts(messages)
    users_last = sorted(range(len(read)), key=lambda place: (read[place][0] == "user", place), reverse=True)
    for place in users_last:
        fenced = [found for found in _FENCE.findall(read[place][1]) if not _MENTION.fullmatch(found)]
        if fenced:
            return "\n".join(fenced).strip()
    return next((text for role, text in reversed(read) if role == "user"), "").strip()


def language(messages: Sequence[Message]) -> str:
    """`es` or `en`: as the template says outside the fence, else as guessed from the user's text."""
    read = [(role, _FENCE.sub(" ", text)) for role, text in texts(messages)]
    # A user section describes this request; a system section may only list the possible languages.
    for wanted in (True, False):
        for role, text in reversed(read):
            if (role == "user") is wanted and (named := _named(text)) is not None:
                return named
    return detected(user_text(messages))


def unwanted(messages: Sequence[Message]) -> tuple[str, ...]:
    """Words that the last message says an answer contained and must not."""
    found = _NOT_USED.search(texts(messages)[-1][1])
    return tuple(word.strip() for word in found[1].split(",")) if found else ()


def detected(text: str) -> str:
    """Guess the language from common short words and accents."""
    return "es" if len(_SPANISH.findall(text)) > len(_ENGLISH.findall(text)) else "en"


def _named(text: str) -> str | None:
    found = _MARKER.findall(text) or _ORDERED.findall(text)
    if not found:
        return None
    return "en" if found[-1].lower().startswith(("en", "in")) else "es"


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
