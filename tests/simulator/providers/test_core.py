"""What all doubles of vendors share: books before answers, faults, habits, forgetting, keys. Played with fal's."""

import json
from typing import Any

import aiohttp
import pytest

from simulator.videos.books import Books
from tests.simulator.conftest import Open
from tests.simulator.providers.conftest import FOX, KEY, MODEL, Fal

LOST = (aiohttp.ClientError, TimeoutError)


async def test_order_is_in_the_books_with_its_provider_key_price_and_whole_input(fal: Fal) -> None:
    status, answer = await fal.submit(headers={"Idempotency-Key": "run-1"})
    books = await fal.sim.books()
    entry, job = books["creates"][0], (await fal.sim.truth())[0]
    assert status == 200
    assert (entry["provider"], entry["key"], entry["model"], entry["size"]) == ("fal", "run-1", MODEL, "720x1280")
    assert entry["charged_microusd"] == 800_000 and len(entry["authorization_fingerprint"]) == 12
    assert (job["provider"], job["input"], entry["job_id"]) == ("fal", FOX, answer["request_id"])
    assert books["totals"]["by_provider"] == {"fal": {"creates": 1, "paid_calls": 1, "charged_microusd": 800_000}}


async def test_videos_protocol_neither_lists_nor_shows_a_vendors_jobs(fal: Fal) -> None:
    _, answer = await fal.submit()
    _, video = await fal.sim.buy()
    assert [row["id"] for row in (await fal.sim.listed())["data"]] == [video["id"]]
    assert (await fal.sim.ask("GET", f"/v1/videos/{answer['request_id']}"))[0] == 404
    assert (await fal.job(video["id"]))[0] == 404
    assert set((await fal.sim.books())["totals"]["by_provider"]) == {"fal", "openai"}


@pytest.mark.parametrize(
    ("kind", "params", "made"),
    [
        ("made_then_drop", {}, True),
        ("made_then_timeout", {}, True),
        ("made_late", {"after": 0.05}, True),
        ("half_answer", {}, True),
        ("drop_before", {}, False),
        ("timeout_before", {}, False),
    ],
)
async def test_lost_answer_leaves_a_job_only_if_it_was_made(
    open_provider: Open, kind: str, params: dict[str, Any], made: bool
) -> None:
    async with open_provider(hang_seconds=0.1) as provider:
        fal = Fal(provider)
        await provider.trouble("create", kind, **params)
        with pytest.raises(LOST):
            await fal.submit()
        assert (await fal.totals()) == {"creates": 1, "paid_calls": int(made), "charged_microusd": 800_000 * made}
        assert len((await fal.history())["items"]) == made


@pytest.mark.parametrize(
    ("kind", "params", "status", "body"),
    [
        ("status", {"status": 503}, 503, "detail"),
        ("status", {"status": 429, "retry_after": 3, "made": True}, 429, "detail"),
        ("status", {"status": 409, "body": {"detail": "conflict"}}, 409, "detail"),
        ("error_body", {}, 200, "detail"),
        ("refused", {"name": "moderation"}, 403, "error"),
        ("gateway_retried", {}, 400, "error"),
        ("idless", {}, 200, "message"),
        ("job_in_error", {"status": 422}, 422, "request_id"),
    ],
)
async def test_odd_answer_to_an_order_has_the_vendors_shape(
    fal: Fal, kind: str, params: dict[str, Any], status: int, body: str
) -> None:
    await fal.sim.trouble("create", kind, **params)
    got, answer = await fal.submit()
    assert got == status and body in answer


async def test_answer_without_an_id_and_with_the_key_as_id(fal: Fal) -> None:
    await fal.sim.trouble("create", "id_missing")
    await fal.sim.trouble("create", "echoes_key")
    assert (await fal.submit())[1] == {"status": "IN_QUEUE", "queue_position": 0}
    _, answer = await fal.submit(headers={"Idempotency-Key": "run-2"})
    assert answer["request_id"] == "run-2"
    assert (await fal.totals())["paid_calls"] == 2


@pytest.mark.parametrize(
    "kind", ["garbage_json", "html", "bom", "cut_utf8", "charset", "redirect", "slow", "slow_headers"]
)
async def test_unreadable_answer_hides_a_job_that_was_made(fal: Fal, kind: str) -> None:
    await fal.sim.trouble("create", kind, seconds=0.05)
    async with aiohttp.ClientSession() as http:
        url = f"{fal.sim.root}/fal/{MODEL}"
        async with http.post(url, json=FOX, headers=KEY, allow_redirects=False) as answer:
            await answer.read()
    assert (await fal.totals())["paid_calls"] == 1


async def test_proxy_repeat_makes_a_second_job_with_an_id_of_the_vendors_form(fal: Fal) -> None:
    await fal.sim.trouble("create", "repeated_by_proxy", after=0, answer="second")
    _, answer = await fal.submit()
    jobs = await fal.sim.truth()
    assert [(job["owner"], len(job["id"]), job["provider"]) for job in jobs] == [
        ("client", 36, "fal"),
        ("proxy", 36, "fal"),
    ]
    assert answer["request_id"] == jobs[1]["id"]


async def test_words_in_the_prompt_and_faults_decide_how_a_render_ends(fal: Fal, slow_fal: Fal) -> None:
    for prompt, fault in (("render-fails", None), ("a fox", "fails"), ("a fox", None)):
        if fault:
            await fal.sim.trouble("render", fault, code="content_policy_violation", message="flagged")
        await fal.submit(prompt=prompt)
    jobs = await fal.sim.truth()
    seen = [(await fal.job(job["id"]))[1].get("error") for job in jobs]
    assert seen == ["The video could not be generated.", "flagged", None]
    await slow_fal.submit()
    status, shown = await slow_fal.job((await slow_fal.sim.truth())[0]["id"])
    assert (status, shown["status"]) == (202, "IN_QUEUE")
    assert (await fal.submit(prompt="a fox, provider-refuse"))[0] == 422


