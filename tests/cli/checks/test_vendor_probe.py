"""What `onetake check --provider` finds out about an account at a vendor: without buying, from facts and free reads."""

from dataclasses import replace
from typing import Any

import pytest

from cli.checks.diagnostics import Finding, Health
from cli.checks.vendor_probe import findings, probe_vendors
from pipeline.settings.config import load_settings
from providers.apis import FACTS
from providers.job import Job, JobStatus, ListPage
from providers.orders import OPENAI
from providers.port import Callback, Facts, Marker, ReadError
from tests.providers.vendors.ordered import KEY_OF
from tests.support.fixtures import Simulator

UNKNOWN = ReadError(404, "not found")
EMPTY = ListPage((), False, None)
GOOD, NOTE, BAD = Health.GOOD, Health.NOTE, Health.BAD
FAL, RUNWAY, LUMA, KLING = (FACTS[name] for name in ("fal", "runway", "luma", "kling"))
Listed = ListPage | ReadError | None


def found(facts: Facts, unknown: Job | ReadError = UNKNOWN, listed: Listed = EMPTY, *, public: bool = False) -> Any:
    return list(findings(facts, unknown, listed if facts.has_list else None, public=public))


@pytest.mark.parametrize("status", [401, 403])
def test_key_that_is_not_accepted_is_named_and_nothing_else_is_said(status: int) -> None:
    [only] = found(KLING, ReadError(status, "no"))
    assert (only.health, only.words) == (
        BAD,
        f"does not accept {' and '.join(KLING.key_names)} (HTTP {status})",
    )


def test_key_that_only_the_list_rejects_as_unknown_is_not_accepted() -> None:
    """Some servers look for a job before they look at the key."""
    [only] = found(FAL, UNKNOWN, ReadError(401, "no"))
    assert only.health is BAD


def test_key_without_the_right_to_see_the_list_can_buy_and_a_person_must_settle() -> None:
    accepted, lost, _ = found(FAL, UNKNOWN, ReadError(403, "not allowed"))
    assert (accepted.health, accepted.words) == (GOOD, "accepts the key")
    assert lost.health is NOTE and "the list cannot be read with this key (not allowed)" in lost.words


def test_provider_that_cannot_be_reached_is_bad() -> None:
    [only] = found(RUNWAY, ReadError(None, "ConnectError"))
    assert (only.health, only.words) == (BAD, "cannot be reached (ConnectError)")


def test_made_up_job_that_is_shown_is_no_error() -> None:
    assert found(RUNWAY, Job("x", JobStatus.UNKNOWN))[0].words == "accepts the key"


@pytest.mark.parametrize(
    ("changes", "public", "health", "words"),
    [
        ({"marker": Marker.OWN_ID}, False, GOOD, "looked up by our own id"),
        ({"marker": Marker.ECHOED_REQUEST}, False, GOOD, "the list shows the whole request"),
        ({"marker": Marker.ECHOED_FIELD}, False, GOOD, "the list shows a field of ours"),
        ({"marker": Marker.ECHOED_FIELD, "record_seconds": 7200}, False, GOOD, "within 2 h"),
        ({"marker": Marker.CALLBACK, "callback": Callback.NONE}, True, NOTE, "there is no list and no callback"),
        ({"marker": Marker.CALLBACK, "callback": Callback.SIGNED}, True, GOOD, "heals once its callback arrives"),
        ({"marker": Marker.CALLBACK, "callback": Callback.UNSIGNED}, False, NOTE, "with PUBLIC_URL set it heals"),
        ({"marker": Marker.NONE, "callback": Callback.NONE}, False, NOTE, "waits for a person"),
    ],
)
def test_finding_says_how_a_lost_answer_ends(changes: dict[str, Any], public: bool, health: Health, words: str) -> None:
    facts = replace(FAL, record_seconds=None, has_list=changes["marker"] is not Marker.NONE)
    lost = found(replace(facts, **changes), public=public)[1]
    assert lost.health is health and words in lost.words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"marker": Marker.OWN_ID, "lookup_proves_absence": None}, "may not tell an unknown job from a running one"),
        ({"marker": Marker.CALLBACK, "has_list": False}, "there is no list that could prove it"),
        ({"marker": Marker.ECHOED_REQUEST}, "it is not known how late a job may appear"),
        (
            {"start_limit_seconds": 3600, "render_limit_seconds": 1800, "list_lag_seconds": 1800},
            "proven missing after 2 h",
        ),
    ],
)
def test_finding_says_when_a_video_is_proven_missing(changes: dict[str, Any], words: str) -> None:
    plain = replace(FAL, start_limit_seconds=None, render_limit_seconds=None, list_lag_seconds=None)
    last = found(replace(plain, **changes))[-1]
    assert last.health is NOTE and words in last.words


# -- at the doubles


def environment(sim: Simulator, provider: str) -> dict[str, str]:
    names, key = FACTS[provider].key_names, KEY_OF.get(provider, "test-key")
    keys = dict(zip(names, key.split(":") if len(names) > 1 else [key], strict=True))
    return keys | {f"{provider.upper()}_BASE_URL": f"{sim.root}/{provider}"}


@pytest.mark.parametrize("provider", [name for name in FACTS if name != OPENAI])
def test_check_at_each_double_accepts_the_key_and_orders_nothing(simulator: Simulator, provider: str) -> None:
    told = probe_vendors(load_settings(environment(simulator, provider), None))
    assert [finding.health for finding in told if finding.words == "accepts the key"] == [GOOD], told
    assert (simulator.creates(), simulator.paid_calls()) == (0, 0)


def test_only_the_named_account_is_asked(simulator: Simulator) -> None:
    settings = load_settings(environment(simulator, "fal") | environment(simulator, "luma"), None)

    def about(told: list[Finding]) -> set[str]:
        return {finding.about for finding in told}

    assert about(probe_vendors(settings)) == {"fal", "luma"}
    assert about(probe_vendors(settings, "luma")) == {"luma"}
    assert probe_vendors(settings, "ark") == [] == probe_vendors(load_settings({}, None))


def test_public_url_that_does_not_answer_is_noted(simulator: Simulator) -> None:
    settings = load_settings(environment(simulator, "luma") | {"PUBLIC_URL": "http://127.0.0.1:9"}, None)
    last = probe_vendors(settings)[-1]
    assert (last.about, last.health) == ("public", NOTE) and "PUBLIC_URL does not answer" in last.words


def test_public_url_of_another_server_is_noted(simulator: Simulator) -> None:
    settings = load_settings(environment(simulator, "luma") | {"PUBLIC_URL": simulator.root}, None)
    last = probe_vendors(settings)[-1]
    assert last.health is NOTE and "but not as onetake does" in last.words
