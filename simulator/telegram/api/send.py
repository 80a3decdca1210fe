"""New messages: sendMessage, sendVideo, sendChatAction.

In       a call
Out      the message as the Bot API shows it
Raises   Refused with Telegram's own error message
Effects  adds the message to its chat; stores an upload under its file_id
"""

import re
from functools import partial

from simulator.telegram.api.arguments import Upload
from simulator.telegram.api.calls import Ask, caption_of, markup_of, preview_of, replied_of, text_of, writable_chat
from simulator.telegram.api.refusals import bad_request
from simulator.telegram.chats import Chat, Message, Shown, Video

ACTIONS = frozenset(
    {
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "find_location",
        "record_video_note",
        "upload_video_note",
        "cancel",
    }
)

_VIDEO_TYPE = re.compile(r"video/[\w.+-]+", re.ASCII)


async def send_message(ask: Ask) -> Shown:
    """Send a text."""
    chat = writable_chat(ask)
    formatted = text_of(ask)
    message = _outgoing(ask, chat)
    message.text, message.entities = formatted.text, formatted.entities
    message.preview = preview_of(ask)
    return ask.telegram.post(message).as_json()


async def send_video(ask: Ask) -> Shown:
    """Send a video, uploaded or by file_id, with a caption."""
    chat = writable_chat(ask)
    caption = caption_of(ask)
    message = _outgoing(ask, chat)
    message.text, message.entities = caption.text, caption.entities
    message.supports_streaming = ask.args.flag("supports_streaming")
    message.video = _video(ask)
    return ask.telegram.post(message).as_json()


async def send_chat_action(ask: Ask) -> bool:
    """`typing` and the like: shown for a moment, not stored."""
    chat = writable_chat(ask)
    action = ask.args.text("action").lower()
    if action not in ACTIONS:
        raise bad_request("wrong parameter action in request")
    ask.telegram.listeners.tell("action", {"chat_id": chat.id, "action": action})
    return True


def _outgoing(ask: Ask, chat: Chat) -> Message:
    replied, markup = replied_of(ask, chat), markup_of(ask)
    message = ask.telegram.say(chat, ask.bot.user)
    message.reply_to, message.markup = replied, markup
    return message


def _video(ask: Ask) -> Video:
    sent = ask.args.upload("video")
    if isinstance(sent, Upload):
        if not sent.content:
            raise bad_request("file must be non-empty")
        return ask.bot.shelve(partial(_stored, ask, sent))
    if not sent:
        raise bad_request("there is no video in the request")
    known = ask.bot.videos.get(sent)
    if known is None:
        raise bad_request("wrong file identifier/HTTP URL specified")
    return known


def _stored(ask: Ask, sent: Upload, file_id: str, unique_id: str, path: str) -> Video:
    kind = sent.content_type.partition(";")[0].strip().lower()
    return Video(
        file_id=file_id,
        unique_id=unique_id,
        path=path,
        content=sent.content,
        name=sent.name or "video.mp4",
        mime_type=kind if _VIDEO_TYPE.fullmatch(kind) else "video/mp4",
        width=max(ask.args.integer("width"), 0),
        height=max(ask.args.integer("height"), 0),
        duration=max(ask.args.integer("duration"), 0),
    )
