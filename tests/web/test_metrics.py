"""The metrics agree with the ledger, the simulator's books, the page and `onetake stats`."""

import asyncio
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.formatting import MICROUSD
from pipeline.ledger.records import State
from pipeline.run import admit
from steps.check_limits import Admitted
from tests.guarantee.processes.machine import Machine
from tests.ledger.client import LedgerClient
from tests.support.fixtures import PRICE_MICROUSD, Simulator, order_request
from tests.web.site import Site, in_doubt, shown

JSON = "/api/admin/agent/metrics"


async def json_metrics(site: Site) -> dict[str, Any]:
    answer = await (await site.client.get(JSON)).json()
    assert answer["success"] is True
    return dict(answer["metrics"])


async def prometheus(site: Site) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels, parsed by Prometheus' own parser."""
    text = await site.read("/metrics")
    families = list(text_string_to_metric_families(text))
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


async def a_busy_day(site: Site, simulator: Simulator) -> None:
    """Two videos, a rejection, three blocked duplicates (two by key, one by prompt), one in doubt, one canceled."""
    await site.driven(await site.order("a boat"))
    await site.driven(await site.order("a kite"))
    await site.driven(await site.order("a fight with blood everywhere"))
    horse = order_request(simulator, "a horse", user_id="cli:horse")
    for _ in range(3):
        await admit(replace(horse, call_id=uuid4()), site.context.ledger)
    await admit(replace(horse, key="cli:other", call_id=uuid4()), site.context.ledger)
    row = await site.context.ledger.load(await site.order("a cat", user_id="cli:cat"))
    assert row is not None
    assert await site.context.ledger.cancel(row.run_id, "web:Ada")
    await in_doubt(site, simulator, user_id="cli:doubt")


async def test_the_json_metrics_agree_with_the_ledger_and_with_the_books(
    inside: Site, simulator: Simulator, client: LedgerClient
) -> None:
    await a_busy_day(inside, simulator)

    found = await json_metrics(inside)

    totals = simulator.books()["totals"]
    spent, held, text = (
        client.one(f"select sum({column}) from onetake.runs") / MICROUSD
        for column in ("spent_microusd", "held_microusd", "text_microusd")
    )
    assert found["total_runs"] == 6 == client.one("select count(*) from onetake.runs")
    assert found["total_videos"] == 2
    assert found["tool_calls"] == {
        "check_limits": client.one("select count(*) from onetake.events where step = 'check_limits'"),
        "validate_prompt": 4,
        "generate_video": 3,
        "write_caption": 2,
        "save_video": 2,
        "deliver": 0,
    }
    assert found["tool_calls"]["check_limits"] == 9
    assert found["tool_calls"]["generate_video"] == totals["creates"]
    assert found["duplicate_calls"] == 3
    assert found["cached_calls"]["check_limits"] == 2
    assert found["paid_calls"] == 2 == totals["paid_calls"] - found["in_doubt"]
    assert found["money_saved_usd"] == pytest.approx(3 * PRICE_MICROUSD / MICROUSD)
    assert found["spent_usd"] == pytest.approx(float(spent)) == pytest.approx(1.6)
    assert found["held_usd"] == pytest.approx(float(held))
    assert found["text_usd"] == pytest.approx(float(text))
    assert (
        found["runs_by_state"] | {"saved": 2, "rejected": 1, "uncertain": 1, "canceled": 1, "reserved": 1}
        == (found["runs_by_state"])
    )
    assert found["requests_by_answer"] == {"accepted": 6, "replayed": 2, "duplicate": 1}


async def test_replayed_request_counts_as_cached_for_every_step_it_skipped(inside: Site, simulator: Simulator) -> None:
    request = order_request(simulator, "a boat")
    first = await admit(request, inside.context.ledger)
    assert isinstance(first, Admitted)
    await inside.driven(first.run_id)
    before = await json_metrics(inside)
    await admit(replace(request, call_id=uuid4()), inside.context.ledger)

    after = await json_metrics(inside)

    assert after["tool_calls"] == before["tool_calls"] | {"check_limits": 2}
    assert after["cached_calls"] == {
        "check_limits": 1, "validate_prompt": 1, "generate_video": 1, "write_caption": 1, "save_video": 1, "deliver": 0,
    }  # fmt: skip
    assert after["paid_calls"] == before["paid_calls"] == simulator.paid_calls() == 1


