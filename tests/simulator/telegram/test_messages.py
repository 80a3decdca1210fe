"""Messages of bots: sent, edited, refused in Telegram's words; videos uploaded once and sent again."""

import json
from typing import Any

import aiohttp
import pytest
from aiogram.exceptions import TelegramBadRequest, TelegramEntityTooLarge, TelegramForbiddenError
from aiogram.types import (
    BufferedInputFile,
    CopyTextButton,
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    ReplyParameters,
)

from simulator.telegram.api.methods import METHODS
from tests.simulator.telegram.harness import TOKEN, TelegramHarness, keyboard, open_bot_harness

UNCHANGED = (
    "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as "
    "a current content and reply markup of the message"
)


async def test_sent_message_keeps_text_entities_buttons_and_reply(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    buttons = [
        InlineKeyboardButton(text="Make it", callback_data="make"),
        InlineKeyboardButton(text="Site", url="https://example.com/a"),
        InlineKeyboardButton(text="Copy", copy_text=CopyTextButton(text="AB12CD")),
    ]
    sent = await harness.bot.send_message(
        ana,
        "<b>Ready</b>: 🦊 &lt;fox&gt; https://example.com/a",
        parse_mode="HTML",
        reply_markup=InlineKeyboardMarkup(inline_keyboard=[buttons]),
        reply_parameters=ReplyParameters(message_id=1),
        link_preview_options=LinkPreviewOptions(is_disabled=True),
    )
    assert sent.text == "Ready: 🦊 <fox> https://example.com/a"
    assert [(each.type, each.offset, each.length) for each in sent.entities or []] == [("bold", 0, 5), ("url", 16, 21)]
    assert sent.reply_to_message is not None
    assert sent.reply_to_message.text == "/start"
    assert sent.reply_markup is not None
    assert [each.model_dump() for each in sent.reply_markup.inline_keyboard[0]] == [
        each.model_dump() for each in buttons
    ]
    view = (await harness.views(ana))[-1]
    assert view["keyboard"] == [
        [
            {"text": "Make it", "data": "make"},
            {"text": "Site", "url": "https://example.com/a"},
            {"text": "Copy", "copy_text": "AB12CD"},
        ]
    ]
    assert (view["reply_to"], "link_preview" in view) == (1, False)
    assert view["from"] == {"id": 42, "name": "onetake", "is_bot": True}


async def test_message_with_a_link_gets_a_link_preview(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    await harness.bot.send_message(ana, "see example.com")
    await harness.bot.send_message(ana, "see nothing")
    assert ["link_preview" in view for view in await harness.views(ana)] == [False, True, False]


async def test_force_reply_is_kept_with_its_placeholder(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    await harness.bot.send_message(ana, "What?", reply_markup=ForceReply(input_field_placeholder="a fox"))
    assert (await harness.views(ana))[-1]["force_reply"] == {"input_field_placeholder": "a fox"}


async def test_text_edit_without_markup_removes_the_keyboard(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    _, sent = await harness.call("sendMessage", chat_id=ana, text="one", reply_markup=keyboard("Stop"))
    number = sent["result"]["message_id"]
    edited = await harness.bot.edit_message_text("two", chat_id=ana, message_id=number)
    assert not isinstance(edited, bool)
    assert (edited.text, edited.reply_markup) == ("two", None)
    assert edited.edit_date is not None
    view = (await harness.views(ana))[-1]
    assert (view["text"], view["keyboard"], view["edits"]) == ("two", [], 1)


async def test_unchanged_edit_is_rejected_as_not_modified(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    text, buttons = "<b>same</b>", keyboard("Go")
    _, sent = await harness.call("sendMessage", chat_id=ana, text=text, parse_mode="HTML", reply_markup=buttons)
    there = {"chat_id": ana, "message_id": sent["result"]["message_id"]}
    again: dict[str, Any] = {"text": " <strong>same</strong>\n", "parse_mode": "HTML", "reply_markup": buttons}
    assert await harness.refused("editMessageText", **there, **again) == UNCHANGED
    assert await harness.refused("editMessageReplyMarkup", **there, reply_markup=buttons) == UNCHANGED
    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await harness.bot.edit_message_text(
            "same",
            **there,
            entities=[{"type": "bold", "offset": 0, "length": 4}],  # type: ignore[list-item]  # aiogram validates a dict
            reply_markup=InlineKeyboardMarkup.model_validate_json(buttons),
        )
    assert (await harness.call("editMessageReplyMarkup", **there))[0] == 200
    assert await harness.refused("editMessageReplyMarkup", **there) == UNCHANGED


async def test_invalid_edits_and_deletes_return_telegrams_errors(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    group = (await harness.control("POST", "groups", title="Both", members=[ana]))["chat_id"]
    await harness.says(group, "hello", by=ana)
    _, sent = await harness.call("sendMessage", chat_id=ana, text="words")
    number = sent["result"]["message_id"]
    edit = {"chat_id": ana, "text": "x"}
    assert await harness.refused("editMessageText", **edit, message_id=99) == "Bad Request: message to edit not found"
    assert await harness.refused("editMessageText", **edit, message_id=1) == "Bad Request: message can't be edited"
    words = "Bad Request: there is no caption in the message to edit"
    assert await harness.refused("editMessageCaption", chat_id=ana, message_id=number, caption="x") == words
    assert await harness.refused("editMessageText", **edit) == "Bad Request: message identifier is not specified"
    assert (
        await harness.refused("deleteMessage", chat_id=group, message_id=1) == "Bad Request: message can't be deleted"
    )
    assert (await harness.call("deleteMessage", chat_id=ana, message_id=number))[1]["result"] is True
    words = "Bad Request: message to delete not found"
    assert await harness.refused("deleteMessage", chat_id=ana, message_id=number) == words
    assert (await harness.views(ana))[-1]["deleted"] is True


async def test_reply_to_a_missing_message_fails_unless_sending_without_reply_is_allowed(
    harness: TelegramHarness,
) -> None:
    ana = await harness.friend()
    reply = {"message_id": 99}
    words = "Bad Request: message to be replied not found"
    assert await harness.refused("sendMessage", chat_id=ana, text="x", reply_parameters=reply) == words
    lenient = reply | {"allow_sending_without_reply": True}
    _, sent = await harness.call("sendMessage", chat_id=ana, text="x", reply_parameters=json.dumps(lenient))
    assert "reply_to_message" not in sent["result"]


async def test_sending_to_unstarted_unknown_and_blocking_chats_fails(harness: TelegramHarness) -> None:
    ben = await harness.person("Ben")
    ana = await harness.friend()
    with pytest.raises(TelegramForbiddenError, match="bot can't initiate conversation with a user"):
        await harness.bot.send_message(ben, "hello")
    assert await harness.refused("sendMessage", chat_id=5, text="x") == "Bad Request: chat not found"
    assert await harness.refused("sendMessage", text="x") == "Bad Request: chat_id is empty"
    await harness.control("POST", "block", user=ana, blocked=True)
    with pytest.raises(TelegramForbiddenError, match="Forbidden: bot was blocked by the user"):
        await harness.bot.send_message(ana, "hello")
    assert (await harness.control("GET", "people"))["people"][1]["blocked"] is True
    await harness.says(ana, "come back")
    assert (await harness.bot.send_message(ana, "hello")).text == "hello"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"text": ""}, "message text is empty"),
        ({"text": " \n "}, "text must be non-empty"),
        ({"text": "x" * 4097}, "message is too long"),
        ({"text": "🦊" * 2049}, "message is too long"),
        ({"text": "x", "parse_mode": "Markdown"}, "unsupported parse_mode"),
        ({"text": "x", "reply_markup": "{"}, "can't parse reply keyboard markup JSON object"),
        ({"text": "x", "reply_markup": "[]"}, "object expected as reply markup"),
        ({"text": "x", "reply_markup": keyboard("x" * 65)}, "BUTTON_DATA_INVALID"),
        ({"text": "x", "reply_markup": keyboard("ñ" * 33)}, "BUTTON_DATA_INVALID"),
        ({"text": "x", "reply_markup": keyboard(*"x" * 101)}, "reply markup is too long"),
        (
            {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "x", "copy_text": {"text": "y" * 257}}]]}},
            "BUTTON_COPY_TEXT_INVALID",
        ),
        (
            {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "x"}]]}},
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
        ),
        (
            {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "x", "url": "javascript:alert(1)"}]]}},
            "inline keyboard button URL 'javascript:alert(1)' is invalid: Wrong HTTP URL",
        ),
    ],
)
async def test_invalid_messages_are_rejected_with_telegrams_error(
    harness: TelegramHarness, params: dict[str, Any], words: str
) -> None:
    ana = await harness.friend()
    assert await harness.refused("sendMessage", chat_id=ana, **params) == f"Bad Request: {words}"
    assert len(await harness.views(ana)) == 1


