"""`POST /v1/videos`: orders, refusals, and their entries in the books."""

import aiohttp
import pytest

from tests.simulator.conftest import FOX, Open, Provider


async def test_json_order_returns_a_job_with_the_ordered_fields(provider: Provider) -> None:
    status, video = await provider.buy()
    assert status == 200
    assert video["id"].startswith("video_")
    assert {name: video[name] for name in FOX} == FOX


async def test_multipart_order_is_accepted(provider: Provider) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in (FOX | {"prompt": "una niña y un ñandú\r\n--no boundary\n{{ 7*7 }}"}).items():
        form.add_field(name, value)
    status, video = await provider.ask("POST", "/v1/videos", data=form)
    assert status == 200
    assert video["prompt"] == "una niña y un ñandú\r\n--no boundary\n{{ 7*7 }}"
    assert (video["seconds"], video["size"]) == ("8", "720x1280")
    assert (await provider.books())["creates"][0]["content_type"] == "multipart/form-data"


async def test_books_store_idempotency_key_fingerprint_and_charge_but_not_the_api_key(
    provider: Provider,
) -> None:
    await provider.ask("POST", "/v1/videos", json=FOX, headers={"Idempotency-Key": "run-1"})
    books = await provider.books()
    entry = books["creates"][0]
    assert entry["key"] == "run-1"
    assert entry["charged_microusd"] == 800_000
    assert entry["outcome_sent"] == "created"
    assert len(entry["authorization_fingerprint"]) == 12
    assert "test-key" not in str(books)


async def test_same_idempotency_key_is_charged_twice(provider: Provider) -> None:
    for _ in range(2):
        await provider.ask("POST", "/v1/videos", json=FOX, headers={"Idempotency-Key": "run-1"})
    totals = (await provider.books())["totals"]
    assert (totals["paid_calls"], totals["distinct_prompts"], totals["charged_microusd"]) == (2, 1, 1_600_000)


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"prompt": ""}, "prompt", "missing_required_parameter"),
        ({"prompt": "   "}, "prompt", "missing_required_parameter"),
        ({"prompt": "x" * 32_001}, "prompt", "string_above_max_length"),
        ({"model": "sora-9"}, "model", "model_not_found"),
        ({"seconds": "5"}, "seconds", "invalid_value"),
        ({"seconds": "8.0"}, "seconds", "invalid_value"),
        ({"size": "1x1"}, "size", "invalid_value"),
        ({"size": "640x480"}, "size", "invalid_value"),
        ({"prompt": "a fox, provider-refuse"}, None, "moderation_blocked"),
    ],
)
async def test_invalid_order_is_rejected_and_not_charged(
    provider: Provider, change: dict[str, str], param: str | None, code: str
) -> None:
    status, answer = await provider.buy(**change)
    assert status == 400
    assert (answer["error"]["param"], answer["error"]["code"]) == (param, code)
    books = await provider.books()
    assert books["totals"] | {"creates": 1, "paid_calls": 0, "charged_microusd": 0} == books["totals"]
    assert books["creates"][0]["outcome_sent"] == "refused 400"


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff\xfe"])
async def test_unreadable_order_body_is_rejected_with_400(provider: Provider, body: bytes) -> None:
    for content_type in (
        "application/json",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "text/plain",
    ):
        headers = {"Content-Type": content_type}
        status, _ = await provider.ask("POST", "/v1/videos", data=body, headers=headers)
        assert status == 400, content_type


async def test_order_without_an_api_key_creates_no_job(provider: Provider) -> None:
    for header in ("", "Bearer ", "Basic abc"):
        status, answer = await provider.ask("POST", "/v1/videos", json=FOX, headers={"Authorization": header})
        assert (status, answer["error"]["code"]) == (401, "missing_api_key")
    assert (await provider.books())["totals"]["paid_calls"] == 0


async def test_unlisted_api_key_is_rejected_when_keys_are_configured(open_provider: Open) -> None:
    async with open_provider(api_keys=frozenset({"right"})) as provider:
        status, answer = await provider.buy()
        assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
        status, _ = await provider.ask("POST", "/v1/videos", json=FOX, headers={"Authorization": "Bearer right"})
        assert status == 200


async def test_open_model_accepts_any_size_and_up_to_twenty_seconds(provider: Provider) -> None:
    status, video = await provider.buy(model="sim-open", seconds="7", size="640x480")
    assert (status, video["seconds"], video["size"]) == (200, "7", "640x480")
    status, _ = await provider.buy(model="sim-open", seconds="21")
    assert status == 400


async def test_unknown_models_habit_accepts_any_model(provider: Provider) -> None:
    await provider.ask("POST", "/_sim/habits", json={"unknown_models": True})
    status, video = await provider.buy(model="acme/video-9", seconds="5")
    assert (status, video["model"]) == (200, "acme/video-9")


async def test_a_json_only_server_refuses_multipart(provider: Provider) -> None:
    await provider.ask("POST", "/_sim/habits", json={"json_only": True})
    form = aiohttp.FormData({"prompt": "a fox"}, default_to_multipart=True)
    status, answer = await provider.ask("POST", "/v1/videos", data=form)
    assert (status, answer["error"]["code"]) == (400, "unsupported_content_type")
