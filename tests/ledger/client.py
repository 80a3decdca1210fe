"""A client for tests of the ledger: calls its functions over one of the transports, and reads what was committed.

In       the connection string of a migrated database
Out      rows as dicts; the paths through the table of states as methods, by the public functions only
Effects  those of the functions. Only `age` writes rows itself: it moves a run into the past.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from hashlib import sha256
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from pipeline.ledger.transports import over_psycopg
from pipeline.ledger.transports.common import LedgerCall
from tests.ledger.transports import TransportClient, opened_transport

PRICE = 800_000
PROVIDER = "http://provider.test/v1"
KEY = "key-fingerprint"
TOKEN = "a-token-of-the-winner"
OTHER_TOKEN = "a-token-of-somebody-else"
STATES = (
    *("reserved", "approved", "submitting", "uncertain", "rendering"),
    *("saved", "delivered", "rejected", "canceled", "failed"),
)
STAMPS = (
    *(
        "state_since",
        "reserved_at",
        "approved_at",
        "submitting_at",
        "uncertain_at",
        "rendering_at",
        "saved_at",
    ),
    *(
        "delivered_at",
        "rejected_at",
        "canceled_at",
        "failed_at",
        "parked_at",
        "deferred_since",
        "confirm_until",
    ),
    *("first_look_at", "last_look_at"),
)
# Everything a test may have changed, children first; `moves` stays, it is part of the schema.
EMPTIED = (
    "events",
    "leases",
    "runs",
    "users",
    "budgets",
    "limit_changes",
    "providers",
    "control",
    "breakers",
    "limits",
    "rate_buckets",
    "hosts",
    "audits",
    "audited",
    "differences",
    "stray_answers",
    "alerts",
    "event_days",
    "prompt_days",
    "cached_days",
    "counted",
)

Row = dict[str, Any]


class LedgerClient:
    """A transport to one ledger, and two connections beside it. `calls` acts; `eyes` sees only what was committed."""

    def __init__(self, dsn: str, transport: TransportClient, first_limits: Sequence[Row]) -> None:
        self.dsn, self.transport = dsn, transport
        self.calls = connect(dsn)
        self.eyes = connect(dsn)
        self._first_limits = first_limits

    def close(self) -> None:
        self.calls.close()
        self.eyes.close()

    def empty(self) -> None:
        """Resets the database as migrated: no runs, no users, the default limits."""
        with self.calls.transaction():
            for table in EMPTIED:
                self.calls.execute(sql.SQL("delete from onetake.{}").format(sql.Identifier(table)))
            self.calls.execute("insert into onetake.control default values")
            self.calls.execute("insert into onetake.counted (before) values ('-infinity')")
            self.calls.execute("insert into onetake.breakers (scope) values ('all')")
            self.calls.execute(
                "insert into onetake.limits select * from jsonb_populate_recordset(null::onetake.limits, %s)",
                (Jsonb(self._first_limits),),
            )

    # -- asking and reading

    def call(self, name: str, **args: Any) -> Any:
        """Calls one function of the ledger, over the transport under test."""
        return self.transport.ask(name, **args)

    def rows(self, query: str, *values: Any) -> list[Row]:
        return self.eyes.execute(query.encode(), values).fetchall()

    def one(self, query: str, *values: Any) -> Any:
        """The first column of the first row."""
        found = self.rows(query, *values)
        return next(iter(found[0].values())) if found else None

    def write(self, query: str, *values: Any) -> int:
        """Executes the test's own SQL: only to move rows in time, or to prove that the database refuses."""
        return self.calls.execute(query.encode(), values).rowcount

    def row(self, run_id: str) -> Row:
        """A run as JSON, because Python's datetime has no 'infinity'."""
        found = self.one("select to_jsonb(r) from onetake.runs r where run_id = %s", run_id)
        assert found, f"no run {run_id}"
        return dict(found)

    def state(self, run_id: str) -> str:
        return str(self.row(run_id)["state"])

    def events(self, run_id: str) -> list[tuple[str, str]]:
        query = "select step, outcome from onetake.events where run_id = %s order by event_id"
        return [(row["step"], row["outcome"]) for row in self.rows(query, run_id)]

    def age(self, run_id: str, seconds: float) -> None:
        """Moves a run and its lease into the past."""
        moved = ", ".join(f"{stamp} = {stamp} - make_interval(secs => %(seconds)s)" for stamp in STAMPS)
        values = {"run_id": run_id, "seconds": seconds}
        self.calls.execute(f"update onetake.runs set {moved} where run_id = %(run_id)s".encode(), values)
        self.calls.execute(
            "update onetake.leases set expires_at = expires_at - make_interval(secs => %(seconds)s)"
            " where run_id = %(run_id)s",
            values,
        )

    def limit(self, key: str, value: Any, user: str | None = None) -> None:
        answer = self.call("set_limit", key=key, value=value, who="tests", user_id=user)
        assert answer["set"], answer

    def unlimited(self) -> None:
        """Lifts the limits, for tests that are about something else."""
        for key in ("active_runs_per_user", "videos_per_user_day", "breaker_user_submissions"):
            self.limit(key, 1_000_000)
        for key in ("breaker_all_submissions", "breaker_failures", "rejected_per_user_day", "canceled_per_user_day"):
            self.limit(key, 1_000_000)
        for key in ("budget_day_microusd", "budget_month_microusd"):
            self.limit(key, 10**14)
        self.limit("cooldown_seconds", 0)

    def open_breaker(self, seconds: float, scope: str = "all") -> None:
        self.write(
            "insert into onetake.breakers (scope, open_until) values (%s, now() + make_interval(secs => %s))"
            " on conflict (scope) do update set open_until = excluded.open_until",
            scope,
            seconds,
        )

    # -- the paths of a run's life

    def ask(self, user: str = "tg:1", prompt: str = "a red fox", **changes: Any) -> Row:
        """One call of `reserve`; returns any answer."""
        return dict(self.call("reserve", **request(user, prompt, **changes)))

    def reserved(self, user: str = "tg:1", prompt: str = "a red fox", **changes: Any) -> str:
        answer = self.ask(user, prompt, **changes)
        assert answer["kind"] == "accepted", answer
        return str(answer["run"]["run_id"])

    def approve(self, run_id: str, cost_microusd: int = 0, confirm_seconds: float = 900) -> Row:
        return dict(
            self.call(
                "approve",
                run_id=run_id,
                improved_prompt="a red fox, at dawn",
                title="Fox",
                category="animals",
                language="en",
                template={"validate_prompt": "abc"},
                confirm_seconds=confirm_seconds,
                cost_microusd=cost_microusd,
                ms=5,
            )
        )

    def reject(self, run_id: str, cost_microusd: int = 0) -> Row:
        return dict(
            self.call(
                "reject",
                run_id=run_id,
                reasons=["violence"],
                explanation="no",
                safe_rewrite=None,
                template={},
                cost_microusd=cost_microusd,
                ms=5,
            )
        )

    def approved(self, user: str = "tg:1", prompt: str = "a red fox", **changes: Any) -> str:
        run_id = self.reserved(user, prompt, **changes)
        assert self.approve(run_id)["state"] == "approved"
        return run_id

    def begin(self, run_id: str, token: str = TOKEN) -> Row:
        return dict(self.call("begin_submission", run_id=run_id, token=token))

    def submitting(self, user: str = "tg:1", prompt: str = "a red fox", **changes: Any) -> str:
        run_id = self.approved(user, prompt, **changes)
        answer = self.begin(run_id)
        assert answer["won"], answer
        return run_id

    def doubt(self, run_id: str, why: str = "timeout", token: str | None = TOKEN) -> Row:
        return dict(self.call("mark_uncertain", run_id=run_id, doubt=why, token=token))

    def uncertain(self, user: str = "tg:1", prompt: str = "a red fox", **changes: Any) -> str:
        run_id = self.submitting(user, prompt, **changes)
        assert self.doubt(run_id)["moved"]
        return run_id

    def record(self, run_id: str, job_id: str, source: str = "answer", token: str | None = None) -> Row:
        if source == "answer" and token is None:
            token = TOKEN
        return dict(self.call("record_submission", run_id=run_id, job_id=job_id, source=source, token=token))

    def rendering(
        self,
        user: str = "tg:1",
        prompt: str = "a red fox",
        *,
        job: str | None = None,
        source: str = "answer",
        **changes: Any,
    ) -> str:
        first = self.submitting if source == "answer" else self.uncertain
        run_id = first(user, prompt, **changes)
        answer = self.record(run_id, job or f"job_{uuid4().hex}", source)
        assert answer["recorded"], answer
        return run_id

    def see(self, run_id: str) -> None:
        """The provider shows the run's job at its own address."""
        job_id = self.row(run_id)["job_id"]
        self.call("heartbeat", run_id=run_id, heartbeat_seconds=1.0, job_id=job_id)

    def save(self, run_id: str, job_id: str | None = None, sha256: str = "f") -> Row:
        """Saves the clip of the run's present job, or of the given one."""
        job = job_id or self.call("load_run", run_id=run_id)["job_id"]
        file = {"file": f"/m/{run_id}.mp4", "file_bytes": 9, "file_sha256": sha256}
        return dict(self.call("save_run", run_id=run_id, job_id=job, **file))

    def saved(self, user: str = "tg:1", prompt: str = "a red fox", **changes: Any) -> str:
        run_id = self.rendering(user, prompt, **changes)
        assert self.save(run_id)["state"] == "saved"
        return run_id

    def delivered(self, user: str = "tg:1", prompt: str = "a red fox", **changes: Any) -> str:
        run_id = self.saved(user, prompt, **changes)
        assert self.call("mark_notified", run_id=run_id, state="saved", delivered=True)["state"] == "delivered"
        return run_id

    def fail(self, run_id: str, expected: str, reason: str = "for_a_test", **more: Any) -> Row:
        """Fails the run, with the proof that the ledger wants unless the caller passes a token."""
        if expected == "rendering" and "token" not in more:
            job_id = more.setdefault("job_id", self.call("load_run", run_id=run_id)["job_id"])
            self.call("note_failing", run_id=run_id, job_id=job_id, words="it failed", seen=True)
            more.setdefault("apart_seconds", 0.0)
        if expected == "uncertain" and reason == "not_made":
            self.write("update onetake.runs set looks_complete = 5 where run_id = %s", run_id)
        return dict(self.call("fail_run", run_id=run_id, expected=expected, reason=reason, detail="", **more))

    def in_state(self, state: str, user: str = "tg:1", prompt: str = "a red fox", **changes: Any) -> str:
        """A new run, brought to this state by the public functions."""
        if state in {"rejected", "canceled", "failed"}:
            run_id = self.reserved(user, prompt, **changes)
            if state == "rejected":
                self.reject(run_id)
            elif state == "canceled":
                self.call("cancel_run", run_id=run_id, by=user)
            else:
                self.fail(run_id, "reserved")
        else:
            run_id = getattr(self, state)(user, prompt, **changes)
        assert self.state(run_id) == state
        return str(run_id)

    # -- the books

    def budget(self, run_id: str) -> tuple[Row, Row]:
        """The day's and the month's budget of a run."""
        row = self.row(run_id)
        query = "select held_microusd as held, spent_microusd as spent from onetake.budgets where period = %s"
        return self.rows(query, str(row["day"]))[0], self.rows(query, row["month"])[0]

    def books_wrong(self) -> list[Row]:
        """Where the committed money does not add up; empty if every micro-dollar is accounted for."""
        return self.rows(BOOKS)