async def test_message_length_limit_counts_text_without_markup(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    sent = await harness.bot.send_message(ana, f"<b>{'x' * 4096}</b>", parse_mode="HTML")
    assert len(sent.text or "") == 4096


async def test_uploaded_video_can_be_resent_by_file_id_and_downloaded(harness: TelegramHarness) -> None:
    ana, ben = await harness.friend("Ana"), await harness.friend("Ben")
    film = bytes(range(256)) * 800
    sent = await harness.bot.send_video(
        ana,
        BufferedInputFile(film, "fox.mp4"),
        caption="<i>A fox</i> #fox",
        parse_mode="HTML",
        width=720,
        height=1280,
        duration=8,
        supports_streaming=True,
        thumbnail=BufferedInputFile(b"jpeg", "thumb.jpg"),
        reply_parameters=ReplyParameters(message_id=1),
    )
    video = sent.video
    assert video is not None
    assert (video.width, video.height, video.duration, video.file_size) == (720, 1280, 8, len(film))
    assert (video.mime_type, sent.caption) == ("video/mp4", "A fox #fox")
    assert [each.type for each in sent.caption_entities or []] == ["italic", "hashtag"]
    again = await harness.bot.send_video(ben, video.file_id)
    assert again.video == video
    told = await harness.bot.get_file(video.file_id)
    assert told.file_path is not None
    fetched = await harness.bot.download_file(told.file_path)
    assert fetched is not None
    assert fetched.read() == film
    view = (await harness.views(ana))[-1]
    assert (view["caption"], view["video"]["supports_streaming"], view["video"]["file_size"]) == (
        "A fox #fox",
        True,
        len(film),
    )
    edited = await harness.bot.edit_message_caption(chat_id=ana, message_id=sent.message_id, caption="Another fox")
    assert not isinstance(edited, bool)
    assert (edited.caption, edited.video) == ("Another fox", video)
    words = "Bad Request: there is no text in the message to edit"
    assert await harness.refused("editMessageText", chat_id=ana, message_id=sent.message_id, text="x") == words


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "there is no video in the request"),
        ({"video": "BAACnonsense"}, "wrong file identifier/HTTP URL specified"),
        ({"video": "attach://nowhere"}, "wrong file identifier/HTTP URL specified"),
        ({"video": "x", "caption": "x" * 1025}, "message caption is too long"),
    ],
)
async def test_invalid_videos_are_rejected_with_telegrams_error(
    harness: TelegramHarness, params: dict[str, Any], words: str
) -> None:
    ana = await harness.friend()
    assert await harness.refused("sendVideo", chat_id=ana, **params) == f"Bad Request: {words}"
    assert len(await harness.views(ana)) == 1


