"""The scoreboard of the vendors' clients: its server counts, its table is whole, and onetake's row says 1."""

import asyncio
import re
from pathlib import Path

import aiohttp
import pytest

from benchmarks.sdks.__main__ import CLIENTS, PAGE, PINS, SCRIPTS, Bench, violations
from benchmarks.sdks.environments import Pin, read_pins, together
from benchmarks.sdks.server import PREFACE, Trouble, losing
from benchmarks.sdks.table import BEGIN, END, TITLES, Cell, Row, page_with, read_table, table

TASK = {"taskType": "videoInference", "taskUUID": "task-1"}
GRPC_CREATE = bytes([0, 0, 1, 1, 0x5, 0, 0, 0, 1, 0x83])  # HEADERS of stream 1, whole, with `:method: POST`
SETTINGS_BYTES = 9
ONCE = Cell(1, 1, True)


async def test_every_create_counts_and_those_under_one_key_are_one_job() -> None:
    async with losing(Trouble.HTTP_500) as counter, aiohttp.ClientSession() as http:
        for key in (None, None, "a", "a"):
            headers = {"Idempotency-Key": key} if key else {}
            answer = await http.post(f"{counter.url}/videos?x=1", json={"prompt": "A lighthouse"}, headers=headers)
            assert answer.status == 500
        assert (await http.get(f"{counter.url}/videos/1")).status == 404
    assert (len(counter.creates), counter.jobs) == (4, 3)
    assert (counter.creates[3].target, counter.creates[3].key) == ("/videos?x=1", "a")


@pytest.mark.parametrize("trouble", [Trouble.RESET, Trouble.CLOSED])
async def test_lost_connection_counts_and_shows_how_it_was_lost(trouble: Trouble) -> None:
    async with losing(trouble) as counter:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(counter.url.rpartition(":")[2]))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        if trouble is Trouble.RESET:
            with pytest.raises(ConnectionResetError):
                await reader.read()
        else:
            assert await reader.read() == b""
        writer.close()
    assert len(counter.creates) == 1


async def test_silence_counts_and_ends_with_the_server() -> None:
    async with losing(Trouble.SILENCE) as counter, aiohttp.ClientSession() as http:
        asked = asyncio.ensure_future(http.post(counter.url, json={}))
        await counter.first.wait()
        await asyncio.wait((asked,), timeout=0.05)
        assert not asked.done()
        asked.cancel()
    assert len(counter.creates) == 1


async def test_tasks_over_a_websocket_count_by_their_own_ids() -> None:
    async with (
        losing(Trouble.HTTP_429) as counter,
        aiohttp.ClientSession() as http,
        http.ws_connect(counter.url) as talk,
    ):
        await talk.send_json([{"taskType": "authentication", "apiKey": "test-key"}])
        assert "connectionSessionUUID" in (await talk.receive_json())["data"][0]
        for _ in range(2):
            await talk.send_json([TASK])
            assert (await talk.receive_json())["errors"][0]["taskUUID"] == "task-1"
    assert (len(counter.creates), counter.jobs) == (2, 1)


async def test_calls_over_grpc_count_and_get_a_status_of_http() -> None:
    async with losing(Trouble.HTTP_429) as counter:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(counter.grpc_url.rpartition(":")[2]))
        writer.write(PREFACE + GRPC_CREATE)
        await reader.readexactly(SETTINGS_BYTES)
        assert await reader.readexactly(14) == bytes([0, 0, 5, 1, 0x5, 0, 0, 0, 1]) + b"\x08\x03429"
        writer.close()
    assert len(counter.creates) == 1


@pytest.mark.parametrize("trouble", [trouble for trouble in Trouble if trouble is not Trouble.SILENCE])
async def test_transport_of_onetake_sends_one_create(trouble: Trouble, tmp_path: Path) -> None:
    assert await Bench(30, tmp_path).onetake(trouble) == ONCE


def test_published_table_has_every_client_and_onetake_last_with_one_everywhere() -> None:
    *clients, own = read_table(PAGE.read_text(encoding="utf-8"))
    assert [Pin(*row[:2]) for row in clients] == sorted(read_pins(PINS)), "make sdks"
    assert (own[0], own[2:]) == ("onetake", ["1"] * len(TITLES))
    cells = [cell for row in clients for cell in row[2:]]
    assert [cell for cell in cells if not re.fullmatch(r"(≥ )?[1-9]\d*( \(\d+ jobs?\))?", cell)] == []


def test_every_pin_has_a_script_and_every_script_a_pin() -> None:
    assert {pin.name for pin in read_pins(PINS)} == set(SCRIPTS)
    assert {path.stem for path in CLIENTS.glob("[a-z]*.py")} == set(SCRIPTS.values())


def test_second_version_of_a_package_gets_an_environment_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "pins.txt").write_text("# two\na==1\nb==1  # newest\na==2\n")
    assert together(read_pins(tmp_path / "pins.txt")) == [(Pin("a", "1"), Pin("b", "1")), (Pin("a", "2"),)]


def test_loose_requirement_is_no_pin(tmp_path: Path) -> None:
    (tmp_path / "pins.txt").write_text("a>=1\n")
    with pytest.raises(ValueError, match="a>=1 is no pin"):
        read_pins(tmp_path / "pins.txt")


def test_table_in_a_page_can_be_read_back() -> None:
    patient, keyed = Cell(3, 3, ended=False), Cell(10, 1, ended=True)
    cells = dict.fromkeys(Trouble, ONCE)
    rows = [
        Row("a", "1", cells | {Trouble.SILENCE: patient, Trouble.RESET: keyed}),
        Row("b", "2", {}, "not installed: no such release"),
        Row("onetake", "0.1.0", cells),
    ]
    page = page_with(f"before\n{BEGIN}\nold\n{END}\nafter", table(rows, "Measured today.", 250))
    assert read_table(page) == [
        ["a", "1", "10 (1 job)", "1", "≥ 3", "1", "1"],
        ["onetake", "0.1.0", "1", "1", "1", "1", "1"],
    ]
    assert "Not measured: b 2: not installed: no such release" in page
    assert page.startswith("before") and page.endswith("after") and "old" not in page
    with pytest.raises(ValueError, match="the page needs one"):
        page_with("a page without a place", "")


def test_second_create_of_onetake_and_a_silent_client_are_violations() -> None:
    once = dict.fromkeys(Trouble, ONCE)
    silent = Row("a", "1", once | {Trouble.RESET: Cell(0, 0, True, "no such option")})
    own = Row("onetake", "0.1.0", once | {Trouble.CLOSED: Cell(2, 2, True)})
    assert violations([silent, own]) == ["onetake, closed: 2", "a 1, reset: nothing arrived; no such option"]
    assert violations([Row("a", "1", once), Row("onetake", "0.1.0", once)]) == []
