"""fal's module: the create request byte by byte, every answer, the states of a job, whose body it is."""

import json
from typing import Any

import pytest

from providers.job import Job, JobStatus
from providers.orders import SEED, Answer, ClearNo, Fault, Made, Order, Unclear, seed_of
from providers.port import ReadError, Reply, Request, Scope, read_with
from providers.vendors.fal import FACTS, Fal

MODEL = "fal-ai/veo3.1/fast"
ID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
OTHER = "99999999-4b5a-6978-8796-a5b4c3d2e1f0"
ADDRESS = f"https://queue.fal.run/fal-ai/veo3.1/requests/{ID}"
CLIP = "https://v3.fal.media/files/fox/output.mp4"
FAL = Fal()


def order(**changes: Any) -> Order:
    plain: dict[str, Any] = {"run_id": "run-1", "prompt": "a red fox", "model": MODEL, "seconds": 8}
    plain |= {"size": "720x1280", "create_body": "json", "provider": "fal"}
    plain |= {"input": {"duration": "8s", "aspect_ratio": "9:16", "seed": SEED}}
    return Order(**plain | changes)


def shown(status: str = "COMPLETED", job_id: str = ID, **more: Any) -> dict[str, Any]:
    address = f"https://queue.fal.run/fal-ai/veo3.1/requests/{job_id}"
    urls = {"response_url": address, "status_url": f"{address}/status", "cancel_url": f"{address}/cancel"}
    return {"status": status, "request_id": job_id, **urls, **more}


def answer(body: object, status: int = 200) -> Answer:
    return Answer(status, body if isinstance(body, str) else json.dumps(body))


def read(body: object, status: int = 200, **how: Any) -> Made | ClearNo | Unclear:
    return FAL.read_answer(answer(body, status), **{"refuses_429": False, "prompt": "a red fox", **how})


def look(*replies: tuple[int, object], headers: dict[str, str] | None = None) -> tuple[Job | ReadError, list[str]]:
    """What the job's reading returns, and the addresses that it asked."""
    left, asked = list(replies), []

    def reply(request: Request) -> Reply:
        assert request.method == "GET" and not request.pays and request.headers == {"Cache-Control": "no-cache"}
        asked.append(request.url)
        status, body = left.pop(0)
        return Reply(status, body if isinstance(body, str) else json.dumps(body), headers or {})

    return read_with(FAL.job(ID, MODEL), reply), asked


def seen(*replies: tuple[int, object], **how: Any) -> Job | ReadError:
    return look(*replies, **how)[0]


def test_create_request_holds_the_whole_input_and_forbids_retries_fallbacks_and_late_starts() -> None:
    request = FAL.create(order())
    assert request == Request(
        "POST",
        "https://queue.fal.run/fal-ai/veo3.1/fast",
        {
            "Content-Type": "application/json",
            "X-Fal-No-Retry": "1",
            "x-app-fal-disable-fallback": "1",
            "X-Fal-Request-Timeout": "3600",
        },
        f'{{"aspect_ratio":"9:16","duration":"8s","prompt":"a red fox","seed":{seed_of("run-1")}}}'.encode(),
        pays=True,
    )
    assert FACTS.start_limit_seconds == 3600
    assert FAL.authorization("id:secret", 0.0) == {"Authorization": "Key id:secret"}


def test_create_names_the_callback_in_its_address_and_writes_prompts_as_utf8() -> None:
    request = FAL.create(order(prompt='el "ñandú"', input={}, callback_url="https://me.example/callbacks/fal/t0ken"))
    assert request.url.endswith("fast?fal_webhook=https%3A%2F%2Fme.example%2Fcallbacks%2Ffal%2Ft0ken")
    assert request.body == '{"prompt":"el \\"ñandú\\""}'.encode()


def test_input_of_the_model_never_replaces_the_prompt() -> None:
    assert json.loads(FAL.create(order(input={"prompt": "another"})).body)["prompt"] == "a red fox"


