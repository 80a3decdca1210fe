"""`onetake audit` and `onetake check --provider`, at a simulator whose books say that neither buys."""

import asyncio
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import httpx2
import pytest
from rich.console import Console

from cli.checks.api_shape import Heard
from cli.checks.diagnostics import Health
from cli.checks.provider_probe import _ask, _get, findings
from cli.output.audit_page import EXPLAIN, print_audit
from net.bounded_body import BODY_BYTES_MAX
from pipeline.purchase.audit import Audit
from pipeline.purchase.differences import Difference, Kind
from pipeline.purchase.verdicts import ListFacts
from pipeline.settings.parts import VideoEndpoint
from tests.cli.conftest import Terminal
from tests.providers.scripted import Reply, answer, in_turn, scripted
from tests.support.fixtures import Simulator, simulator_process

HEALS, PERSON = "whose video was made is recovered automatically", "only a person"
MADE, NEVER = "a lost answer whose video was made", ("a video is proven missing", "only a person can confirm that")
LISTED = '{"object": "list", "data": [%s], "has_more": false, "last_id": null}'
JOB = '{"id": "video_1", "status": "completed", "created_at": 1, "prompt": "%s"}'
NOT_FOUND = Heard(404, '{"detail": "Not Found"}')
NO_VIDEO = Heard(404, '{"error": {"message": "Video \'video_0a\' not found.", "code": "video_not_found"}}')
KONG = '{"message": "no Route matched with those values", "request_id": "%s00a2"}'
INVALID_URL = '{"error": {"message": "Invalid URL (GET /v2/%s)", "type": "invalid_request_error"}}'
SPRING = '{"timestamp": "2026-11-23T14:00:00", "status": 404, "error": "Not Found", "path": "/v2/%s"}'
NOTHING_THERE = '{"error": {"message": "The resource does not exist"}}'
CANNOT_GET = '{"message": "Cannot GET /v2/%s", "statusCode": 404}'
MEDIA = '{"data": [{"id": 7, "title": "A holiday"}]}'
RIGHT_PATH = "check the path of VIDEO_BASE_URL"
T = timedelta(minutes=30)
BEGAN = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
FOUND = Audit(
    complete=True,
    why_incomplete="",
    since=BEGAN - timedelta(days=1),
    jobs=3,
    runs=2,
    differences=(
        Difference(
            Kind.JOB_WITHOUT_RUN,
            f"no run owns job video_{'a1' * 20} (sim-1, 8 s); it may be the order of run A7K2QX",
            job_id=f"video_{'a1' * 20}",
            microusd=800_000,
            could_be_ours=True,
            first_at="2026-11-22T09:00:00+00:00",
        ),
        Difference(
            Kind.TWO_PAID_CALLS, "run A7K2QX has job video_1, and video_2 is its order as well", "A7K2QX", "video_2"
        ),
    ),
)


@pytest.fixture
def folder_simulator() -> Iterator[Simulator]:
    """One of its own: an audit sees every job that anybody made with the key."""
    with simulator_process("--speed", "instant") as process:
        yield process


@pytest.mark.parametrize("width", [60, 80, 120])
def test_audit_report_fits_the_terminal_without_breaking_words(width: int) -> None:
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)

    print_audit(FOUND, BEGAN, console)

    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(" ".join(lines).split())
    for each in FOUND.differences:
        assert each.words in words, "no word is broken"
    assert "job without run, $0.80" in lines and "two paid calls, run A7K2QX" in lines
    assert "(since 2026-11-22 09:00 UTC)" in words
    assert EXPLAIN in words and words.count("Not clean, 2 differences") == 1


def test_piped_audit_report_is_not_wrapped() -> None:
    console = Console(file=StringIO(), width=80)

    print_audit(FOUND, BEGAN, console)

    assert isinstance(console.file, StringIO)
    assert f"  {FOUND.differences[1].words}" in console.file.getvalue().splitlines()
    assert EXPLAIN in console.file.getvalue().splitlines()


def test_audit_is_clean_if_provider_and_ledger_agree(onetake: Terminal) -> None:
    onetake.create("a red kite")

    said = onetake("audit")

    assert (said.code, said.out[:6]) == (0, "Clean:")
    assert "1 job at the provider against 1 run" in said.words
    assert onetake("audit", "--since", "7d", "--json").object["clean"] is True


