"""Fixtures for end-to-end tests: a real PostgreSQL, a simulator in its own process, and a run context between them."""

import asyncio
import atexit
import json
import os
import random
import re
import secrets
import shutil
import time
import urllib.request
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import psycopg
import pytest

from app.context import rules as rules_of
from pipeline.clock import boot_seconds
from pipeline.context import ProviderAccount, ProviderRules, RunContext, TextModel
from pipeline.ledger.client import Ledger
from pipeline.ledger.migrate import install_queue, migrate
from pipeline.ledger.transports.over_psycopg import open_transport
from pipeline.postgres.embedded import open_server
from pipeline.prompts.versions import PromptVersions
from pipeline.purchase.answer_files import AnswerFiles
from pipeline.purchase.verdicts import ListFacts
from pipeline.settings.config import load_settings
from pipeline.settings.parts import Waits
from pipeline.settings.resources import models_file, prompts_folder
from providers.apis import api_of
from providers.catalogue import load_catalogue, text_cost_microusd
from providers.orders import OPENAI
from providers.transport import open_provider
from steps.check_limits import Request
from steps.contracts import CONTRACTS
from steps.text_model.ask_model import open_text_model
from steps.text_model.prompt_store import PromptStore
from tests.providers.vendors.ordered import INPUT_OF, KEY_OF, MODEL_OF
from tests.support.npm import Absent
from tests.support.postgres17 import open_postgres17
from tests.support.warm_processes import WarmProcesses

ROOT = Path(__file__).parents[2]
KEY = "test-key"
STANDING_SERVER = "ONETAKE_TEST_SERVER"  # the address of a `migrated_server`
MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 8 << 30  # a server takes a quarter of it at most, mostly for its log
PRICE_MICROUSD = 800_000  # 8 s of sim-1
# For servers with throwaway data: tests that stop or kill a server have their own.
FAST = ("fsync = off", "full_page_writes = off", "autovacuum = off")
MIDNIGHT_IS_NEAR = timedelta(minutes=1)  # longer than any test that checks a day's sums