@pytest.mark.parametrize("model", ["../admin", "fal-ai//x", "fal-ai/../x", ""])
def test_model_name_that_leads_to_another_path_is_refused(model: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        FAL.create(order(model=model))


def test_marker_is_the_seed_of_the_run() -> None:
    assert FAL.marker(order()) == str(seed_of("run-1"))
    assert FAL.marker(order(input={"duration": "8s"})) is None
    assert FAL.marker(order(input={"seed": 7})) is None


def test_queue_accepts_the_order() -> None:
    made = read(shown("IN_QUEUE", queue_position=0))
    assert isinstance(made, Made)
    assert (made.job.job_id, made.job.status, made.job.word) == (ID, JobStatus.QUEUED, "IN_QUEUE")
    assert made.job.described and made.job.exists


def test_queue_accepts_the_order_in_its_short_form_with_the_id_of_its_gateway() -> None:
    made = read({"request_id": ID, "gateway_request_id": OTHER})
    assert isinstance(made, Made) and (made.job.job_id, made.job.also) == (ID, (OTHER,))


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, {"detail": "No user found for Key ID and Secret"}, "unauthorized"),
        (
            403,
            {"detail": "User is locked. Reason: Exhausted balance. Top up your balance."},
            "no_credit",
        ),
        (403, {"detail": "Forbidden"}, "forbidden"),
        (404, {"detail": "Path /fal-ai/veo9 not found"}, "not_found"),
        (400, {"detail": "Invalid JSON"}, "bad_request"),
        (422, {"detail": [{"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}]}, "bad_request"),
        (
            422,
            {
                "detail": [
                    {
                        "loc": ["body", "prompt"],
                        "msg": "The content could not be processed.",
                        "type": "content_policy_violation",
                        "input": "a red fox",
                    }
                ]
            },
            "prompt_refused",
        ),
    ],
)
def test_refusal_in_fals_form_is_clear_and_only_422_may_be_billed(status: int, body: Any, reason: str) -> None:
    refused = read(body, status)
    assert isinstance(refused, ClearNo) and refused.reason == reason
    assert refused.may_bill is (status == 422)
    assert "[" not in refused.detail and "a red fox" not in refused.detail


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, {"detail": "Internal Server Error"}, "http_500"),
        (502, "<html>nginx</html>", "http_502"),
        (504, {"detail": "Request timed out", "error_type": "request_timeout"}, "http_504"),
        (408, {"detail": "timeout"}, "http_408"),
        (409, {"detail": "Conflict"}, "http_409"),
        (429, {"detail": "Too many requests"}, "rate_limited"),
        (307, "", "http_307"),
        (403, "<html>Forbidden</html>", "refusal_unreadable"),
        (404, "", "refusal_unreadable"),
        (422, {"error": {"message": "invalid prompt"}}, "refusal_unreadable"),
        (422, {"detail": "Request timed out", "error_type": "request_timeout"}, "refusal_of_a_lost_answer"),
        (422, {"detail": "invalid prompt", "request_id": ID}, "refusal_names_a_job"),
        (400, {"detail": "invalid prompt", "status_url": f"{ADDRESS}/status"}, "refusal_names_a_job"),
        (200, '{"status":"IN_QUEUE","request', "unreadable"),
        (200, "<html>please wait</html>", "unreadable"),
        (200, {"video": {"url": CLIP}}, "unreadable"),
        (200, {"request_id": ID}, "unreadable"),
        (200, {"request_id": ID, "error": "busy", "status_url": f"{ADDRESS}/status"}, "unreadable"),
        (200, shown("IN_QUEUE") | {"request_id": OTHER}, "unreadable"),
    ],
)
def test_any_other_answer_is_unclear(status: int, body: object, reason: str) -> None:
    unclear = read(body, status)
    assert isinstance(unclear, Unclear) and unclear.reason == reason


@pytest.mark.parametrize(
    ("fault", "kind"), [(Fault.NEVER_SENT, ClearNo), (Fault.NEVER_CONNECTED, ClearNo), (Fault.LOST, Unclear)]
)
def test_only_an_order_that_never_left_is_certainly_not_bought(fault: Fault, kind: type) -> None:
    assert isinstance(FAL.read_answer(Answer(None, "", fault), refuses_429=False), kind)


@pytest.mark.parametrize(
    ("word", "status"),
    [("IN_QUEUE", JobStatus.QUEUED), ("IN_PROGRESS", JobStatus.IN_PROGRESS), ("FINALIZING", JobStatus.UNKNOWN)],
)
def test_unfinished_request_is_asked_for_its_status_alone(word: str, status: JobStatus) -> None:
    job, asked = look((202, shown(word)))
    assert isinstance(job, Job) and (job.status, job.word, job.named, job.described) == (status, word, True, True)
    assert asked == [f"{ADDRESS}/status"]


@pytest.mark.parametrize(
    "output",
    [
        {"video": {"url": CLIP}, "seed": 7},
        {"videos": [{"url": CLIP}]},
        {"video_url": CLIP},
        {"video": CLIP},
        {"output": [{"url": CLIP}]},
        {"data": {"url": CLIP}},
    ],
)
def test_completed_request_leads_to_the_clip_of_its_result(output: dict[str, Any]) -> None:
    job, asked = look((200, shown(metrics={"inference_time": 7.5})), (200, output))
    assert isinstance(job, Job) and (job.status, job.urls, job.named) == (JobStatus.COMPLETED, (CLIP,), True)
    assert asked == [f"{ADDRESS}/status", ADDRESS]


def test_names_of_models_in_a_namespace_keep_it_in_the_address() -> None:
    reading = FAL.job(ID, "workflows/owner/app/text-to-video")
    assert next(reading).url == f"https://queue.fal.run/workflows/owner/app/requests/{ID}/status"


