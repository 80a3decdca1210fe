"""The other verbs: looking, and the operators' switches. They need no provider."""

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from cli.main import app
from pipeline.settings.data_folder import user_home
from tests.cli.conftest import Terminal
from tests.ledger.client import open_ledger_client

NO_PROVIDER = {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": "", "VIDEO_MODEL": ""}


@pytest.mark.parametrize("verb", ["show", "cancel"])
def test_run_not_found_error_names_the_ledger(onetake: Terminal, verb: str) -> None:
    said = onetake(verb, "A7K2QX", **NO_PROVIDER)

    assert said.code == 2
    name = psycopg.conninfo.conninfo_to_dict(onetake.environment["DATABASE_URL"])["dbname"]
    assert said.err == f"onetake: no run A7K2QX in the ledger {name} at {_host(onetake)}\n"


def _host(onetake: Terminal) -> str:
    parts = psycopg.conninfo.conninfo_to_dict(onetake.environment["DATABASE_URL"])
    return f"{parts['host']}:{parts['port']}" if parts.get("port") else str(parts["host"])


def test_ledger_name_never_contains_the_password(onetake: Terminal) -> None:
    said = onetake("list", DATABASE_URL="postgresql://me:hush@127.0.0.1:9/ledger?connect_timeout=1")

    assert said.code == 2
    assert "the ledger ledger at 127.0.0.1:9" in said.err
    assert "hush" not in said.words


def test_the_embedded_ledger_is_named_by_its_folder(onetake: Terminal, tmp_path: Path) -> None:
    said = onetake("list", DATABASE_URL="", ONETAKE_HOME=str(tmp_path / "other"), **NO_PROVIDER)

    assert (said.code, said.out) == (0, f"no runs in the ledger at {tmp_path / 'other'} (embedded)\n")


def test_show_and_list_need_no_provider(onetake: Terminal) -> None:
    ref = onetake.create("a red kite").object["ref"]

    shown = onetake("show", ref.lower(), **NO_PROVIDER)
    assert shown.code == 0
    for words in ("validate_prompt", "generate_video", "save_video", "$0.80 (8 s at $0.10/s)", "a red kite"):
        assert words in shown.words
    assert onetake("show", ref, "--json", **NO_PROVIDER).object["events"]
    assert ref in onetake("list", **NO_PROVIDER).out
    assert ref not in onetake("list", "--state", "failed", **NO_PROVIDER).out
    assert onetake("list", "--state", "fine", **NO_PROVIDER).code == 2


def test_show_lists_prompt_versions_and_the_exact_messages_sent(onetake: Terminal) -> None:
    ref = onetake.create("a red kite {{ 7*7 }}").object["ref"]

    assert "validate_prompt " in onetake("show", ref, **NO_PROVIDER).out.partition("prompts")[2]
    sent = onetake("show", ref, "--messages", **NO_PROVIDER).out
    assert sent.count("exactly as sent") == 2
    assert "<<<user_text\na red kite {{ 7*7 }}\nuser_text>>>" in sent
    impact = onetake("prompts", "impact", COLUMNS="120", **NO_PROVIDER).out
    assert "validate_prompt " in impact
    [line] = [line for line in impact.splitlines() if line.startswith("write_caption")]
    assert line.split()[2:10] == ["in", "use", "1", "1", "0", "0", "0", "0%"]
    narrow = onetake("prompts", "impact", **NO_PROVIDER).out.splitlines()
    assert max(len(line) for line in narrow[:-1]) <= 80
    [place] = [place for place, line in enumerate(narrow) if line.startswith("write_caption")]
    assert narrow[place].split()[1:7] == ["1", "1", "0", "0", "0", "0%"]
    assert narrow[place + 1].strip().endswith("in use")
    assert onetake("prompts", "impact", "--days", "0", **NO_PROVIDER).out == "no runs in the last 0 days\n"


def test_stats_begin_with_total_videos(onetake: Terminal) -> None:
    assert onetake("stats").out.splitlines()[0] == "Total videos: 0"
    onetake.create("a red kite", "--key", "k")
    onetake.create("a red kite", "--key", "k")
    lines = onetake("stats").out.splitlines()

    assert lines[0] == "Total videos: 1"
    assert [line.split(":")[0] for line in lines[1:6]] == [
        "spent",
        "held",
        "given back",
        "duplicates blocked",
        "money saved",
    ]
    assert "$0.80" in lines[1]
    assert lines[4].endswith(" 1")
    assert lines[5].endswith("$0.80")
    assert "paid calls:           1: 1 video" in lines


def test_stats_count_only_ordered_runs_as_given_back_and_paid_calls_add_up(onetake: Terminal) -> None:
    assert "paid calls:           none" in onetake("stats").out.splitlines()
    made = onetake.create("a red kite", "--user", "ana")
    assert made.object["state"] == "saved"
    failed = onetake.create("render-fails: a blue kite", "--user", "ben")
    assert failed.object["state"] == "failed"
    rejected = onetake.create("a fight with blood everywhere", "--user", "eva")
    assert rejected.object["state"] == "rejected"
    with open_ledger_client(onetake.environment["DATABASE_URL"]) as client:
        assert client.call("cancel_run", run_id=client.approved("cli:canceled"), by="cli:canceled")["canceled"]
        client.rendering("cli:renders")
        client.fail(client.reserved("cli:unbought"), "reserved")
        released = client.one("select sum(released_microusd) from onetake.runs")
        assert released > client.row(failed.object["run_id"])["released_microusd"] == 800_000

    said = onetake("stats")
    assert "given back:           $0.80" in said.out.splitlines()
    assert "paid calls:           3: 1 video, 1 rendering, 1 failed" in said.out.splitlines()
    assert 'released_microusd": 800000' in onetake("stats", "--json").out


def test_pause_refuses_orders_and_resume_accepts_them_again(onetake: Terminal) -> None:
    assert onetake("pause", "the bill is here").code == 0
    refused = onetake.create()
    assert (refused.code, refused.object["refused"]) == (3, "paused")
    assert "the bill is here" in refused.object["error"]
    assert "paused by cli:" in onetake("limits").out

    assert onetake("resume").code == 0
    assert onetake.create().code == 0


def test_a_limit_is_changed_for_all_or_for_one_user(onetake: Terminal) -> None:
    assert "$5.00, was $10.00" in onetake("limits", "set", "budget_day_microusd", "5").out
    assert "$5.00" in onetake("limits", "show").out
    assert "allowlist" in onetake("limits", "set", "rollout", "allowlist").out
    assert onetake.create().object["refused"] == "not_invited"

    assert onetake("limits", "set", "videos_per_user_day", "0", "--user", "ana").code == 0
    assert "videos_per_user_day 0" in onetake("users", "list").out
    assert "the default" in onetake("limits", "set", "videos_per_user_day", "default", "--user", "ana").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("videos", "1"), "there is no limit videos; choose one of active_runs_per_user"),
        (("cooldown_seconds", "soon"), "a whole number of seconds, 31536000 (a year) at most, not soon"),
        (("rollout", "some"), "all, percent or allowlist, not some"),
        (("budget_day_microusd", "1", "--user", "ana"), "cannot be set for one user"),
        (("budget_day_microusd", "five"), "it must be dollars, such as 5 or 5.50, not five"),
        (("budget_day_microusd", "-5"), "it must be dollars, such as 5 or 5.50, not -5"),
        (("videos_per_user_day", "-5", "--user", "ana"), "videos_per_user_day: a whole number"),
        (("budget_day_microusd", "5000000"), "$5,000,000.00 is more than 10 times the current $10.00"),
        (("budget_month_microusd", "5"), "is less than a tenth of the current"),
    ],
)
def test_invalid_limit_is_refused_with_the_reason(onetake: Terminal, arguments: tuple[str, ...], words: str) -> None:
    said = onetake("limits", "set", *arguments)

    assert said.code == 2
    assert words in said.err


