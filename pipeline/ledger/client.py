"""The ledger, typed: each method is one SQL function of `supabase/schemas`, asked through one callable.

In       `rpc(name, args) -> json`, one of the two transports; arguments are named as in the SQL, without their `p_`
Out      frozen values; a refusal is a value
Raises   what the transport raises: LedgerUnavailable, LedgerRefused, LedgerNotMigrated
Effects  those of the functions. Each is safe to ask again with the same run, key or token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from pipeline.ledger.records import ANY_NUMBER, JobSource, Places, Run, State, read_run
from pipeline.ledger.transport import Json, LedgerCall
from pipeline.purchase.matching import KnownJobs, read_owner
from providers.openai_videos.jobs import canonical_id
from providers.openai_videos.protocol import Order


@dataclass(frozen=True)
class Won:
    """This caller, and no other, may send the order. `submitting_at` is the database's time."""

    order: Order


@dataclass(frozen=True)
class NotWon:
    """The fence stays shut: `refused` is state, paused, breaker_open, not_confirmed, no_place or unknown_run."""

    refused: str
    until: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Amended:
    """The run as it is; `refused` says why it was left so: too_late, or budget_exhausted (`what`: day or month)."""

    run: Run
    refused: str | None = None
    what: str | None = None


@dataclass(frozen=True)
class Recorded:
    """Whether a job became a run's, and if not, why: owned, not_the_winner, state or unknown_run.

    `owner`: the ref of the run that has it, if it is owned.
    """

    recorded: bool
    why: str | None = None
    owner: str | None = None


@dataclass(frozen=True)
class Cost:
    """What a call of the text model took: micro-dollars, milliseconds, and a word on it for the event."""

    microusd: int = 0
    ms: int = 0
    detail: Mapping[str, Any] | None = None


