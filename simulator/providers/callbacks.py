"""Reports the end of each job to the address that its order named.

In       the books: jobs with a callback address whose end has not been reported
Out      one POST or more per job, in the vendor's shape and with its signature
Effects  runs until the simulator stops; each attempt is in the books
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from simulator.providers.vendor import Vendor, view_of
from simulator.state import STATE, SimulatorState
from simulator.videos import jobs
from simulator.videos.books import CallbackSent, Job

CHECK_SECONDS = 0.02
TRIES_MAX, RETRY_SECONDS, ANSWER_SECONDS = 3, 0.2, 5.0
ENDED = frozenset({"completed", "failed"})


def add_callbacks(app: web.Application, vendors: Mapping[str, Vendor]) -> None:
    """Report while the application runs."""

    async def reporting(running: web.Application) -> AsyncIterator[None]:
        async with _reporting(running[STATE], vendors):
            yield

    app.cleanup_ctx.append(reporting)


@asynccontextmanager
async def _reporting(state: SimulatorState, vendors: Mapping[str, Vendor]) -> AsyncIterator[None]:
    task = asyncio.create_task(_report_all(state, vendors))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _report_all(state: SimulatorState, vendors: Mapping[str, Vendor]) -> None:
    begun, patience = set[str](), aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(timeout=patience) as http, asyncio.TaskGroup() as group:
        while True:
            for job in list(state.books.owed.values()):
                vendor = vendors.get(job.provider)
                if vendor is not None and vendor.callback is not None and job.id not in begun and _is_due(state, job):
                    begun.add(job.id)
                    group.create_task(_report(state, http, vendor, job))
            await asyncio.sleep(CHECK_SECONDS)


def _is_due(state: SimulatorState, job: Job) -> bool:
    habits, now = state.habits, state.now()
    late = habits.callback_late_seconds if habits.callbacks == "late" else 0.0
    over = jobs.status_of(job, now) in ENDED and now >= job.ready_at + late
    return over and not job.deleted and habits.callbacks != "never"


async def _report(state: SimulatorState, http: aiohttp.ClientSession, vendor: Vendor, job: Job) -> None:
    times = 2 if state.habits.callbacks == "twice" else 1
    for number in range(times):
        await _deliver(state, http, vendor, job, last=number == times - 1)


async def _deliver(state: SimulatorState, http: aiohttp.ClientSession, vendor: Vendor, job: Job, *, last: bool) -> None:
    for number in range(TRIES_MAX):
        status = await _post(state, http, vendor, job)
        done = status is not None and status < 300
        over = last and (done or number == TRIES_MAX - 1)
        sent = CallbackSent(state.now(), vendor.name, job.id, job.callback_url or "", status, over)
        state.books.record_callback(sent)
        if done:
            return
        await asyncio.sleep(RETRY_SECONDS)


async def _post(state: SimulatorState, http: aiohttp.ClientSession, vendor: Vendor, job: Job) -> int | None:
    assert vendor.callback is not None
    view = view_of(state, state.root, job, "callback", state.habits)
    report = vendor.callback(view, state.habits.callbacks == "wrong_signature")
    try:
        async with http.post(job.callback_url or "", data=report.body, headers=report.headers) as answer:
            return answer.status
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