@pytest.mark.parametrize(("typed", "shown"), [("5", "$5.00"), ("5.50", "$5.50"), ("$5", "$5.00"), ("0", "$0.00")])
def test_money_is_typed_in_dollars(onetake: Terminal, typed: str, shown: str) -> None:
    assert f"budget_day_microusd: {shown}, was $10.00" in onetake("limits", "set", "budget_day_microusd", typed).out


def test_budget_change_of_more_than_ten_times_needs_yes(onetake: Terminal) -> None:
    assert onetake("limits", "set", "budget_day_microusd", "5000000").code == 2
    assert "$10.00" in onetake("limits", "show").out
    said = onetake("limits", "set", "budget_day_microusd", "5000000", "--yes")
    assert "$5,000,000.00, was $10.00" in said.out


def test_bare_number_means_a_telegram_user(onetake: Terminal) -> None:
    assert "tg:1003 is blocked" in onetake("users", "block", "1003").out
    assert "tg:1003 may order again" in onetake("users", "unblock", "1003").out
    assert "tg:1003 is invited" in onetake("users", "invite", "1003").out
    assert "for tg:1003" in onetake("limits", "set", "videos_per_user_day", "3", "--user", "1003").out


def test_a_prompt_is_read_from_stdin(onetake: Terminal) -> None:
    result = onetake.runner.invoke(app, ["create", "-", "--json"], env=onetake.environment, input="a boat\nin rain\n")
    assert result.exit_code == 0, result.output
    ref = json.loads(result.stdout.splitlines()[-1])["ref"]
    assert json.loads(onetake("show", ref, "--json").out)["prompt"] == "a boat\nin rain"


