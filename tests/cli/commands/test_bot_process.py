"""`onetake bot` as a process: with and without a worker of its own, how it stops, and what keeps it from starting."""

import fcntl
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.bot.bot_process import bot_process
from tests.bot.chat import Person, person
from tests.cli.conftest import Terminal
from tests.guarantee.processes.machine import Machine, until
from tests.support import warm
from tests.support.fixtures import Simulator, simulator_process
from tests.support.ports import free_port

TOKEN = "4242:a-token-nobody-must-read"
STOP_SECONDS_MAX = 20.0  # less than the bot's long poll, which a stop must not wait for


@pytest.fixture
def machine(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> Iterator[Machine]:
    root = simulator.url.removesuffix("/v1")
    telegram = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_BASE": root}
    with Machine(tmp_path, simulator, {"DATABASE_URL": ledger_dsn} | telegram) as machine:
        yield machine


def card(ben: Person) -> int | None:
    found = [view for view in ben.views() if any("Create ·" in b["text"] for row in view["keyboard"] for b in row)]
    return int(found[-1]["message_id"]) if found else None


def stop(process: warm.Program) -> tuple[str, float]:
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out + err, time.monotonic() - begun


@pytest.mark.parametrize("apart", [False, True], ids=["with its worker", "worker apart"])
def test_the_bot_sells_a_video_and_stops_without_waiting_for_its_poll(machine: Machine, apart: bool) -> None:
    ben = person(machine.sim)
    bot = machine.start("bot", *(["--no-worker"] if apart else []))
    worker = machine.start("worker") if apart else None
    ben.say("/create a paper boat in the rain")
    until(lambda: card(ben) is not None)
    message_id = card(ben)
    assert message_id is not None
    ben.tap("Create ·", message_id)
    until(lambda: bool(ben.videos()))
    until(lambda: any("Here it is" in (view.get("text") or "") for view in ben.views()))
    said, took = stop(bot)
    if worker is not None:
        said += stop(worker)[0]
    assert took < STOP_SECONDS_MAX
    assert "bot @onetake_bot ready" in said
    assert TOKEN not in said
    assert machine.sim.paid_calls() == 1


def test_second_demo_in_the_same_folder_exits_with_the_first_ones_url(tmp_path: Path) -> None:
    """Each would call the orders of the other nobody's, in one ledger."""
    folder, log = tmp_path / "data" / "demo", tmp_path / "log"
    folder.mkdir(parents=True)
    with (folder / "running").open("w") as first:
        print("http://127.0.0.1:8090/chat", file=first, flush=True)
        fcntl.flock(first, fcntl.LOCK_EX)
        with bot_process(tmp_path, log) as second:
            assert second.wait(30) == 2
    assert "a demo is already running at http://127.0.0.1:8090/chat; stop it first" in log.read_text()


def test_malformed_bot_token_is_refused_without_showing_it(onetake: Terminal) -> None:
    said = onetake("bot", TELEGRAM_BOT_TOKEN="nonsense")
    assert said.code == 2
    assert "TELEGRAM_BOT_TOKEN: is not a bot token" in said.words
    assert "nonsense" not in said.words


def test_bot_token_unknown_to_telegram_is_refused(onetake: Terminal) -> None:
    with simulator_process("--telegram-token", "1:right") as at:
        root = at.url.removesuffix("/v1")
        said = onetake("bot", TELEGRAM_BOT_TOKEN="1:wrong", TELEGRAM_API_BASE=root)
        assert said.code == 2
        assert "Telegram does not accept this token" in said.words
        elsewhere = onetake("bot", TELEGRAM_BOT_TOKEN="1:right", TELEGRAM_API_BASE=f"{root}/nowhere")
        assert "does not serve Telegram's Bot API" in elsewhere.words


def test_unreachable_telegram_exits_with_2_without_showing_the_token(onetake: Terminal) -> None:
    said = onetake("bot", TELEGRAM_BOT_TOKEN="77:secret-part", TELEGRAM_API_BASE="http://127.0.0.1:9")
    assert said.code == 2
    assert "Telegram could not be reached" in said.words
    assert "secret-part" not in said.words


@pytest.mark.parametrize(
    ("kind", "said"),
    [("status", "Telegram could not be reached"), ("no_result", "does not serve Telegram's Bot API")],
)
def test_telegram_failing_at_startup_exits_with_2_and_the_reason(onetake: Terminal, kind: str, said: str) -> None:
    onetake.sim.trouble("telegram", kind, method="getMe")
    root = onetake.sim.url.removesuffix("/v1")
    answer = onetake("bot", TELEGRAM_BOT_TOKEN=TOKEN, TELEGRAM_API_BASE=root)
    assert answer.code == 2 and said in answer.words


def test_webhook_blocked_by_a_proxy_exits_with_2_and_names_the_setting(onetake: Terminal) -> None:
    for method in ("setMyCommands", "setWebhook"):
        onetake.sim.trouble("telegram", "html", method=method, status=403, always=True)
    root = onetake.sim.url.removesuffix("/v1")
    hook = {"WEBHOOK_URL": "https://onetake.test/hook", "WEBHOOK_SECRET": uuid4().hex, "HTTP_PORT": str(free_port())}
    answer = onetake("bot", TELEGRAM_BOT_TOKEN=TOKEN, TELEGRAM_API_BASE=root, **hook)
    assert answer.code == 2 and "WEBHOOK_URL: Telegram did not accept it" in answer.words


def test_check_warns_if_anyone_may_order_and_admin_ids_is_unset(onetake: Terminal) -> None:
    said = onetake("check", TELEGRAM_BOT_TOKEN=TOKEN)
    assert "set ADMIN_IDS" in said.words
    assert "set ADMIN_IDS" not in onetake("check", TELEGRAM_BOT_TOKEN=TOKEN, ADMIN_IDS="7").words
    assert TOKEN not in said.words


def test_admin_ids_that_are_not_numbers_are_refused(onetake: Terminal) -> None:
    said = onetake("check", ADMIN_IDS="me")
    assert said.code == 2
    assert "ADMIN_IDS: must be Telegram ids separated by commas, for example ADMIN_IDS=1234567" in said.words


def test_receipt_shows_the_job_run_and_price_of_the_order(onetake: Terminal) -> None:
    made = onetake.create()
    said = onetake("show", made.object["ref"], "--receipt")
    assert made.object["provider_job_id"] in said.out
    assert made.object["run_id"] in said.out
    assert "agreed price" in said.out
    assert onetake("show", made.object["ref"], "--receipt", "--json").object["charged"] == "$0.80"
