"""Recordings fit today's prompts; if not, the one sentence says what to do and what it costs."""

from pathlib import Path

import pytest

from evals.staleness import survey
from evals.workbench import Bench

ROOT = Path(__file__).parents[2]


def test_no_recording_is_stale() -> None:
    found = survey(Bench(ROOT / "prompts"))
    if words := found.words():
        pytest.fail(words, pytrace=False)
    assert len(found.entries) >= 40
    assert len(found.tests) >= 9


def test_no_recording_is_left_over() -> None:
    unused = survey(Bench(ROOT / "prompts")).unused
    if unused:
        pytest.fail(f"no case uses {', '.join(unused)}; onetake prompts record --stale removes them", pytrace=False)
