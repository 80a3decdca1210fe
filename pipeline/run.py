"""The steps of a run, in order. This is the whole product; the rest is implementation.

    check limits -> validate the prompt -> ONE video call -> caption and hashtags -> save (-> deliver)

`run` may be called at any time, by any process, even by two at once: the row is the journal, each step starts from
the state in the row, and the ledger decides which caller may change it. It reads no clock and draws no random numbers.
"""

from uuid import UUID

from pipeline import run_log
from pipeline.clips import render, storage
from pipeline.context import ATTEMPTS_MAX, RunContext
from pipeline.heartbeat import heartbeat
from pipeline.ledger.client import Ledger
from pipeline.ledger.records import Run, State
from pipeline.prompts import llm_steps
from pipeline.purchase import reconcile, submission
from steps.check_limits import Admitted, Refused, Request, check_limits


async def admit(request: Request, ledger: Ledger, *, replacing: UUID | None = None) -> Admitted | Refused:
    """Step 1: checks the limits and sets the money aside. The same key always gives the same run.

    `replacing`: a draft of the same user; it stays if this request is refused.
    """
    answer = await check_limits(request, ledger.rpc, replacing)
    run_log.admission(answer)
    return answer


async def run(run_id: UUID, context: RunContext) -> Run | None:
    """Advances an admitted run as far as possible now. None if the ledger does not know it.

    Returns a run that has ended, or one that waits until its `next_look_at`.
    """
    row = await context.ledger.start_attempt(run_id, ATTEMPTS_MAX, context.waits.heartbeat)
    if row is None:
        return None
    context = context.for_run(row)
    row = await reconcile.adopt_late(row, context)
    if row.ended:
        await storage.finish(row, context)
        return row
    async with heartbeat(run_id, context):
        if row.state is State.RESERVED:
            row = await submission.check_folders(row, context)
        if row.state is State.RESERVED:
            row = await run_log.step("validate_prompt", row, llm_steps.validate(row, context))  # step 2
        if row.state is State.APPROVED:
            row = await run_log.step("generate_video", row, submission.buy_once(row, context))  # step 3: its one POST
        if row.in_doubt:
            row = await run_log.step("reconcile", row, reconcile.settle(row, context))
        if row.state is State.RENDERING:
            async with llm_steps.caption_meanwhile(row, context) as caption:  # step 4: write_caption
                saving = render.wait_and_save(row, caption, context)  # step 3, its wait
                row = await run_log.step("save_video", row, saving)  # step 5
    return await reconcile.adopt_late(row, context)