def test_a_blocked_user_is_refused_until_unblocked(onetake: Terminal) -> None:
    assert onetake("users", "block", "ana", "spam").code == 0
    assert "blocked: spam" in onetake("users", "list").out
    refused = onetake.create("a boat", "--user", "ana")
    assert (refused.code, refused.object["refused"]) == (3, "blocked")
    assert onetake.create("a boat", "--user", "ben").code == 0

    assert onetake("users", "unblock", "ana").code == 0
    assert onetake("users", "invite", "ana").code == 0
    assert onetake.create("a boat", "--user", "ana").code == 0


def test_cancel_and_settle_refuse_a_run_that_is_over(onetake: Terminal) -> None:
    ref = onetake.create().object["ref"]

    assert onetake("cancel", ref).code == 1
    for verdict in (("--job", "video_1"), ("--not-charged",)):
        settled = onetake("settle", ref, *verdict)
        assert settled.code == 1
        assert "there is nothing to settle: it is delivered. Nothing was changed" in settled.words
        assert "--unseen" not in settled.words and "--early" not in settled.words


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--job", "x", "--not-charged"),
        ("--not-charged", "--take-back"),
        ("--not-charged", "--despite"),
        ("--take-back", "--unseen"),
    ],
)
def test_settle_needs_exactly_one_verdict(onetake: Terminal, arguments: tuple[str, ...]) -> None:
    said = onetake("settle", "A7K2QX", *arguments)

    assert said.code == 2
    assert "--job ID" in said.err


@pytest.mark.parametrize("arguments", [("--job", "x", "--unseen"), ("--not-charged", "--early", "--why", " ")])
def test_settling_with_unseen_or_early_needs_a_reason(onetake: Terminal, arguments: tuple[str, ...]) -> None:
    said = onetake("settle", "A7K2QX", *arguments)

    assert said.code == 2
    assert "needs --why: say how you know" in said.err


def test_settling_with_a_job_changes_nothing_without_a_configured_provider(onetake: Terminal) -> None:
    onetake.sim.trouble("create", "made_then_drop")
    onetake.sim.trouble("list", "status", status=400, always=True)
    ref = onetake.create("a red kite").object["ref"]

    said = onetake("settle", ref, "--job", "video_1", **NO_PROVIDER)

    assert said.code == 1
    assert "are not the ones configured here, so the job cannot be looked up. Nothing was changed." in said.words


def test_unmigrated_database_error_names_the_migrate_command(onetake: Terminal, postgres_uri: str) -> None:
    empty = psycopg.conninfo.make_conninfo(postgres_uri, dbname="postgres")
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("drop database if exists not_migrated with (force)")
        connection.execute("create database not_migrated")
    settings = {"DATABASE_URL": psycopg.conninfo.make_conninfo(postgres_uri, dbname="not_migrated")}

    said = onetake("list", **settings)
    assert said.code == 2
    assert "`onetake db migrate`" in said.err
    assert onetake("db", "status", **settings).code == 1
    assert onetake("db", "migrate", **settings).code == 0
    assert "applied" not in onetake("db", "migrate", **settings).out
    assert onetake("db", "status", **settings).code == 0
    assert onetake("list", **settings).code == 0


def test_db_sql_prints_the_schema(onetake: Terminal) -> None:
    said = onetake("db", "sql")

    assert said.out.startswith("begin;")
    assert "create function public.reserve" in said.out


