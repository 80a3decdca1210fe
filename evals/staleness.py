"""Finds the recordings that are stale, and the price of recording them again. Offline.

In       a bench
Out      Survey: one entry for each case, and for each recording of `tests/` that asks a text model
Effects  reads files

A recording is stale when its case now asks something else: the template, the brand, the input or the answer model has
changed. An edit of a comment alone changes the version but not the question; the recording then only needs a new name.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from evals.cases import Case, load_cases, misfits, stop_at
from evals.recordings import Shelf, usage, version_of
from evals.workbench import Bench, catalogue
from providers.catalogue import Catalogue, text_cost_microusd
from steps.contracts import CONTRACTS
from steps.text_model.brand import BRAND_ID
from steps.text_model.templates import Template, digest

SHOWN_CHARACTERS = 6
CHARACTERS_PER_TOKEN = 4
TOKENS_OUT_GUESS = 220  # for a case that was never recorded
DEFAULT_MODEL = "gpt-6-luna"
AGAIN = "onetake prompts record --stale"


class State(StrEnum):
    FRESH = "fresh"
    RENAMED = "renamed"  # a new version name, the same question
    STALE = "stale"
    MISSING = "missing"


@dataclass(frozen=True)
class Entry:
    """A case and its recording, if any. `old`: the key of an earlier version's recording."""

    case: Case
    key: str
    state: State
    old: str | None
    calls: int
    tokens_in: int
    tokens_out: int
    model: str


@dataclass(frozen=True)
class TestEntry:
    """A recording of `tests/`, `file/test`, and the versions it was made with."""

    name: str
    versions: Mapping[str, str]
    stale: bool
    calls: int
    tokens_in: int
    tokens_out: int
    model: str


@dataclass(frozen=True)
class Survey:
    templates: Mapping[str, Template]
    entries: tuple[Entry, ...]
    tests: tuple[TestEntry, ...]
    unused: tuple[str, ...]
    catalogue: Catalogue
    store: Shelf

    @property
    def stale(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.state in {State.STALE, State.MISSING})

    @property
    def renamed(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.state is State.RENAMED)

    @property
    def stale_tests(self) -> tuple[TestEntry, ...]:
        return tuple(entry for entry in self.tests if entry.stale)

    @property
    def calls(self) -> int:
        return sum(entry.calls for entry in self.stale) + sum(entry.calls for entry in self.stale_tests)

    def microusd(self) -> int:
        """The price of recording everything stale again, with the models it was recorded with."""
        return cost_of((*self.stale, *self.stale_tests), self.catalogue)

    def words(self) -> str | None:
        """One sentence about everything stale; None if nothing is."""
        new = sum(entry.state is State.MISSING for entry in self.stale)
        stale = len(self.stale) - new + len(self.stale_tests)
        if not stale and not new and not self.renamed:
            return None
        many = f"{len(self.entries) - new + len(self.tests)} recordings"
        said = []
        if stale:
            changes = "; ".join(self._changes()) or "cases were changed"
            said.append(f"{changes}: {stale} of {many} {'is' if stale == 1 else 'are'} stale")
        if new:
            said.append(f"{new} new case{' has' if new == 1 else 's have'} no recording")
        if said:
            price = f"{calls_words(self.calls)}, {usd_words(self.microusd())}"
            return f"{'; '.join(said)}; `{AGAIN}` would make {price}"
        changes = "; ".join(self._changes())
        return f"{changes}: {len(self.renamed)} of {many} need a new name; `{AGAIN}` renames them without a call"

    def _changes(self) -> list[str]:
        """`validate_prompt.md changed 3f9a1c -> 88b0e2`, file by file."""
        now = {name: sha for template in self.templates.values() for name, sha in template.versions.items()}
        made_with: list[Mapping[str, str]] = [entry.versions for entry in self.stale_tests]
        made_with += [self.store.notes[entry.old].versions for entry in (*self.stale, *self.renamed) if entry.old]
        before: dict[str, str] = {}
        for versions in made_with:
            before |= {name: sha for name, sha in versions.items() if now.get(name) != sha}
        return [
            f"{name}.md changed {before[name][:SHOWN_CHARACTERS]} -> {now.get(name, 'nothing')[:SHOWN_CHARACTERS]}"
            for name in sorted(before, key=lambda name: (name == BRAND_ID, name))
        ]


