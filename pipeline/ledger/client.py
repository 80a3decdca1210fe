"""The ledger, typed: each method calls one SQL function of `supabase/schemas`, through one callable.

Out      frozen values; a refusal is a value
Raises   what the transport raises: LedgerUnavailable, LedgerRefused, LedgerNotMigrated
Effects  those of the functions. Each is safe to repeat with the same run, key or token.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from pipeline.ledger.answers import Amended, Cost, NotWon, Recorded, Won
from pipeline.ledger.functions import LedgerFunctions
from pipeline.ledger.records import ANY_NUMBER, JobSource, Run, Slots, State, read_run
from pipeline.ledger.transports.common import Json
from pipeline.purchase.matching import KnownJobs, read_owner
from providers.job_ids import canonical_id
from providers.orders import Order


class Ledger(LedgerFunctions):
    """The life of runs. What operators do is in `pipeline.ledger.operators`."""

    async def load(self, run_id: UUID | str) -> Run | None:
        return _run_or_none(await self._ask("load_run", run_id=run_id))

    async def find(self, ref: str) -> Run | None:
        """The run with this ref (any case) or run id."""
        return _run_or_none(await self._ask("find_run", ref=ref))

    async def find_key(self, key: str) -> Run | None:
        return _run_or_none(await self._ask("find_key", key=key))

    async def start_attempt(self, run_id: UUID, attempts_max: int, heartbeat: timedelta) -> Run | None:
        return _run_or_none(
            await self._ask("start_attempt", run_id=run_id, attempts_max=attempts_max, heartbeat_seconds=heartbeat)
        )

    async def heartbeat(
        self, run_id: UUID, heartbeat: timedelta, progress: int | None = None, job_id: str | None = None
    ) -> None:
        """`job_id`: the job that a look has just shown, as not failed."""
        await self._ask("heartbeat", run_id=run_id, heartbeat_seconds=heartbeat, progress=progress, job_id=job_id)

    async def wait_until(self, run_id: UUID, at: datetime | None) -> Run:
        return await self._read(Run, "wait_until", run_id=run_id, at=at)

    async def park(self, run_id: UUID, why: str, next_look_at: datetime | None) -> Run:
        return await self._read(Run, "park", run_id=run_id, why=why, next_look_at=next_look_at)

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
        return await self._read(
            Run,
            "approve",
            run_id=run_id,
            improved_prompt=improved_prompt,
            title=title,
            category=category,
            language=language,
            template=template,
            confirm_seconds=confirm_seconds,
            **cost.as_args(),
        )

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
        return await self._read(
            Run,
            "reject",
            run_id=run_id,
            reasons=reasons,
            explanation=explanation,
            safe_rewrite=safe_rewrite,
            template=template,
            **cost.as_args(),
        )

    async def confirm(self, run_id: UUID, seconds: int | None = None, size: str | None = None) -> Run:
        """The user confirms this length and size, and no other."""
        return await self._read(Run, "confirm", run_id=run_id, seconds=seconds, size=size)

    async def amend(
        self, run_id: UUID, seconds: int, size: str, price_microusd: int, model_input: Mapping[str, Json]
    ) -> Amended:
        """Changes the length or size, and the money set aside to match, before the user confirms.

        `model_input`: what the model is then asked for, by its provider's names.
        """
        answer = await self._ask(
            "amend", run_id=run_id, seconds=seconds, size=size, price_microusd=price_microusd, input=dict(model_input)
        )
        refused = answer.get("refused") or {}
        return Amended(read_run(answer["run"]), refused.get("kind"), refused.get("what"))

    async def cancel(self, run_id: UUID, by: str, reason: str = "canceled") -> bool:
        """True if this call ended the run; False if it was too late or already over."""
        return bool((await self._ask("cancel_run", run_id=run_id, by=by, reason=reason))["canceled"])

    async def begin_submission(
        self, run_id: UUID, token: str, slots: Slots = ANY_NUMBER, request: timedelta | None = None
    ) -> Won | NotWon:
        """`request`: how long the winner's request may take; no other machine treats it as over before that."""
        more: dict[str, object] = {} if request is None else {"request_seconds": request}
        if slots != ANY_NUMBER:
            more |= {"in_flight_max": slots.in_flight_max, "creates_per_minute": slots.creates_per_minute}
        answer = await self._ask("begin_submission", run_id=run_id, token=token, **more)
        if answer["won"]:
            return Won(Order(**answer["order"]))
        return NotWon(answer["refused"], _time(answer.get("until")), answer.get("reason"))

    async def record_submission(
        self, run_id: UUID, job_id: str, source: JobSource, *, token: str | None = None, ms: int | None = None
    ) -> Recorded:
        answer = await self._ask("record_submission", run_id=run_id, job_id=job_id, source=source, token=token, ms=ms)
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
        moved = await self._ask(
            "mark_uncertain",
            run_id=run_id,
            doubt=doubt,
            token=token,
            min_age_seconds=min_age or None,
            ms=ms,
            answer=answer or None,
        )
        return bool(moved["moved"])

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

        `job_id`: for a rendering run, the job that failed; the first look that showed it must be `apart` ago.
        """
        moved = await self._ask(
            "fail_run",
            run_id=run_id,
            expected=expected,
            reason=reason,
            detail=detail,
            spent=spent,
            token=token,
            breaker=breaker,
            ms=ms,
            job_id=job_id,
            apart_seconds=apart or None,
        )
        return bool(moved["moved"])

    async def note_failing(
        self, run_id: UUID, job_id: str, words: str | None, word: str | None = None, *, seen: bool
    ) -> Run:
        """Notes why a job failed or expired, or with None that it did not. `seen`: at its own address (rule 2)."""
        return await self._read(
            Run, "note_failing", run_id=run_id, job_id=job_id, words=words, provider_word=word, seen=seen
        )

    async def back_to_doubt(self, run_id: UUID, job_id: str, words: str, apart: timedelta) -> Run:
        """For a job that was only adopted, and failed: the failure says nothing about this run."""
        return await self._read(Run, "back_to_doubt", run_id=run_id, job_id=job_id, words=words, apart_seconds=apart)

    async def is_winner(self, run_id: UUID, token: str) -> bool:
        """Whether this token won the run's fence."""
        return bool(await self._ask("is_winner", run_id=run_id, token=token))

    async def keep_stray_answer(self, run_id: UUID, why: str, status: int | None, body: str) -> None:
        """Keeps an answer that fits no run, once, for operators."""
        await self._ask("keep_stray_answer", run_id=run_id, why=why, status=status, body=body)

    async def reopen(self, run_id: UUID | str, job_id: str) -> Run:
        """Continues a failed run of this job, whose whole clip is here. Does nothing for any other run."""
        return await self._read(Run, "reopen_run", run_id=run_id, job_id=job_id)

    async def witnesses_near(self, run_id: UUID, near: timedelta, rivals_within: timedelta) -> KnownJobs:
        """The jobs of ours that the list must show, to be read before a look for this run."""
        answer = await self._ask("witnesses_near", run_id=run_id, near_seconds=near, rival_seconds=rivals_within)
        shown = {canonical_id(job): read_owner(owner) for job, owner in answer["witnesses"].items()}
        return KnownJobs((), {}, shown, began=_time(answer["began"]), rivals=answer["rivals"])

    async def doubts_at(self, base_url: str, key_fingerprint: str, job_keys: Sequence[str]) -> KnownJobs:
        """The runs that may have an unknown job, the owners of the listed jobs, and what the list showed before."""
        answer = await self._ask("doubts_at", base_url=base_url, key_fingerprint=key_fingerprint, job_ids=job_keys)
        elsewhere = map(read_run, answer.get("elsewhere", ()))
        return KnownJobs(
            tuple(map(read_run, answer["runs"])),
            {job: read_owner(owner) for job, owner in answer["owned"].items()},
            running_shown_at=_time(answer["running_shown_at"]),
            ours_since=_time(answer["ours_since"]),
            explained=frozenset(map(canonical_id, answer.get("explained", ()))),
            elsewhere=tuple(run for run in elsewhere if run.improved_prompt is not None),
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
        """`counts`: the look shows that the run has no job there; `says`: a stable word for its result."""
        return await self._read(
            Run,
            "record_look",
            run_id=run_id,
            look_id=uuid4(),
            counts=counts,
            candidates=candidates,
            running_shown=running_shown,
            says=says,
            next_look_at=next_look_at,
            detail=detail,
        )

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
        words: dict[str, object] = {"caption": caption, "hashtags": hashtags, "by": by}
        return await self._read(Run, "record_caption", run_id=run_id, **words, template=template, **cost.as_args())

    async def save(self, run_id: UUID, file: str, size_bytes: int, sha256: str, *, job_id: str | None, ms: int) -> Run:
        clip: dict[str, object] = {"file": file, "file_bytes": size_bytes, "file_sha256": sha256}
        return await self._read(Run, "save_run", run_id=run_id, **clip, job_id=job_id, ms=ms)

    async def mark_notified(self, run_id: UUID, state: State, *, delivered: bool = False) -> Run:
        return await self._read(Run, "mark_notified", run_id=run_id, state=state, delivered=delivered)

    async def record_event(self, run_id: UUID, step: str, outcome: str, cost: Cost | None = None) -> None:
        await self._ask("record_event", run_id=run_id, step=step, outcome=outcome, **(cost or Cost()).as_args())

    async def due_runs(self, at_most: int) -> tuple[str, ...]:
        """Ids of unfinished runs that are due now."""
        return tuple(row["run_id"] for row in await self._ask("due_runs", at_most=at_most))

    async def median_render_seconds(self, base_url: str, model: str, seconds: int) -> float | None:
        """The median of up to twenty latest renders of this kind; None without history."""
        history = await self._ask("render_history", base_url=base_url, model=model, seconds=seconds)
        median: float | None = history["median_seconds"]
        return median


def _run_or_none(answer: Json) -> Run | None:
    return read_run(answer) if answer else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
