"""`onetake check --provider`: what happens after a lost answer here? Calls free endpoints only; never sends a POST.

In       the video endpoint, and what models.toml and the operator say about its list
Out      findings; the first two cover a lost answer whose video was made, and one whose video was not
Effects  two GET requests: the list, and a job that does not exist; if both answer 404, a third below /v1
"""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2

from app.exits import run_async
from app.model_choice import choose_from_settings
from cli.checks.api_shape import Heard, is_page, job_list, why_no_api
from cli.checks.diagnostics import Finding, Health
from net.bounded_body import bound_body
from net.certificates import proxy_for, trusted
from pipeline.formatting import lasting
from pipeline.purchase.verdicts import ListFacts
from pipeline.settings.config import Settings
from pipeline.settings.parts import VideoEndpoint
from pipeline.settings.setting_checks import ConfigError
from providers.catalogue import CatalogueError
from providers.job import ListPage
from providers.transport import UNPACKED

LITELLM = "x-litellm-"
JOBS = 100
ABOUT = "provider"


def probe(settings: Settings) -> list[Finding]:
    """The findings; empty if the settings name no usable provider, which `examine` reports."""
    try:
        endpoint = settings.video
        _, model = choose_from_settings(settings)
    except (ConfigError, CatalogueError):
        return []
    facts = ListFacts(
        shows_all=model.list_shows_all,
        echoes_prompts=model.list_echoes_prompts,
        absent_after=model.absent_after,
        absence_without_witness=settings.video_list_proves_absence,
        exclusive_key=settings.video_key_exclusive,
    )
    return findings(*run_async(_ask(endpoint)), facts)


def findings(listed: Heard, unknown: Heard, below: Heard | None, facts: ListFacts) -> list[Finding]:
    """`below`: the answer at /v1 under the base URL, if that was requested."""
    if below is not None and (job_list(below) is not None or below.status in {401, 403}) and not is_page(below):
        return [Finding(ABOUT, Health.BAD, "the API is under /v1 here: add /v1 to VIDEO_BASE_URL")]
    if wrong := why_no_api(listed, unknown):
        return [Finding(ABOUT, Health.BAD, wrong)]
    return [*_lost_answer(listed, facts), *_unknown_id(unknown), *_proxy((*listed.headers, *unknown.headers))]


def _lost_answer(listed: Heard, facts: ListFacts) -> Iterator[Finding]:
    """What happens after a lost answer: one finding if its job was made, and one if it was not."""
    if listed.status is None:
        words = f"cannot be reached ({listed.why}), so it is unknown whether a lost answer can be recovered here"
        yield Finding(ABOUT, Health.BAD, words)
        return
    if listed.status in {401, 403}:
        words = (
            f"does not accept the key (HTTP {listed.status}), so it is unknown whether a lost answer can be recovered "
            "here"
        )
        yield Finding(ABOUT, Health.BAD, words)
        return
    page = job_list(listed)
    if page is None:
        words = (
            f"only a person can settle a lost answer here: there is no list of jobs to search (HTTP {listed.status})"
        )
        yield Finding(ABOUT, Health.NOTE, words)
        return
    yield _made(page, facts)
    yield _never_made(page, facts)


def _made(page: ListPage, facts: ListFacts) -> Finding:
    """A job that was made is adopted by its prompt or, with VIDEO_KEY_EXCLUSIVE, because it is the only one."""
    if not page.jobs:
        words = (
            "a lost answer whose video was made should be recovered automatically, but the list is empty; the first "
            "video will tell whether it shows prompts"
        )
        return Finding(ABOUT, Health.NOTE, words)
    if all(job.prompt for job in page.jobs):
        words = (
            "a lost answer whose video was made is recovered automatically: the list shows prompts, so the job is "
            "recognized"
        )
        return Finding(ABOUT, Health.GOOD, words)
    if facts.exclusive_key:
        words = (
            "a lost answer whose video was made is recovered automatically only if it is the only order of its time: "
            "the list hides prompts, and VIDEO_KEY_EXCLUSIVE says that nobody else uses this key"
        )
        return Finding(ABOUT, Health.NOTE, words)
    words = (
        "only a person can recover a lost answer whose video was made: the list hides prompts, so the job is only "
        "proposed (if nobody else uses this key, VIDEO_KEY_EXCLUSIVE=true adopts it when it is the only candidate)"
    )
    return Finding(ABOUT, Health.NOTE, words)


