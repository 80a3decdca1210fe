"""What an answer leads to, whoever books it and whenever: at once, after a crash, or in a restored ledger."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.context import RunContext
from pipeline.ledger.answers import Won
from pipeline.ledger.client import Ledger
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import JobSource, Run, State
from pipeline.ledger.transports.common import Json, LedgerUnavailable
from pipeline.prompts import llm_steps
from pipeline.purchase import submission
from pipeline.purchase.answer_files import KeptAnswer
from pipeline.run import admit, run
from providers.orders import Answer
from steps.check_limits import Admitted
from tests.support.fixtures import Simulator, open_test_context, order_request, quick_waits, without_deadlines

MADE = Answer(200, '{"id": "video_1", "status": "queued"}')
REFUSED = Answer(400, '{"error": {"message": "no such size"}}')

BUSY = Answer(429, '{"error": {"message": "slow down"}}')


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path, quick_waits()) as context:
        yield context


async def approved(context: RunContext, at: Simulator, user: str = "cli:a", prompt: str | None = None) -> Run:
    answer = await admit(order_request(at, prompt or f"a boat of {user}", user_id=user), context.ledger)
    assert isinstance(answer, Admitted), answer
    row = await fresh(context, answer)
    assert (await llm_steps.validate(row, context)).state is State.APPROVED
    return await fresh(context, row)


async def sent(context: RunContext, at: Simulator, user: str = "cli:a", prompt: str | None = None) -> tuple[Run, str]:
    """A run whose request may have been sent, and its winner's token."""
    row, token = await approved(context, at, user, prompt), uuid4().hex
    assert isinstance(await context.ledger.begin_submission(row.run_id, token), Won)
    return await fresh(context, row), token


async def fresh(context: RunContext, row: Run | Admitted) -> Run:
    found = await context.ledger.load(row.run_id)
    assert found is not None
    return found


async def test_machine_with_shorter_deadlines_waits_for_the_senders_deadline(
    context: RunContext, simulator: Simulator
) -> None:
    row, token = await approved(context, simulator), uuid4().hex
    assert isinstance(await context.ledger.begin_submission(row.run_id, token, request=timedelta(hours=1)), Won)

    left = await run(row.run_id, without_deadlines(context))

    assert left is not None and left.state is State.SUBMITTING
    assert left.submitting_at is not None and left.next_look_at == left.submitting_at + timedelta(hours=1)


async def test_time_spent_waiting_for_the_fence_counts_against_the_submit_deadline(
    context: RunContext, simulator: Simulator
) -> None:
    now, real = [0.0], context.ledger.rpc

    async def slow(name: str, args: Mapping[str, Json]) -> Json:
        answer = await real(name, args)
        now[0] += 60 if name == "begin_submission" else 0
        return answer

    row = await approved(context, simulator)
    ended = await run(row.run_id, replace(context, ledger=Ledger(slow), boot_seconds=lambda: now[0]))

    assert ended is not None and (ended.state, ended.reason) == (State.FAILED, "never_sent")
    assert simulator.creates() == 0


