"""Albums: Telegram sends one message per picture, and the bot answers once per album.

In       messages, in the order in which they arrive
Out      whether a message is a further picture, without a caption, of an album that was already answered
"""

from aiogram.types import Message

ALBUMS_KEPT = 1000


class Albums:
    """Known to this process only: after a restart, an album may be answered twice."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str], int] = {}  # by chat and album: the message that was answered

    def is_one_more(self, message: Message) -> bool:
        if message.media_group_id is None:
            return False
        album = (message.chat.id, message.media_group_id)
        first = self._seen.setdefault(album, message.message_id)
        if len(self._seen) > ALBUMS_KEPT:
            del self._seen[next(iter(self._seen))]
        return first != message.message_id and not message.caption