@dataclass(frozen=True)
class Simulator:
    """A simulator in its own process; its books decide."""

    url: str  # with /v1
    provider: str = OPENAI

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    @property
    def provider_url(self) -> str:
        """The base URL of the simulated provider that is bought from."""
        return self.url if self.provider == OPENAI else f"{self.root}/{self.provider}"

    def control(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            self.root + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def books(self) -> dict[str, Any]:
        books: dict[str, Any] = self.control("GET", "/_sim/books")
        return books

    def paid_calls(self) -> int:
        return int(self.books()["totals"]["paid_calls"])

    def creates(self) -> int:
        return int(self.books()["totals"]["creates"])

    def trouble(self, target: str, kind: str, **how: object) -> None:
        self.control("POST", "/_sim/faults", {"target": target, "kind": kind, **how})

    def makes(self, file: bytes, **how: object) -> None:
        """Serve this file as the next content."""
        self.trouble("content", "file", base64=b64encode(file).decode(), **how)


@contextmanager
def simulator_process(*options: str) -> Iterator[Simulator]:
    """Start a simulator on a free port."""
    with _warm_processes().simulator("--port", "0", "--tiny-clips", "--refund-failed", *options) as line:
        match = re.search(r"http\S+", line)
        assert match, f"the simulator did not start: {line}"
        yield Simulator(match[0])


@cache
def _warm_processes_of(_: int) -> WarmProcesses:
    warm_processes = WarmProcesses()
    atexit.register(warm_processes.close)
    return warm_processes


def _warm_processes() -> WarmProcesses:
    """One per process: a fork has its parent's modules and must not share its pipe."""
    return _warm_processes_of(os.getpid())


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A simulator with instant renders and empty books."""
    with simulator_process("--speed", "instant") as process:
        yield process


@contextmanager
def _chosen_server(folder: Path) -> Iterator[str]:
    """The embedded PostgreSQL 18, or 17 with ONETAKE_TEST_POSTGRES=17."""
    if os.environ.get("ONETAKE_TEST_POSTGRES") != "17":
        with open_server(folder) as uri:
            yield uri
        return
    try:
        with open_postgres17() as uri:
            yield uri
    except Absent as why:
        pytest.skip(str(why))


@contextmanager
def fast_folder(elsewhere: Path) -> Iterator[Path]:
    """In memory if there is room: each test creates and drops a database, which takes ten times as long on disk."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < MEMORY_BYTES_MIN:
        yield elsewhere
        return
    with TemporaryDirectory(prefix="onetake-tests-", dir=MEMORY, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def migrated_server(folder: Path) -> Iterator[str]:
    """A server with a migrated template that tests copy."""
    with _chosen_server(folder) as uri:
        with psycopg.connect(uri, autocommit=True) as connection:
            for setting in FAST:
                connection.execute(f"alter system set {setting}".encode())
            connection.execute("select pg_reload_conf()")
            connection.execute("create database ledger_template")
        template = psycopg.conninfo.make_conninfo(uri, dbname="ledger_template")
        migrate(template)
        install_queue(template)
        yield uri


@pytest.fixture(scope="session")
def postgres_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for the whole run; STANDING_SERVER names one that stays for several runs."""
    if STANDING_SERVER in os.environ:
        yield os.environ[STANDING_SERVER]
        return
    with fast_folder(tmp_path_factory.mktemp("postgres")) as folder, migrated_server(folder) as uri:
        yield uri


@pytest.fixture
def one_day() -> None:
    """Budgets and limits restart at midnight UTC: a test about to cross it waits for the new day."""
    now = datetime.now(UTC)
    left = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC) - now
    if left < MIDNIGHT_IS_NEAR:
        time.sleep(left.total_seconds())


@pytest.fixture
def ledger_dsn(postgres_uri: str, one_day: None) -> Iterator[str]:
    """A fresh, migrated database with the queue installed."""
    name = f"ledger_{uuid4().hex}"
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute(f"create database {name} template ledger_template strategy file_copy")
        yield psycopg.conninfo.make_conninfo(postgres_uri, dbname=name)
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def empty_dsn(postgres_uri: str, one_day: None) -> Iterator[str]:
    """An empty database."""
    name = f"empty_{uuid4().hex}"
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        yield psycopg.conninfo.make_conninfo(postgres_uri, dbname=name)
        connection.execute(f"drop database {name} with (force)")


# Pauses are short. Deadlines are long: on a busy machine, a short one turns a slow moment into a failed run.
QUICK = {
    "POLL_SECONDS": "0.05",
    "ATTEND_SECONDS": "1",
    "LOOK_SECONDS": "0.05",
    "RECONCILE_GRACE_SECONDS": "0.3",
    "SUBMIT_DEADLINE_SECONDS": "30",
    "CONNECT_TIMEOUT_SECONDS": "30",
    "REQUEST_TIMEOUT_SECONDS": "30",
    "REQUEST_SLACK_SECONDS": "0.2",
    "RENDER_DEADLINE_SECONDS": "120",
    "PAUSE_PATIENCE_SECONDS": "0.5",
    "CONFIRM_SECONDS": "900",
}
# For tests that kill a process during its request and wait until the request must be over.
SOON_OVER = {"SUBMIT_DEADLINE_SECONDS": "2", "CONNECT_TIMEOUT_SECONDS": "2", "REQUEST_TIMEOUT_SECONDS": "2"}


def quick_waits(**changes: str) -> Waits:
    """Short pauses, long deadlines."""
    return load_settings(QUICK | changes, None).waits


_DATABASES: WeakKeyDictionary[Ledger, str] = WeakKeyDictionary()  # of each test context's ledger


def without_deadlines(context: RunContext) -> RunContext:
    """The same context with request deadlines of zero: by them, this machine's own requests are over at once."""
    now = timedelta()
    return replace(context, waits=replace(context.waits, submit_deadline=now, connect_timeout=now, request_timeout=now))


def request_ended(context: RunContext) -> RunContext:
    """The same context, for tests that saw the request end: nothing waits for the request's deadlines."""
    with psycopg.connect(_DATABASES[context.ledger], autocommit=True) as connection:
        connection.execute("update onetake.runs set request_seconds = null where request_seconds is not null")
    return without_deadlines(context)


@asynccontextmanager
async def open_test_context(
    dsn: str, sim: Simulator, home: Path, waits: Waits | None = None, **rules: Any
) -> AsyncIterator[RunContext]:
    """The real context of a run, at the simulator. `rules`: what differs from what is known of its provider."""
    catalogue = load_catalogue(models_file())
    api = api_of(sim.provider, sim.provider_url)
    known = ListFacts() if sim.provider == OPENAI else rules_of(None, api.facts, load_settings({}, None)).listing
    told_of_list = {field.name: rules.pop(field.name) for field in fields(ListFacts) if field.name in rules}
    listing = replace(known, **told_of_list)
    told: dict[str, Any] = {"refuses_429_before_work": False, "typical_render_seconds": 1, "listing": listing} | rules
    waits = waits or quick_waits()
    async with (
        open_transport(dsn) as rpc,
        open_provider(
            sim.provider_url,
            KEY_OF.get(sim.provider, KEY),
            api=api,
            connect_seconds=waits.connect_timeout.total_seconds(),
            request_seconds=waits.request_timeout.total_seconds(),
        ) as provider,
        open_text_model(sim.url, KEY, 60) as text,
    ):
        ledger = Ledger(rpc)
        _DATABASES[ledger] = dsn
        yield RunContext(
            ledger=ledger,
            account=ProviderAccount(provider, sim.provider_url, "fp", lambda _: ProviderRules(**told)),
            text=TextModel(text, "gpt-6-luna", lambda name, i, o: text_cost_microusd(catalogue, name, i, o)),
            prompts=PromptVersions(PromptStore(prompts_folder(), contracts=CONTRACTS), rpc),
            answers=AnswerFiles(home / "answers"),
            media=home / "media",
            waits=waits,
            boot_seconds=boot_seconds,
            new_token=lambda: secrets.token_hex(16),
            jitter=random.random,
            sleep=asyncio.sleep,
        )


# The operator declares that absence from the list proves something, after this long, without a witness.
PROVES_ABSENCE: dict[str, Any] = {"absent_after": timedelta(seconds=0), "absence_without_witness": True}
MakeRequest = Callable[..., Request]


def order_request(sim: Simulator, prompt: str = "a paper boat in the rain", **changes: Any) -> Request:
    """A request for 8 seconds at the simulated provider."""
    request = Request(
        key=f"cli:{uuid4()}",
        call_id=uuid4(),
        user_id="cli:tester",
        prompt=prompt,
        language="en",
        audience={"kind": "terminal"},
        model=MODEL_OF.get(sim.provider, "sim-1"),
        seconds=8,
        size="720x1280",
        asked_seconds=None,
        asked_size=None,
        create_body="multipart",
        price_microusd=PRICE_MICROUSD,
        bills_failed=False,
        base_url=sim.provider_url,
        key_fingerprint="fp",
        provider=sim.provider,
        input=INPUT_OF.get(sim.provider, {}),
    )
    return replace(request, **changes)