async def test_the_configured_providers_rule_for_429_does_not_apply_to_another_providers_answer(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    async with open_test_context(ledger_dsn, simulator, tmp_path, refuses_429_before_work=True) as context:
        elsewhere = replace(context, account=replace(context.account, key_fingerprint="another"))
        row, token = await sent(context, simulator)
        await submission.book(KeptAnswer(row.run_id, token, BUSY), row, elsewhere)
        unclear = await fresh(context, row)
        row, token = await sent(context, simulator, "cli:b")
        await submission.book(KeptAnswer(row.run_id, token, BUSY), row, context)
        refused = await fresh(context, row)

    assert (unclear.state, unclear.doubt) == (State.UNCERTAIN, "rate_limited")
    assert (refused.state, refused.reason) == (State.FAILED, "rate_limited")


async def test_kept_answer_is_read_by_the_module_that_asked_although_no_such_account_is_configured(
    context: RunContext, simulator: Simulator
) -> None:
    """Of fal's answer, OpenAI's protocol would understand nothing."""
    fal = Answer(200, '{"request_id": "r-1", "status": "IN_QUEUE", "queue_position": 1}')
    for n, (provider, state) in enumerate({"fal": State.RENDERING, "openai": State.UNCERTAIN}.items()):
        row, token = await sent(context, simulator, f"cli:{n}")
        context.answers.keep(KeptAnswer(row.run_id, token, fal, provider))
        elsewhere = replace(context, account=replace(context.account, key_fingerprint="another"))
        await submission.replay_answers(elsewhere)
        assert (await fresh(context, row)).state is state


async def test_answer_of_a_provider_that_this_version_does_not_know_stays_on_disk(
    context: RunContext, simulator: Simulator
) -> None:
    row, token = await sent(context, simulator)
    context.answers.keep(KeptAnswer(row.run_id, token, MADE, "of tomorrow"))
    await submission.replay_answers(context)
    assert context.answers.has(row.run_id)
    assert (await fresh(context, row)).state is State.SUBMITTING


async def test_an_answer_that_names_another_runs_job_leaves_the_run_in_doubt(
    context: RunContext, simulator: Simulator
) -> None:
    owner, token = await sent(context, simulator, "cli:a")
    await submission.book(KeptAnswer(owner.run_id, token, MADE), owner, context)
    other, token = await sent(context, simulator, "cli:b")
    await submission.book(KeptAnswer(other.run_id, token, MADE), other, context)

    other = await fresh(context, other)
    assert (other.state, other.doubt, other.job_id) == (State.UNCERTAIN, "job_owned_by_another_run", None)
    assert other.answered_job_id == "video_1"
    assert (await fresh(context, owner)).job_id == "video_1"


@pytest.mark.parametrize("meanwhile", ["submitting", "uncertain", "adopted"])
async def test_clear_refusal_fails_a_submitting_uncertain_or_adopted_run(
    context: RunContext, simulator: Simulator, meanwhile: str
) -> None:
    row, token = await sent(context, simulator)
    if meanwhile != "submitting":
        await context.ledger.mark_uncertain(row.run_id, "lost", token=token)
    if meanwhile == "adopted":
        assert (await context.ledger.record_submission(row.run_id, "video_9", JobSource.LIST)).recorded

    await submission.book(KeptAnswer(row.run_id, token, REFUSED), row, context)

    row = await fresh(context, row)
    assert (row.state, row.reason, row.job_id, row.held_microusd) == (State.FAILED, "bad_request", None, 0)


async def test_late_error_answer_with_an_id_does_not_replace_an_adopted_job(
    context: RunContext, simulator: Simulator
) -> None:
    """The id may be the request's only: this is no second paid call, and the run keeps its job."""
    row, token = await sent(context, simulator)
    await context.ledger.mark_uncertain(row.run_id, "lost", token=token)
    assert (await context.ledger.record_submission(row.run_id, "video_9", JobSource.LIST)).recorded
    bare = Answer(200, '{"id": "req_9", "status": "error", "error": {"message": "busy"}}')

    await submission.book(KeptAnswer(row.run_id, token, bare), row, context)

    row = await fresh(context, row)
    assert (row.state, row.job_id, row.job_source) == (State.RENDERING, "video_9", JobSource.LIST)
    events = await Operators(context.ledger.rpc).events(row.run_id)
    assert [event.detail["body"] for event in events if event.outcome == "answer_kept"] == [bare.body]
    assert await context.ledger.rpc("open_differences", {}) == []


async def test_an_unclear_answer_is_kept_on_the_timeline(context: RunContext, simulator: Simulator) -> None:
    row, token = await sent(context, simulator)
    await submission.book(KeptAnswer(row.run_id, token, Answer(502, "upstream\0 busy")), row, context)

    events = await Operators(context.ledger.rpc).events(row.run_id)
    kept = [event.detail for event in events if event.outcome == "answer_kept"]
    assert kept == [{"status": 502, "body": "upstream busy"}]


async def test_job_is_recorded_although_the_gateways_attempts_cannot_be_noted(
    context: RunContext, simulator: Simulator
) -> None:
    real = context.ledger.rpc

    async def broken(name: str, args: Mapping[str, Json]) -> Json:
        if name == "note_gateway":
            raise LedgerUnavailable("gone")
        return await real(name, args)

    row, token = await sent(context, simulator)
    kept = KeptAnswer(row.run_id, token, replace(MADE, attempts=2, gateway_model="another"))
    context.answers.keep(kept)
    with pytest.raises(LedgerUnavailable):
        await submission.book(kept, row, replace(context, ledger=Ledger(broken)))
    row = await fresh(context, row)
    assert (row.state, row.job_id, row.gateway_attempts) == (State.RENDERING, "video_1", 0)

    await submission.replay_answers(context)
    assert (await fresh(context, row)).gateway_attempts == 2
    assert context.answers.get(row.run_id) is None


async def test_run_in_doubt_leaves_an_answer_with_another_token_to_operators(
    context: RunContext, simulator: Simulator
) -> None:
    row, token = await sent(context, simulator)
    await context.ledger.mark_uncertain(row.run_id, "lost", token=token)
    context.answers.keep(KeptAnswer(row.run_id, "t" * 32, MADE))

    await run(row.run_id, context)
    assert context.answers.get(row.run_id) is not None, "the only copy"
    await submission.replay_answers(context)

    [told] = await Operators(context.ledger.rpc).stray_answers(9)
    assert (told.why, told.body) == ("another_token", MADE.body)
    assert (await fresh(context, row)).state is State.UNCERTAIN


@pytest.mark.parametrize(("known", "why"), [(True, "another_token"), (False, "unknown_run")])
async def test_kept_answer_that_fits_no_run_becomes_a_stray_answer_for_operators(
    context: RunContext, simulator: Simulator, known: bool, why: str
) -> None:
    row, _ = await sent(context, simulator)
    stray = KeptAnswer(row.run_id if known else uuid4(), "t" * 32, MADE)
    context.answers.keep(stray)

    await submission.replay_answers(context)

    [told] = await Operators(context.ledger.rpc).stray_answers(9)
    assert (told.why, told.status, told.body) == (why, 200, MADE.body)
    assert (context.answers.get(stray.run_id) is None) is known, "another ledger's answer stays on disk"
    assert (await fresh(context, row)).state is State.SUBMITTING


async def test_run_with_an_answer_on_disk_is_not_ordered_again_after_a_ledger_restore(
    context: RunContext, simulator: Simulator
) -> None:
    row = await approved(context, simulator)
    context.answers.keep(KeptAnswer(row.run_id, "t" * 32, MADE))

    ended = await run(row.run_id, context)

    assert ended is not None and (ended.state, ended.reason) == (State.FAILED, "already_sent")
    assert simulator.creates() == 0


async def test_damaged_answer_on_disk_prevents_a_second_order(context: RunContext, simulator: Simulator) -> None:
    """The file is there only once the request was answered."""
    row = await approved(context, simulator)
    context.answers.keep(KeptAnswer(row.run_id, "t" * 32, MADE))
    (context.answers.folder / f"{row.run_id}.json").write_text("{")

    ended = await run(row.run_id, context)

    assert ended is not None and (ended.state, ended.reason) == (State.FAILED, "already_sent")
    assert simulator.creates() == 0


@pytest.mark.parametrize("confirm", [False, True])
async def test_worker_of_a_restored_ledger_does_not_order_again(
    context: RunContext, simulator: Simulator, confirm: bool
) -> None:
    """Its sweep replays the answer before any worker takes the run."""
    answer = await admit(order_request(simulator, confirm=confirm), context.ledger)
    assert isinstance(answer, Admitted)
    context.answers.keep(KeptAnswer(answer.run_id, "t" * 32, MADE))

    await submission.replay_answers(context)
    ended = await run(answer.run_id, context)

    assert ended is not None and (ended.state, ended.reason) == (State.FAILED, "already_sent")
    assert context.answers.get(answer.run_id) is None and simulator.creates() == 0
    [stray] = await Operators(context.ledger.rpc).stray_answers(9)
    assert (stray.why, stray.body) == ("another_token", MADE.body)


async def test_approved_run_is_not_ordered_if_the_media_folder_is_unusable(
    context: RunContext, simulator: Simulator
) -> None:
    row = await approved(context, simulator)
    context.media.write_bytes(b"a file where the folder should be")

    ended = await run(row.run_id, context)

    assert ended is not None and (ended.state, ended.reason) == (State.FAILED, "disk_full")
    assert simulator.creates() == 0
