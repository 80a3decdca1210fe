"""What `check --provider` concludes from a vendor's facts and from two free reads."""

from dataclasses import replace

import pytest

from cli.checks.diagnostics import Health
from cli.checks.vendor_probe import findings
from providers.apis import FACTS
from providers.job import ListPage
from providers.port import ReadError

UNKNOWN = ReadError(404, "HTTP 404: not found")
LISTED = ListPage((), False, None)


def said(name: str, unknown: ReadError = UNKNOWN, listed: object = LISTED, *, public: bool = False) -> str:
    facts = FACTS[name]
    page = listed if facts.has_list else None
    assert page is None or isinstance(page, ListPage | ReadError)
    return " | ".join(each.words for each in findings(facts, unknown, page, public=public))


@pytest.mark.parametrize("name", [name for name, facts in FACTS.items() if facts.has_list and name != "openai"])
def test_list_that_can_be_read_heals_a_lost_answer(name: str) -> None:
    assert "accepts the key" in said(name)
    assert "a lost answer heals by itself" in said(name)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_key_is_an_error_that_names_its_setting(status: int) -> None:
    [found] = findings(FACTS["fal"], ReadError(status, "no"), LISTED, public=False)
    assert (found.health, found.words) == (Health.BAD, f"does not accept FAL_KEY (HTTP {status})")


def test_key_that_may_not_read_the_list_is_an_error_too() -> None:
    [found] = findings(FACTS["fal"], UNKNOWN, ReadError(403, "no"), public=False)
    assert found.health is Health.BAD


def test_provider_that_does_not_answer_is_an_error() -> None:
    [found] = findings(FACTS["runway"], ReadError(None, "refused"), None, public=False)
    assert found.health is Health.BAD and "cannot be reached" in found.words


def test_list_that_cannot_be_read_leaves_lost_answers_to_a_person() -> None:
    assert "waits for a person: the list cannot be read" in said("fal", listed=ReadError(500, "HTTP 500"))


def test_callback_helps_only_with_a_public_address() -> None:
    assert "with PUBLIC_URL set it heals" in said("higgsfield")
    assert "heals once its callback arrives" in said("higgsfield", public=True)
    assert "there is no list and no callback" in said("runway", public=True)


def test_absence_proves_what_the_facts_say() -> None:
    assert "there is no list that could prove it" in said("runway")
    assert "may not tell an unknown job from a running one" in said("runware")
    known = replace(FACTS["ark"], start_limit_seconds=60, render_limit_seconds=120, list_lag_seconds=60)
    words = [each.words for each in findings(known, UNKNOWN, LISTED, public=False)]
    assert words[-1].startswith("a video is proven missing after 4 min")