def test_job_without_a_run_is_a_difference(onetake: Terminal) -> None:
    onetake.create("a red kite")
    job = onetake.sim.control("POST", "/_sim/jobs", {"prompt": "somebody else's"})

    said = onetake("audit", COLUMNS="200")

    assert said.code == 1
    assert f"no run owns job {job['id']}" in said.words and "Not clean, 1 difference" in said.words
    (found,) = onetake("audit", "--json").object["differences"]
    assert (found["kind"], found["job_id"], found["ref"]) == ("job_without_run", job["id"], None)


def test_a_difference_stays_open_until_a_person_explains_it(onetake: Terminal) -> None:
    onetake.create("a red kite")
    job = onetake.sim.control("POST", "/_sim/jobs", {"prompt": "somebody else's"})["id"]
    first = onetake("audit", COLUMNS="200")
    assert "(since 20" not in first.words and "--explain JOB_ID" in first.words

    again = onetake("audit", COLUMNS="200")
    assert again.code == 1 and f"no run owns job {job}" in again.words and "(since 20" in again.words
    [found] = onetake("audit", "--json").object["differences"]
    assert found["first_at"] and found["could_be_ours"] is False

    assert onetake("audit", "--explain", job).code == 2
    assert onetake("audit", "--why", "a test").code == 2
    closed = onetake("audit", "--explain", job, "--why", "a colleague's test", OPENAI_API_KEY="", VIDEO_MODEL="")
    assert (closed.code, closed.out.splitlines()[0]) == (0, f"Explained: 1 difference about {job} closed, for good.")
    assert onetake("audit", "--explain", job, "--why", "again").code == 1
    assert onetake("audit").code == 0


def test_an_audit_that_could_not_read_the_list_is_never_clean(onetake: Terminal) -> None:
    onetake.create("a red kite")
    onetake.sim.trouble("list", "status", status=500, always=True)

    said = onetake("audit")

    assert said.code == 1
    assert said.out.startswith("Incomplete, the provider's list proves nothing: it could not be read: HTTP ")
    assert onetake("audit", "--json").object["clean"] is False


@pytest.mark.parametrize("since", ["0h", "soon", "24", "9999d"])
def test_invalid_since_option_exits_with_2_and_examples(onetake: Terminal, since: str) -> None:
    said = onetake("audit", "--since", since)

    assert said.code == 2 and "90m, 24h or 7d" in said.err


def test_check_provider_predicts_what_a_lost_answer_becomes_and_buys_nothing(onetake: Terminal) -> None:
    empty = onetake("check", "--provider")
    assert empty.code == 0 and "the list is empty" in empty.words
    onetake.sim.control("POST", "/_sim/jobs", {})

    assert HEALS in onetake("check", "--provider").words
    onetake.sim.control("POST", "/_sim/habits", {"null_prompts": True})
    assert PERSON in onetake("check", "--provider").words
    onetake.sim.control("POST", "/_sim/habits", {"no_list_status": 400})
    assert PERSON in onetake("check", "--provider").words
    gone = onetake("check", "--provider", VIDEO_BASE_URL="http://127.0.0.1:9/v1", VIDEO_API_KEY="k")
    assert gone.code == 2 and "cannot be reached" in gone.words
    assert HEALS not in onetake("check").words

    assert onetake.sim.creates() == 0


def test_check_warns_about_litellm() -> None:
    words = [f.words for f in findings(Heard(400, "", ("x-litellm-version",)), Heard(500), None, ListFacts())]

    assert len(words) == 3 and PERSON in words[0] and "HTTP 500" in words[1] and "num_retries: 0" in words[2]