async def test_prometheus_metrics_match_the_json_metrics(
    inside: Site, simulator: Simulator, client: LedgerClient
) -> None:
    await a_busy_day(inside, simulator)
    await inside.submit("/admin/audit")

    found, as_json = await prometheus(inside), await json_metrics(inside)

    for state in State:
        assert found["onetake_runs", (("state", state.value),)] == as_json["runs_by_state"][state.value]
    assert found["onetake_paid_calls", ()] == as_json["paid_calls"]
    assert found["onetake_duplicates_blocked_total", ()] == as_json["duplicate_calls"]
    assert found["onetake_saved_usd_total", ()] == pytest.approx(as_json["money_saved_usd"])
    assert found["onetake_held_usd", ()] == pytest.approx(as_json["held_usd"])
    assert found["onetake_spent_usd", ()] == pytest.approx(as_json["spent_usd"])
    released = client.one(
        "select coalesce(sum(released_microusd), 0) from onetake.runs where submitting_at is not null"
    )
    assert found["onetake_released_usd", ()] == pytest.approx(float(released) / MICROUSD)
    assert found["onetake_requests_total", (("answer", "replayed"),)] == 2
    assert found["onetake_refusals_total", (("kind", "duplicate"),)] == 1
    assert ("onetake_refusals_total", (("kind", "accepted"),)) not in found
    assert found["onetake_in_doubt_runs", ()] == 1
    assert found["onetake_queue_runs", ()] == 2
    assert found["onetake_telegram_flood_waits_total", ()] == 3
    assert found["onetake_audit_differences", ()] == client.one("select differences from onetake.audits")
    assert found["onetake_step_outcomes_total", (("outcome", "saved"), ("step", "save_video"))] == 2


async def test_step_duration_histograms_match_the_events(inside: Site, client: LedgerClient) -> None:
    await inside.driven(await inside.order("a boat"))
    found = await prometheus(inside)

    for step in ("validate_prompt", "generate_video", "write_caption"):
        labels = (("step", step),)
        timed = client.rows("select ms from onetake.events where step = %s and ms is not null", step)
        assert found["onetake_step_duration_seconds_count", labels] == len(timed)
        total = sum(row["ms"] for row in timed) / 1000
        assert found["onetake_step_duration_seconds_sum", labels] == pytest.approx(float(total))
        bounds = {
            float(dict(own)["le"]): value
            for (name, own), value in found.items()
            if name == "onetake_step_duration_seconds_bucket" and dict(own)["step"] == step
        }
        assert [bounds[bound] for bound in sorted(bounds)] == sorted(bounds.values())
        for bound, value in bounds.items():
            assert value == sum(float(row["ms"]) / 1000 <= bound for row in timed), (step, bound)


async def test_metrics_contain_no_user_run_or_prompt(inside: Site) -> None:
    row = await inside.driven(await inside.order("a lighthouse", user_id="tg:4242"))
    text = await inside.read("/metrics") + str(await json_metrics(inside))

    for private in ("4242", row.ref, "lighthouse", str(row.run_id), row.base_url):
        assert private not in text
    assert set(re.findall(r"(\w+)=\"", text)) <= {"state", "answer", "kind", "period", "step", "outcome", "le"}


async def test_page_metrics_and_stats_command_show_the_same_numbers(
    inside: Site, simulator: Simulator, ledger_dsn: str, tmp_path: Path
) -> None:
    await a_busy_day(inside, simulator)
    page, as_json = await inside.read("/admin"), await json_metrics(inside)
    terminal = Machine(tmp_path, simulator, {"DATABASE_URL": ledger_dsn})

    _, said = await asyncio.to_thread(terminal.onetake, "stats", "--json")
    _, words = await asyncio.to_thread(terminal.onetake, "stats")

    assert json.loads(said)["metrics"] == as_json
    assert int(shown(page, "videos")) == as_json["total_videos"] == 2
    assert int(shown(page, "paid-calls")) == as_json["paid_calls"]
    assert int(shown(page, "blocked")) == as_json["duplicate_calls"]
    assert re.search(r"requests: +9: (?=.*6 accepted)(?=.*2 replayed)(?=.*1 duplicate)", words)
    assert "not proven: no complete audit in the last day" in words


async def test_daily_metrics_cover_thirty_days_ending_today(inside: Site) -> None:
    await inside.driven(await inside.order())
    answer = await (await inside.client.get("/api/admin/agent/days")).json()

    assert answer["success"] and len(answer["days"]) == 30
    assert answer["days"][-1]["day"] == datetime.now(UTC).date().isoformat()
    assert (answer["days"][-1]["videos"], answer["days"][0]["videos"]) == (1, 0)