async def test_oversized_upload_is_rejected_with_413_and_recorded() -> None:
    async with open_bot_harness(telegram_upload_bytes_max=1_000_000) as harness:
        ana = await harness.friend()
        with pytest.raises(TelegramEntityTooLarge):
            await harness.bot.send_video(ana, BufferedInputFile(bytes(3_000_000), "long.mp4"))
        assert len(await harness.views(ana)) == 1
        [call] = (await harness.control("GET", "calls"))["calls"]
        assert (call["method"], call["ok"], call["error_code"]) == ("sendVideo", False, 413)
        assert (await harness.bot.send_video(ana, BufferedInputFile(bytes(900_000), "short.mp4"))).video is not None


async def test_unknown_file_id_and_file_path_are_rejected(harness: TelegramHarness) -> None:
    words = "Bad Request: wrong file_id or the file is temporarily unavailable"
    assert await harness.refused("getFile", file_id="x") == words
    assert await harness.refused("getFile") == "Bad Request: file_id not specified"
    async with harness.http.get(f"{harness.root}/file/bot{TOKEN}/videos/none.mp4") as answer:
        assert (answer.status, (await answer.json())["ok"]) == (404, False)


async def test_reactions_chat_actions_commands_and_profile_methods_work(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    reaction = [{"type": "emoji", "emoji": "👍"}]
    assert (await harness.call("setMessageReaction", chat_id=ana, message_id=1, reaction=reaction))[0] == 200
    assert (await harness.views(ana))[0]["reactions"] == ["👍"]
    assert await harness.bot.send_chat_action(ana, "upload_video")
    words = "Bad Request: wrong parameter action in request"
    assert await harness.refused("sendChatAction", chat_id=ana, action="dance") == words
    commands = [{"command": "create", "description": "a video"}]
    assert (await harness.call("setMyCommands", commands=commands, language_code="es"))[0] == 200
    assert (await harness.call("getMyCommands", language_code="es"))[1]["result"] == commands
    assert await harness.bot.get_my_commands() == []
    words = "Bad Request: BOT_COMMAND_INVALID"
    assert await harness.refused("setMyCommands", commands=[{"command": "No!", "description": "x"}]) == words
    assert await harness.bot.set_my_description("sells videos")
    assert await harness.bot.set_my_short_description("videos")
    me, chat = await harness.bot.get_me(), await harness.bot.get_chat(ana)
    assert (me.id, me.username, me.first_name) == (42, "onetake_bot", "onetake")
    assert (chat.type, chat.first_name) == ("private", "Ana")


async def test_methods_accept_any_letter_case_and_any_parameter_encoding(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    root = f"{harness.root}/bot{TOKEN}"
    params = {"chat_id": str(ana), "text": "añil"}
    form = aiohttp.FormData(params, default_to_multipart=True)
    sendings: list[dict[str, Any]] = [{"params": params}, {"data": params}, {"data": form}, {"json": params}]
    for sending in sendings:
        async with harness.http.post(f"{root}/SENDmessage", **sending) as answer:
            assert (await answer.json())["result"]["text"] == "añil"
    async with harness.http.get(f"{root}/getme") as answer:
        assert (await answer.json())["result"]["id"] == 42
    assert (await harness.call("sendPoll"))[0] == 404


ODD: list[Any] = ["", " ", "x", "\ud800", "9" * 5000, -1, 1e400, True, None, [], [[]], {}, {"a": {}}, "[1", "[" * 9999]
PARAMS = [
    *(
        "chat_id",
        "message_id",
        "text",
        "caption",
        "video",
        "reply_markup",
        "reply_parameters",
        "entities",
        "parse_mode",
    ),
    *(
        "offset",
        "limit",
        "timeout",
        "allowed_updates",
        "commands",
        "scope",
        "reaction",
        "link_preview_options",
        "width",
    ),
    *("callback_query_id", "file_id", "action", "url"),
]


@pytest.mark.parametrize("method", sorted(METHODS))
async def test_odd_parameters_never_cause_a_server_error(harness: TelegramHarness, method: str) -> None:
    ana = await harness.friend()
    _, sent = await harness.call("sendMessage", chat_id=ana, text="words")
    fine = {"chat_id": ana, "message_id": sent["result"]["message_id"], "text": "x", "caption": "x"}
    for name in PARAMS:
        for value in ODD:
            # Raw JSON, in which 1e400 reads as infinity and lone surrogates can be written.
            raw = json.dumps(fine | {name: value})
            headers = {"Content-Type": "application/json"}
            async with harness.http.post(f"{harness.root}/bot{TOKEN}/{method}", data=raw, headers=headers) as answer:
                body = await answer.json()
            assert body["ok"] or 400 <= answer.status < 500, (name, value, body)
            assert body.get("error_code", 200) == answer.status
    assert (await harness.try_control("GET", f"chats/{ana}"))[0] == 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/json", b"\xff"),
        ("multipart/form-data", b"nothing"),
        ("multipart/form-data; boundary=x", b"--y\r\n\r\n"),
    ],
)
async def test_unreadable_bot_api_body_is_rejected_with_400(harness: TelegramHarness, kind: str, body: bytes) -> None:
    url = f"{harness.root}/bot{TOKEN}/sendMessage"
    async with harness.http.post(url, data=body, headers={"Content-Type": kind}) as answer:
        told = await answer.json()
    assert (answer.status, told["ok"]) == (400, False)
