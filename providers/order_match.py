"""Compares what the provider shows of a job with one of our orders. Pure.

A field that is missing, or shown only by a name, counts as unknown, not as different. `pipeline.purchase` decides
what follows from a difference.
"""

import html
import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from providers.apis import marks_of
from providers.job import Job
from providers.orders import Order

PLAIN = re.compile(r"[A-Za-z0-9\s.,:;!?()/-]*")  # characters that servers leave alone
STRANGE_WORDS = 2  # this many words, none of them ordered, are another prompt
SWAPPED_WORDS = 3
SECONDS_ROUNDED = 2
SIDE_ROUNDED = 0.15  # SGLang makes 704x1280 of 720x1280
CENSORS = {"redacted", "hidden", "removed", "censored", "moderated", "filtered", "withheld", "blocked"}
WORDS_TO_TELL = 3  # a shorter prompt may be what a censor left


class Shown(StrEnum):
    """What a list may show of a request. Not its time: time is a hint (rule 7)."""

    PROMPT = "prompt"
    SECONDS = "seconds"
    SIZE = "size"
    MODEL = "model"
    INPUT = "input"  # what else was asked for
    MARKER = "marker"


def differs(job: Job, order: Order) -> frozenset[Shown]:
    """The fields in which the job differs from the order. A size such as `720p` proves nothing."""
    found = set()
    if job.prompt is not None and not same_words(job.prompt, order.prompt):
        found.add(Shown.PROMPT)
    if job.seconds is not None and job.seconds != order.seconds:
        found.add(Shown.SECONDS)
    if job.size is not None and size_of(job.size) not in {None, size_of(order.size)}:
        found.add(Shown.SIZE)
    if job.model is not None and not same_model(job.model, order.model):
        found.add(Shown.MODEL)
    if job.request is not None and _other_input(job.request, order.params):
        found.add(Shown.INPUT)
    if job.marker is not None and not shows_marker_of(job, order) and job.marker != str(order.params.get("seed")):
        found.add(Shown.MARKER)
    return frozenset(found)


