"""Where a provider may report a job, and which job its report names."""

import json
from typing import Any

import pytest

from providers.apis import FACTS
from providers.callbacks import JOB_ID_AT, callback_url, job_named
from providers.port import Callback

TOKEN = "t" * 32
CALLED_BACK = [name for name, facts in FACTS.items() if facts.callback is not Callback.NONE]


@pytest.mark.parametrize("provider", CALLED_BACK)
@pytest.mark.parametrize("public_url", ["https://o.test", "https://o.test/", "https://o.test/behind/a/path//"])
def test_address_ends_in_the_provider_and_the_token(provider: str, public_url: str) -> None:
    address = callback_url(public_url, provider, TOKEN)
    assert address is not None
    assert address.startswith("https://o.test/") and address.endswith(f"/callbacks/{provider}/{TOKEN}")
    assert "//" not in address.removeprefix("https://")


@pytest.mark.parametrize(
    ("public_url", "provider"),
    [(None, "fal"), ("", "fal"), ("https://o.test", "runway"), ("https://o.test", "openai"), ("https://o.test", "no")],
)
def test_order_has_no_address_where_nobody_can_call_or_be_reached(public_url: str | None, provider: str) -> None:
    assert callback_url(public_url, provider, TOKEN) is None


def test_each_provider_that_calls_back_has_a_place_for_its_job_and_no_other_has() -> None:
    assert set(JOB_ID_AT) == set(CALLED_BACK)


@pytest.mark.parametrize(
    ("provider", "body", "job_id"),
    [
        ("fal", {"request_id": "r-1", "gateway_request_id": "g-1", "status": "OK", "payload": {"id": "x"}}, "r-1"),
        ("fal", {"gateway_request_id": "g-1"}, None),
        ("replicate", {"id": "p-1", "status": "succeeded"}, "p-1"),
        ("ark", {"id": "cgt-1", "status": "running"}, "cgt-1"),
        ("runware", {"data": [{"taskType": "videoInference", "taskUUID": "u-1"}]}, "u-1"),
        ("runware", {"errors": [{"code": "x", "taskUUID": "u-1"}]}, "u-1"),
        ("runware", {"data": []}, None),
        ("runware", {"data": {"0": {"taskUUID": "u-1"}}}, None),
        ("kling", {"task_id": "t-1", "task_status": "succeed"}, "t-1"),
        ("kling", {"code": 0, "data": {"task_id": "t-1"}}, "t-1"),
        ("higgsfield", {"request_id": "h-1", "status": "completed"}, "h-1"),
        ("openrouter", {"id": "event-1", "data": {"id": "vid-1"}}, "vid-1"),
        ("openrouter", {"id": "vid-1", "status": "completed"}, "vid-1"),
        ("luma", {"id": "l-1", "state": "completed"}, "l-1"),
        ("luma", {"request": {"id": "l-1"}}, None),
        ("luma", {"id": 17}, "17"),
        ("luma", {"id": 0}, None),
        ("luma", {"id": True}, None),
        ("luma", {"id": ["l-1"]}, None),
        ("luma", {"id": "."}, None),
        ("luma", {"id": "a\nb"}, None),
        ("luma", [{"id": "l-1"}], None),
        ("runway", {"id": "l-1"}, None),
        ("openai", {"id": "l-1"}, None),
        ("../luma", {"id": "l-1"}, None),
    ],
)
def test_report_names_its_job_where_its_provider_does(provider: str, body: Any, job_id: str | None) -> None:
    assert job_named(provider, json.dumps(body)) == job_id


@pytest.mark.parametrize("body", ["", "{", "[" * 100_000, '{"id":' * 100_000, "\x00", "null", "1e999", '"x"'])
def test_report_that_is_no_object_names_no_job(body: str) -> None:
    assert job_named("luma", body) is None
