"""The books on disk: correct after a restart, with a partial last line, and after a kill."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from simulator.videos.books import Books
from tests.simulator.conftest import FOX, Open, Provider

ROOT = Path(__file__).parents[3]


async def test_books_and_jobs_survive_a_restart(open_provider: Open, tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    async with open_provider(books_path=path) as first:
        await first.trouble("create", "made_then_drop", skip=1)
        _, video = await first.buy()
        with pytest.raises(aiohttp.ClientError):
            await first.buy(prompt="a lost fox")
        _, gone = await first.buy(prompt="a deleted fox")
        await first.ask("DELETE", f"/v1/videos/{gone['id']}")
        before = await first.books()
    async with open_provider(books_path=path) as second:
        after = await second.books()
        assert after | {"reads": 0} == before | {"reads": 0}
        assert after["totals"]["paid_calls"] == 3
        assert (await second.ask("GET", f"/v1/videos/{video['id']}"))[1]["prompt"] == FOX["prompt"]
        assert (await second.ask("GET", f"/v1/videos/{gone['id']}"))[0] == 404
        _, fresh = await second.buy()
        listed = (await second.ask("GET", "/v1/videos"))[1]["data"]
        assert [job["prompt"] for job in listed] == [FOX["prompt"], "a lost fox", FOX["prompt"]]
        assert listed[0]["id"] == fresh["id"]


async def test_render_completes_across_simulator_restarts(open_provider: Open, tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    async with open_provider(books_path=path, speed=1.0, render_seconds=0.3) as first:
        _, video = await first.buy()
    async with open_provider(books_path=path, speed=1.0) as second:
        await second.ask("POST", "/_sim/speed", json={"speed": "instant"})
    async with open_provider(books_path=path, speed=1.0) as third:
        assert (await third.ask("GET", f"/v1/videos/{video['id']}"))[1]["status"] == "completed"


def test_partial_last_line_of_the_books_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    path.write_text('{"chat": 1}\n{"chat": 1}\n{"create": {"at": 1')
    books = Books(path, refund_failed=False)
    books.record_chat()
    books.close()
    again = Books(path, refund_failed=False)
    again.close()
    assert (again.chat_calls, path.read_text()) == (3, '{"chat": 1}\n' * 3)


async def test_killed_simulator_keeps_its_books_and_reports_its_port(tmp_path: Path) -> None:
    port_file, books = tmp_path / "port", tmp_path / "books.jsonl"
    options = ["--port-file", str(port_file), "--books", str(books), "--speed", "instant", "--tiny-clips"]
    for paid in (1, 2):
        process = subprocess.Popen(
            [sys.executable, "-m", "simulator", *options], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdout is not None
        try:
            root = f"http://127.0.0.1:{await _port(process, port_file)}"
            await _buy_and_check(root, paid)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
            process.stdout.close()


async def _port(process: "subprocess.Popen[str]", port_file: Path) -> int:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    port = int(port_file.read_text())
    assert line == f"simulator listening on http://127.0.0.1:{port}/v1"
    return port


async def _buy_and_check(root: str, paid: int) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer k"}) as session:
        async with session.post(f"{root}/v1/videos", json=FOX) as answer:
            assert answer.status == 200
        async with session.get(f"{root}/_sim/books") as answer:
            assert (await answer.json())["totals"]["paid_calls"] == paid


@pytest.mark.parametrize("ends", ["stdin", "sigterm"])
def test_simulator_exits_cleanly_on_stdin_close_or_sigterm(ends: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--until-stdin-closes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("simulator listening on ")
        if ends == "sigterm":
            process.terminate()
        process.stdin.close()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


async def test_health_reports_speed_and_habits(provider: Provider) -> None:
    status, health = await provider.ask("GET", "/_sim/health")
    assert (status, health["ok"], health["speed"]) == (200, True, "instant")
    assert health["habits"]["sparse"] is False


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/_sim/habits", {"nonsense": 1}),
        ("/_sim/speed", {"speed": 0}),
        ("/_sim/speed", {"speed": "fast"}),
        ("/_sim/clock", {"skew_seconds": "x"}),
        ("/_sim/jobs", {"seconds": "x"}),
        ("/_sim/jobs", [1]),
    ],
)
async def test_invalid_provider_control_call_is_rejected_with_400(provider: Provider, path: str, body: object) -> None:
    assert (await provider.ask("POST", path, json=body))[0] == 400