def _never_made(page: ListPage, facts: ListFacts) -> Finding:
    """The list proves that no job was made: by jobs of ours around it or, with VIDEO_LIST_PROVES_ABSENCE, by time."""
    cannot = "only a person can confirm that a video was never made:"
    if not facts.shows_all:
        return Finding(ABOUT, Health.NOTE, f"{cannot} models.toml says that the list does not show every job")
    if page.odd_rows:
        return Finding(ABOUT, Health.NOTE, f"{cannot} the list has rows that cannot be read")
    if page.has_more is None and any(job.created_at is None for job in page.jobs):
        return Finding(ABOUT, Health.NOTE, f"{cannot} the list shows neither when jobs were made nor where it ends")
    if facts.absence_without_witness and facts.absent_after is not None:
        after = lasting(facts.absent_after.total_seconds())
        words = (
            f"a video is proven missing once the list has not shown it for {after} and several looks: models.toml has "
            "the limits, and VIDEO_LIST_PROVES_ABSENCE is set"
        )
        return Finding(ABOUT, Health.GOOD, words)
    words = (
        "a video is proven missing only once the list shows a purchase of yours before it and one after it; until "
        "then the run stays in doubt"
    )
    return Finding(ABOUT, Health.NOTE, words)


def _unknown_id(unknown: Heard) -> Iterator[Finding]:
    if unknown.status is not None and unknown.status not in {400, 401, 403, 404, 410}:
        words = f"answers HTTP {unknown.status} for a job that does not exist; such answers are never taken as proof"
        yield Finding(ABOUT, Health.NOTE, words)


def _proxy(headers: tuple[str, ...]) -> Iterator[Finding]:
    if any(name.lower().startswith(LITELLM) for name in headers):
        words = (
            "this is a LiteLLM proxy, which by default retries a failed purchase twice; set `num_retries: 0` there, "
            "or one request may become three paid calls"
        )
        yield Finding(ABOUT, Health.NOTE, words)


async def _ask(endpoint: VideoEndpoint) -> tuple[Heard, Heard, Heard | None]:
    timeout = httpx2.Timeout(endpoint.request_seconds, connect=endpoint.connect_seconds)
    headers = {"Authorization": f"Bearer {endpoint.api_key}"} | UNPACKED
    seconds = endpoint.request_seconds + endpoint.connect_seconds
    async with httpx2.AsyncClient(
        timeout=timeout,
        follow_redirects=False,
        headers=headers,
        verify=trusted(),
        proxy=proxy_for(endpoint.base_url),
        trust_env=False,
        event_hooks={"response": [bound_body]},
    ) as http:
        listed = await _get(http, f"{endpoint.base_url}/videos?limit={JOBS}&order=desc", seconds)
        unknown = await _get(http, f"{endpoint.base_url}/videos/video_{uuid4().hex}", seconds)
        nowhere = {listed.status, unknown.status} == {404} and "/v1" not in urlsplit(endpoint.base_url).path
        below = await _get(http, f"{endpoint.base_url}/v1/videos?limit=1", seconds) if nowhere else None
    return listed, unknown, below


async def _get(http: httpx2.AsyncClient, url: str, seconds: float) -> Heard:
    try:
        async with asyncio.timeout(seconds):
            answer = await http.get(url)
    except TimeoutError:  # the client's own timeouts restart with every byte of a slow answer
        return Heard(None, why=f"no complete answer within {seconds:g} s")
    except (httpx2.HTTPError, ValueError) as error:  # ValueError: the key does not fit into a header
        return Heard(None, why=type(error).__name__)
    # Not `answer.text`: decoding fails if the header names a wrong charset.
    body, location = answer.content.decode(errors="replace"), answer.headers.get("location", "")
    return Heard(answer.status_code, body, tuple(answer.headers), location=location)