# A run's price lies in exactly one pocket; a budget is the sum over its day's or month's runs, text included.
BOOKS = """
    select ref as what, state, price_microusd, held_microusd, spent_microusd, released_microusd
    from onetake.runs r
    where held_microusd + spent_microusd + released_microusd <> price_microusd
       or 1 <> (held_microusd > 0)::int + (spent_microusd > 0)::int + (released_microusd > 0)::int
       or case when state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering')
                    then held_microusd
               when state in ('saved', 'delivered') then spent_microusd
               when state in ('rejected', 'canceled') then released_microusd
               else spent_microusd + released_microusd end <> price_microusd
    union all
    select b.period, 'budget', b.held_microusd, sums.held, b.spent_microusd, sums.spent
    from (
        select period, sum(held_microusd) as held, sum(spent_microusd + text_microusd) as spent
        from onetake.runs cross join lateral (values (day::text), (month)) as p (period) group by period
    ) as sums full join onetake.budgets b using (period)
    where coalesce(b.held_microusd, 0) <> coalesce(sums.held, 0)
       or coalesce(b.spent_microusd, 0) <> coalesce(sums.spent, 0)
"""


@contextmanager
def open_ledger_client(
    dsn: str, transport: AbstractAsyncContextManager[LedgerCall] | None = None
) -> Iterator[LedgerClient]:
    """Opens a client of a migrated database, over psycopg unless another transport is given."""
    with opened_transport(transport or over_psycopg.open_transport(dsn, tries=1)) as opened, connect(dsn) as connection:
        clerk = LedgerClient(dsn, opened, connection.execute("select * from onetake.limits").fetchall())
        try:
            yield clerk
        finally:
            clerk.close()


