"""By what a job is known to be a certain order's, as its provider shows it."""

from dataclasses import replace

import pytest

from providers.apis import marks_of
from providers.job import Job, JobStatus
from providers.order_match import Shown, could_be, differs, is_marked, is_order_of
from providers.orders import SEED, Order, seed_of

ORDER = Order("run-1", "a cat", "dreamina-seedance-2-0-260128", 5, "720x1280", "json", "ark")
EXPIRY = "63571"  # of run-1 at Ark


def job(marker: str | None) -> Job:
    return Job("cgt-1", JobStatus.QUEUED, marker=marker)


def test_job_that_shows_what_only_the_order_had_is_its() -> None:
    assert is_marked(job(EXPIRY), ORDER)
    assert is_marked(job("run-1"), replace(ORDER, provider="runway"))
    assert is_marked(job(str(seed_of("run-1"))), replace(ORDER, input={"seed": SEED}))
    assert is_marked(job("token"), replace(ORDER, callback_url="https://o.test/callbacks/ark/token"))


def test_marker_of_one_provider_means_nothing_at_another() -> None:
    assert not is_marked(job(EXPIRY), replace(ORDER, provider="runway"))
    assert not is_marked(job(EXPIRY), replace(ORDER, provider="no longer known"))


def test_another_orders_marker_rules_a_job_out_and_none_does_not() -> None:
    other = replace(ORDER, run_id="run-2")
    assert not is_marked(job(EXPIRY), other)
    assert not could_be(job(EXPIRY), other, frozenset(Shown))
    assert not is_marked(job(None), ORDER)
    assert could_be(job(None), ORDER, frozenset(Shown))


@pytest.mark.parametrize("provider", ["fal", "replicate"])
def test_seed_that_all_orders_of_a_model_have_is_no_marker_and_no_contradiction(provider: str) -> None:
    """Such orders are equal, and so are their jobs."""
    order = replace(ORDER, provider=provider, input={"seed": 42})
    shown = replace(job("42"), prompt="a cat", request={"seed": 42})
    assert not is_marked(shown, order) and marks_of(order) == {"run-1"}
    assert is_order_of(shown, order) and Shown.MARKER not in differs(shown, order)
    assert not is_order_of(replace(shown, prompt=None), order), "neither its words nor a marker are ours"
    assert Shown.MARKER in differs(replace(shown, marker="43"), order)


def test_job_with_our_own_marker_is_never_ruled_out_by_what_else_it_shows() -> None:
    """A server that rounds lengths shows our job so: it is not adopted, but it is there."""
    rounded = replace(job(EXPIRY), seconds=60, size="1x1")
    assert could_be(rounded, ORDER, frozenset(Shown))
    assert not is_marked(rounded, ORDER)


@pytest.mark.parametrize(
    ("shown", "same"),
    [
        ({"duration": 8, "keys": {"b": 2, "a": 1}}, True),
        ({"duration": "8", "keys": {"a": 1, "b": 2}}, True),
        ({"duration": 8.0, "keys": {"a": 1, "b": 2}, "default": True}, True),
        ({"duration": 9, "keys": {"a": 1, "b": 2}}, False),
        ({"duration": 8, "keys": {"a": 1, "b": 3}}, False),
        ({"duration": 8}, False),
    ],
)
def test_echoed_input_may_add_to_the_order_and_must_not_lack_or_change_a_part(
    shown: dict[str, object], same: bool
) -> None:
    order = replace(ORDER, input={"duration": 8, "keys": {"a": 1, "b": 2}})
    assert (Shown.INPUT not in differs(replace(job(None), request=shown), order)) is same


def test_order_without_a_marker_of_its_provider_has_the_general_ones() -> None:
    assert marks_of(replace(ORDER, provider="runway")) == {"run-1"}