@pytest.mark.parametrize(
    ("listed", "unknown", "words"),
    [
        (Heard(200, "<!DOCTYPE html><html>one-api</html>"), Heard(200, "<!DOCTYPE html>"), "is /v1 missing"),
        (Heard(404, " <html>not found</html>"), Heard(404), "is /v1 missing"),
        (Heard(404, "404 page not found"), Heard(404, "404 page not found"), RIGHT_PATH),
        (Heard(404, '<?xml version="1.0"?><Error>'), Heard(404, "<Error/>"), "with a web page"),
        (Heard(403, "<Error><Code>AccessDenied</Code></Error>"), Heard(403, "<Error/>"), "with a web page"),
        (Heard(409, '{"error": "disabled with two API servers"}'), Heard(409), "answers HTTP 409 to everything"),
        (Heard(200, '{"ok": true}'), Heard(200, '{"ok": true}'), "answers HTTP 200 to everything"),
        (Heard(500), Heard(500), "answers HTTP 500 to everything"),
        (NOT_FOUND, NOT_FOUND, RIGHT_PATH),
        (Heard(405, '{"detail": "Method Not Allowed"}'), NOT_FOUND, RIGHT_PATH),
        (Heard(405), Heard(404, "404 page not found"), RIGHT_PATH),
        (Heard(404, CANNOT_GET % "videos?limit=9"), Heard(404, CANNOT_GET % "videos/video_0a"), RIGHT_PATH),
        (Heard(404, KONG % "1f"), Heard(404, KONG % "e2"), RIGHT_PATH),
        (Heard(404, INVALID_URL % "videos"), Heard(404, INVALID_URL % "videos/video_0a"), RIGHT_PATH),
        (Heard(404, SPRING % "videos"), Heard(404, SPRING % "videos/video_0a"), RIGHT_PATH),
        (Heard(404, NOTHING_THERE), Heard(404, NOTHING_THERE), RIGHT_PATH),
        (Heard(400, NOTHING_THERE), Heard(405, NOTHING_THERE), RIGHT_PATH),
        (Heard(302, location="https://host/login?token=secret"), NOT_FOUND, "redirects to https://host/login"),
        (Heard(308, location="/v2/videos/"), NO_VIDEO, "redirects to /v2/videos/ (HTTP 308)"),
        (Heard(200, LISTED % ""), Heard(301), "redirects to nowhere (HTTP 301)"),
        (Heard(200, '{"status": "ok"}'), NOT_FOUND, RIGHT_PATH),
        (Heard(200, MEDIA), NOT_FOUND, RIGHT_PATH),
        (Heard(200, "OK"), NO_VIDEO, "without JSON"),
        (Heard(200), NO_VIDEO, "without JSON"),
        (Heard(200, "<!-- c --><html>"), NO_VIDEO, "with a web page"),
        (Heard(200, "<head>"), NO_VIDEO, "with a web page"),
        (Heard(200, '<svg xmlns="http://www.w3.org/2000/svg">'), NO_VIDEO, "with a web page"),
        (Heard(200, "<html>".encode("utf-16").decode(errors="replace")), NO_VIDEO, "with a web page"),
    ],
)
def test_endpoint_that_is_not_a_video_api_is_reported_as_bad(listed: Heard, unknown: Heard, words: str) -> None:
    [found] = findings(listed, unknown, None, ListFacts())
    assert found.health is Health.BAD and words in found.words and "secret" not in found.words


@pytest.mark.parametrize(
    "listed",
    [
        NOT_FOUND,
        NO_VIDEO,
        Heard(405, '{"detail": "Method Not Allowed"}'),
        Heard(400, '{"error": {"message": "Listing videos is not supported."}}'),
        Heard(404, "404 page not found"),
        Heard(200, '{"status": "ok"}'),
        Heard(200, MEDIA),
    ],
)
@pytest.mark.parametrize("unknown", [NO_VIDEO, Heard(404, "video not found"), Heard(404, '{"code": "task_not_exist"}')])
def test_api_without_a_job_list_is_usable_but_a_lost_answer_needs_a_person(listed: Heard, unknown: Heard) -> None:
    [found] = findings(listed, unknown, None, ListFacts())
    assert found.health is Health.NOTE and PERSON in found.words and "no list of jobs" in found.words


@pytest.mark.parametrize(
    ("below", "words"),
    [
        (Heard(200, LISTED % ""), "add /v1 to VIDEO_BASE_URL"),
        (Heard(401, '{"error": {"message": "no key"}}'), "add /v1 to VIDEO_BASE_URL"),
        (Heard(404, '{"detail": "Not Found"}'), RIGHT_PATH),
        (Heard(200, "<html>"), RIGHT_PATH),
        (Heard(200, '{"status": "ok"}'), RIGHT_PATH),
        (None, RIGHT_PATH),
    ],
)
def test_check_suggests_adding_v1_to_the_base_url_if_the_api_answers_there(below: Heard | None, words: str) -> None:
    [found] = findings(NOT_FOUND, NOT_FOUND, below, ListFacts())
    assert words in found.words and found.health is Health.BAD


