"""Finds the words by which a provider withholds a clip for its content, anywhere in the job. Pure."""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from net.error_text import says_something, storable, without_links
from providers.openai_videos.job_links import clip_urls, is_picture
from providers.refusals.content import refuses_key, speaks_of_content
from providers.refusals.words import ECHOES, last_word, plain

LEVELS_MAX = 5
RESULTS = (
    *("data", "output", "outputs", "result", "results", "videos", "generations", "content", "items"),
    *("url", "video", "video_url", "task_result", "response"),
)
# By the last word of its name.
SAYS = {
    *("reason", "reasons", "error", "errors", "failure", "message", "messages", "msg", "warning", "warnings", "code"),
    *("note", "notes", "notice", "detail", "details", "description", "explanation", "cause", "info", "type", "refusal"),
    *("blocked", "filtered", "flagged"),
}
LOGS = {"log", "logs"}
# What was done to the clip. A label may be that of a clip that is there, and "filter_nsfw" is a setting.
ACT = re.compile(r"^(?:\w+ ){0,3}(?:blocked|filtered|censored|withheld|refused|rejected)(?: count)?$")
LABEL = re.compile(
    r"^(?:\w+ ){0,2}(?:flagged|moderated|unsafe)$|^(?:is |has |contains )?nsfw(?: (?:content|concepts?|detected))*$"
)
FILTER = re.compile(r"\b(?:moderation|safety|content filter|nsfw|content policy|guardrails?)\b")
FILTERED = re.compile(r"^(?:blocked?|fail(?:ed|ure)?|reject(?:ed)?|refused|flagged|filtered|violat\w+|unsafe|denied)$")
WHY_FILTERED = re.compile(r"\b(?:filter\w*|block\w*|moderation|censor\w*|flag\w*) reasons?\b")
DETECTED = re.compile(
    r"\b(?:detected|found|flagged|blocked|filtered|rejected|refused|withheld|removed|censored|violat)"
)
NOTHING_FOUND = re.compile(
    r"\b(?:no|without|zero|0) (?:\S+ ){0,2}?(?:nsfw|violations?|issues?|sensitive|unsafe|harmful|explicit|prohibited)\b"
    r"|\b(?:passed|approved|cleared|skipped|disabled)\b|\bnot (?:been )?(?:flagged|blocked|filtered|detected|violat)"
)
CLAUSE_ENDS = re.compile(r"[.;!\n\u3002\uff1b\uff01]+")


def words_withheld(row: Mapping[str, Any], *, completed: bool, labels: bool = False) -> str | None:
    """The provider's words on why it withholds the clip; None without any, or if a `completed` job leads to a clip.

    `labels`: whether a mere label of the content counts, too. Of a completed job it does if a result is shown and no
    clip is in it.
    """
    if completed and not all(map(is_picture, clip_urls(dict(row)))):
        return None
    labels = labels or (completed and (bool(row.get("error")) or any(name in row for name in RESULTS)))
    prompt = shown if isinstance(shown := row.get("prompt"), str) else ""
    said = (words for names, value in _leaves(row) for words in _said(names, value, prompt, labels=labels))
    words = storable(without_links("; ".join(dict.fromkeys(said))))
    return words if speaks_of_content(words, prompt) else None


def _leaves(row: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], object]]:
    """Each value with the path of names to it, in plain words, without fields that repeat the order."""
    left: deque[tuple[tuple[str, ...], object, int]] = deque([((), row, 0)])
    while left:
        names, value, level = left.popleft()
        if not isinstance(value, dict | list):
            yield names, value
        elif level < LEVELS_MAX:
            inner = value.items() if isinstance(value, dict) else [("", each) for each in value]
            below = (((*names, plain(name)) if name else names, each) for name, each in inner)
            left += ((path, each, level + 1) for path, each in below if not path or last_word(path[-1]) not in ECHOES)


def _said(names: tuple[str, ...], value: object, prompt: str, *, labels: bool) -> Iterator[str]:
    name = names[-1] if names else ""
    if not isinstance(value, str) or value.lower() == "true":
        is_so = value is True or value == "true" or (name.endswith(" count") and isinstance(value, int) and value > 0)
        if is_so and (ACT.search(name) or (labels and LABEL.search(name))):
            yield f"content {name}: {value}"
    elif WHY_FILTERED.search(name) and says_something(value):
        yield f"{name}: {value}"
    elif FILTER.search(" ".join(names)) and FILTERED.search(plain(value)):
        yield f"{' '.join(names)}: {value}"
    elif last_word(name) in {*SAYS, *LOGS, *RESULTS} and not refuses_key(plain(value)):
        in_log = last_word(name) in LOGS
        clauses = [each.strip() for each in CLAUSE_ENDS.split(value)]
        yield from (each for each in clauses if _refuses(each, prompt) and (not in_log or DETECTED.search(plain(each))))


def _refuses(clause: str, prompt: str) -> bool:
    return speaks_of_content(clause, prompt) and not NOTHING_FOUND.search(plain(clause))
