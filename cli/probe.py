"""`onetake check --provider`: what would become of a lost answer here? Asks the free endpoints; never sends a POST.

In       the video endpoint, and whether models.toml says that its list shows all jobs
Out      findings; the first says in one sentence whether a lost answer heals by itself or needs a person
Effects  two GET requests: the list, and a job that does not exist
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import httpx2

from cli.checkup import Finding, Health
from cli.exits import run_async
from cli.wishes import choose
from pipeline.config import ConfigError, Settings, VideoEndpoint
from steps.catalogue import CatalogueError, VideoModel
from steps.videos_protocol import Page, read_page

LITELLM = "x-litellm-"
JOBS = 100
ABOUT = "provider"


@dataclass(frozen=True)
class Heard:
    """One answer to a GET; `status` None: none came."""

    status: int | None
    body: str = ""
    headers: tuple[str, ...] = ()
    why: str = ""


def probe(settings: Settings) -> list[Finding]:
    """Nothing if the settings name no provider: `examine` has said so."""
    try:
        endpoint = settings.video
        _, model = choose(settings)
    except (ConfigError, CatalogueError):
        return []
    return findings(*run_async(_ask(endpoint)), model)


def findings(listed: Heard, unknown: Heard, model: VideoModel) -> list[Finding]:
    return [_verdict(listed, model), *_unknown_id(unknown), *_proxy((*listed.headers, *unknown.headers))]


def _verdict(listed: Heard, model: VideoModel) -> Finding:
    if listed.status is None:
        words = f"cannot be reached ({listed.why}), so what becomes of a lost answer here is not known"
        return Finding(ABOUT, Health.BAD, words)
    if listed.status in {401, 403}:
        words = f"does not accept the key (HTTP {listed.status}), so what becomes of a lost answer here is not known"
        return Finding(ABOUT, Health.BAD, words)
    page = read_page(listed.body) if listed.status == 200 else None
    if page is None:
        words = f"a lost answer here needs a person: there is no list of jobs to look through (HTTP {listed.status})"
        return Finding(ABOUT, Health.NOTE, words)
    if not model.list_shows_all:
        words = "a lost answer here needs a person: models.toml says that the list does not show every job"
        return Finding(ABOUT, Health.NOTE, words)
    return _of_page(page)


def _of_page(page: Page) -> Finding:
    if not page.jobs:
        words = (
            "a lost answer here should heal by itself, but the list is still empty: "
            "whether it echoes prompts shows with the first video"
        )
        return Finding(ABOUT, Health.NOTE, words)
    if not all(job.prompt for job in page.jobs):
        words = "a lost answer here needs a person: the list hides prompts, so it never proves that nothing was made"
        return Finding(ABOUT, Health.NOTE, words)
    if page.has_more is None and any(job.created_at is None for job in page.jobs):
        words = "a lost answer here needs a person: the list says neither when its jobs were made nor where it ends"
        return Finding(ABOUT, Health.NOTE, words)
    return Finding(ABOUT, Health.GOOD, "a lost answer here heals by itself: the list can be read and echoes prompts")


def _unknown_id(unknown: Heard) -> Iterator[Finding]:
    if unknown.status is not None and unknown.status not in {400, 401, 403, 404, 410}:
        words = f"answers HTTP {unknown.status} for a job that does not exist; no answer to a read is taken as proof"
        yield Finding(ABOUT, Health.NOTE, words)


def _proxy(headers: tuple[str, ...]) -> Iterator[Finding]:
    if any(name.lower().startswith(LITELLM) for name in headers):
        words = (
            "LiteLLM answers here: by default it repeats a failed purchase twice by itself; set `num_retries: 0` "
            "there, or one request may be three paid calls"
        )
        yield Finding(ABOUT, Health.NOTE, words)


async def _ask(endpoint: VideoEndpoint) -> tuple[Heard, Heard]:
    timeout = httpx2.Timeout(endpoint.request_seconds, connect=endpoint.connect_seconds)
    trust_env = endpoint.base_url.lower().startswith("https:")  # as the purchase itself does
    headers = {"Authorization": f"Bearer {endpoint.api_key}"}
    async with httpx2.AsyncClient(
        timeout=timeout, follow_redirects=False, trust_env=trust_env, headers=headers
    ) as http:
        listed = await _get(http, f"{endpoint.base_url}/videos?limit={JOBS}&order=desc")
        unknown = await _get(http, f"{endpoint.base_url}/videos/video_{uuid4().hex}")
    return listed, unknown


async def _get(http: httpx2.AsyncClient, url: str) -> Heard:
    try:
        answer = await http.get(url)
    except (httpx2.HTTPError, ValueError) as error:  # ValueError: a key that no header can carry
        return Heard(None, why=type(error).__name__)
    return Heard(answer.status_code, answer.text, tuple(answer.headers))
