"""A run keeps the prompts it began with, whatever is edited meanwhile; a broken edit is reported once."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from pipeline.context import RunContext
from pipeline.ledger.alerts import Alerts
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import State
from pipeline.prompts import llm_steps
from pipeline.prompts.sent import sent_for
from pipeline.prompts.versions import PromptVersions, recall
from pipeline.run import admit, run
from pipeline.settings.resources import prompts_folder
from steps.check_limits import Admitted
from steps.contracts import CONTRACTS
from steps.text_model.front_matter import TemplateError
from steps.text_model.prompt_store import PromptStore
from tests.support.fixtures import Simulator, open_test_context, order_request


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return Path(shutil.copytree(prompts_folder(), tmp_path / "prompts"))


@pytest.fixture
async def context(ledger_dsn: str, simulator: Simulator, tmp_path: Path, prompts: Path) -> AsyncIterator[RunContext]:
    async with open_test_context(ledger_dsn, simulator, tmp_path) as context:
        yield another_process(context, prompts)


def another_process(context: RunContext, prompts: Path) -> RunContext:
    """The same ledger, with nothing cached of the prompts."""
    return replace(context, prompts=PromptVersions(PromptStore(prompts, contracts=CONTRACTS), context.ledger.rpc))


def edit(prompts: Path, name: str, words_before: str, words_after: str) -> None:
    path = prompts / name
    text = path.read_text()
    assert words_before in text
    path.write_text(text.replace(words_before, words_after))


async def approved(context: RunContext, simulator: Simulator) -> UUID:
    answer = await admit(order_request(simulator), context.ledger)
    assert isinstance(answer, Admitted)
    row = await context.ledger.start_attempt(answer.run_id, 5, context.waits.heartbeat)
    assert row is not None
    assert (await llm_steps.validate(row, context)).state is State.APPROVED
    return answer.run_id


@pytest.mark.parametrize("edited", ["write_caption.md", "brand.md"])
@pytest.mark.parametrize("restarted", [False, True])
async def test_run_in_flight_keeps_the_prompt_versions_it_started_with(
    edited: str, restarted: bool, context: RunContext, simulator: Simulator, prompts: Path
) -> None:
    run_id = await approved(context, simulator)
    began = await context.prompts.present("validate_prompt")
    edit(prompts, edited, {"brand.md": "tone: ", "write_caption.md": "Tone: "}[edited], "Tone: shouted, ")
    if edited == "brand.md":
        edit(prompts, edited, "Tone: ", "tone: ")
    later = another_process(context, prompts) if restarted else context
    assert (await later.prompts.present("validate_prompt"))["write_caption"].versions != began["write_caption"].versions

    row = await run(run_id, later)
    while row is not None and not row.ended:
        row = await run(run_id, later)

    assert row is not None and row.state is State.SAVED
    assert row.templates == began["validate_prompt"].versions | began["write_caption"].versions
    events = await Operators(context.ledger.rpc).events(run_id)
    sent = {each.step: each for each in await sent_for(row, events, context.ledger.rpc)}
    assert all(each.proven for each in sent.values())
    assert "shouted" not in sent["write_caption"].messages[0]["content"]


async def test_sent_messages_are_reproduced_exactly_after_template_and_length_changed(
    context: RunContext, simulator: Simulator, prompts: Path
) -> None:
    run_id = await approved(context, simulator)
    row = await context.ledger.load(run_id)
    assert row is not None
    edit(prompts, "validate_prompt.md", "You check", "You never check")
    events = await Operators(context.ledger.rpc).events(run_id)
    [sent] = await sent_for(replace(row, seconds=12), events, context.ledger.rpc)
    assert sent.proven
    assert sent.messages[0]["content"].startswith("You check")
    [bent] = await sent_for(replace(row, prompt="something else"), events, context.ledger.rpc)
    assert not bent.proven


async def test_prompt_version_unknown_to_the_ledger_raises_an_error(context: RunContext) -> None:
    with pytest.raises(TemplateError, match=r"version 000000 is not in the ledger"):
        await recall("write_caption", {"write_caption": "0" * 64}, context.ledger.rpc)


async def test_broken_template_edit_alerts_operators_once_and_runs_continue(
    context: RunContext, simulator: Simulator, prompts: Path
) -> None:
    await context.prompts.tell_broken()
    edit(prompts, "write_caption.md", "{{ brand.tone }}", "{{ brand.tune }}")
    other = another_process(context, prompts)
    for _ in range(3):
        await context.prompts.tell_broken()
    for _ in range(2):
        await other.prompts.tell_broken()
    alerts = [alert for alert in await Alerts(context.ledger.rpc).take() if alert.kind == "template"]
    assert len(alerts) == 1
    assert "no attribute 'tune'" in alerts[0].detail["words"]
    assert await approved(context, simulator)
    edit(prompts, "write_caption.md", "{{ brand.tune }}", "{{ brand.tonic }}")
    await context.prompts.tell_broken()
    assert len([alert for alert in await Alerts(context.ledger.rpc).take() if alert.kind == "template"]) == 1


async def test_template_with_an_input_unknown_to_its_step_is_not_used_and_raises_an_alert(
    context: RunContext, prompts: Path
) -> None:
    before = (await context.prompts.present("validate_prompt"))["validate_prompt"]
    edit(prompts, "validate_prompt.md", "  seconds:\n", "  mood:\n    type: int\n    example: 1\n  seconds:\n")
    assert (await context.prompts.present("validate_prompt"))["validate_prompt"] is before
    await context.prompts.tell_broken()
    [alert] = [alert for alert in await Alerts(context.ledger.rpc).take() if alert.kind == "template"]
    assert "mood differs" in alert.detail["words"]


async def test_impact_counts_runs_rejections_and_calls_per_prompt_version(
    context: RunContext, simulator: Simulator, prompts: Path
) -> None:
    first = await approved(context, simulator)
    edit(prompts, "validate_prompt.md", "You check", "You carefully check")
    answer = await admit(order_request(simulator, "a fight with blood everywhere", user_id="cli:2"), context.ledger)
    assert isinstance(answer, Admitted)
    row = await run(answer.run_id, context)
    assert row is not None and row.state is State.REJECTED
    impact = await Operators(context.ledger.rpc).impact(days=1)
    by_version = {line.sha256: line for line in impact if line.id == "validate_prompt"}
    assert len(by_version) == 2
    kept = await context.ledger.load(first)
    assert kept is not None
    old, new = by_version[kept.templates["validate_prompt"]], by_version[row.templates["validate_prompt"]]
    assert (old.runs, old.rejected, old.calls, old.reasks) == (1, 0, 1, 0)
    assert (new.runs, new.rejected, new.calls) == (1, 1, 1)
    assert old.cost_microusd > 0
    assert await Operators(context.ledger.rpc).impact(days=0) == ()
