"""People and groups: identities, which group messages reach the bot, button presses and edits."""

from typing import Any

import pytest
from aiogram.exceptions import TelegramBadRequest

from simulator.telegram.state import QUERY_SECONDS
from tests.simulator.telegram.harness import TelegramHarness, keyboard


async def test_same_name_returns_the_same_person(harness: TelegramHarness) -> None:
    told = await harness.control("POST", "people", name="Ana", language_code="es")
    assert told == {"id": 1001, "name": "Ana", "language_code": "es", "chat_id": 1001, "blocked": False}
    assert await harness.person("Ana", language_code="pt") == 1001
    assert await harness.person("Zoe", id=7) == 7
    assert await harness.person("Ben") == 1002
    people = (await harness.control("GET", "people"))["people"]
    assert [(each["name"], each["language_code"]) for each in people] == [("Ana", "pt"), ("Zoe", "en"), ("Ben", "en")]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("people", {}),
        ("people", {"name": "x" * 65}),
        ("people", {"name": "Ben", "id": -5}),
        ("people", {"name": "Ben", "id": 1001}),
        ("groups", {"title": "x", "members": [5]}),
        ("groups", {"title": "x", "members": "all"}),
        ("groups", {"members": []}),
        ("messages", {"chat_id": 5, "from": 5, "text": "x"}),
        ("messages", {"chat_id": 1001, "from": 5, "text": "x"}),
        ("messages", {"chat_id": 1001, "from": 1001, "text": " "}),
        ("messages", {"chat_id": 1001, "from": 1001, "text": "x" * 4097}),
        ("messages", {"chat_id": 1001, "from": 1001, "text": "x", "reply_to": 9}),
        ("messages", {"chat_id": 1001, "from": 1001, "text": "x", "bot": 9}),
        ("edits", {"chat_id": 1001, "message_id": 9, "text": "x"}),
        ("edits", {"chat_id": 1001, "message_id": 2, "text": "x"}),
        ("taps", {"chat_id": 1001, "from": 1001, "message_id": 9, "data": "x"}),
        ("redeliver", {"update_id": 9}),
        ("block", {"user": 9}),
    ],
)
async def test_invalid_control_calls_return_400_with_a_message(
    harness: TelegramHarness, path: str, body: dict[str, Any]
) -> None:
    await harness.friend()
    await harness.call("sendMessage", chat_id=1001, text="hello")
    status, answer = await harness.try_control("POST", path, **body)
    assert status == 400
    assert answer["error"]["message"]


async def test_private_message_update_has_sender_chat_and_entities(harness: TelegramHarness) -> None:
    ana = await harness.person("Ana", language_code="es")
    await harness.says(ana, "  /create un zorro #rojo\n")
    [update] = await harness.poll()
    message = update["message"]
    assert message["from"] == {"id": ana, "is_bot": False, "first_name": "Ana", "language_code": "es"}
    assert message["chat"] == {"id": ana, "type": "private", "first_name": "Ana"}
    assert message["text"] == "/create un zorro #rojo"
    assert [each["type"] for each in message["entities"]] == ["bot_command", "hashtag"]


async def test_bot_gets_only_group_messages_addressed_to_it(harness: TelegramHarness) -> None:
    ana, ben = await harness.person("Ana"), await harness.person("Ben")
    group = (await harness.control("POST", "groups", title="Both", members=[ana, ben]))["chat_id"]
    assert group < -1_000_000_000_000
    _, sent = await harness.call("sendMessage", chat_id=group, text="here I am")
    own = sent["result"]["message_id"]
    others = (await harness.says(group, "hello all", by=ben))["message_id"]
    heard = {
        "/create a fox": True,
        "/create@onetake_bot a fox": True,
        "/create@OneTake_Bot a fox": True,
        "/create@other_bot a fox": False,
        "what is /create": False,
        "hey @onetake_bot!": True,
        "hey @onetake_bots": False,
        "nothing": False,
    }
    for text, is_heard in heard.items():
        assert ((await harness.says(group, text, by=ana))["update_id"] is not None) is is_heard, text
    assert (await harness.says(group, "yes", by=ben, reply_to=own))["update_id"] is not None
    assert (await harness.says(group, "yes", by=ben, reply_to=others))["update_id"] is None
    last = (await harness.poll())[-1]["message"]
    assert last["chat"] == {"id": group, "type": "supergroup", "title": "Both"}
    assert last["reply_to_message"]["message_id"] == own


async def test_reply_to_message_is_nested_only_one_level(harness: TelegramHarness) -> None:
    ana = await harness.person()
    first = (await harness.says(ana, "one"))["message_id"]
    second = (await harness.says(ana, "two", reply_to=first))["message_id"]
    await harness.says(ana, "three", reply_to=second)
    replied = (await harness.poll())[-1]["message"]["reply_to_message"]
    assert replied["text"] == "two"
    assert "reply_to_message" not in replied