def test_check_reports_ready_to_buy_and_never_prints_a_key(onetake: Terminal) -> None:
    said = onetake("check", OPENAI_API_KEY="sk-very-secret")

    assert said.code == 0
    assert "ready to buy" in said.out
    assert "$0.80 for 8 s" in said.out
    assert "very-secret" not in said.words
    assert onetake.paid_calls() == 0


def test_check_reports_all_problems_at_once(onetake: Terminal) -> None:
    said = onetake("check", VIDEO_MODEL="sora-2", OPENAI_API_KEY="", DATABASE_URL="postgresql://x:hush@127.0.0.1:9/y")

    assert said.code == 2
    for words in ("VIDEO_API_KEY: missing", "OPENAI_API_KEY: missing", "VIDEO_MODEL", "127.0.0.1:9"):
        assert words in said.words
    assert "hush" not in said.words


def test_check_warns_about_retrying_proxies_and_endpoints_without_a_list(onetake: Terminal) -> None:
    said = onetake(*("check",), VIDEO_MODEL="gen4_turbo", VIDEO_BASE_URL="http://127.0.0.1:4000/v1", VIDEO_SECONDS="5")

    assert "num_retries: 0" in said.words
    assert "list is incomplete" in said.words


def test_check_reports_that_buying_is_paused(onetake: Terminal) -> None:
    onetake("pause", "holiday")

    assert "buying is paused (holiday)" in onetake("check").out


def test_help_pages_fit_80_columns(onetake: Terminal) -> None:
    assert urlsplit(onetake.sim.url).hostname == "127.0.0.1"
    for verb in (
        ["--help"],
        ["create", "--help"],
        ["settle", "--help"],
        ["limits", "--help"],
        ["check", "--help"],
    ):
        said = onetake(*verb)
        assert said.code == 0
        assert max(map(len, said.out.splitlines())) <= 80


@pytest.mark.parametrize("password", ["Sec/ret9", "Sec@ret9", "a@b/c"])
def test_unencoded_password_is_not_shown_even_in_part(onetake: Terminal, password: str) -> None:
    said = onetake("list", DATABASE_URL=f"postgresql://me:{password}@127.0.0.1:9/ledger?connect_timeout=1")

    assert said.code == 2
    assert "percent-encode the password" in said.err
    assert "ret9" not in said.words
    assert "Sec" not in said.words


def test_unavailable_clip_exits_with_4_and_without_a_file_path(onetake: Terminal) -> None:
    made = onetake.create("a red kite", "--key", "k")
    Path(str(made.object["file"])).unlink()
    onetake.sim.trouble("content", "status", status=404, always=True)

    again = onetake.create("a red kite", "--key", "k")
    assert again.code == 4
    assert again.object["file"] is None
    assert "is saved on another machine" in str(again.object["error"])
    assert "buys nothing" in str(again.object["error"])


# -- the data folder


@pytest.fixture
def embedded(onetake: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Without DATABASE_URL and ONETAKE_HOME, in a folder where nothing is."""
    monkeypatch.setenv("HOME", str(tmp_path / "ana"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    environment = dict(onetake.environment) | {"DATABASE_URL": "", "ONETAKE_HOME": ""}
    return replace(onetake, environment=environment)


def test_read_only_commands_create_no_data_folder(embedded: Terminal, tmp_path: Path) -> None:
    assert embedded("list").code == 0
    assert embedded("show", "A7K2QX").code == 2
    assert embedded("check").code == 0
    assert embedded("create", "a boat", "--dry-run").code == 0
    assert [*(tmp_path / "here").iterdir()] == []
    assert not user_home().exists()


def test_key_used_in_one_folder_is_known_in_every_other(
    embedded: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embedded.create("a boat", "--key", "k1")
    assert f"creating the data folder {user_home()};" in first.err
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    second = embedded.create("a boat", "--key", "k1")
    assert (second.object["run_id"], embedded.paid_calls()) == (first.object["run_id"], 1)
    assert "data folder" not in second.err
    assert str(user_home()) in embedded("check").out


def test_data_folder_in_the_working_directory_is_used_and_reported(embedded: Terminal, tmp_path: Path) -> None:
    (tmp_path / "here" / ".onetake").mkdir()
    assert f"because it exists; from other folders it is {user_home()}" in embedded.create("a boat").words
    assert (tmp_path / "here" / ".onetake" / "postgres").is_dir()
    assert "because ./.onetake exists" in embedded("check").words
    assert not user_home().exists()