def connect(dsn: str) -> psycopg.Connection[Row]:
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=None, row_factory=dict_row)


def call(connection: psycopg.Connection[Row], name: str, **args: Any) -> Any:
    """Calls one function of the ledger; arguments are named as in the SQL, without their p_."""
    given = sql.SQL(", ").join(
        sql.SQL("{} => {}").format(sql.Identifier(f"p_{key}"), sql.Placeholder(key)) for key in args
    )
    values = {key: Jsonb(value) if isinstance(value, dict | list) else value for key, value in args.items()}
    query = sql.SQL("select {}({}) as answer").format(sql.Identifier("public", name), given)
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return row["answer"]


def request(user: str, prompt: str, **changes: Any) -> dict[str, Any]:
    """The arguments of a `reserve`; a new request each time unless the key is given."""
    asked: dict[str, Any] = {
        "key": f"cli:{uuid4().hex}",
        "call_id": str(uuid4()),
        "request_hash": sha256(f"{user} {prompt}".encode()).hexdigest(),
        "user_id": user,
        "audience": {"kind": "telegram", "chat_id": 1, "message_id": 1},
        "language": "en",
        "prompt": prompt,
        "prompt_hash": sha256(prompt.encode()).hexdigest(),
        "model": "sim-video",
        "seconds": 8,
        "size": "720x1280",
        "create_body": "multipart",
        "price_microusd": PRICE,
        "bills_failed": False,
        "base_url": PROVIDER,
        "key_fingerprint": KEY,
    }
    assert set(changes) <= set(asked) | {"confirm", "again", "provider", "input", "callback_url"}, changes
    return asked | changes
