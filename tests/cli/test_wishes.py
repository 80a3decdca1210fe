"""What was typed becomes a request: whose, under which key, in which language."""

import getpass

import pytest

from app.exits import Stop
from cli.request_parsing import language, request_key, user_id


def test_without_a_key_every_command_is_a_request_of_its_own() -> None:
    assert request_key(None) != request_key(None)
    assert request_key(None).startswith("cli:")


def test_a_key_is_kept_as_it_is_under_our_name() -> None:
    assert request_key("order 7") == "cli:order 7"


@pytest.mark.parametrize("key", ["", "  ", "a\nb", "x" * 201])
def test_a_key_that_cannot_be_repeated_is_refused(key: str) -> None:
    with pytest.raises(Stop):
        request_key(key)


def test_a_bare_name_is_a_terminal_user_and_an_id_stays() -> None:
    assert user_id("ana") == "cli:ana"
    assert user_id("tg:42") == "tg:42"
    assert user_id(None) == f"cli:{getpass.getuser()}"


@pytest.mark.parametrize(
    ("asked", "environment", "spoken"),
    [
        ("en", {"LANG": "es_MX.UTF-8"}, "en"),
        (None, {"LANG": "es_MX.UTF-8"}, "es"),
        (None, {"LC_ALL": "es_ES", "LANG": "en_US"}, "es"),
        (None, {"LANG": "de_DE"}, "en"),
        (None, {}, "en"),
    ],
)
def test_the_language_is_asked_for_or_the_terminals(
    asked: str | None, environment: dict[str, str], spoken: str
) -> None:
    assert language(asked, environment) == spoken
