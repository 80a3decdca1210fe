"""Our questions for another prompt: which run each is about, and which are open.

An answer is a reply to the question, which names the run; in private, also the next message after it. Open questions
are known to this process only: after a restart, that next message is treated as any other text.
"""

import re
from dataclasses import dataclass

from aiogram.types import Message

QUESTION_SIGN = "✏️"  # every question for a prompt begins with it, followed by the run's ref
ASKED_ABOUT = re.compile(rf"{QUESTION_SIGN} ([A-Z2-7]{{6}}):")
OPEN_MAX = 10_000


@dataclass
class _Open:
    """`answered_by`: the message that came next. If its update is retried, it is the same answer."""

    ref: str
    answered_by: int | None = None


class Questions:
    def __init__(self) -> None:
        self._open: dict[tuple[int, int], _Open] = {}

    def ask(self, chat_id: int, user_id: int, ref: str) -> None:
        """Notes that we asked for another prompt for this run, in private."""
        self._open.pop((chat_id, user_id), None)
        self._open[chat_id, user_id] = _Open(ref)
        if len(self._open) > OPEN_MAX:
            del self._open[next(iter(self._open))]

    def hear(self, message: Message) -> str | None:
        """The ref of the run whose question came right before this message. Must be called for every message."""
        key = (message.chat.id, message.from_user.id if message.from_user else 0)
        question = self._open.get(key)
        if question is None or not (message.text or message.caption):  # a picture alone is no answer
            return None
        question.answered_by = question.answered_by or message.message_id
        if question.answered_by == message.message_id:
            return question.ref
        del self._open[key]
        return None


@dataclass(frozen=True)
class Answered:
    """The question that a message answers. `ref`: the run it is about; None if an earlier version asked."""

    ref: str | None


def answered(message: Message, bot_id: int, after: str | None = None) -> Answered | None:
    """The question that the message replies to, or that came right before it: `after` is then the ref of its run."""
    asked = message.reply_to_message
    if asked is None and after:
        return Answered(after)
    if asked is None or asked.from_user is None or asked.from_user.id != bot_id:
        return None
    text = asked.text or ""
    if not text.startswith(QUESTION_SIGN):
        return None
    found = ASKED_ABOUT.match(text)
    return Answered(found.group(1) if found else None)