REFUSED = {"detail": [{"loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation"}]}


def test_request_whose_result_the_model_refused_has_failed() -> None:
    job = seen((200, shown()), (422, REFUSED))
    assert isinstance(job, Job) and (job.status, job.named, job.described) == (JobStatus.FAILED, True, True)
    assert (job.error, job.error_code) == ("flagged", "content_policy_violation")
    assert job.refuses_content(job.error or "")


@pytest.mark.parametrize(
    ("result", "error"),
    [((500, {"detail": "CUDA error"}), "CUDA error"), ((502, "<html>"), "it broke"), ((400, {"detail": "bad"}), "bad")],
)
def test_request_whose_status_has_an_error_has_failed(result: tuple[int, object], error: str) -> None:
    job = seen((200, shown(error="it broke", error_type="runner_disconnected")), result)
    assert isinstance(job, Job) and (job.status, job.error) == (JobStatus.FAILED, error)
    assert job.error_code == "runner_disconnected"


def test_clip_in_the_result_counts_whatever_the_status_said() -> None:
    job = seen((200, shown(error="it broke")), (200, {"video": {"url": CLIP}}))
    assert isinstance(job, Job) and (job.status, job.error, job.urls) == (JobStatus.COMPLETED, None, (CLIP,))


@pytest.mark.parametrize(
    "result",
    [
        (500, {"detail": "Internal Server Error"}),
        (400, {"detail": "Request is still in progress"}),
        (401, {"detail": "No user found"}),
        (429, {"detail": "slow down"}),
        (404, "<html>no such page</html>"),
        (422, "<html>no</html>"),
        (200, "<html>sign in</html>"),
        (200, {"error": "upstream busy"}),
        (200, '{"video": {"ur'),
    ],
)
def test_error_of_reading_the_result_is_no_failure_of_the_request(result: tuple[int, object]) -> None:
    error = seen((200, shown()), result)
    assert isinstance(error, ReadError) and error.status == result[0]


def test_result_that_is_gone_leaves_a_completed_request_without_a_clip() -> None:
    job = seen((200, shown()), (404, {"detail": "Request not found"}))
    assert isinstance(job, Job) and (job.status, job.urls) == (JobStatus.COMPLETED, ())


@pytest.mark.parametrize("word", ["IN_QUEUE", "COMPLETED"])
@pytest.mark.parametrize("more", [{}, {"error": "it broke"}])
def test_status_that_names_another_request_is_not_about_ours(word: str, more: dict[str, Any]) -> None:
    assert isinstance(seen((200, shown(word, OTHER, **more))), ReadError)
    assert isinstance(seen((200, shown(word, **more) | {"request_id": OTHER})), ReadError)
    assert isinstance(seen((200, shown(word, OTHER, **more) | {"request_id": ID})), ReadError)


def test_status_without_an_id_leads_to_the_clip_and_ends_nothing() -> None:
    job = seen((200, {"status": "COMPLETED"}), (200, {"video": {"url": CLIP}}))
    assert isinstance(job, Job) and (job.named, job.described, job.urls) == (False, False, (CLIP,))
    assert isinstance(seen((200, {"status": "COMPLETED"}), (422, REFUSED)), ReadError)
    assert isinstance(seen((200, {"status": "COMPLETED", "error": "broke"}), (500, {"detail": "broke"})), ReadError)


def test_echo_of_the_id_beside_an_error_describes_no_request() -> None:
    job = seen((200, {"request_id": ID, "status": "error", "error": {"message": "upstream failed"}}))
    assert isinstance(job, Job) and (job.status, job.described, job.exists) == (JobStatus.UNKNOWN, False, False)


@pytest.mark.parametrize("body", ["", "<html>", "[]", {"detail": "Not found"}, {"request_id": ID}, {"status": 2}])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_status_that_cannot_be_read_is_a_read_error(body: object, status: int) -> None:
    error = seen((status, body))
    assert isinstance(error, ReadError) and error.status == status


def test_cached_answers_end_nothing() -> None:
    assert isinstance(seen((200, shown(error="it broke")), headers={"age": "9"}), ReadError)
    assert isinstance(seen((202, shown("IN_PROGRESS")), headers={"age": "9"}), Job)


def test_id_that_would_lead_to_another_path_is_never_asked_for() -> None:
    with pytest.raises(ValueError, match="not an id"):
        next(FAL.job("..", MODEL))
    assert next(FAL.job("a/b?c", MODEL)).url == "https://queue.fal.run/fal-ai/veo3.1/requests/a%2Fb%3Fc/status"


def test_there_is_no_look_up_by_our_id_and_no_clip_behind_the_key() -> None:
    assert isinstance(read_with(FAL.find(order()), lambda _: Reply(200, "{}")), ReadError)
    assert FAL.content(ID) is None
    assert isinstance(read_with(FAL.page(None, Scope()), lambda _: Reply(200, "{}")), ReadError)
