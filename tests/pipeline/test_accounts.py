"""Several accounts: a run belongs to the one that it was priced for, and to no other."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.context import rules
from cli.drive_run import _elsewhere
from pipeline.context import ProviderAccount, ProviderRules
from pipeline.ledger.records import State
from pipeline.settings.config import load_settings
from providers.apis import FACTS, api_of
from providers.orders import OPENAI
from providers.transport import open_provider
from tests.pipeline.purchase.evidence_rows import run
from tests.support.fixtures import Simulator, open_test_context

HERE = "http://127.0.0.1:1/v1"
Accounts = dict[str, ProviderAccount]


def rules_for(_: str) -> ProviderRules:
    return ProviderRules(refuses_429_before_work=False, typical_render_seconds=1)


@pytest.fixture
async def accounts() -> AsyncIterator[Accounts]:
    """Three accounts behind one address: two protocols with one key, and one of them with a second key."""
    async with AsyncExitStack() as opened:
        found = {}
        for name, provider, fingerprint in (
            ("openai", OPENAI, "f"),
            ("openrouter", "openrouter", "f"),
            ("second", "openrouter", "g"),
        ):
            api = api_of(provider, HERE)
            client = await opened.enter_async_context(open_provider(HERE, "a-key-of-some-length", api=api))
            found[name] = ProviderAccount(client, HERE, fingerprint, rules_for)
        yield found


async def test_run_belongs_to_the_account_with_its_provider_address_and_key(accounts: Accounts) -> None:
    first = replace(accounts["openai"], others=(accounts["openrouter"], accounts["second"]))
    assert first.for_run(run()) is first
    assert first.for_run(run(provider="openrouter")) is accounts["openrouter"]
    assert first.for_run(run(provider="openrouter", key_fingerprint="g")) is accounts["second"]


async def test_run_of_an_account_that_is_not_configured_matches_none(accounts: Accounts) -> None:
    first = replace(accounts["openai"], others=(accounts["second"],))
    for other in (
        run(provider="openrouter"),
        run(provider="fal"),
        run(base_url="http://127.0.0.1:2/v1"),
        run(key_fingerprint="g"),
    ):
        assert not first.for_run(other).matches(other), other


async def test_all_accounts_are_the_first_and_the_others(accounts: Accounts) -> None:
    first = replace(accounts["openai"], others=(accounts["second"],))
    assert first.all == (first, accounts["second"])
    assert accounts["second"].all == (accounts["second"],)


@pytest.mark.parametrize("provider", [name for name in FACTS if name != OPENAI])
def test_what_an_operator_says_of_the_video_key_is_not_said_of_a_vendors(provider: str) -> None:
    said = {"VIDEO_KEY_EXCLUSIVE": "true", "VIDEO_LIST_PROVES_ABSENCE": "true"}
    ours, theirs = (rules(None, FACTS[name], load_settings(said, None)).listing for name in (OPENAI, provider))
    assert (ours.exclusive_key, ours.absence_without_witness) == (True, True)
    assert (theirs.exclusive_key, theirs.absence_without_witness) == (False, False)


@pytest.mark.parametrize(
    ("provider", "known"),
    [
        ("fal", {"per_model": True, "newest_first": False, "has_list": True, "record": timedelta(days=30)}),
        ("ark", {"per_model": False, "newest_first": False, "record": timedelta(days=7), "absent_after": None}),
        ("replicate", {"newest_first": True, "record": None, "echoes_prompts": True}),
        ("runway", {"has_list": False, "shows_all": False, "looked_up": False}),
        ("kling", {"looked_up": True, "lookup_proves_absence": False}),
    ],
)
def test_rules_of_an_account_are_its_providers_facts(provider: str, known: dict[str, Any]) -> None:
    listing = rules(None, FACTS[provider], load_settings({}, None)).listing
    assert {name: getattr(listing, name) for name in known} == known


async def test_terminal_carries_on_a_run_of_any_configured_account(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    """It was ordered with another VIDEO_MODEL than today's."""
    async with AsyncExitStack() as opened:
        sim = replace(simulator, provider="fal")
        today = await opened.enter_async_context(open_test_context(ledger_dsn, simulator, tmp_path))
        at_fal = (await opened.enter_async_context(open_test_context(ledger_dsn, sim, tmp_path))).account
        waiting = run(state=State.APPROVED, provider="fal", base_url=sim.provider_url, key_fingerprint="fp")
        assert _elsewhere(waiting, today)
        assert not _elsewhere(waiting, replace(today, account=replace(today.account, others=(at_fal,))))
