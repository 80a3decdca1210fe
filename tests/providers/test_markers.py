"""By what a job is known to be a certain order's, as its provider shows it."""

from dataclasses import replace

from providers.apis import marks_of
from providers.job import Job, JobStatus
from providers.order_match import Shown, could_be, is_marked
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


def test_order_without_a_marker_of_its_provider_has_the_general_ones() -> None:
    assert marks_of(replace(ORDER, provider="runway")) == {"run-1"}
