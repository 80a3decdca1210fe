"""The list of offers at any width: no name and no size is cut, and each says what a lost answer means there."""

import json
import re
from dataclasses import replace
from datetime import date
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from cli.output.offers import ListedOffer, listed_offers, print_offers, print_offers_as_json
from pipeline.settings.resources import models_file
from providers.catalogue import VideoModel, find_model, find_offer, load_catalogue
from providers.orders import OPENAI

CATALOGUE = load_catalogue(models_file())
TODAY = date(2026, 11, 30)
WIDTHS = pytest.mark.parametrize("width", [60, 80, 120])


def listed(default: VideoModel | None = None, configured: tuple[str, ...] = (OPENAI,)) -> list[ListedOffer]:
    return listed_offers(CATALOGUE, default, "720x1280", configured, TODAY)


def offer(name: str, **changes: Any) -> ListedOffer:
    found = next(each for each in listed() if each.model.offer == name)
    return replace(found, **changes)


def shown(offers: list[ListedOffer], width: int) -> list[str]:
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
    print_offers(offers, console)
    assert isinstance(console.file, StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert max(map(len, lines)) <= width
    return lines


def piped(offers: list[ListedOffer]) -> list[str]:
    console = Console(file=StringIO(), width=60, highlight=False)
    print_offers(offers, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


@WIDTHS
def test_no_name_and_no_size_is_cut(width: int) -> None:
    offers = listed()
    text = "\n".join(shown(offers, width))
    words = set(text.replace(",", " ").replace(";", " ").split())
    assert "…" not in text
    for each in offers:
        assert {each.model.offer, *each.model.sizes} <= words


def test_wide_terminal_shows_a_table_with_the_sizes_below_each_name() -> None:
    veo = offer("runway/veo3.1_fast", lost_answer="a person", needs=())
    luma = offer("luma/ray-2", lost_answer="found by itself", needs=("LUMAAI_API_KEY",))
    assert [re.split(" {2,}", line) for line in shown([veo, luma], 120)] == [
        ["offer, sizes", "8 s", "seconds", "picture, sound", "a lost answer"],
        ["runway/veo3.1_fast", "$1.20", "4, 6, 8", "picture, sound", "a person"],
        ["720x1280, 1280x720, 1080x1920, 1920x1080"],
        ["luma/ray-2", "$1.84 (9 s)", "5, 9", "picture, silent", "found by itself"],
        ["720x1280, 1280x720, 540x960 ($1.03), 960x540 ($1.03); needs"],
        ["LUMAAI_API_KEY"],
    ]


def test_narrow_terminal_shows_a_few_lines_for_each_offer() -> None:
    luma = offer("luma/ray-2", lost_answer="found by itself within 1 hour", needs=("LUMAAI_API_KEY",))
    assert shown([luma], 60) == [
        "luma/ray-2",
        "  $1.84 (9 s); 5, 9 s; picture, silent; needs LUMAAI_API_KEY",
        "  720x1280, 1280x720, 540x960 ($1.03), 960x540 ($1.03)",
        "  a lost answer: found by itself within 1 hour",
    ]


def test_piped_offer_is_one_line() -> None:
    heading, line = piped([offer("fal/fal-ai/veo3.1/fast", lost_answer="found by itself", needs=("FAL_KEY",))])
    assert heading.split()[:2] == ["offer", "8"]
    for words in ("fal/fal-ai/veo3.1/fast  $1.20", "4, 6, 8", "found by itself", "1080x1920", "needs FAL_KEY"):
        assert words in line


def test_price_is_that_of_the_nearest_length_and_is_never_rounded_down() -> None:
    ray = offer("luma/ray-flash-2")
    assert (ray.seconds, ray.size, ray.microusd) == (9, "720x1280", 612_000)
    assert "$0.62 (9 s)" in piped([ray])[1]
    assert offer("ark/seedance-1-5-pro-251215").microusd == 415_200
    assert "$0.42 " in piped([offer("ark/seedance-1-5-pro-251215")])[1]


def test_price_is_that_of_the_size_asked_for_if_it_is_possible() -> None:
    offers = {each.model.offer: each for each in listed_offers(CATALOGUE, None, "1080x1920", (), TODAY)}
    assert (offers["kling/kling-v3"].size, offers["kling/kling-v3"].microusd) == ("1080x1920", 1_344_000)
    assert (offers["luma/ray-2"].size, offers["luma/ray-2"].seconds) == ("720x1280", 9)


def test_default_is_first_and_listed_once_even_with_a_price_of_its_own() -> None:
    default = find_model(CATALOGUE, "minimax/h3", "https://gateway.example/v1")
    assert default is not None
    first, *others = listed(replace(default, microusd_per_second=1, source="VIDEO_USD_PER_SECOND"))
    assert (first.default, first.microusd) == (True, 8)
    assert not any(each.default for each in others)
    assert [each.model.sold_by for each in others if each.model.name == "minimax/h3"] == [
        "fal through your own LiteLLM"
    ]
    assert "VIDEO_MODEL, SayGM" in piped([first])[1]


def test_retired_models_and_those_bound_to_this_machine_are_not_listed() -> None:
    names = {each.model.name for each in listed()}
    assert not names & {"sora-2", "sora-2-pro", "sim-1"}
    assert "gen4_turbo" in names
    before = listed_offers(CATALOGUE, None, "720x1280", (), date(2026, 9, 23))
    assert "sora-2" in {each.model.name for each in before}


def test_offer_without_a_key_names_the_setting_that_is_missing() -> None:
    assert offer("gen4_turbo").configured
    missing = next(each for each in listed(configured=()) if each.model.name == "gen4_turbo")
    assert not missing.configured
    assert "needs VIDEO_API_KEY" in piped([missing])[1]
    unknown = offer("gen4_turbo", needs=None)
    assert not unknown.configured
    assert "not in this version" in piped([unknown])[1]


def test_gateway_whose_list_hides_jobs_or_prompts_leaves_a_lost_answer_to_a_person() -> None:
    assert offer("gen4_turbo").lost_answer == "a person"
    assert offer("gemini-omni-1.2-flash").lost_answer == "found by itself"


def test_json_has_one_object_for_each_offer(capsys: pytest.CaptureFixture[str]) -> None:
    model = find_offer(CATALOGUE, "kling/kling-v3")
    assert model is not None
    print_offers_as_json([offer("kling/kling-v3", lost_answer="found by itself", needs=()), offer("gen4_turbo")])
    kling, turbo = map(json.loads, capsys.readouterr().out.splitlines())
    assert kling == {
        "provider": "kling",
        "model": "kling-v3",
        "name": "kling/kling-v3",
        "usd_per_8s": 1.008,
        "usd_per_8s_at": {"1920x1080": 1.344, "1080x1920": 1.344, "1440x1440": 1.344},
        "priced_seconds": 8,
        "priced_size": "720x1280",
        "seconds": list(range(3, 16)),
        "sizes": list(model.sizes),
        "image": True,
        "sound": "choice",
        "watermark": None,
        "price_date": "2026-11-30",
        "source": model.source,
        "lost_answer": "found by itself",
        "configured": True,
        "default": False,
    }
    assert (turbo["name"], turbo["priced_seconds"], turbo["sizes"], turbo["sound"]) == ("gen4_turbo", 10, [], None)
