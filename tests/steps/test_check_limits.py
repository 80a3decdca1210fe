"""The one `reserve` and its arguments, and prompts that are refused before it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.translations import tame
from steps.check_limits import (
    PROMPT_CHARACTERS_MAX,
    Admitted,
    PromptProblem,
    RefusalKind,
    Refused,
    Request,
    check_limits,
    check_prompt,
    prompt_hash,
    read_reservation,
    request_hash,
)

RUN = UUID(int=7)
REQUEST = Request(
    key="cli:1",
    call_id=UUID(int=1),
    user_id="cli:ana",
    prompt="un barco",
    language="es",
    audience={"kind": "terminal"},
    model="sim-1",
    seconds=8,
    size="720x1280",
    asked_seconds=None,
    asked_size=None,
    create_body="multipart",
    price_microusd=800_000,
    bills_failed=False,
    base_url="http://127.0.0.1:1/v1",
    key_fingerprint="f",
)


@pytest.mark.parametrize(
    "prompt", ["", "   ", "\n\t", "\u200b", "\u200b \u2060\ufeff", "\ufe0f \u200d", "\u3164", "\U000e0067\U000e007f"]
)
def test_prompt_of_only_invisible_characters_is_empty(prompt: str) -> None:
    assert check_prompt(prompt) is PromptProblem.EMPTY


@pytest.mark.parametrize("prompt", ["a\0b", "a\x1b[31mred", "bell\x07", "half \ud83d", "\x85x\x9b"])
def test_control_characters_are_refused(prompt: str) -> None:
    assert check_prompt(prompt) is PromptProblem.CONTROL_CHARACTERS


@pytest.mark.parametrize("prompt", ["🛶", "👩‍🚀 en la luna", "{{ 7*7 }}", "<<<user_text", "one\ntwo\tthree\r\n", "بحر"])
def test_unusual_prompts_are_accepted_and_only_trimmed(prompt: str) -> None:
    assert check_prompt(prompt) == prompt.strip()


def test_prompt_one_character_over_the_limit_is_too_long() -> None:
    assert check_prompt("a" * PROMPT_CHARACTERS_MAX) == "a" * PROMPT_CHARACTERS_MAX
    assert check_prompt("a" * (PROMPT_CHARACTERS_MAX + 1)) is PromptProblem.TOO_LONG
    assert check_prompt("a" * 10_000) is PromptProblem.TOO_LONG


def test_prompt_is_trimmed_and_unicode_normalized() -> None:
    assert check_prompt("  cafe\u0301 ") == "caf\u00e9"


@given(st.text())
def test_checked_prompt_is_unchanged_by_a_second_check_and_storable(prompt: str) -> None:
    clean = check_prompt(prompt)
    if not isinstance(clean, PromptProblem):
        assert check_prompt(clean) == clean
        assert "\0" not in clean
        clean.encode()


def test_prompt_hash_ignores_case_and_whitespace() -> None:
    assert prompt_hash("Un  Barco\n") == prompt_hash("un barco")
    assert prompt_hash("un barco") != prompt_hash("un barco rojo")


@pytest.mark.parametrize(
    "unseen",
    [
        *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u180e", "\u3164"),
        *(
            "\u2065",
            "\u2800",
            "\ufff0",
            "\U000e0002",
            "\U000e0080",
            "\u200e",
            "\u202e",
            "\u2066",
            "\u2069",
            "\ufe0f",
            "\ufe00",
            "\U000e0100",
            "\U000e0067",
        ),
    ],
    ids=lambda c: f"U+{ord(c):04X}",
)
def test_prompt_hash_ignores_invisible_characters(unseen: str) -> None:
    plain = prompt_hash("un café ❤ rojo")
    for place in range(len("un café ❤ rojo") + 1):
        assert prompt_hash(f"{'un café ❤ rojo'[:place]}{unseen}{'un café ❤ rojo'[place:]}") == plain
    assert prompt_hash(f"un cafe{unseen}\u0301 ❤{unseen}{unseen} rojo") == plain
    assert prompt_hash(f"un {unseen} café ❤ rojo") == plain


def test_prompt_hash_ignores_the_word_joiners_that_the_bot_inserts() -> None:
    prompt = "@ana walks to example.com with #kites"
    assert tame(prompt) != prompt
    assert prompt_hash(tame(prompt)) == prompt_hash(prompt)


def test_different_emoji_sequences_hash_differently() -> None:
    family, three = "👨\u200d👩\u200d👧", "👨👩👧"
    astronaut, rocket = "👩\u200d🚀", "👩🚀"
    dark, light = "👩🏿\u200d🚀", "👩🏻\u200d🚀"
    england, scotland = (
        "🏴" + "".join(chr(0xE0000 + ord(c)) for c in code) + "\U000e007f" for code in ("gbeng", "gbsct")
    )
    pirates = "🏴\u200d☠\ufe0f"
    spain, italy = "🇪🇸", "🇮🇹"
    prompts = [family, three, astronaut, rocket, dark, light, england, scotland, pirates, "🏴", spain, italy]
    assert len({prompt_hash(prompt) for prompt in prompts}) == len(prompts)
    assert prompt_hash(pirates) == prompt_hash(pirates.replace("\ufe0f", ""))
    assert prompt_hash(family) == prompt_hash(family.replace("\u200d", "\u200d\u200d").replace("👩", "👩\ufe0f"))


def test_request_hash_covers_what_was_asked_not_the_defaults() -> None:
    assert request_hash(REQUEST) == request_hash(replace(REQUEST, seconds=4, size="1280x720", model="m"))
    asked = [
        replace(REQUEST, prompt="x"),
        replace(REQUEST, asked_seconds=8),
        replace(REQUEST, asked_size="1x1"),
    ]
    assert len({request_hash(request) for request in [REQUEST, *asked]}) == 4


@pytest.mark.asyncio
async def test_check_limits_calls_reserve_once_with_price_prompt_hash_and_audience() -> None:
    calls: list[tuple[str, Mapping[str, Any]]] = []

    async def reserve(name: str, arguments: Mapping[str, Any]) -> Any:
        calls.append((name, arguments))
        return {
            "kind": "accepted",
            "replayed": False,
            "run": {"run_id": str(RUN), "ref": "abc234", "state": "reserved"},
        }

    assert await check_limits(REQUEST, reserve) == Admitted(RUN, "abc234", "reserved", replayed=False, row={})
    [(name, arguments)] = calls
    assert name == "reserve"
    assert arguments["price_microusd"] == 800_000
    assert arguments["prompt_hash"] == prompt_hash("un barco")
    assert arguments["audience"] == {"kind": "terminal"}


@pytest.mark.parametrize("kind", list(RefusalKind))
def test_every_refusal_kind_of_the_ledger_is_read(kind: RefusalKind) -> None:
    assert read_reservation({"kind": kind.value}) == Refused(kind)


def test_refusal_includes_its_until_time_and_the_run_that_caused_it() -> None:
    answer = {
        "kind": "duplicate",
        "until": "2026-11-23T02:00:00+00:00",
        "of_run_id": str(RUN),
        "of_ref": "abc234",
    }
    assert read_reservation(answer) == Refused(
        RefusalKind.DUPLICATE, datetime(2026, 11, 23, 2, tzinfo=UTC), RUN, "abc234"
    )


def test_unknown_reserve_answer_raises_an_error() -> None:
    with pytest.raises(ValueError, match="perhaps"):
        read_reservation({"kind": "perhaps"})
