"""The page's numbers for machines: JSON in the old agent dashboard's format, and Prometheus.

Names and units follow Prometheus' conventions (prometheus.io/docs/practices/naming: base units, `_total` on counters);
labels are bounded: states, steps, outcomes and kinds of refusal, never users, refs or prompts.
"""

from collections.abc import Iterable, Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from pipeline.formatting import MICROUSD
from pipeline.ledger.dashboard import Counted, Metrics
from pipeline.ledger.metrics import STEPS, numbers
from pipeline.ledger.records import State
from web.context import CONTEXT

ACCEPTED = "accepted"


async def show_json(request: web.Request) -> web.Response:
    """`GET /api/admin/agent/metrics`."""
    return web.json_response({"success": True, "metrics": numbers(await request.app[CONTEXT].dashboard.metrics())})


async def show_days(request: web.Request) -> web.Response:
    """`GET /api/admin/agent/days`: a month of days, for charts."""
    seen = await request.app[CONTEXT].dashboard.overview()
    days = [
        {
            "day": each.day.isoformat(),
            "spent_usd": each.spent_microusd / MICROUSD,
            "held_usd": each.held_microusd / MICROUSD,
            "videos": each.videos,
            "rejected": each.rejected,
            "blocked": each.blocked,
        }
        for each in seen.days
    ]
    return web.json_response({"success": True, "days": days})


async def show_prometheus(request: web.Request) -> web.Response:
    admin_context = request.app[CONTEXT]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(
        _Once(
            list(
                families(
                    await admin_context.dashboard.metrics(),
                    admin_context.flood_waits(),
                    admin_context.unreadable_updates(),
                )
            )
        )
    )
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class _Once(Collector):
    """Serves numbers that are already loaded."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def families(found: Metrics, flood_waits: int, unreadable_updates: int) -> Iterator[Metric]:
    stats = found.stats
    runs = GaugeMetricFamily("onetake_runs", "Runs by state.", labels=["state"])
    for state in State:
        runs.add_metric([state.value], stats.states.get(state, 0))
    yield runs
    # Gauges, like spending below: they can fall, when a run that was paid and expired is found after all.
    yield _gauge("onetake_paid_calls", "Calls that the provider answered with a job.", stats.paid_calls)
    requests = CounterMetricFamily("onetake_requests", "Requests by what was answered.", labels=["answer"])
    refused = CounterMetricFamily("onetake_refusals", "Requests refused, by kind.", labels=["kind"])
    for kind, times in sorted(stats.checks.items()):
        requests.add_metric([kind], times)
        if kind not in {ACCEPTED, "replayed"}:
            refused.add_metric([kind], times)
    yield requests
    yield refused
    yield CounterMetricFamily(
        "onetake_duplicates_blocked", "Duplicate requests, not ordered again.", stats.duplicates_blocked
    )
    yield CounterMetricFamily(
        "onetake_saved_usd", "What the blocked duplicates would have cost.", stats.money_saved_microusd / MICROUSD
    )
    yield _gauge("onetake_held_usd", "Money set aside for runs that have not ended.", stats.held_microusd / MICROUSD)
    yield _gauge("onetake_spent_usd", "Spent on videos.", stats.spent_microusd / MICROUSD)
    yield _gauge("onetake_released_usd", "Money set aside and given back.", stats.released_microusd / MICROUSD)
    yield CounterMetricFamily("onetake_text_usd", "Spent on the text model.", stats.text_microusd / MICROUSD)
    budget = GaugeMetricFamily("onetake_budget_usd", "Budgets.", labels=["period"])
    budget.add_metric(["day"], stats.budget_day_microusd / MICROUSD)
    budget.add_metric(["month"], stats.budget_month_microusd / MICROUSD)
    yield budget
    yield _steps(found)
    yield _durations(found)
    yield _gauge("onetake_queue_runs", "Runs that have not ended.", found.queue.unfinished)
    yield _gauge(
        "onetake_queue_due_runs", "Runs that have waited for a worker for 15 seconds or longer.", found.queue.due
    )
    yield _gauge(
        "onetake_queue_oldest_due_seconds", "How long the oldest of them has waited.", found.queue.oldest_due_seconds
    )
    yield _gauge("onetake_in_doubt_runs", "Runs whose answer was lost.", stats.states.get(State.UNCERTAIN, 0))
    yield _gauge("onetake_parked_runs", "Runs that need an operator.", stats.parked)
    yield _gauge("onetake_paused", "1 while ordering is paused.", found.paused)
    yield _gauge("onetake_open_breakers", "Breakers that refuse orders now.", found.breakers_open)
    yield _gauge(
        "onetake_day_without_duplicate",
        "1 if the day up to the last audit is proven free of duplicate purchases.",
        found.clean_day.clean,
    )
    if found.clean_day.until is not None:
        until = found.clean_day.until.timestamp()
        yield _gauge("onetake_day_without_duplicate_until_timestamp_seconds", "The end of that day.", until)
    if found.audit is not None:
        yield _gauge("onetake_audit_differences", "Differences found by the last audit.", found.audit.differences)
        yield _gauge("onetake_audit_complete", "1 if the last audit read the whole list.", found.audit.complete)
        yield _gauge("onetake_audit_timestamp_seconds", "Time of the last audit.", found.audit.at.timestamp())
    yield CounterMetricFamily(
        "onetake_telegram_flood_waits", "How often Telegram told this process to wait.", flood_waits
    )
    yield CounterMetricFamily(
        "onetake_telegram_unreadable_updates", "Updates that this process could not read.", unreadable_updates
    )


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=float(value))


def _steps(found: Metrics) -> CounterMetricFamily:
    steps = CounterMetricFamily("onetake_step_outcomes", "Outcomes of each step.", labels=["step", "outcome"])
    for each in found.events:
        if each.step in STEPS and each.step != "check_limits":  # those are in onetake_requests
            steps.add_metric([each.step, each.outcome], each.n)
    return steps


def _durations(found: Metrics) -> HistogramMetricFamily:
    durations = HistogramMetricFamily("onetake_step_duration_seconds", "How long steps took.", labels=["step"])
    for step in STEPS:
        timed = [each for each in found.events if each.step == step and each.timed and each.buckets]
        if timed:
            durations.add_metric([step], _buckets(timed, found.bounds_ms), sum(each.ms for each in timed) / 1000)
    return durations


def _buckets(timed: list[Counted], bounds_ms: tuple[int, ...]) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus requires."""
    names = [*(f"{bound / 1000:g}" for bound in bounds_ms), "+Inf"]
    total, found = 0, []
    for place, name in enumerate(names):
        total += sum((each.buckets or ())[place] for each in timed)
        found.append((name, float(total)))
    return found
