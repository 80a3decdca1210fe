"""The operators' switches: which ledger they acted on, whom they mean."""

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import Terminal


def ledger_of(onetake: Terminal) -> str:
    parts = psycopg.conninfo.conninfo_to_dict(onetake.environment["DATABASE_URL"])
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"In the ledger {parts['dbname']} at {parts['host']}{port}."


@pytest.mark.parametrize(
    "switch",
    [
        ("pause", "the bill is here"),
        ("resume",),
        ("limits",),
        ("limits", "set", "videos_per_user_day", "3"),
        ("users", "block", "ana"),
        ("users", "unblock", "ana"),
        ("users", "invite", "ana"),
        ("audit", "--explain", "video_1", "--why", "ours"),
    ],
    ids=" ".join,
)
def test_every_switch_names_the_ledger_it_acted_on(onetake: Terminal, switch: tuple[str, ...]) -> None:
    assert onetake(*switch).out.splitlines()[-1] == ledger_of(onetake)


@pytest.mark.parametrize("switch", [("cancel",), ("settle", "--job", "video_1"), ("settle", "--not-charged")])
def test_cancel_and_settle_name_the_ledger_even_if_nothing_changed(onetake: Terminal, switch: tuple[str, ...]) -> None:
    ref = onetake.create().object["ref"]
    said = onetake(switch[0], ref, *switch[1:])
    assert (said.code, said.out.splitlines()[-1]) == (1, ledger_of(onetake))


def test_pause_from_a_subfolder_of_the_checkout_pauses_the_configured_ledger(
    onetake: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "onetake"\n')
    (tmp_path / ".env").write_text(f"DATABASE_URL={onetake.environment['DATABASE_URL']}\n")
    monkeypatch.chdir(tmp_path / "docs")
    here = replace(onetake, environment=dict(onetake.environment) | {"DATABASE_URL": "", "ONETAKE_IGNORE_ENV_FILE": ""})

    assert here("pause", "the bill is here").out.splitlines()[-1] == ledger_of(onetake)
    assert f"read from {tmp_path / '.env'} and the environment" in here("check").words
    assert onetake.create().object["refused"] == "paused"


@pytest.mark.parametrize(
    "switch",
    [
        ("users", "block", "@ben"),
        ("users", "unblock", "tg:@ben"),
        ("users", "invite", "@ben"),
        ("limits", "set", "videos_per_user_day", "3", "--user", "@ben"),
        ("list", "--user", "@ben"),
    ],
    ids=" ".join,
)
def test_telegram_username_is_refused_and_the_number_requested(onetake: Terminal, switch: tuple[str, ...]) -> None:
    said = onetake(*switch)
    assert said.code == 2
    assert "use the numeric Telegram id, not " in said.err and "`onetake users list`" in said.err
    assert "@ben" not in onetake("users", "list").out


def test_switch_for_a_user_without_orders_warns_and_is_recorded(onetake: Terminal) -> None:
    onetake.create("a red kite", "--user", "ana")
    new = "has never ordered here"
    for switch in (("users", "block"), ("users", "invite"), ("limits", "set", "videos_per_user_day", "3", "--user")):
        assert f"cli:anna {new}" in onetake(*switch, "anna").out
        assert new not in onetake(*switch, "ana").out
    assert "cli:anna" in onetake("users", "list").out


def test_second_pause_without_a_reason_keeps_the_first_reason(onetake: Terminal) -> None:
    onetake("pause", "the bill is here")
    assert "Already paused; the reason is unchanged: the bill is here" in onetake("pause").out
    assert "the bill is here" in onetake("limits").out
    assert "unchanged" not in onetake("pause", "another one").out
    assert "another one" in onetake("limits").out


# -- a data folder that is not there


@pytest.mark.parametrize("verb", ["list", "check"])
@pytest.mark.parametrize("folder", ["a-file", "a-file/x", "nowhere", "/proc/x"])
def test_unusable_data_folder_is_an_error_not_an_empty_ledger(
    onetake: Terminal, tmp_path: Path, verb: str, folder: str
) -> None:
    (tmp_path / "a-file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "a disk that is not mounted")
    said = onetake(verb, DATABASE_URL="", ONETAKE_HOME=str(tmp_path / folder))
    assert (said.code, "cannot be used" in said.words) == (2, True)
    assert "no runs" not in said.words and "up to date" not in said.words


def test_check_reports_an_embedded_ledger_that_does_not_exist_yet(onetake: Terminal, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": "", "ONETAKE_HOME": str(tmp_path / "fresh")}
    assert (
        "(embedded), not created yet; the first order or operator command creates it"
        in onetake("check", **settings).words
    )
    assert not (tmp_path / "fresh").exists()
    assert onetake("resume", **settings).code == 0
    assert "(embedded), up to date" in onetake("check", **settings).words
