"""What a job shows of the order it came from."""

from dataclasses import replace
from typing import Any

import pytest

from providers.order_match import (
    Shown,
    could_be,
    differs,
    far_from,
    other_words,
    same_request,
    swapped_words,
    unlike,
)
from tests.pipeline.purchase.evidence_rows import ORDER, job

FOREIGN = job("foreign", prompt="somebody else's castle")
HIDDEN = job(prompt=None)


@pytest.mark.parametrize(
    ("changes", "different"),
    [
        ({}, set()),
        ({"prompt": None, "model": None, "seconds": None, "size": None, "created_at": None}, set()),
        ({"prompt": " a paper\r\nboat\n"}, set()),
        ({"model": "vendor/sim-1"}, set()),
        ({"model": "SIM-1"}, set()),
        ({"size": "720X1280"}, set()),
        ({"size": "720p"}, set()),
        ({"size": "9:16"}, set()),
        ({"size": "0x0"}, set()),  # not known yet
        ({"created_at": 0.0}, set()),
        ({"prompt": "a paper boat."}, {Shown.PROMPT}),
        ({"prompt": "A paper boat"}, {Shown.PROMPT}),
        ({"model": "veo-3.1"}, {Shown.MODEL}),
        ({"seconds": 4}, {Shown.SECONDS}),
        ({"size": "1280x720"}, {Shown.SIZE}),
    ],
)
def test_hidden_fields_and_aliases_are_not_differences(changes: dict[str, Any], different: set[Shown]) -> None:
    assert differs(job(**changes), ORDER) == different


def test_job_is_ruled_out_only_by_fields_the_list_shows_faithfully() -> None:
    everything = frozenset(Shown)
    assert could_be(FOREIGN, ORDER, frozenset())
    assert could_be(FOREIGN, ORDER, everything), "it may be ours, translated"
    assert could_be(replace(FOREIGN, seconds=4), ORDER, everything - {Shown.SECONDS})
    assert not could_be(replace(FOREIGN, seconds=4), ORDER, everything)
    assert could_be(job(prompt="a paper"), ORDER, everything)
    assert could_be(job(prompt="a paper..."), ORDER, everything)
    assert could_be(job(prompt="..."), ORDER, everything)
    assert could_be(job(prompt="a paper boat!", seconds=4), ORDER, everything)
    assert could_be(HIDDEN, ORDER, everything)
    assert not could_be(replace(HIDDEN, seconds=4), ORDER, everything)


@pytest.mark.parametrize("change", [{"prompt": "another"}, {"model": "m"}, {"seconds": 4}, {"size": "1280x720"}])
def test_requests_are_the_same_only_if_prompt_model_seconds_and_size_match(change: dict[str, Any]) -> None:
    assert same_request(ORDER, replace(ORDER, run_id="another", size="720X1280"))
    assert not same_request(ORDER, replace(ORDER, **change))


STYLE = "Camera: slow dolly in. Light: golden hour, soft haze. Motion: drifts gently. Sound: distant waves."


@pytest.mark.parametrize(
    ("shown", "swapped"),
    [
        (f"A paper boat in the rain. {STYLE}", False),
        (f"A red fox walks over snow at night. {STYLE}", True),
        (f"A red kite. {STYLE}", False),  # too little to tell; whether it is ours is asked of the ledger
        ("A paper boat in the…", False),
        (f"A cinematic masterpiece, 35 mm, high detail: a paper boat in the rain. {STYLE}", False),
        ("A paper [removed] in the [removed]", False),
        ("naked woman", True),
        ("[redacted]", False),
        ("content removed", False),
        ("", False),
        ("Um barco de papel na chuva. Câmera: aproximação lenta.", True),
    ],
)
def test_swapped_words_finds_replaced_words(shown: str, swapped: bool) -> None:
    assert swapped_words(shown, f"A paper boat in the rain. {STYLE}") is swapped


def test_swapped_words_ignores_words_that_servers_garble() -> None:
    ordered = "un pingüino pequeño cruza la montaña más fría 🐧"
    broken = "un ping?ino peque?o cruza la monta?a m?s fr?a"
    assert not swapped_words(broken, ordered)
    assert not swapped_words("бумажный кораблик под дождём", "рыжая лиса на снегу"), "no plain word to tell by"


@pytest.mark.parametrize(
    ("shown", "other"),
    [
        ("a paper boat on lake 8", True),  # one house, one form
        ("a paper boat on lake", False),
        ("cinematic: a paper boat on lake 7, 35 mm", False),
        ("a paper … lake 7", False),
        ("[redacted]", False),
        ("a removed boat on a hidden lake", False),
        ("a red fox at dawn", True),
    ],
)
def test_plain_prompts_differ_unless_one_contains_the_other(shown: str, other: bool) -> None:
    assert other_words(shown, "a paper boat on lake 7") is other


@pytest.mark.parametrize(
    ("shown", "far"),
    [
        ("a paper boat on lak", False),
        ("a paper boat on lake 8", False),
        ("a brick boat on lake 7", False),
        ("un barco de papel en el lago 7", True),
        ("a red fox at dawn", True),
        ("fox", False),  # too little to tell
        ("[redacted] fox at dawn", False),
    ],
)
def test_words_are_unlike_if_less_than_half_of_them_match(shown: str, far: bool) -> None:
    assert unlike(shown, "a paper boat on lake 7") is far


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"seconds": 9, "size": "704x1280"}, set()),
        ({"seconds": 4, "size": "1280x720"}, {Shown.SECONDS, Shown.SIZE}),
        ({"prompt": "Cinematic: a paper boat", "model": "veo"}, {Shown.MODEL}),
        ({"prompt": None, "seconds": None, "size": None}, set()),
    ],
)
def test_small_differences_in_seconds_or_size_are_not_far_from_the_order(
    changes: dict[str, Any], parts: set[Shown]
) -> None:
    assert far_from(job(**changes), ORDER) == parts
