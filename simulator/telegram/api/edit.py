"""Messages that change: editMessageText, -Caption, -ReplyMarkup, deleteMessage, setMessageReaction.

In       a call
Out      the message as it is now, or true
Raises   Refused with Telegram's own error message; also for an edit that changes nothing
Effects  the message is changed in place. Without a reply_markup it loses its buttons, as at Telegram
"""

from simulator.telegram.api.calls import Ask, caption_of, markup_of, message_of, preview_of, text_of, writable_chat
from simulator.telegram.api.refusals import bad_request
from simulator.telegram.chats import Message, Shown

_UNCHANGED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)


async def edit_text(ask: Ask) -> Shown:
    """Replace the text."""
    message = _own_message(ask)
    if message.video is not None:
        raise bad_request("there is no text in the message to edit")
    formatted, markup, preview = text_of(ask), markup_of(ask, inline_only=True), preview_of(ask)
    before = _looks(message)
    message.text, message.entities = formatted.text, formatted.entities
    message.markup, message.preview = markup, preview
    return _edited(ask, message, before)


async def edit_caption(ask: Ask) -> Shown:
    """Replace a video's caption."""
    message = _own_message(ask)
    if message.video is None:
        raise bad_request("there is no caption in the message to edit")
    caption, markup = caption_of(ask), markup_of(ask, inline_only=True)
    before = _looks(message)
    message.text, message.entities, message.markup = caption.text, caption.entities, markup
    return _edited(ask, message, before)


async def edit_markup(ask: Ask) -> Shown:
    """Replace the buttons."""
    message = _own_message(ask)
    markup = markup_of(ask, inline_only=True)
    before = _looks(message)
    message.markup = markup
    return _edited(ask, message, before)


async def delete(ask: Ask) -> bool:
    """Delete a message: any in a private chat, only the bot's own in a group."""
    chat = writable_chat(ask)
    message = message_of(ask, chat, "message to delete")
    if chat.is_group and message.author.id != ask.bot.id:
        raise bad_request("message can't be deleted")
    message.deleted = True
    ask.telegram.show(message)
    return True


async def react(ask: Ask) -> bool:
    """React to a message with an emoji."""
    message = message_of(ask, writable_chat(ask), "message to react")
    told = ask.args.structure("reaction", "reaction types") or []
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        raise bad_request("expected an Array of ReactionType")
    if len(told) > 1:
        raise bad_request("REACTIONS_TOO_MANY")
    message.reactions = tuple(str(each.get("emoji") or "") for each in told if each.get("emoji"))
    ask.telegram.show(message)
    return True


def _own_message(ask: Ask) -> Message:
    message = message_of(ask, writable_chat(ask), "message to edit")
    if message.author.id != ask.bot.id:
        raise bad_request("message can't be edited")
    return message


def _looks(message: Message) -> tuple[object, ...]:
    return (message.text, message.entities, message.markup, message.shows_preview())


def _edited(ask: Ask, message: Message, before: tuple[object, ...]) -> Shown:
    if _looks(message) == before:
        raise bad_request(_UNCHANGED)
    message.touch()
    ask.telegram.show(message)
    return message.as_json()