def survey(bench: Bench, only: Iterable[str] = CONTRACTS) -> Survey:
    """Compares all recordings with today's cases. Raises TemplateError, Stop."""
    templates = {template_id: bench.template(template_id) for template_id in only}
    store, books = Shelf(bench.recordings), catalogue()
    cases = [case for case in load_cases(bench.prompts / "cases") if case.template in templates]
    stop_at([mistake for case in cases for mistake in misfits(case, templates[case.template])])
    earlier: dict[tuple[str, str], str] = {}
    for key in sorted(store.notes, key=lambda key: store.notes[key].at):
        template_id, _, name = key.split("/")
        earlier[template_id, name] = key
    entries = tuple(_entry(case, templates[case.template], store, earlier) for case in cases)
    used = {entry.key for entry in entries} | {entry.old for entry in entries}
    unused = tuple(key for key in sorted(store.notes) if key not in used and key.split("/")[0] in templates)
    return Survey(templates, entries, _tests(bench, templates), unused, books, store)


def fingerprint(template: Template, given: Mapping[str, object]) -> str:
    """Hash of the question: messages, answer model, and the template's own model and settings."""
    schema = CONTRACTS[template.id].output.model_json_schema()
    asked = [digest(template.render(**given)), schema, template.model, dict(template.settings)]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def _entry(case: Case, template: Template, store: Shelf, earlier: Mapping[tuple[str, str], str]) -> Entry:
    key = f"{template.id}/{version_of(template.versions)}/{case.name}"
    asked = fingerprint(template, case.input)
    old = earlier.get((template.id, case.name))
    kept = store.read(key if key in store.notes else old) if old else None
    if old is None or kept is None:
        guess = sum(len(message["content"]) for message in template.render(**case.input)) // CHARACTERS_PER_TOKEN
        return Entry(case, key, State.MISSING, None, 1, guess, TOKENS_OUT_GUESS, DEFAULT_MODEL)
    tokens_in, tokens_out = usage(kept)
    found = Entry(case, key, State.STALE, old, len(kept), tokens_in, tokens_out, store.notes[old].model)
    if key in store.notes:
        fresh = store.notes[key].request == asked
        return replace(found, old=key, state=State.FRESH if fresh else State.STALE, model=store.notes[key].model)
    return replace(found, state=State.RENAMED) if store.notes[old].request == asked else found


def _tests(bench: Bench, templates: Mapping[str, Template]) -> tuple[TestEntry, ...]:
    if not (bench.test_recorder.exists() and bench.test_notes.exists()):
        return ()
    notes = json.loads(bench.test_notes.read_text())
    now = {name: sha for template in templates.values() for name, sha in template.versions.items()}
    found = []
    for name, note in notes.items():
        versions = note.get("versions") or {}
        if not versions or not set(versions) & set(templates):
            continue
        stale = any(now.get(part) != sha for part, sha in versions.items())
        tokens_in, tokens_out = note["tokens"]
        found.append(TestEntry(name, versions, stale, note["asks"], tokens_in, tokens_out, note["text_model"]))
    return tuple(found)


def cost_of(entries: Iterable[Entry | TestEntry], books: Catalogue) -> int:
    return sum(text_cost_microusd(books, entry.model, entry.tokens_in, entry.tokens_out) for entry in entries)


def calls_words(calls: int) -> str:
    return "1 call" if calls == 1 else f"{calls} calls"


def usd_words(microusd: int) -> str:
    """A small amount, rounded up: `about $0.002`."""
    places = 4 if microusd < 10_000 else 3 if microusd < 1_000_000 else 2
    unit = 10 ** (6 - places)
    return f"about ${-(-microusd // unit) * unit / 1e6:.{places}f}"
