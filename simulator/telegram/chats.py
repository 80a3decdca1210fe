"""People, chats and messages, and how the Bot API shows them.

In       plain values
Out      users, chats that hold their messages by id, messages as JSON
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulator.telegram.api.keyboards import Markup
from simulator.telegram.text.entities import Entity

Shown = dict[str, Any]


@dataclass(frozen=True, slots=True)
class User:
    """A person or a bot."""

    id: int
    name: str
    is_bot: bool = False
    username: str = ""
    language_code: str = ""

    def as_json(self) -> Shown:
        """As the Bot API shows it."""
        shown: Shown = {"id": self.id, "is_bot": self.is_bot, "first_name": self.name}
        if self.username:
            shown["username"] = self.username
        if self.language_code:
            shown["language_code"] = self.language_code
        return shown


@dataclass(frozen=True, slots=True, eq=False)
class Video:
    """A stored video; can be sent any number of times."""

    file_id: str
    unique_id: str
    path: str
    content: bytes
    name: str
    mime_type: str
    width: int
    height: int
    duration: int

    def as_json(self) -> Shown:
        """As the Bot API shows it."""
        return {
            "file_id": self.file_id,
            "file_unique_id": self.unique_id,
            "width": self.width,
            "height": self.height,
            "duration": self.duration,
            "file_name": self.name,
            "mime_type": self.mime_type,
            "file_size": len(self.content),
        }


@dataclass(slots=True, eq=False)
class Message:
    """A message in its current state."""

    chat: "Chat"
    id: int
    author: User
    date: int
    text: str = ""
    entities: tuple[Entity, ...] = ()
    video: Video | None = None
    supports_streaming: bool = False
    markup: Markup = field(default_factory=Markup)
    reply_to: "Message | None" = None
    preview: Mapping[str, Any] = field(default_factory=dict)
    edit_date: int | None = None
    edits: int = 0
    deleted: bool = False
    reactions: tuple[str, ...] = ()

    def shows_preview(self) -> bool:
        """Whether the message shows a link preview."""
        linked = any(each.kind in {"url", "text_link"} for each in self.entities)
        return linked and self.video is None and not self.preview.get("is_disabled")

    def touch(self) -> None:
        """Record the time of an edit."""
        self.edit_date = int(time.time())
        self.edits += 1

    def as_json(self, *, with_reply: bool = True) -> Shown:
        """As the Bot API shows it, with the replied message one level deep."""
        shown: Shown = {
            "message_id": self.id,
            "from": self.author.as_json(),
            "chat": self.chat.as_json(),
            "date": self.date,
        }
        if self.edit_date is not None:
            shown["edit_date"] = self.edit_date
        if with_reply and self.reply_to is not None and not self.reply_to.deleted:
            shown["reply_to_message"] = self.reply_to.as_json(with_reply=False)
        shown |= self._content()
        if self.markup.keyboard:
            rows = [[button.as_json() for button in row] for row in self.markup.keyboard]
            shown["reply_markup"] = {"inline_keyboard": rows}
        return shown

    def _content(self) -> Shown:
        entities = [each.as_json() for each in self.entities]
        if self.video is not None:
            shown: Shown = {"video": self.video.as_json()}
            if self.text:
                shown["caption"] = self.text
            return shown | ({"caption_entities": entities} if entities else {})
        shown = {"text": self.text} | ({"entities": entities} if entities else {})
        return shown | ({"link_preview_options": dict(self.preview)} if self.preview else {})


@dataclass(slots=True, eq=False)
class Chat:
    """A private chat (its id is the person's) or a group."""

    id: int
    title: str
    members: tuple[int, ...]
    messages: dict[int, Message] = field(default_factory=dict)
    last_id: int = 0

    @property
    def is_group(self) -> bool:
        """Whether several people write here."""
        return self.id < 0

    def as_json(self) -> Shown:
        """As the Bot API shows it."""
        if self.is_group:
            return {"id": self.id, "type": "supergroup", "title": self.title}
        return {"id": self.id, "type": "private", "first_name": self.title}

    def message(self, message_id: int) -> Message | None:
        """A message by id, unless deleted."""
        message = self.messages.get(message_id)
        return None if message is None or message.deleted else message

    def newest(self) -> Message | None:
        """The last message that is not deleted."""
        return next((each for each in reversed(self.messages.values()) if not each.deleted), None)

    def take(self, message: Message) -> None:
        """Store a message made with the next id."""
        self.last_id = message.id
        self.messages[message.id] = message
