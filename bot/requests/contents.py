"""What a message contains besides text, and which messages are Telegram's service messages. Pure."""

from aiogram.types import Message

from bot.requests.questions import answered

MEDIA = (
    *("photo", "paid_media", "live_photo", "video", "animation", "document", "sticker", "voice", "audio", "video_note"),
    "story",
)
# Telegram's service messages about a chat. Everything else was sent by a user, who gets an answer.
SERVICE = frozenset(
    [
        "new_chat_members",
        "left_chat_member",
        "chat_owner_left",
        "chat_owner_changed",
        "new_chat_title",
        "new_chat_photo",
        "delete_chat_photo",
        "group_chat_created",
        "supergroup_chat_created",
        "channel_chat_created",
        "message_auto_delete_timer_changed",
        "migrate_to_chat_id",
        "migrate_from_chat_id",
        "pinned_message",
        "successful_payment",
        "refunded_payment",
        "users_shared",
        "user_shared",
        "chat_shared",
        "connected_website",
        "write_access_allowed",
        "proximity_alert_triggered",
        "boost_added",
        "chat_background_set",
        "checklist_tasks_done",
        "checklist_tasks_added",
        "direct_message_price_changed",
        "forum_topic_created",
        "forum_topic_edited",
        "forum_topic_closed",
        "forum_topic_reopened",
        "general_forum_topic_hidden",
        "general_forum_topic_unhidden",
        "giveaway_created",
        "giveaway_completed",
        "managed_bot_created",
        "paid_message_price_changed",
        "poll_option_added",
        "poll_option_deleted",
        "suggested_post_approved",
        "suggested_post_approval_failed",
        "suggested_post_declined",
        "suggested_post_paid",
        "suggested_post_refunded",
        "video_chat_scheduled",
        "video_chat_started",
        "video_chat_ended",
        "video_chat_participants_invited",
        "web_app_data",
        "community_chat_added",
        "community_chat_removed",
        "community_chat_joined",
    ]
)


def has_media(message: Message) -> bool:
    return any(getattr(message, kind, None) for kind in MEDIA)


def leaves_something_out(message: Message, bot_id: int) -> bool:
    """Whether there is more to the message than its text: media, a link or preview, or something replied to or quoted.

    A reply to our question does not count, nor does the automatic reply of a topic's message to the topic's start.
    """
    preview, about = message.link_preview_options, message.reply_to_message
    if message.text is None or any(entity.type == "text_link" for entity in message.entities or ()):
        return True
    if message.quote or message.external_reply or message.reply_to_story or (preview is not None and preview.url):
        return True
    return about is not None and about.content_type not in SERVICE and answered(message, bot_id) is None
