"""Broken bodies on any endpoint, and create answers of other vendors, gateways and proxies."""

import asyncio
import gzip
import json
from typing import Any

import aiohttp
import pytest

from simulator.videos.errors import REFUSALS
from tests.simulator.conftest import FOX, KEY, Open, Provider

TARGETS = ("create", "retrieve", "list", "content", "chat")


async def _sent(provider: Provider, target: str, *, decompress: bool = True) -> tuple[int, bytes, Any]:
    """Status, raw body and headers of the answer that meets a fault on the target."""
    _, video = await provider.buy() if target not in ("create", "chat") else (200, {"id": ""})
    chat = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    asked: dict[str, tuple[str, str, Any]] = {
        "create": ("POST", "/v1/videos", FOX),
        "retrieve": ("GET", f"/v1/videos/{video['id']}", None),
        "list": ("GET", "/v1/videos", None),
        "content": ("GET", f"/v1/videos/{video['id']}/content", None),
        "chat": ("POST", "/v1/chat/completions", chat),
    }
    method, path, body = asked[target]
    async with (
        aiohttp.ClientSession(headers=KEY, auto_decompress=decompress) as session,
        session.request(method, provider.root + path, json=body) as answer,
    ):
        return answer.status, await answer.read(), answer.headers


@pytest.mark.parametrize("target", TARGETS)
async def test_html_fault_replaces_any_response_with_an_error_page(provider: Provider, target: str) -> None:
    await provider.trouble(target, "html", status=502, body="<p>\x00 \ud800</p>")
    status, body, headers = await _sent(provider, target)
    assert (status, body) == (502, b"<p>\x00 \xed\xa0\x80</p>")
    assert headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("charset", ["zlib", "punycode"])
async def test_charset_fault_declares_an_invalid_charset_on_any_response(
    provider: Provider, target: str, charset: str
) -> None:
    await provider.trouble(target, "charset", charset=charset)
    status, _, headers = await _sent(provider, target)
    assert (status, headers["Content-Type"].partition("; ")[2]) == (200, f"charset={charset}")


@pytest.mark.parametrize("target", ["create", "retrieve", "list", "chat"])
async def test_json_response_can_start_with_a_bom_or_end_inside_a_character(provider: Provider, target: str) -> None:
    await provider.trouble(target, "bom")
    await provider.trouble(target, "cut_utf8")
    _, body, _ = await _sent(provider, target)
    assert body.startswith(b"\xef\xbb\xbf{")
    assert json.loads(body.decode("utf-8-sig"))
    with pytest.raises(UnicodeDecodeError):
        (await _sent(provider, target))[1].decode()


async def test_cut_utf8_fault_cuts_inside_the_first_multibyte_character(provider: Provider) -> None:
    await provider.trouble("create", "cut_utf8")
    async with (
        aiohttp.ClientSession(headers=KEY) as session,
        session.post(f"{provider.root}/v1/videos", json=FOX | {"prompt": "niña"}) as answer,
    ):
        body = await answer.read()
    assert body.endswith(b'"prompt":"ni\xc3')


async def test_bom_habit_starts_the_response_with_a_byte_order_mark(provider: Provider) -> None:
    for target in ("create", "retrieve", "list"):
        await provider.trouble(target, "lie", habits={"bom": True})
        _, body, _ = await _sent(provider, target)
        assert body.startswith(b"\xef\xbb\xbf{"), target


@pytest.mark.parametrize("target", TARGETS)
async def test_gzip_bomb_fault_unpacks_to_megabytes(provider: Provider, target: str) -> None:
    await provider.trouble(target, "gzip_bomb", megabytes=2)
    _, packed, headers = await _sent(provider, target, decompress=False)
    assert headers["Content-Encoding"] == "gzip"
    assert len(packed) < 50_000 < 2_000_000 < len(gzip.decompress(packed))


@pytest.mark.parametrize("target", TARGETS)
async def test_endless_fault_streams_a_body_without_content_length(provider: Provider, target: str) -> None:
    await provider.trouble(target, "endless", bytes=300_000)
    _, body, headers = await _sent(provider, target)
    assert ("Content-Length" in headers, len(body) > 300_000) == (False, True)


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("budget_exceeded", 429, "budget_exceeded"),
        ("content_policy_violation", 422, "content_policy_violation"),
        ("sensitive_content", 400, "InputTextSensitiveContentDetected"),
        ("moderation", 403, "flagged"),
        ("idempotency_key_reuse", 422, "already used"),
        ("lost_answer", 400, "timed out"),
    ],
)
async def test_refused_fault_returns_another_vendors_error_without_a_charge(
    provider: Provider, name: str, status: int, words: str
) -> None:
    await provider.trouble("create", "refused", name=name)
    seen, body = await provider.buy()
    assert (seen, words in json.dumps(body)) == (status, True)
    assert (await provider.books())["totals"]["paid_calls"] == 0
    assert name in REFUSALS