async def test_button_press_carries_the_edited_message_and_can_be_answered_once(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    _, sent = await harness.call("sendMessage", chat_id=ana, text="old", reply_markup=keyboard("Make it", "Stop"))
    number = sent["result"]["message_id"]
    await harness.call("editMessageText", chat_id=ana, message_id=number, text="new", reply_markup=keyboard("Make it"))
    first = await harness.taps(ana, number, button="Make")
    second = await harness.taps(ana, number, data="Make it")
    assert second["update_id"] == first["update_id"] + 1
    query = (await harness.poll())[-1]["callback_query"]
    assert (query["message"]["text"], query["data"], query["from"]["id"]) == ("new", "Make it", ana)
    assert query["id"] == second["callback_query_id"]
    assert await harness.bot.answer_callback_query(query["id"], text="Well then", show_alert=True)
    with pytest.raises(TelegramBadRequest, match="query is too old and response timeout expired or query ID is inval"):
        await harness.bot.answer_callback_query(query["id"])
    [answer] = (await harness.control("GET", "answers"))["answers"]
    assert (answer["callback_query_id"], answer["from"], answer["text"]) == (query["id"], ana, "Well then")
    assert answer["show_alert"] is True


async def test_late_unknown_or_too_long_callback_answers_are_rejected(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    _, sent = await harness.call("sendMessage", chat_id=ana, text="x", reply_markup=keyboard("Go"))
    tapped = await harness.taps(ana, sent["result"]["message_id"], button="Go")
    query_id = tapped["callback_query_id"]
    assert await harness.refused("answerCallbackQuery", callback_query_id=query_id, text="x" * 201) == (
        "Bad Request: MESSAGE_TOO_LONG"
    )
    harness.telegram.bots[0].queries[query_id].at -= QUERY_SECONDS + 1
    words = "Bad Request: query is too old and response timeout expired or query ID is invalid"
    assert await harness.refused("answerCallbackQuery", callback_query_id=query_id) == words
    assert await harness.refused("answerCallbackQuery", callback_query_id="9") == words


async def test_pressing_a_missing_button_lists_the_existing_ones_unless_forced(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    markup = {
        "inline_keyboard": [
            [{"text": "Make it", "callback_data": "m"}, {"text": "Make two", "callback_data": "mm"}],
            [{"text": "Copy", "copy_text": {"text": "AB12CD"}}, {"text": "Site", "url": "https://x.org"}],
        ]
    }
    _, sent = await harness.call("sendMessage", chat_id=ana, text="x", reply_markup=markup)
    tap: dict[str, Any] = {"chat_id": ana, "from": ana, "message_id": sent["result"]["message_id"]}
    for missing in ({"data": "gone"}, {"button": "Make"}, {"button": "Gone"}, {}):
        status, answer = await harness.try_control("POST", "taps", **tap, **missing)
        assert status == 400
        assert all(label in answer["error"]["message"] for label in ("Make it", "Make two", "Copy", "Site"))
    assert await harness.control("POST", "taps", **tap, button="Copy") == {"copied": "AB12CD"}
    assert await harness.control("POST", "taps", **tap, button="Site") == {"url": "https://x.org"}
    await harness.call("deleteMessage", chat_id=ana, message_id=tap["message_id"])
    assert (await harness.try_control("POST", "taps", **tap, data="m"))[0] == 400
    await harness.control("POST", "taps", **tap, data="gone", force=True)
    query = (await harness.poll())[-1]["callback_query"]
    assert (query["data"], query["message"]["date"]) == ("gone", 0)


async def test_user_edit_arrives_as_an_edited_message_update(harness: TelegramHarness) -> None:
    ana = await harness.person()
    said = await harness.says(ana, "a fxo")
    edited = await harness.control("POST", "edits", chat_id=ana, message_id=said["message_id"], text="a fox")
    last = (await harness.poll())[-1]
    assert last["update_id"] == edited["update_id"]
    assert (last["edited_message"]["text"], "edit_date" in last["edited_message"]) == ("a fox", True)
    [view] = await harness.views(ana)
    assert (view["text"], view["edits"]) == ("a fox", 1)


async def test_chat_list_shows_each_chats_last_message(harness: TelegramHarness) -> None:
    ana, ben = await harness.friend("Ana"), await harness.person("Ben")
    group = (await harness.control("POST", "groups", title="Both", members=[ana, ben]))["chat_id"]
    _, sent = await harness.call("sendMessage", chat_id=ana, text="to be deleted")
    await harness.call("deleteMessage", chat_id=ana, message_id=sent["result"]["message_id"])
    chats = {each["chat_id"]: each for each in (await harness.control("GET", "chats"))["chats"]}
    assert (chats[ana]["name"], chats[ana]["last_message"]["text"]) == ("Ana", "/start")
    assert (chats[ben]["type"], chats[ben]["last_message"]) == ("private", None)
    assert chats[group]["title"] == "Both"
    assert chats[group]["members"] == [{"id": ana, "name": "Ana"}, {"id": ben, "name": "Ben"}]
    assert (await harness.try_control("GET", "chats/5"))[0] == 400


async def test_call_journal_records_every_bot_call_without_the_token(harness: TelegramHarness) -> None:
    ana = await harness.friend()
    await harness.poll()
    await harness.call("sendMessage", chat_id=ana, text="<b>one</b>", parse_mode="HTML")
    told = await harness.control("GET", "calls")
    assert [call["method"] for call in told["calls"]] == ["getUpdates", "sendMessage"]
    sent = told["calls"][1]
    assert (sent["n"], sent["chat_id"], sent["message_id"], sent["text"], sent["ok"]) == (1, ana, 2, "one", True)
    await harness.refused("sendMessage", chat_id=5, text="two")
    later = await harness.control("GET", f"calls?since={told['next']}")
    assert [(call["text"], call["ok"], call["error_code"]) for call in later["calls"]] == [("two", False, 400)]
    assert later["next"] == 3
    assert "stage" not in str(told)
