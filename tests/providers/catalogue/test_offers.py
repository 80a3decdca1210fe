"""The offers of other providers in models.toml: each is priced, and each size and length has the provider's words."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from providers.catalogue import (
    CatalogueError,
    Duration,
    VideoModel,
    check_shape,
    find_model,
    find_offer,
    input_of,
    load_catalogue,
    nearest_shape,
    price_microusd,
)
from providers.orders import OPENAI, SEED
from tests.providers.catalogue.entries import PROVIDER_ENTRY, written

CATALOGUE = load_catalogue(Path(__file__).parents[3] / "models.toml")
OFFERS = [model for model in CATALOGUE.videos if model.provider != OPENAI]
EACH = pytest.mark.parametrize("model", OFFERS, ids=[model.offer for model in OFFERS])
GATEWAY = "https://gateway.example/v1"
# The short side of a frame of 16:9 or 9:16, by the word for its resolution. Seedance 1.5 and 2.0 make 496 at 480p.
SHORT_SIDES = {
    "480p": {480, 496},
    "540p": {540},
    "720p": {720},
    "768P": {768},
    "1080p": {1080},
    "2K": {1440},
    "4K": {2160},
    "std": {720},
    "pro": {1080},
}
OURS = {"prompt", "promptText", "positivePrompt", "model", "model_name", "webhook", "callback_url", "webhookURL"}


def offer(name: str) -> VideoModel:
    found = find_offer(CATALOGUE, name)
    assert found is not None
    return found


def frame(size: str) -> tuple[int, int]:
    width, _, height = size.partition("x")
    return int(width), int(height)


def test_nine_providers_sell_at_least_thirty_offers() -> None:
    assert len(OFFERS) >= 30
    providers = {"fal", "replicate", "ark", "runware", "kling", "higgsfield", "runway", "openrouter", "luma"}
    assert {model.provider for model in OFFERS} == providers


@EACH
def test_every_offer_has_a_price_for_every_size_with_a_date_and_a_source(model: VideoModel) -> None:
    assert model.price_date is not None
    assert date(2026, 9, 1) <= model.price_date <= date(2026, 11, 30)
    assert model.source
    for size in model.sizes:
        assert 8 * 10_000 <= price_microusd(model, 8, size) <= 8 * 1_500_000


@EACH
def test_every_length_and_size_of_an_offer_is_written_in_its_providers_words(model: VideoModel) -> None:
    assert model.duration is not None
    asked = {}
    for seconds in model.seconds:
        for size in model.sizes:
            check_shape(model, seconds, size)
            found = input_of(model, seconds, size)
            assert found[model.duration.field] in {seconds, str(seconds), f"{seconds}s"}
            assert found.items() >= dict(model.input).items()
            assert not set(found) & OURS
            assert all(isinstance(value, str | int | bool) for value in found.values())
            asked[seconds, size] = tuple(sorted(found.items()))
    assert len(set(asked.values())) == len(asked), "two shapes are asked for in the same words"


SIZES = [(model.offer, size, dict(words)) for model in OFFERS for size, words in model.size_input.items()]


@pytest.mark.parametrize(("name", "size", "words"), SIZES)
def test_a_sizes_words_describe_its_frame(name: str, size: str, words: dict[str, Any]) -> None:
    width, height = frame(size)
    if "width" in words:
        assert (words["width"], words["height"]) == (width, height)
    ratio = words.get("aspect_ratio") or words.get("ratio")
    if ratio is not None:
        wide, high = map(int, ratio.split(":"))
        assert width / height == pytest.approx(wide / high, rel=0.025)
    if ratio in {"16:9", "9:16"} and (resolution := words.get("resolution") or words.get("mode")):
        assert min(width, height) in SHORT_SIDES[resolution]


@pytest.mark.parametrize(
    ("name", "seconds", "size", "expected"),
    [
        (
            "fal/fal-ai/veo3.1/fast",
            8,
            "720x1280",
            {"generate_audio": True, "seed": SEED, "aspect_ratio": "9:16", "resolution": "720p", "duration": "8s"},
        ),
        (
            "ark/dreamina-seedance-2-0-260128",
            4,
            "1920x1080",
            {"generate_audio": True, "watermark": False, "ratio": "16:9", "resolution": "1080p", "duration": 4},
        ),
        (
            "kling/kling-v3",
            8,
            "1080x1920",
            {"sound": "on", "aspect_ratio": "9:16", "mode": "pro", "duration": "8"},
        ),
        ("runway/gen4.5", 8, "720x1280", {"ratio": "720:1280", "duration": 8}),
        ("runware/google:3@3", 8, "720x1280", {"width": 720, "height": 1280, "duration": 8}),
        ("luma/ray-2", 5, "1280x720", {"aspect_ratio": "16:9", "resolution": "720p", "duration": "5s"}),
    ],
)
def test_input_of_gives_everything_besides_the_prompt(
    name: str, seconds: int, size: str, expected: dict[str, Any]
) -> None:
    assert input_of(offer(name), seconds, size) == expected


def test_input_of_the_openai_videos_protocol_is_empty() -> None:
    model = find_model(CATALOGUE, "minimax/h3", GATEWAY)
    assert model is not None
    assert input_of(model, 8, "640x480") == {}


@pytest.mark.parametrize(("form", "expected"), [("integer", 8), ("8", "8"), ("8s", "8s")])
def test_length_is_written_in_the_form_that_the_provider_takes(form: Any, expected: int | str) -> None:
    assert Duration(form).written(8) == expected


def test_length_can_have_another_name(tmp_path: Path) -> None:
    entry = PROVIDER_ENTRY.replace('form = "8s"', 'form = "8", field = "video_length"')
    model = load_catalogue(written(tmp_path, entry)).videos[0]
    assert input_of(model, 4, "720x1280") == {"audio": True, "ratio": "9:16", "video_length": "4"}


@pytest.mark.parametrize("wanted", [check_shape, input_of])
def test_size_that_cannot_be_mapped_exactly_is_refused_with_what_is_possible(wanted: Any) -> None:
    with pytest.raises(CatalogueError, match=r"luma/ray-2 makes 720x1280, 1280x720, .*, not 704x1280; nothing"):
        wanted(offer("luma/ray-2"), 5, "704x1280")
    with pytest.raises(CatalogueError, match="luma/ray-2 makes videos of 5, 9 seconds, not 8; nothing was bought"):
        wanted(offer("luma/ray-2"), 8, "720x1280")


@pytest.mark.parametrize(
    ("name", "wanted", "nearest"),
    [
        ("luma/ray-2", (8, "720x1280"), (9, "720x1280")),
        ("luma/ray-2", (7, "64x64"), (5, "720x1280")),
        ("fal/minimax/h3/text-to-video", (8, "720x1280"), (8, "768x1366")),
    ],
)
def test_nearest_possible_shape_is_the_shorter_of_two(
    name: str, wanted: tuple[int, str], nearest: tuple[int, str]
) -> None:
    assert nearest_shape(offer(name), *wanted) == nearest


def test_price_depends_on_the_resolution() -> None:
    model = offer("openrouter/google/veo-3.1-fast")
    assert [price_microusd(model, 8, size) for size in ("720x1280", "1080x1920", "3840x2160")] == [
        800_000,
        960_000,
        2_400_000,
    ]


def test_seed_is_asked_for_only_where_the_provider_shows_it_again() -> None:
    assert {model.provider for model in OFFERS if SEED in model.input.values()} == {"fal", "replicate"}


def test_watermarks_are_switched_off_where_that_can_be_chosen() -> None:
    assert all(model.watermark is not True for model in OFFERS)
    for model in OFFERS:
        if "watermark" in model.input:
            assert model.input["watermark"] is model.watermark is False


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('duration = { form = "8s" }', "", "duration needs a form"),
        ('form = "8s"', 'form = "8 s"', "duration needs a form"),
        ('form = "8s"', 'shape = "8s"', "unexpected keyword"),
        ("seconds = [4]", "", "seconds, a table of sizes, and price_date are needed"),
        ("price_date = 2026-11-01", "", "seconds, a table of sizes, and price_date are needed"),
        ('[video.sizes]\n"720x1280" = { ratio = "9:16" }', 'sizes = ["720x1280"]', "a table of sizes"),
        ('"720x1280" = {', '"720p" = {', "720p is not a size"),
        ('ratio = "9:16"', 'audio = "9:16"', "a field is in more than one"),
        ('ratio = "9:16"', 'duration = "9:16"', "a field is in more than one"),
        ("audio = true", "duration = 4", "a field is in more than one"),
        ("seconds = [4]", 'seconds = [4]\nbase_url = "https://a.example"', "base_url is the provider's own"),
        ("seconds = [4]", 'seconds = [4]\nsound = "loud"', "sound is always, never or choice"),
        ("seconds = [4]", 'seconds = [4]\nusd_per_second_at = { "1280x720" = 1 }', "a price for 1280x720"),
        (PROVIDER_ENTRY, PROVIDER_ENTRY * 2, "p/m is listed twice"),
    ],
)
def test_offer_that_could_not_be_asked_for_is_rejected(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    assert old in PROVIDER_ENTRY
    with pytest.raises(CatalogueError, match=rf"models\.toml cannot be read .*{complaint}"):
        load_catalogue(written(tmp_path, PROVIDER_ENTRY.replace(old, new)))


def test_complete_offer_loads(tmp_path: Path) -> None:
    [model] = load_catalogue(written(tmp_path, PROVIDER_ENTRY)).videos
    assert (model.offer, model.sizes, model.base_url) == ("p/m", ("720x1280",), None)
