"""Messages as the chat page shows them, with HTML made safe by escaping.

In       messages
Out      JSON for the page; nothing that a bot or a person wrote gets through as markup
"""

import re
from html import escape
from itertools import pairwise
from typing import Any

from simulator.telegram.chats import Chat, Message, User
from simulator.telegram.text.entities import Entity, piece, units

_TAGS = {
    "bold": ("<b>", "</b>"),
    "italic": ("<i>", "</i>"),
    "underline": ("<u>", "</u>"),
    "strikethrough": ("<s>", "</s>"),
    "spoiler": ('<span class="tg-spoiler">', "</span>"),
    "code": ("<code>", "</code>"),
    "blockquote": ("<blockquote>", "</blockquote>"),
    "expandable_blockquote": ('<blockquote class="expandable">', "</blockquote>"),
    "mention": ('<span class="mention">', "</span>"),
    "hashtag": ('<span class="hashtag">', "</span>"),
    "cashtag": ('<span class="cashtag">', "</span>"),
}
_SAFE_ADDRESS = re.compile(r"(?:https?|ftp|tg|ton|mailto|tel):", re.IGNORECASE)
_LANGUAGE = re.compile(r"[\w+#.-]{1,40}")


def html_of(text: str, entities: tuple[Entity, ...]) -> str:
    """The text with its formatting. Overlapping entities are closed and reopened."""
    edges = sorted({0, units(text), *(each.offset for each in entities), *(each.end for each in entities)})
    written: list[str] = []
    opened: list[tuple[Entity, str]] = []
    for start, end in pairwise(edges):
        here = [each for each in entities if each.offset <= start and each.end >= end]
        keep = 0
        while keep < min(len(opened), len(here)) and opened[keep][0] is here[keep]:
            keep += 1
        written += [closing for _, closing in reversed(opened[keep:])]
        del opened[keep:]
        for each in here[keep:]:
            opening, closing = _tags(each, text)
            written.append(opening)
            opened.append((each, closing))
        written.append(escape(piece(text, start, end)))
    written += [closing for _, closing in reversed(opened)]
    return "".join(written)


def view(message: Message) -> dict[str, Any]:
    """One message for the page."""
    shown: dict[str, Any] = {
        "message_id": message.id,
        "from": {"id": message.author.id, "name": message.author.name, "is_bot": message.author.is_bot},
        "date": message.date,
        "edit_date": message.edit_date,
        "edits": message.edits,
        "caption" if message.video else "text": message.text,
        "html": html_of(message.text, message.entities),
        "entities": [each.as_json() for each in message.entities],
        "keyboard": [[button.as_view() for button in row] for row in message.markup.keyboard],
    }
    if message.video is not None:
        shown["video"] = _video(message)
    if message.reply_to is not None:
        shown["reply_to"] = message.reply_to.id
    if message.shows_preview():
        shown["link_preview"] = True
    if message.markup.force_reply:
        shown["force_reply"] = {"input_field_placeholder": message.markup.placeholder or None}
    if message.reactions:
        shown["reactions"] = list(message.reactions)
    if message.deleted:
        shown["deleted"] = True
    return shown


def chat_view(chat: Chat, people: dict[int, User]) -> dict[str, Any]:
    """One chat for the page."""
    members = [{"id": people[each].id, "name": people[each].name} for each in chat.members]
    shown = {"chat_id": chat.id, "id": chat.id, "members": members}
    if chat.is_group:
        return shown | {"type": "supergroup", "title": chat.title}
    return shown | {"type": "private", "name": chat.title}


def _video(message: Message) -> dict[str, Any]:
    video = message.video
    assert video is not None
    return {
        "url": f"/_sim/telegram/files/{video.file_id}",
        "width": video.width,
        "height": video.height,
        "duration": video.duration,
        "file_id": video.file_id,
        "file_size": len(video.content),
        "supports_streaming": message.supports_streaming,
    }


def _tags(entity: Entity, text: str) -> tuple[str, str]:
    covered = piece(text, entity.offset, entity.end)
    match entity.kind:
        case "bot_command":
            return f'<span data-command="{escape(covered)}">', "</span>"
        case "text_link":
            return _link(entity.url)
        case "url":
            return _link(covered if "://" in covered else f"http://{covered}")
        case "email":
            return _link(f"mailto:{covered}")
        case "pre" if _LANGUAGE.fullmatch(entity.language):
            return f'<pre><code class="language-{escape(entity.language)}">', "</code></pre>"
        case "pre":
            return "<pre>", "</pre>"
        case _:
            return _TAGS[entity.kind]


def _link(address: str) -> tuple[str, str]:
    if not _SAFE_ADDRESS.match(address):
        return "", ""
    return f'<a href="{escape(address)}">', "</a>"