async def test_refusal_may_be_billed(fal: Fal) -> None:
    await fal.sim.trouble("create", "refused", billed=True)
    assert (await fal.submit())[0] == 422
    assert (await fal.totals()) == {"creates": 1, "paid_calls": 0, "charged_microusd": 800_000}


async def test_key_of_another_scheme_or_not_allowed_is_turned_away(open_provider: Open) -> None:
    async with open_provider(api_keys=frozenset({"right"})) as provider:
        fal = Fal(provider)
        assert (await fal.submit())[0] == 401
        assert (await fal.submit(headers={"Authorization": "Bearer right"}))[0] == 401
        assert (await fal.submit(headers={"Authorization": "Key right"}))[0] == 200
        assert (await fal.totals())["paid_calls"] == 1


async def test_records_and_inputs_are_forgotten_after_their_time(fal: Fal) -> None:
    _, answer = await fal.submit()
    await fal.sim.habit(input_seconds=0)
    row = (await fal.history())["items"][0]
    assert "json_input" not in row and "json_output" not in row
    await fal.sim.habit(record_seconds=0)
    assert (await fal.history())["items"] == []
    assert (await fal.job(answer["request_id"]))[0] == 404


async def test_clip_is_served_without_a_key(fal: Fal) -> None:
    _, answer = await fal.submit()
    _, result = await fal.job(answer["request_id"], "")
    path = result["video"]["url"].removeprefix(fal.sim.root)
    status, clip, headers = await fal.sim.raw("GET", path, headers={"Authorization": ""})
    assert (status, headers["Content-Type"]) == (200, "video/mp4") and clip[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("kind", "params", "expected"),
    [
        ("shows_failed", {}, (200, "COMPLETED", True)),
        ("unknown_status", {"status": "finishing"}, (202, "finishing", False)),
        ("not_found", {}, (404, None, False)),
        ("status", {"status": 500}, (500, None, False)),
        ("echo", {}, (200, "error", True)),
        ("lie", {"habits": {"status_words": {"completed": 2}}}, (202, 2, False)),
        ("list_instead", {}, (200, "success", False)),
    ],
)
async def test_reads_of_a_job_meet_faults_and_habits(
    fal: Fal, kind: str, params: dict[str, Any], expected: tuple[int, Any, bool]
) -> None:
    _, answer = await fal.submit()
    await fal.sim.trouble("retrieve", kind, part="status", **params)
    status, shown = await fal.job(answer["request_id"])
    assert (status, shown.get("status"), "error" in shown) == expected


async def test_other_id_is_shown_in_the_vendors_place(fal: Fal) -> None:
    _, answer = await fal.submit()
    await fal.sim.trouble("retrieve", "other_id", id="other-1", part="status")
    assert (await fal.job(answer["request_id"], ""))[0] == 200  # the fault waits for the other read
    assert (await fal.job(answer["request_id"]))[1]["request_id"] == "other-1"


@pytest.mark.parametrize(
    ("kind", "params", "prompts"),
    [
        ("empty", {}, []),
        ("missing_job", {}, ["one"]),
        ("foreign", {"prompt": "theirs"}, ["one", "two", "theirs"]),
        ("no_prompt", {}, [None, None]),
        ("odd_rows", {"rows": ["string"]}, ["one", "string", "two"]),
    ],
)
async def test_list_meets_faults(fal: Fal, kind: str, params: dict[str, Any], prompts: list[Any]) -> None:
    for prompt in ("one", "two"):
        await fal.submit(prompt=prompt)
    await fal.sim.trouble("list", kind, **params)
    rows = (await fal.history())["items"]
    shown = ["string" if isinstance(row, str) else row.get("json_input", {}).get("prompt") for row in rows]
    assert sorted(map(str, shown)) == sorted(map(str, prompts))


async def test_list_habits_change_what_stands_around_the_rows(fal: Fal) -> None:
    for _ in range(3):
        await fal.submit()
    await fal.sim.habit(page_size=2, list_says={"partial": True}, list_status=206, neighbours="similar")
    status, body = await fal.ask("GET", f"/api/v1/models/requests/by-endpoint?endpoint_id={MODEL}")
    assert (status, body["partial"], len(body["items"]), body["has_more"]) == (206, True, 2, True)
    await fal.submit()
    await fal.sim.habit(page_size=None, list_status=200, has_more="missing")
    body = await fal.history()
    assert "has_more" not in body
    assert [row["json_input"]["aspect_ratio"] for row in body["items"]].count("16:9") == 1


async def test_books_file_without_providers_still_loads(tmp_path: Any) -> None:
    old = tmp_path / "books.jsonl"
    entry = {"at": 1.0, "key": "run-1", "authorization_fingerprint": None, "prompt": "a fox", "model": "sim-1"}
    entry |= {"seconds": "8", "size": "720x1280", "job_id": "video_1", "outcome_sent": "created"}
    entry |= {"charged_microusd": 5, "content_type": "application/json"}
    job = {"id": "video_1", "prompt": "a fox", "model": "sim-1", "seconds": 8, "size": "720x1280", "made_at": 1.0}
    job |= {"created_at": 1, "started_at": 1.0, "ready_at": 2.0, "work_seconds": 1.0}
    old.write_text(json.dumps({"create": entry, "job": job}) + "\n")
    books = Books(old, refund_failed=False)
    try:
        assert books.jobs["video_1"].provider == books.creates[0].provider == "openai"
        assert books.as_json()["totals"]["by_provider"]["openai"]["charged_microusd"] == 5
    finally:
        books.close()
