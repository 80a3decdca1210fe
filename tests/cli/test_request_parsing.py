"""What was typed becomes a request: whose, under which key, in which language."""

import getpass

import pytest

from app.exits import Stop
from cli.request_parsing import language, request_key, user_id


def test_each_command_without_a_key_gets_its_own_request_key() -> None:
    assert request_key(None) != request_key(None)
    assert request_key(None).startswith("cli:")


def test_given_key_gets_the_cli_prefix_and_is_otherwise_unchanged() -> None:
    assert request_key("order 7") == "cli:order 7"


@pytest.mark.parametrize("key", ["", "  ", "a\nb", "x" * 201])
def test_empty_multiline_or_overlong_key_is_refused(key: str) -> None:
    with pytest.raises(Stop):
        request_key(key)


def test_bare_user_name_gets_the_cli_prefix_and_a_full_id_is_kept() -> None:
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
def test_language_comes_from_the_option_or_the_terminals_locale(
    asked: str | None, environment: dict[str, str], spoken: str
) -> None:
    assert language(asked, environment) == spoken
