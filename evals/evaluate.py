"""`onetake prompts eval`: checks every case's recorded answer, beside those of an earlier version.

In       a bench, a commit to compare with
Out      Report: groups with counts and pass rates, the models that answered, the failures. As a table, or JSON
Effects  no calls, recordings only; `keep_for_the_page` writes one file

Answers of the simulator prove that all parts work together but say nothing about wording: they are counted and get
no pass rate. Plain code and not pydantic-evals: see prompts/README.md.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from evals.asking import Answer, ask_case, replaying
from evals.cases import Case
from evals.judge import failures
from evals.recordings import Note, Tape, Unplayable, interactions_in, version_of
from evals.staleness import Entry, State, Survey, survey
from evals.workbench import Bench
from pipeline.settings.config import load_settings
from pipeline.settings.resources import EVALS
from pipeline.settings.setting_checks import ConfigError
from providers.catalogue import text_cost_microusd
from steps.text_model.front_matter import TemplateError
from steps.text_model.templates import Template

PLUMBING = "plumbing only, says nothing about wording"


@dataclass(frozen=True)
class Result:
    """One case. `failed`: the failed expectations, None without an answer to judge; `by`: the model that answered."""

    case: Case
    state: State
    answer: Answer | None
    failed: tuple[str, ...] | None
    by: str
    simulated: bool
    microusd: int = 0

    @property
    def fits(self) -> bool:
        """Whether there is an answer of the right shape."""
        return self.answer is not None and self.answer.fields is not None

    @property
    def counts(self) -> bool:
        """Whether the answer says anything about wording."""
        return self.failed is not None and not self.simulated


@dataclass(frozen=True)
class Side:
    """All cases in one version."""

    versions: Mapping[str, str]
    results: tuple[Result, ...]
    seconds: float


def evaluate(bench: Bench, found: Survey | None = None) -> Side:
    """The current version, from its recordings."""
    found = found or survey(bench)
    begun = time.monotonic()
    results = asyncio.run(_replay_all(found))
    versions = {name: sha for template in found.templates.values() for name, sha in template.versions.items()}
    return Side(versions, results, time.monotonic() - begun)


def evaluate_at(bench: Bench, found: Survey, revision: str) -> Side:
    """The version of a commit, from that commit's recordings, on today's cases."""
    templates: dict[str, Template] = {}
    for template_id in found.templates:
        templates[template_id] = bench.template_at(template_id, revision)
    raw = bench.show(revision, bench.recordings / "recorded.json")
    notes = {name: Note(**note) for name, note in json.loads(raw).items()} if raw else {}
    begun = time.monotonic()
    results = asyncio.run(_replay_at(bench, found, templates, notes, revision))
    versions = {name: sha for template in templates.values() for name, sha in template.versions.items()}
    return Side(versions, results, time.monotonic() - begun)


async def _replay_all(found: Survey) -> tuple[Result, ...]:
    return tuple([await _result(entry, found) for entry in found.entries])


async def _result(entry: Entry, found: Survey) -> Result:
    if entry.state not in {State.FRESH, State.RENAMED} or entry.old is None:
        return Result(entry.case, entry.state, None, None, "", simulated=False)
    kept, note = found.store.read(entry.old), found.store.notes[entry.old]
    assert kept is not None
    return await judged(entry.case, found.templates[entry.case.template], Tape(kept), note, found)


async def _replay_at(
    bench: Bench, found: Survey, templates: Mapping[str, Template], notes: Mapping[str, Note], revision: str
) -> tuple[Result, ...]:
    results = []
    for entry in found.entries:
        template = templates[entry.case.template]
        key = f"{template.id}/{version_of(template.versions)}/{entry.case.name}"
        raw = bench.show(revision, bench.recordings / f"{key}.yaml") if key in notes else None
        if raw is None:
            results.append(Result(entry.case, State.MISSING, None, None, "", simulated=False))
        else:
            results.append(await judged(entry.case, template, Tape(interactions_in(raw.decode())), notes[key], found))
    return tuple(results)


async def judged(case: Case, template: Template, tape: Tape, note: Note, found: Survey) -> Result:
    """Play a recording through the production client, and judge the answer."""
    by = f"{note.model} at {note.against}, {note.at[:10]}" if not note.simulated else note.against
    try:
        answer = await ask_case(template, case.input, tape, replaying(note.model))
    except (Unplayable, TemplateError) as error:
        return Result(case, State.STALE, None, (str(error),), by, note.simulated)
    wrong = failures(case.expect, answer.fields) if answer.fields is not None else [answer.error]
    cost = text_cost_microusd(found.catalogue, note.model, answer.tokens_in, answer.tokens_out)
    answer = replace(answer, ms=note.ms)  # the time of the recorded call, not of reading the recording
    return Result(case, State.FRESH, answer, tuple(wrong), by, answer.simulated or note.simulated, cost)


def groups_of(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results by group, in the order of the files."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.case.group, []).append(result)
    return groups


def rate(results: Sequence[Result]) -> float | None:
    """The share of answers that are as expected; None if no answer says anything about wording."""
    judged_ones = [result for result in results if result.counts]
    return sum(not result.failed for result in judged_ones) / len(judged_ones) if judged_ones else None


def keep_for_the_page(report: Mapping[str, Any]) -> None:
    """Save as `evals.json` in ONETAKE_HOME, where the operators' page reads it. A write error is not fatal."""
    with contextlib.suppress(ConfigError, OSError):
        kept = load_settings().onetake_home / EVALS
        kept.parent.mkdir(parents=True, exist_ok=True)
        answered_by = sorted({case["by"] for case in report["cases"] if case["by"]})
        at = datetime.now(UTC).isoformat(timespec="seconds")
        draft = kept.with_suffix(".draft")
        draft.write_text(json.dumps({"at": at, "answered_by": answered_by, **report}, ensure_ascii=False), "utf-8")
        draft.replace(kept)


def passes(side: Side, found: Survey) -> bool:
    """Nothing is stale, every case has an answer of the right shape, and every real model's answer is as expected."""
    return not found.words() and all(
        result.state is State.FRESH and result.fits and (result.simulated or not result.failed)
        for result in side.results
    )
