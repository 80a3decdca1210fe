"""`onetake prompts try`: one answer, from the recording; with --live, from the model now."""

import asyncio

import typer

from app.exits import Exit, Stop
from evals.asking import Answer, Endpoint, ask_case
from evals.cases import Case, find_case, load_cases
from evals.evaluate import judged
from evals.judge import failures
from evals.pages import print_answer
from evals.recording import open_endpoint
from evals.recordings import Tape
from evals.staleness import State, survey
from evals.workbench import Bench, catalogue, known, open_bench
from providers.catalogue import text_cost_microusd
from steps.text_model.templates import Template


def try_case(template_id: str, case_name: str | None, given: list[str], *, live: bool) -> Exit:
    bench, name = open_bench(), known(template_id)
    template = bench.template(name)
    case = _case(bench, template, case_name, given)
    if live:
        return _live(template, case)
    if given or case_name is None:
        raise Stop(f"only cases are recorded: give --case NAME, or --live to ask the model (about {_price(template)})")
    found = survey(bench, [name])
    entry = next(each for each in found.entries if each.case.name == case.name)
    if entry.state not in {State.FRESH, State.RENAMED} or entry.old is None:
        raise Stop(
            f"{case.name} is {entry.state}: `onetake prompts record --stale` records it, --live asks the model now",
            Exit.ENDED_OTHERWISE,
        )
    kept, note = found.store.read(entry.old), found.store.notes[entry.old]
    assert kept is not None
    result = asyncio.run(judged(case, template, Tape(kept), note, found))
    if result.answer is None:
        raise Stop(f"{case.name}: {'; '.join(result.failed or ())}", Exit.ENDED_OTHERWISE)
    print_answer(result.answer, f"{result.by}, recorded {note.at}", result.microusd, result.failed or ())
    typer.echo("from the recording: no model was called, and nothing was paid")
    return Exit.DONE if result.answer.fields is not None else Exit.ENDED_OTHERWISE


def _case(bench: Bench, template: Template, name: str | None, given: list[str]) -> Case:
    """A case from the files, or else the template's examples, with the given inputs in place of its own."""
    own = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals or key not in template.inputs:
            raise Stop(f"--input: must be NAME=VALUE, with NAME one of {', '.join(template.inputs)}; not {pair[:40]}")
        own[key] = int(value) if template.inputs[key].type == "int" and value.isdecimal() else value
    if name is None:
        examples = {key: spec.example for key, spec in template.inputs.items()}
        return Case("your own", template.id, "", examples | own, {})
    found = find_case(load_cases(bench.prompts / "cases"), name)
    if found.template != template.id:
        raise Stop(f"the case {name} belongs to {found.template}")
    return Case(found.name, found.template, found.group, {**found.input, **own}, {} if own else found.expect)


def _live(template: Template, case: Case) -> Exit:
    async def work() -> tuple[Answer, Endpoint]:
        async with open_endpoint(live=True) as where:
            return await ask_case(template, case.input, Tape(recording=True), where), where

    answer, where = asyncio.run(work())
    cost = text_cost_microusd(catalogue(), template.model or where.model, answer.tokens_in, answer.tokens_out)
    wrong = failures(case.expect, answer.fields) if answer.fields is not None else [answer.error]
    print_answer(answer, f"{where.model} at {where.name}, now", cost, wrong)
    if answer.fields is None:
        typer.echo(f"onetake: {answer.error}", err=True)
    return Exit.DONE if answer.fields is not None else Exit.ENDED_OTHERWISE


def _price(template: Template) -> str:
    messages = template.render(**{key: spec.example for key, spec in template.inputs.items()})
    tokens = sum(len(message["content"]) for message in messages) // 4
    return f"${text_cost_microusd(catalogue(), template.model or 'gpt-6-luna', tokens, 220) / 1e6:.4f}"
