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
def test_a_switch_of_a_run_names_its_ledger_also_if_nothing_changed(onetake: Terminal, switch: tuple[str, ...]) -> None:
    ref = onetake.create().object["ref"]
    said = onetake(switch[0], ref, *switch[1:])
    assert (said.code, said.out.splitlines()[-1]) == (1, ledger_of(onetake))


def test_a_pause_from_a_folder_of_the_checkout_stops_the_ledger_that_buys(
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
