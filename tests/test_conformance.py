"""The table of differences that `make conformance` allows, and how it compares two creates."""

from dataclasses import replace

import pytest

from benchmarks.sdks.environments import read_pins, together
from benchmarks.sdks.server import Create
from pipeline.settings.vendor_keys import KEYS
from tests.conformance.runner.comparing import Difference, Listed, compare, complaints, read_listed
from tests.conformance.runner.run import FILES, module_of

OURS = Create(
    "POST",
    "/v1/videos?hook=a",
    {"authorization": "Key one", "content-type": "application/json", "user-agent": "onetake", "x-once": "1"},
    b'{"input": {"seed": 1, "frames": []}, "prompt": "A lighthouse"}',
)
THEIRS = replace(
    OURS,
    headers={"authorization": "Key two", "content-type": "application/json", "x-stainless-os": "Linux"},
    body=b'{"prompt": "A lighthouse", "input": {"seed": true, "frames": [], "tier": null}}',
)
SEED = Difference("body.input.seed", 1, True)
ONCE = Difference("header x-once", "1", "(not sent)")
TIER = Difference("body.input.tier", "(not sent)", "(null)")


def listed(part: str, ours: object, theirs: object) -> Listed:
    return Listed("fal", Difference(part, ours, theirs), "a reason")


def test_every_client_is_pinned_and_all_share_one_environment() -> None:
    assert len(together(read_pins(FILES / "requirements.txt"))) == 1


def test_every_listed_difference_is_of_a_known_vendor_and_listed_once() -> None:
    entries = read_listed((FILES / "differences.toml").read_text(encoding="utf-8"))
    assert {entry.vendor.removeprefix("litellm/") for entry in entries} <= set(KEYS)
    assert len({(entry.vendor, entry.difference) for entry in entries}) == len(entries)


def test_every_file_is_named_like_a_vendor_and_has_what_the_runner_calls() -> None:
    files = [path for path in FILES.rglob("[a-z]*.py") if path.parent != FILES / "runner"]
    assert {path.stem for path in files} <= set(KEYS)
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert [name for name in ("KEY =", "MODEL =", "INPUT =", "def walk(") if f"\n{name}" not in text] == [], path


def test_each_vendor_module_has_one_class_that_reads_answers() -> None:
    modules = {path.stem for path in (FILES.parent.parent / "providers" / "vendors").glob("[a-z]*.py")} & set(KEYS)
    assert modules
    assert [name for name in modules if module_of(name) is None] == []


def test_creates_are_compared_part_by_part_without_keys_and_names_of_clients() -> None:
    assert compare(OURS, OURS) == []
    assert compare(OURS, THEIRS) == [ONCE, SEED, TIER]
    assert [difference.part for difference in compare(OURS, replace(OURS, target="/v2/videos?hook=b"))] == [
        "path", "query hook",
    ]  # fmt: skip
    bearer = replace(OURS, headers={**OURS.headers, "authorization": "Bearer one"})
    assert compare(OURS, bearer) == [Difference("header authorization", "Key ...", "Bearer ...")]
    form = replace(OURS, body=b"prompt=A+lighthouse")
    assert {difference.part for difference in compare(form, OURS)} >= {"body", "body.prompt"}


def test_difference_without_a_reason_and_reason_without_a_difference_are_wrong() -> None:
    known = [listed("header x-once", "1", "(not sent)"), listed("body.input.*", "(not sent)", "(null)")]
    assert complaints("fal", [ONCE, TIER], known) == []
    assert complaints("fal", [ONCE, TIER, SEED], known) == ["not listed: body.input.seed: ours 1, theirs True"]
    assert complaints("fal", [ONCE], known) == ["no longer so: body.input.*: ours '(not sent)', theirs '(null)'"]
    assert complaints("ark", [], known) == []


@pytest.mark.parametrize(
    ("one", "fits"),
    [(ONCE, True), (replace(ONCE, ours="2"), True), (replace(ONCE, ours="(not sent)"), False), (SEED, False)],
)
def test_star_is_any_value_that_is_sent(one: Difference, fits: bool) -> None:
    assert complaints("fal", [one], [listed("header x-once", "*", "(not sent)")]) == ([] if fits else [
        f"not listed: {one}", "no longer so: header x-once: ours '*', theirs '(not sent)'",
    ])  # fmt: skip


@pytest.mark.parametrize(
    "entry",
    [
        'vendor = "fal"\npart = "path"\nours = "/a"\ntheirs = "/b"',
        'vendor = "fal"\npart = "path"\nours = "/a"\ntheirs = "/a"\nreason = "they are the same"',
        'vendor = "fal"\npart = "path"\nours = "/a"\nreason = "a slip"\nwhy = "of the pen"',
    ],
)
def test_entry_without_a_reason_or_a_difference_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="needs vendor, part, reason"):
        read_listed(f"[[difference]]\n{entry}\n")