def _other_input(shown: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether an echoed request lacks something that was asked for, or shows it otherwise."""
    return any(name not in shown or not _same_value(shown[name], value) for name, value in asked.items())


def _same_value(shown: object, asked: object) -> bool:
    """`8` and `"8"` are one value, and so are two objects whose members come in another order."""
    return shown == asked or str(shown) == str(asked)


def shows_marker_of(job: Job, order: Order) -> bool:
    """Whether it shows what only this order's request had. A seed that all orders of a model have is none."""
    return job.marker is not None and job.marker in marks_of(order)


def far_from(job: Job, order: Order) -> frozenset[Shown]:
    """The fields that differ by more than rounding: self-hosted models round lengths and sides."""
    parts = set(differs(job, order))
    if job.seconds is not None and abs(job.seconds - order.seconds) <= SECONDS_ROUNDED:
        parts.discard(Shown.SECONDS)
    shown, ordered = size_of(job.size or ""), size_of(order.size)
    if shown and ordered and all(abs(one - two) <= SIDE_ROUNDED * two for one, two in zip(shown, ordered, strict=True)):
        parts.discard(Shown.SIZE)
    if job.prompt is not None and not other_words(job.prompt, order.prompt):  # perhaps only rewritten
        parts.discard(Shown.PROMPT)
    return frozenset(parts)


def shows(job: Job) -> frozenset[Shown]:
    shown = {
        Shown.PROMPT: job.prompt is not None,
        Shown.SECONDS: job.seconds is not None,
        Shown.SIZE: job.size is not None and size_of(job.size) is not None,
        Shown.MODEL: job.model is not None,
        Shown.INPUT: job.request is not None,
        Shown.MARKER: job.marker is not None,
    }
    return frozenset(name for name, is_shown in shown.items() if is_shown)


def is_order_of(job: Job, order: Order) -> bool:
    """It shows our marker or our prompt, and no other field contradicts it: the only grounds for adopting (rule 4)."""
    return (job.prompt is not None or shows_marker_of(job, order)) and not differs(job, order)


def is_marked(job: Job, order: Order) -> bool:
    """It shows what only this order's request had, and nothing contradicts it."""
    return shows_marker_of(job, order) and not differs(job, order)


def could_be(job: Job, order: Order, faithful: frozenset[Shown]) -> bool:
    """Whether the job could be this order's. Only fields that the list shows faithfully can rule it out.

    The prompt never does: gateways cut, translate and censor some prompts and leave others alone. If the prompt could
    be ours, no other field rules the job out either; nor if it shows our own marker.
    """
    if shows_marker_of(job, order):
        return True
    if Shown.MARKER in faithful and Shown.MARKER in differs(job, order):
        return False
    if job.prompt is not None and not unlike(job.prompt, order.prompt):
        return True
    return not (far_from(job, order) - {Shown.PROMPT}) & faithful


def shows_unlike_words(job: Job, order: Order) -> bool:
    return job.prompt is not None and unlike(job.prompt, order.prompt)


def shows_words_of(job: Job, order: Order) -> bool:
    return job.prompt is not None and same_words(job.prompt, order.prompt)


def same_request(one: Order, other: Order) -> bool:
    """The whole request is equal: such runs, and their jobs, are interchangeable among themselves."""
    same = (one.model, one.seconds, size_of(one.size)) == (other.model, other.seconds, size_of(other.size))
    return same and one.params == other.params and same_words(one.prompt, other.prompt)


def same_words(one: str, other: str) -> bool:
    """Line breaks and Unicode composition do not make another prompt: forms and servers change both."""
    return normal_words(one) == normal_words(other)


def normal_words(text: str) -> str:
    """Composed (NFC), with single spaces; `onetake.prompt_of_another` compares the same form."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def other_words(shown: str, ordered: str) -> bool:
    """Whether the shown prompt differs by more than a cut at a word's end, a censored word, or an addition.

    Prompts that are not plain ASCII are also escaped, stripped and normalized; half of their ASCII words must match.
    """
    plain, words = _plain(ordered), _lower_words(shown)
    if min(len(plain), len(words)) < WORDS_TO_TELL or words & CENSORS:
        return False
    if PLAIN.fullmatch(ordered) and PLAIN.fullmatch(shown):
        return not (plain <= words or words <= plain)
    return unlike(shown, ordered)


def unlike(shown: str, ordered: str) -> bool:
    """Whether the shown prompt has less than half of the ordered one's ASCII words, or the other way round.

    Servers cut prompts inside a word, escape them and replace words. One with too few words to compare could be ours.
    """
    plain, words = _plain(ordered), _lower_words(shown)
    fewer = min(len(plain), len(words))
    return fewer >= WORDS_TO_TELL and not words & CENSORS and 2 * len(plain & words) < fewer


def swapped_words(shown: str, ordered: str) -> bool:
    """Whether the shown prompt replaces words of the ordered one.

    A prompt that is cut, censored or extended either lacks words or adds some, not both. Counting replaced words, and
    not shared ones, works for prompts that share a style section. Non-ASCII words are ignored: servers garble them.
    """
    one, other = _plain(ordered), _plain(shown)
    if one and not one & other and len(other) >= STRANGE_WORDS and not other & CENSORS:
        return True
    return min(len(one - other), len(other - one)) >= SWAPPED_WORDS


def adds_words(shown: str, ordered: str) -> bool:
    """Whether the shown prompt has ASCII words that were not ordered, so it is not merely cut or censored."""
    return bool(_plain(shown) - _plain(ordered) - CENSORS)


def _plain(text: str) -> set[str]:
    return {word for word in _lower_words(text) if word.isascii()}


def _lower_words(text: str) -> set[str]:
    return set(re.findall(r"\w+", html.unescape(html.unescape(text)).casefold()))


def size_of(text: str) -> tuple[int, int] | None:
    """Width and height; None for a name such as 720p or 9:16, which has no exact size."""
    match = re.fullmatch(r"\s*(\d{1,5})\s*[xX*×]\s*(\d{1,5})\s*", text)
    return (int(match[1]), int(match[2])) if match and int(match[1]) and int(match[2]) else None


def same_model(shown: str, asked: str) -> bool:
    """Gateways show a model with or without its vendor or a date: such an alias is unknown, not different."""
    one, other = shown.lower(), asked.lower()
    return one.startswith(other) or one.endswith(other) or other.startswith(one) or other.endswith(one)
