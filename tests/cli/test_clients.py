"""Every HTTP client of the process goes out in the same way: by the same proxy, trusting the same certificates."""

import ast
import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from aiogram import Bot
from aiogram.client.telegram import TelegramAPIServer

from bot.transport.session import TelegramSession
from cli.checks.provider_probe import _ask
from evals.recordings import Tape
from pipeline.ledger.transports.common import LedgerUnavailable
from pipeline.ledger.transports.over_rest import open_transport
from pipeline.settings.parts import VideoEndpoint
from providers.transport import open_provider
from steps.text_model.ask_model import TextModelError, ask, open_text_model
from steps.validate_prompt import Verdict
from tests.providers.openai_videos.test_videos_protocol import ORDER
from tests.steps.text_model.chat import SHELF
from tests.support.fixtures import ROOT

HOST = "example.invalid"
BASE = f"https://{HOST}/v1"
KEY = "a-key-that-is-long-enough"
ENDPOINT = VideoEndpoint(BASE, KEY, "print", "sim-1", None, None, 5, 20)
MAKERS = {"AsyncClient", "ClientSession", "AsyncHTTPTransport"}
FOLDERS = ("net", "providers", "steps", "pipeline", "bot", "web", "app", "cli")


async def _post(into: Path) -> None:
    async with open_provider(BASE, KEY, request_seconds=20) as provider:
        await provider.post(ORDER, lambda: None)


async def _look(into: Path) -> None:
    async with open_provider(BASE, KEY, request_seconds=20) as provider:
        await provider.job("video_1")


async def _content(into: Path) -> None:
    async with open_provider(BASE, KEY, request_seconds=20) as provider:
        await provider.content("video_1", into / "clip")


async def _text(into: Path, tape: Tape | None = None) -> None:
    given = {"prompt": "a boat", "language": "en", "seconds": 8}
    template = SHELF.get("validate_prompt")
    async with open_text_model(BASE, KEY, 20, tape) as client:
        with suppress(TextModelError):
            await ask(client, template, given, Verdict, "m")


async def _recording(into: Path) -> None:
    await _text(into, Tape(recording=True))


async def _probe(into: Path) -> None:
    await _ask(ENDPOINT)


async def _supabase(into: Path) -> None:
    async with open_transport(f"https://{HOST}", KEY, tries=1) as rpc:
        with suppress(LedgerUnavailable):
            await rpc("controls", {})


async def _telegram(into: Path) -> None:
    bot = Bot("123456:ABC", session=TelegramSession(api=TelegramAPIServer.from_base(f"https://{HOST}")))
    with suppress(Exception):  # aiogram has a dozen for a proxy that hangs up
        await bot.get_me()
    await bot.session.close()


CLIENTS: tuple[Callable[[Path], Awaitable[None]], ...] = (
    *(_post, _look, _content, _text, _recording, _probe, _supabase, _telegram),
)


@pytest.mark.asyncio
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__.strip("_"))
async def test_every_http_client_uses_the_proxy_of_the_environment(
    client: Callable[[Path], Awaitable[None]], variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 403 no\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        await client(tmp_path)
    assert asked and set(asked) == {b"CONNECT %b:443 HTTP/1.1\r\n" % HOST.encode()}


def _makers(path: Path) -> list[ast.Call]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [call for call in calls if ast.unparse(call.func).rsplit(".", 1)[-1] in MAKERS]


def test_every_http_client_is_created_with_the_shared_proxy_and_certificates() -> None:
    made = [(path, call) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") for call in _makers(path)]
    assert len(made) >= 8
    for path, call in made:
        given = {each.arg: ast.unparse(each.value) for each in call.keywords}
        where = f"{path.relative_to(ROOT)}:{call.lineno}"
        assert "proxy" in given and given.get("trust_env") == "False", where
        assert given.get("verify") in {"trusted()", "tls", "self._tls"} or "ssl=trusted()" in given["connector"], where