def test_check_provider_calls_the_text_model_once_after_a_notice_and_reports_faults(onetake: Terminal) -> None:
    def asked() -> int:
        return int(onetake.sim.control("GET", "/_sim/books")["chat_calls"])

    before = asked()
    fine = onetake("check", "--provider", COLUMNS="200")
    assert (fine.code, asked() - before) == (0, 1) and "text model answers correctly ($0" in fine.words
    assert fine.words.index("a fraction of a cent") < fine.words.index("answers correctly")
    onetake("check")
    assert asked() - before == 1, "without --provider, nobody is asked"

    onetake.sim.trouble("chat", "invalid_json")
    assert "only on attempt 2" in onetake("check", "--provider", COLUMNS="200").words
    onetake.sim.trouble("chat", "html", always=True)
    page = onetake("check", "--provider", COLUMNS="200")
    assert page.code == 2 and "nothing can be ordered" in page.words
    onetake.sim.control("DELETE", "/_sim/faults")

    base = onetake.sim.url.removesuffix("/v1")
    without = onetake("check", "--provider", OPENAI_BASE_URL=base, COLUMNS="200")
    assert without.code == 2 and "is /v1 missing in OPENAI_BASE_URL" in without.words
    assert "add /v1 to VIDEO_BASE_URL" in without.words
    assert onetake.sim.creates() == 0


def said_of(listed: str, **facts: Any) -> tuple[str, str]:
    """Of a made job, and of one that was never made."""
    made, never = (each.words for each in findings(Heard(200, listed), Heard(404), None, ListFacts(**facts)))
    assert MADE in made and never.startswith(NEVER)
    return made, never


def test_visible_prompts_recover_made_jobs_but_absence_needs_witnesses_or_settings() -> None:
    listed = LISTED % JOB % "a boat"

    made, never = said_of(listed)
    assert HEALS in made and "only once the list shows a purchase of yours before it and one after it" in never
    assert said_of(listed, absent_after=T)[1] == never == said_of(listed, absence_without_witness=True)[1]
    assert "for 30 min" in said_of(listed, absent_after=T, absence_without_witness=True)[1]
    assert PERSON in said_of(listed, shows_all=False, absent_after=T, absence_without_witness=True)[1]


def test_hidden_prompts_need_a_person_unless_the_key_is_exclusive() -> None:
    listed = LISTED % JOB % ""

    assert PERSON in said_of(listed)[0] and "VIDEO_KEY_EXCLUSIVE=true" in said_of(listed)[0]
    assert HEALS in said_of(listed, exclusive_key=True)[0] and "only if" in said_of(listed, exclusive_key=True)[0]


@pytest.mark.asyncio
async def test_invalid_charset_does_not_break_the_check() -> None:
    said = answer(404, {"error": {"message": "none"}}, content_type="application/json; charset=zlib")
    async with scripted(in_turn(said)) as server, httpx2.AsyncClient() as http:
        heard = await _get(http, f"{server.url}/videos", 5)
    assert (heard.status, heard.body) == (404, '{"error": {"message": "none"}}')


HEAD = b"HTTP/1.1 200 -\r\ncontent-type: application/json\r\n"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("reply", "why"),
    [
        pytest.param(Reply(HEAD + b"\r\n" + b" " * 1000, drip=0.02), "no complete answer within 1 s", id="body"),
        pytest.param(Reply(HEAD + b"x: " + b"x" * 1000, drip=0.02), "no complete answer within 1 s", id="headers"),
        pytest.param(answer(200, gzip.compress(bytes(50_000_000)), content_encoding="gzip"), "Decoding", id="bomb"),
        pytest.param(answer(200, bytes(BODY_BYTES_MAX + 1)), "Decoding", id="too long"),
    ],
)
async def test_endless_or_oversized_answer_does_not_block_the_check(reply: Reply, why: str) -> None:
    async with scripted(in_turn(reply)) as server:
        listed, _, _ = await asyncio.wait_for(_ask(endpoint(server.url)), 20)
    assert listed.status is None and why in listed.why
    [found] = [each for each in findings(listed, Heard(None), None, ListFacts()) if each.health is Health.BAD]
    assert "cannot be reached" in found.words


@pytest.mark.asyncio
async def test_redirect_target_is_reported_but_not_requested() -> None:
    async with scripted(in_turn(answer(302, location="/login"))) as server:
        listed, _, _ = await _ask(endpoint(server.url))
    assert (listed.status, listed.location) == (302, "/login") and len(server.seen) == 2


def endpoint(base_url: str) -> VideoEndpoint:
    return VideoEndpoint(base_url, "a-key-of-the-provider", "f", None, None, None, 0.5, 0.5)