async def test_unknown_refusal_name_is_rejected(provider: Provider) -> None:
    fault = {"target": "create", "kind": "refused", "name": "mood"}
    status, answer = await provider.ask("POST", "/_sim/faults", json=fault)
    assert (status, "moderation" in answer["error"]["message"]) == (400, True)


@pytest.mark.parametrize(("forgotten", "later"), [(False, 200), (True, 404)])
async def test_failed_job_fault_creates_a_job_that_has_already_failed(
    open_provider: Open, forgotten: bool, later: int
) -> None:
    async with open_provider(speed=1.0) as provider:
        await provider.trouble("create", "failed_job", code="moderation_blocked", message="No.", forgotten=forgotten)
        status, video = await provider.buy()
        assert (status, video["status"]) == (200, "failed")
        assert video["error"] == {"code": "moderation_blocked", "message": "No."}
        assert (await provider.ask("GET", f"/v1/videos/{video['id']}"))[0] == later
        (true,) = await provider.truth()
        assert (true["fate"], true["deleted"], true["status"]) == ("fails", forgotten, "failed")


@pytest.mark.parametrize("lost", [False, True])
async def test_repeated_by_proxy_fault_creates_a_second_job_later(provider: Provider, lost: bool) -> None:
    await provider.trouble("create", "repeated_by_proxy", after=0.2, lost=lost, status=502)
    status, _ = await provider.buy()
    assert (status, len(await provider.truth())) == (502 if lost else 200, 1)
    await asyncio.sleep(0.3)
    first, second = await provider.truth()
    assert (first["owner"], second["owner"], second["prompt"]) == ("client", "proxy", first["prompt"])
    totals = (await provider.books())["totals"]
    assert (totals["creates"], totals["paid_calls"], totals["repeated_by_proxy"]) == (1, 1, 1)


async def test_repeated_by_proxy_fault_can_answer_with_the_second_job(provider: Provider) -> None:
    await provider.trouble("create", "repeated_by_proxy", after=0.1, answer="second")
    _, video = await provider.buy()
    first, second = await provider.truth()
    assert (video["id"], first["owner"]) == (second["id"], "client")


async def test_gateway_retried_fault_returns_400_though_a_job_was_created(provider: Provider) -> None:
    await provider.trouble("create", "gateway_retried")
    status, _, headers = await provider.raw("POST", "/v1/videos", json=FOX)
    assert (status, headers["x-litellm-attempted-retries"]) == (400, "2")
    await provider.trouble("create", "gateway_retried", headers={"x-envoy-attempt-count": "2"})
    status, _, headers = await provider.raw("POST", "/v1/videos", json=FOX)
    assert (status, headers["x-envoy-attempt-count"]) == (400, "2")
    assert (await provider.books())["totals"]["paid_calls"] == 2


@pytest.mark.parametrize(("how", "shown"), [({}, "completed"), ({"word": "failed"}, "failed")])
async def test_create_error_response_can_contain_the_created_job(
    provider: Provider, how: dict[str, str], shown: str
) -> None:
    await provider.trouble("create", "job_in_error", status=400, **how)
    status, video = await provider.buy()
    (true,) = await provider.truth()
    assert (status, video["id"], video["status"]) == (400, true["id"], shown)


@pytest.mark.parametrize("form", ["", "upper", "bare"])
async def test_echoes_key_fault_returns_the_idempotency_key_as_the_job_id(provider: Provider, form: str) -> None:
    key = "0d9c4b1e-7a43-4d0e-9f0b-2f0f4a3b5c6d"
    await provider.trouble("create", "echoes_key", form=form)
    _, body, _ = await provider.raw("POST", "/v1/videos", json=FOX, headers={"Idempotency-Key": key})
    assert body["id"] == {"upper": key.upper(), "bare": key.replace("-", "")}.get(form, key)
    assert (await provider.books())["totals"]["paid_calls"] == 1


async def test_echo_fault_returns_an_error_with_the_requested_job_id(provider: Provider) -> None:
    _, video = await provider.buy()
    await provider.trouble("retrieve", "echo")
    echo = await provider.seen(video["id"])
    assert sorted(echo) == ["error", "id", "status"] and (echo["id"], echo["status"]) == (video["id"], "error")


async def test_status_fault_can_set_headers_and_an_invalid_utf8_body(provider: Provider) -> None:
    await provider.trouble("create", "status", status=503, body="\ud800", headers={"x-why": "tired"})
    status, body, headers = await provider.raw("POST", "/v1/videos", json=FOX)
    assert (status, body, headers["x-why"]) == (503, b"\xed\xa0\x80", "tired")
