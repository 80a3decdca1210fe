"""Which faults of an answer the judge finds."""

from typing import Any

import pytest

from evals.cases import Check
from evals.judge import failures
from steps.languages import spoken_in

ANSWER: dict[str, Any] = {
    "allowed": True,
    "reasons": ["violence", "hate"],
    "title": "Un barco de papel bajo la lluvia",
    "text": "The little boat drifts along, and it is in no hurry.",
    "hashtags": ["#barco", "#Lluvia", "#onetake"],
    "safe_rewrite": None,
}


@pytest.mark.parametrize(
    "expect",
    [
        {"allowed": True},
        {"reasons": ["hate"]},
        {"safe_rewrite": None},
        {"title": Check(language="es", max_length=60, must_contain=["paper boat|BARCO"], must_not_contain=["viral"])},
        {"text": Check(language="en", min_length=10)},
        {"hashtags": Check(min=3, max=3, must_contain=["#lluvia"])},
    ],
)
def test_answer_as_expected_has_no_failures(expect: dict[str, Any]) -> None:
    assert failures(expect, ANSWER) == []


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ({"allowed": False}, "allowed: true, expected false"),
        ({"reasons": ["weapons"]}, "reasons: weapons is missing from violence, hate"),
        ({"reasons": []}, "reasons: violence, hate, expected none"),
        ({"title": Check(language="en")}, "title: reads as es, expected en"),
        ({"title": Check(max_length=5)}, "title: 32 characters, at most 5 expected"),
        ({"title": Check(min_length=50)}, "title: 32 characters, at least 50 expected"),
        ({"title": Check(must_contain=["gato|perro"])}, "title: lacks “gato|perro”"),
        ({"title": Check(must_not_contain=["Papel"])}, "title: has “Papel”"),
        ({"hashtags": Check(min=4)}, "hashtags: 3 items, at least 4 expected"),
        ({"hashtags": Check(max=2)}, "hashtags: 3 items, at most 2 expected"),
        ({"safe_rewrite": Check(min_length=5)}, "safe_rewrite: nothing, expected something"),
        ({"safe_rewrite": "x"}, "safe_rewrite: null, expected x"),
    ],
)
def test_each_unmet_expectation_is_described(expect: dict[str, Any], words: str) -> None:
    assert failures(expect, ANSWER) == [words]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Una barca cruza el lago con niebla", "es"),
        ("A boat crosses the lake in the mist", "en"),
        ("¡Sube el volumen!", "es"),
        ("Neón", "es"),
        ("Kyoto 2026", None),
    ],
)
def test_language_of_a_text_is_detected(text: str, language: str | None) -> None:
    assert spoken_in(text) == language
