"""The contract of the second transport: each function answers over REST what it answers over psycopg.

The functions' rules are tested over psycopg alone; here every function is called once in two states of a run,
with one sample for each of its arguments.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from pipeline.ledger.transports import over_rest
from pipeline.ledger.transports.common import LedgerRefused
from tests.ledger.client import KEY, PROVIDER, TOKEN, LedgerClient, open_ledger_client, request
from tests.support.fixtures import ROOT
from tests.support.project import SupabaseProject

STATES = ("approved", "rendering")
JOB = "job_1"
CALLBACK_TOKEN = "c" * 32
DEFINED = re.compile(r"create function public\.(\w+)\(([^)]*)\)", re.DOTALL)
ARGUMENT = re.compile(r"p_(\w+) (\w+(?: precision)?)")
VARYING = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # an id
    r"|[0-9a-f]{32}"  # a key
    r"|\b[A-Z2-7]{6}\b"  # a ref
    r"|\d{4}-\d\d-\d\dT[\d:.]+\+00:00"  # a time
)
COUNTED = ("id", "event_id")  # numbers that count up
BY_TYPE: dict[str, Any] = {
    "text": "a word",
    "integer": 4,
    "bigint": 400_000,
    "boolean": False,
    "timestamptz": "2026-01-01T00:00:00+00:00",
    "float8": 1.5,
    "double precision": 1.5,
    "jsonb": {},
}
# What an argument of this name must be for an answer that is more than a refusal.
BY_NAME: dict[str, Any] = {
    "user_id": "tg:1",
    "base_url": PROVIDER,
    "key_fingerprint": KEY,
    "token": TOKEN,
    "job_id": JOB,
    "source": "answer",
    "size": "720x1280",
    "language": "en",
    "state": "rendering",
    "expected": "rendering",
    "look_id": str(uuid4()),
    "reasons": ["violence"],
    "hashtags": ["#fox"],
    "parts": ["seconds"],
    "job_ids": [JOB],
    "buckets": [{"bucket": "bot:1", "at_most": 1, "window_seconds": 60, "gap_seconds": 0}],
    "sha256": "0" * 64,
    "file_sha256": "0" * 64,
    "prompt_hash": "0" * 64,
    "result": {"differences": [], "complete": True},
    "listed": [JOB],
    "created": None,
    "again": True,
}
# Of one function: settings of their own, and the first of all calls.
BY_FUNCTION: dict[str, dict[str, Any]] = {
    "reserve": request("tg:2", "another fox"),
    "set_limit": {"key": "cooldown_seconds", "value": 7, "user_id": None},
    "set_preference": {"key": "confirm", "value": "never"},
    "set_paused": {"paused": True},
    "list_runs": {"state": None},
    "record_caption": {"by": "model"},
    "keep_template": {"sha256": hashlib.sha256(b"a word").hexdigest()},
    "replace_draft": {"request": request("tg:1", "another fox")},
    "note_callback": {"token": CALLBACK_TOKEN},
}


def functions() -> dict[str, dict[str, str]]:
    """Name -> argument -> type, of every function that the program may call."""
    schema = "\n".join(path.read_text() for path in sorted((ROOT / "supabase" / "schemas").glob("*.sql")))
    return {name: dict(ARGUMENT.findall(args)) for name, args in DEFINED.findall(schema)}


def sample(name: str, arguments: dict[str, str], run_id: str) -> dict[str, Any]:
    own = BY_FUNCTION.get(name, {})
    by_name = BY_NAME | {"run_id": run_id, "run_ids": [run_id]}
    return {
        argument: own.get(argument, by_name.get(argument, BY_TYPE.get(kind, run_id)))
        for argument, kind in arguments.items()
    }


def answer(client: LedgerClient, name: str, state: str) -> Any:
    """The answer, or the code of the refusal, without the values that change from call to call."""
    client.empty()
    address = f"https://o.test/callbacks/luma/{CALLBACK_TOKEN}"
    run_id = getattr(client, state)(callback_url=address, **({"job": JOB} if state == "rendering" else {}))
    try:
        return plain(client.call(name, **sample(name, functions()[name], run_id)))
    except LedgerRefused as no:
        return f"refused: {no.code}"


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if key not in COUNTED}
    if isinstance(value, list):
        return [plain(each) for each in value] or None  # of a function that returns nothing, PostgREST makes a list
    if isinstance(value, str):
        return VARYING.sub("...", value)
    return "a number" if isinstance(value, float) else value


@pytest.fixture(scope="module")
def both(project: SupabaseProject) -> Iterator[tuple[LedgerClient, LedgerClient]]:
    """One ledger in a project of real components, over psycopg and over its REST."""
    over = over_rest.open_transport(project.url, project.service_key, tries=1)
    with open_ledger_client(project.dsn) as direct, open_ledger_client(project.dsn, over) as far:
        yield direct, far
        direct.empty()


@pytest.mark.node
@pytest.mark.parametrize("name", functions())
def test_function_answers_the_same_over_rest_and_psycopg(name: str, both: tuple[LedgerClient, LedgerClient]) -> None:
    for state in STATES:
        first, second = (answer(client, name, state) for client in both)
        assert first == second


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("note_callback", "..."),
        ("note_gateway", "..."),
        ("record_charge", {"recorded": True, "released": False}),
    ],
)
def test_samples_of_what_providers_tell_reach_the_run(client: LedgerClient, name: str, told: Any) -> None:
    for state in STATES:
        assert answer(client, name, state) == told


def test_samples_are_accepted_by_every_function_in_at_least_one_state(client: LedgerClient) -> None:
    refused = {name for name in functions() if all(str(answer(client, name, s)).startswith("refused") for s in STATES)}
    assert refused == set()