class Ledger:
    """The life of runs. What operators do is in `pipeline.ledger.operators`."""

    def __init__(self, rpc: LedgerCall) -> None:
        self.rpc = rpc

    async def load(self, run_id: UUID | str) -> Run | None:
        return _run_or_none(await self.rpc("load_run", {"run_id": str(run_id)}))

    async def find(self, ref: str) -> Run | None:
        """The run with this ref (any case) or run id."""
        return _run_or_none(await self.rpc("find_run", {"ref": ref}))

    async def find_key(self, key: str) -> Run | None:
        return _run_or_none(await self.rpc("find_key", {"key": key}))

    async def start_attempt(self, run_id: UUID, attempts_max: int, heartbeat: timedelta) -> Run | None:
        return _run_or_none(
            await self.rpc(
                "start_attempt",
                {
                    "run_id": str(run_id),
                    "attempts_max": attempts_max,
                    "attend_seconds": heartbeat.total_seconds(),
                },
            )
        )

    async def heartbeat(
        self, run_id: UUID, heartbeat: timedelta, progress: int | None = None, job_id: str | None = None
    ) -> None:
        """`job_id`: the job that a look has just shown, and did not call failed."""
        seconds = heartbeat.total_seconds()
        args: dict[str, Json] = {"run_id": str(run_id), "attend_seconds": seconds, "progress": progress}
        await self.rpc("attend", args | {"job_id": job_id})

    async def wait_until(self, run_id: UUID, at: datetime | None) -> Run:
        return read_run(await self.rpc("wait_until", {"run_id": str(run_id), "at": _time(at)}))

    async def park(self, run_id: UUID, why: str, next_look_at: datetime | None) -> Run:
        args: dict[str, Json] = {"run_id": str(run_id), "why": why, "next_look_at": _time(next_look_at)}
        return read_run(await self.rpc("park", args))

    async def approve(
        self,
        run_id: UUID,
        *,
        improved_prompt: str,
        title: str,
        category: str,
        language: str,
        template: Mapping[str, str],
        confirm_seconds: float,
        cost: Cost,
    ) -> Run:
        args: dict[str, Json] = {
            "run_id": str(run_id),
            "improved_prompt": improved_prompt,
            "title": title,
            "category": category,
            "language": language,
            "template": dict(template),
            "confirm_seconds": confirm_seconds,
        }
        return read_run(await self.rpc("approve", args | _cost(cost)))

    async def reject(
        self,
        run_id: UUID,
        *,
        reasons: Sequence[str],
        explanation: str,
        safe_rewrite: str | None,
        template: Mapping[str, str],
        cost: Cost,
    ) -> Run:
        args: dict[str, Json] = {
            "run_id": str(run_id),
            "reasons": list(reasons),
            "explanation": explanation,
            "safe_rewrite": safe_rewrite,
            "template": dict(template),
        }
        return read_run(await self.rpc("reject", args | _cost(cost)))

    async def confirm(self, run_id: UUID, seconds: int | None = None, size: str | None = None) -> Run:
        """The user's yes, to this length and size and to no other."""
        return read_run(await self.rpc("confirm", {"run_id": str(run_id), "seconds": seconds, "size": size}))

    async def amend(self, run_id: UUID, seconds: int, size: str, price_microusd: int) -> Amended:
        """Another length or size, and the money set aside changed to match, before the user's yes."""
        args: dict[str, Json] = {"run_id": str(run_id), "seconds": seconds, "size": size}
        answer = _object(await self.rpc("amend", args | {"price_microusd": price_microusd}))
        refused = answer.get("refused") or {}
        return Amended(read_run(answer["run"]), refused.get("kind"), refused.get("what"))

    async def cancel(self, run_id: UUID, by: str, reason: str = "canceled") -> bool:
        """True if this call ended the run; False if it was too late or already over."""
        answer = await self.rpc("cancel_run", {"run_id": str(run_id), "by": by, "reason": reason})
        return bool(_object(answer)["canceled"])

    async def begin_submission(
        self, run_id: UUID, token: str, places: Places = ANY_NUMBER, request: timedelta | None = None
    ) -> Won | NotWon:
        """`request`: how long the winner's request may take; no other machine treats it as over before that."""
        args: dict[str, Json] = {"run_id": str(run_id), "token": token}
        if request is not None:
            args["request_seconds"] = request.total_seconds()
        if places != ANY_NUMBER:
            args |= {"in_flight_max": places.in_flight_max, "creates_per_minute": places.creates_per_minute}
        answer = _object(await self.rpc("begin_submission", args))
        if answer["won"]:
            return Won(Order(**answer["order"]))
        until = answer.get("until")
        return NotWon(answer["refused"], datetime.fromisoformat(until) if until else None, answer.get("reason"))

    async def record_submission(
        self, run_id: UUID, job_id: str, source: JobSource, *, token: str | None = None, ms: int | None = None
    ) -> Recorded:
        args: dict[str, Json] = {
            "run_id": str(run_id),
            "job_id": job_id,
            "source": source.value,
            "token": token,
            "ms": ms,
        }
        answer = _object(await self.rpc("record_submission", args))
        return Recorded(answer["recorded"], answer.get("why"))

    async def mark_uncertain(
        self,
        run_id: UUID,
        doubt: str,
        *,
        token: str | None = None,
        min_age: timedelta | None = None,
        ms: int | None = None,
        answer: Mapping[str, Json] | None = None,
    ) -> bool:
        """`answer`: what came instead of a clear one, for the run's timeline."""
        args: dict[str, Json] = {
            "run_id": str(run_id),
            "doubt": doubt,
            "token": token,
            "min_age_seconds": min_age.total_seconds() if min_age else None,
            "ms": ms,
            "answer": dict(answer) if answer else None,
        }
        return bool(_object(await self.rpc("mark_uncertain", args))["moved"])

    async def fail(
        self,
        run_id: UUID,
        expected: State,
        reason: str,
        detail: str,
        *,
        spent: bool = False,
        token: str | None = None,
        breaker: str | None = None,
        ms: int | None = None,
        job_id: str | None = None,
        apart: timedelta | None = None,
    ) -> bool:
        """True if this call ended the run.

        `job_id`: whose failure was seen, for a run that is rendering; the first look at it that said so must be
        `apart` ago.
        """
        args: dict[str, Json] = {
            "run_id": str(run_id),
            "expected": expected.value,
            "reason": reason,
            "detail": detail,
            "spent": spent,
            "token": token,
            "breaker": breaker,
            "ms": ms,
            "job_id": job_id,
            "apart_seconds": apart.total_seconds() if apart else None,
        }
        return bool(_object(await self.rpc("fail_run", args))["moved"])

    async def note_failing(
        self, run_id: UUID, job_id: str, words: str | None, word: str | None = None, *, seen: bool
    ) -> Run:
        """Why a job failed or expired, or None if it says anything else. `seen`: at its own address (rule 2)."""
        job: dict[str, Json] = {"run_id": str(run_id), "job_id": job_id, "words": words}
        return read_run(await self.rpc("note_failing", job | {"provider_word": word, "seen": seen}))

    async def back_to_doubt(self, run_id: UUID, job_id: str, words: str, apart: timedelta) -> Run:
        """The job was only adopted, and failed: it says nothing about this run."""
        args: dict[str, Json] = {
            "run_id": str(run_id),
            "job_id": job_id,
            "words": words,
            "apart_seconds": apart.total_seconds(),
        }
        return read_run(await self.rpc("back_to_doubt", args))

    async def is_winner(self, run_id: UUID, token: str) -> bool:
        """Whether this token won the run's fence."""
        return bool(await self.rpc("is_winner", {"run_id": str(run_id), "token": token}))

    async def keep_stray_answer(self, run_id: UUID, why: str, status: int | None, body: str) -> None:
        """An answer that fits no run, for the operators' inbox. Kept once."""
        args: dict[str, Json] = {"run_id": str(run_id), "why": why, "status": status, "body": body}
        await self.rpc("keep_stray_answer", args)

    async def reopen(self, run_id: UUID | str, job_id: str) -> Run:
        """A whole clip of the failed run's job is here: it goes on. Nothing changes for any other run."""
        return read_run(await self.rpc("reopen_run", {"run_id": str(run_id), "job_id": job_id}))

    async def witnesses_near(self, run_id: UUID, near: timedelta, rivals_within: timedelta) -> KnownJobs:
        """What the list must show of our own, asked before a look through it for this run."""
        args: dict[str, Json] = {
            "run_id": str(run_id),
            "near_seconds": near.total_seconds(),
            "rival_seconds": rivals_within.total_seconds(),
        }
        answer = _object(await self.rpc("witnesses_near", args))
        shown = {canonical_id(job): read_owner(owner) for job, owner in answer["witnesses"].items()}
        return KnownJobs((), {}, shown, began=datetime.fromisoformat(answer["began"]), rivals=answer["rivals"])

    async def doubts_at(self, base_url: str, key_fingerprint: str, job_keys: Sequence[str]) -> KnownJobs:
        """The runs that may have a job and know of none, who owns the listed jobs, and what the list has shown."""
        args: dict[str, Json] = {"base_url": base_url, "key_fingerprint": key_fingerprint, "job_ids": list(job_keys)}
        answer = _object(await self.rpc("doubts_at", args))
        owned = {job: read_owner(owner) for job, owner in answer["owned"].items()}
        return KnownJobs(
            tuple(map(read_run, answer["runs"])),
            owned,
            running_shown_at=datetime.fromisoformat(shown) if (shown := answer["running_shown_at"]) else None,
            ours_since=datetime.fromisoformat(since) if (since := answer["ours_since"]) else None,
            explained=frozenset(map(canonical_id, answer.get("explained", ()))),
            elsewhere=tuple(
                run for run in map(read_run, answer.get("elsewhere", ())) if run.improved_prompt is not None
            ),
            first_seen={key: datetime.fromisoformat(at) for key, at in answer.get("first_seen", {}).items()},
        )

    async def record_look(
        self,
        run_id: UUID,
        *,
        counts: bool,
        candidates: int,
        running_shown: bool,
        says: str,
        next_look_at: datetime | None,
        detail: Mapping[str, Any],
    ) -> Run:
        """`counts`: the look shows that the run has no job there; `says`: a stable word on what it settled."""
        args: dict[str, Json] = {
            "run_id": str(run_id),
            "look_id": str(uuid4()),
            "counts": counts,
            "candidates": candidates,
            "running_shown": running_shown,
            "says": says,
            "next_look_at": _time(next_look_at),
            "detail": dict(detail),
        }
        return read_run(await self.rpc("record_look", args))

    async def record_caption(
        self,
        run_id: UUID,
        *,
        caption: str,
        hashtags: Sequence[str],
        by: str,
        template: Mapping[str, str],
        cost: Cost,
    ) -> Run:
        args: dict[str, Json] = {
            "run_id": str(run_id),
            "caption": caption,
            "hashtags": list(hashtags),
            "by": by,
            "template": dict(template),
        }
        return read_run(await self.rpc("record_caption", args | _cost(cost)))

    async def save(self, run_id: UUID, file: str, size_bytes: int, sha256: str, *, job_id: str | None, ms: int) -> Run:
        args: dict[str, Json] = {
            "run_id": str(run_id),
            "file": file,
            "file_bytes": size_bytes,
            "file_sha256": sha256,
            "job_id": job_id,
            "ms": ms,
        }
        return read_run(await self.rpc("save_run", args))

    async def told(self, run_id: UUID, state: State, *, delivered: bool = False) -> Run:
        args: dict[str, Json] = {"run_id": str(run_id), "state": state.value, "delivered": delivered}
        return read_run(await self.rpc("told", args))

    async def record_event(self, run_id: UUID, step: str, outcome: str, cost: Cost | None = None) -> None:
        args: dict[str, Json] = {"run_id": str(run_id), "step": step, "outcome": outcome}
        await self.rpc("record_event", args | _cost(cost or Cost()))

    async def due_runs(self, at_most: int) -> tuple[str, ...]:
        """Run ids of unfinished runs that somebody should look at now."""
        answer = await self.rpc("due_runs", {"at_most": at_most})
        assert isinstance(answer, list)
        return tuple(_object(row)["run_id"] for row in answer)

    async def median_render_seconds(self, base_url: str, model: str, seconds: int) -> float | None:
        """The median of up to twenty latest renders of this kind; None without history."""
        args: dict[str, Json] = {"base_url": base_url, "model": model, "seconds": seconds}
        median = _object(await self.rpc("render_history", args))["median_seconds"]
        return float(median) if median is not None else None


def _object(answer: Json) -> dict[str, Any]:
    assert isinstance(answer, dict), f"the ledger answered {type(answer).__name__}, not an object"
    return answer


def _run_or_none(answer: Json) -> Run | None:
    return read_run(answer) if answer else None


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _cost(cost: Cost) -> dict[str, Json]:
    return {"cost_microusd": cost.microusd, "ms": cost.ms, "detail": dict(cost.detail or {})}
