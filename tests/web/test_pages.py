"""What the pages show and change. The ledger and the simulator's books decide every number."""

import asyncio
import html as html_module
import json
import re
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import ClientResponse, ClientSession, CookieJar
from typer.testing import CliRunner

from app.web_page import WebPage, listening
from cli.main import app
from pipeline.formatting import MICROUSD, usd
from pipeline.ledger.records import State
from pipeline.run import admit, run
from pipeline.settings.config import load_settings
from tests.ledger.client import LedgerClient
from tests.support.fixtures import PRICE_MICROUSD, Simulator, order_request
from tests.web.site import TOKEN, Site, in_doubt, news, open_site, shown, the_run
from web.app import make_app

# -- overview


async def test_overview_numbers_match_the_ledger_and_the_books(
    inside: Site, simulator: Simulator, client: LedgerClient
) -> None:
    first = await inside.driven(await inside.order("a boat"))
    await inside.driven(await inside.order("a kite"))
    await inside.driven(await inside.order("a fight with blood everywhere"))
    again = order_request(simulator, "a horse")
    for _ in range(3):  # the same key is the same run
        await admit(replace(again, call_id=uuid4()), inside.context.ledger)
    await admit(replace(again, key="cli:other", call_id=uuid4()), inside.context.ledger)  # a duplicate
    doubtful = await in_doubt(inside, simulator)
    assert first.state is State.SAVED

    page = await inside.read("/admin")

    books = simulator.books()["totals"]
    spent = client.one("select spent_microusd from onetake.budgets where length(period) = 10")
    held = client.one("select sum(held_microusd) from onetake.runs")
    assert shown(page, "videos") == "2" == str(client.one("select count(*) from onetake.runs where state = 'saved'"))
    assert shown(page, "paid-calls") == "2"  # of the books' three, one is in doubt
    assert "</span> paid calls: 2 videos · " in page
    assert books["paid_calls"] == 3
    assert shown(page, "spent-today") == shown(page, "spent-week") == shown(page, "spent-month")
    assert shown(page, "spent-today") == f"${spent / MICROUSD:,.2f}"
    assert spent >= 2 * PRICE_MICROUSD  # plus the text model's cents
    assert f"{usd(held)}" == usd(2 * PRICE_MICROUSD)
    assert shown(page, "held-today") == usd(held)
    assert shown(page, "blocked") == "3"
    assert shown(page, "saved") == usd(3 * PRICE_MICROUSD)
    assert "1 in doubt." in shown(page, "doubts")
    assert doubtful.ref in page and "same request again" in page and "same prompt again" in page
    assert "100.0 % succeed" in page and "1 rejected" in page


async def test_a_day_is_clean_only_if_an_audit_has_proven_it(inside: Site, simulator: Simulator) -> None:
    await inside.driven(await inside.order())
    page = await inside.read("/admin")
    assert shown(page, "clean") == "No" and "no complete audit" in page

    said = await inside.submit("/admin/audit")
    assert said == "Clean: 1 job at the provider and 1 run here agree."
    until = (await inside.admin_context.dashboard.overview(1)).clean_day.until
    assert until is not None
    for path in ("/admin", "/admin/audit"):
        page = await inside.read(path)
        assert shown(
            page, "clean"
        ) == "Yes" and f'up to <time datetime="{until.isoformat(timespec="seconds")}">' in page.replace(
            "the audit of ", ""
        )

    # Somebody buys the same video again with the same key, unknown to us.
    books = simulator.books()["creates"]
    await inside.context.account.provider.post((await the_run(inside)).order(), lambda: None)
    assert len(simulator.books()["creates"]) == len(books) + 1
    assert "1 difference; see the list below." in await inside.submit("/admin/audit")
    page = await inside.read("/admin/audit")
    assert shown(page, "clean") == "No" and "(one run has two paid calls; explain or settle the second job)" in page
    assert (await the_run(inside)).ref in page


async def test_feed_shows_a_new_run_and_ends_with_the_session(inside: Site) -> None:
    answer = await inside.client.get("/admin/feed")
    assert answer.content_type == "text/event-stream"
    async with asyncio.timeout(60):
        assert "Nothing is in flight" in await event(answer)
        run_id = await inside.order("a boat")
        row = await inside.context.ledger.load(run_id)
        assert row is not None and row.ref in await event(answer)
    inside.clock.now += 10**6
    async with asyncio.timeout(60):
        assert await answer.content.read() == b""


async def test_demo_with_its_port_in_use_still_has_a_live_feed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    settings = load_settings({"HTTP_PORT": str(site.client.port)}, None)
    page = WebPage(make_app(replace(site.admin_context, demo=True), TOKEN), TOKEN)
    async with listening(page, settings, demo=True), ClientSession(cookie_jar=CookieJar(unsafe=True)) as client:
        found = re.search(r"http://127\.0\.0\.1:\d+", capsys.readouterr().out)
        assert found
        await client.post(f"{found[0]}/admin/login", data={"name": "Ada", "token": TOKEN})
        async with asyncio.timeout(60), client.get(f"{found[0]}/admin/feed") as answer:
            assert "Nothing is in flight" in await event(answer)


async def event(answer: ClientResponse) -> str:
    """The data of the next event."""
    lines: list[str] = []
    while (line := (await answer.content.readline()).decode().rstrip("\n")) or not (lines or answer.content.at_eof()):
        lines += [line.removeprefix("data: ")] if line.startswith("data: ") else []
    return "\n".join(lines)


# -- runs


async def test_runs_are_found_by_state_user_ref_time_model_and_prompt_version(inside: Site) -> None:
    saved = await inside.driven(await inside.order("a boat", user_id="tg:1"))
    refused = await inside.driven(await inside.order("a fight with blood everywhere", user_id="tg:2"))
    waiting = await inside.context.ledger.load(await inside.order("a kite", user_id="tg:3"))
    assert waiting is not None
    all_refs = {row.ref for row in (saved, refused, waiting)}
    version = saved.templates["write_caption"]

    async def found(query: str) -> set[str]:
        page = await inside.read(f"/admin/runs?{query}")
        return {ref for ref in all_refs if f"/admin/runs/{ref}" in page}

    assert await found("") == all_refs
    assert await found("state=saved") == {saved.ref}
    assert await found("state=open") == {waiting.ref}
    assert await found("state=doubt") == set()
    assert await found("user_id=tg:2") == {refused.ref}
    assert await found(f"ref={saved.ref[:4].lower()}") >= {saved.ref}
    assert await found(f"ref={saved.ref}") == {saved.ref}
    assert await found("model=sim-1") == all_refs
    assert await found("model=sora-2") == set()
    assert saved.ref in await found(f"template={version[:8]}")
    assert waiting.ref not in await found(f"template={version[:8]}")
    assert await found("template=000000") == set()
    assert await found("since=2020-01-01&until=2020-01-02") == set()
    assert await found("since=2020-01-01") == all_refs
    assert await found(f"since={waiting.reserved_at.isoformat().replace('+', '%2B')}") == {waiting.ref}
    assert await found("user_id=tg:1&state=saved&model=sim-1") == {saved.ref}
    assert await found("user_id=%25") == set()
    assert await found("user_id=tg:1'%20or%20'1'='1") == set()
    assert await found("template=%25") == set()
    assert await found("ref=%25") == set()


async def test_invalid_run_filters_show_a_specific_error(inside: Site) -> None:
    assert "There is no state happy." in await inside.read("/admin/runs?state=happy")
    assert "soon is not a valid time; write it as 2026-11-23" in await inside.read("/admin/runs?since=soon")
    assert "No requests yet." in await inside.read("/admin/runs")
    assert "No runs match." in await inside.read("/admin/runs?user_id=tg:9")
    answer = await inside.client.get("/admin/runs/NOSUCH")
    assert answer.status == 404 and "There is no run NOSUCH." in await answer.text()


async def test_paging_through_runs_shows_each_run_exactly_once(inside: Site, client: LedgerClient) -> None:
    for number in range(120):
        await inside.order(f"boat {number}", user_id=f"cli:{number}")
    seen: list[str] = []
    path: str | None = "/admin/runs?model=sim-1"
    while path:
        page = await inside.read(path)
        seen += [part.split('"')[0] for part in page.split('href="/admin/runs/')[1:]]
        following = page.split('rel="next" href="')[1:]
        path = html_module.unescape(following[0].split('"')[0]) if following else None

    refs = [row["ref"] for row in client.rows("select ref from onetake.runs order by reserved_at desc")]
    assert seen == refs


async def test_run_page_shows_every_step_prompt_and_the_request_sent(inside: Site, simulator: Simulator) -> None:
    row = await inside.driven(await inside.order("a paper boat in the rain"))

    page = html_module.unescape(await inside.read(f"/admin/runs/{row.ref.lower()}"))

    (create,) = simulator.books()["creates"]
    assert row.improved_prompt and row.improved_prompt in page
    assert create["job_id"] in page
    for step in ("check limits", "validate prompt", "generate video", "write caption", "save video"):
        assert step in page, step
    assert page.count("proven by its hash") == 2 and "a paper boat in the rain" in page
    assert f"POST {row.base_url}/videos" in page and '"seconds": "8"' in page
    assert shown(page, "spent") == "$0.80"
    assert "Cancel this run" not in page and "Found it" not in page and "Deliver again" not in page


async def test_user_text_is_escaped_on_every_page(inside: Site) -> None:
    evil = "<script>alert(1)</script> {{ 7*7 }} \"'><img src=x onerror=alert(1)>"
    row = await inside.driven(await inside.order(evil, user_id="tg:<b>"))
    for path in ("", "/runs", f"/runs/{row.ref}", "/limits", "/doubt", f"/runs?user_id={evil}"):
        page = await inside.read(f"/admin{path}")
        assert "<script>alert" not in page and "<img" not in page and "<b>" not in page and "49" not in page[:500]


# -- prompts


async def test_prompts_page_shows_the_versions_in_use_and_the_last_evals(inside: Site) -> None:
    row = await inside.driven(await inside.order())
    page = await inside.read("/admin/prompts")
    for name, sha in row.templates.items():
        assert name in page and f"template={sha[:12]}" in page
    assert "onetake prompts eval" in page

    group = {"cases": 7, "answered": 7, "pass_rate": 0.857, "pass_rate_before": None}
    kept = {"at": "2026-11-23T10:00:00+00:00", "answered_by": ["gpt-6-luna at https://api.test"], "pass_rate": 0.857}
    inside.admin_context.evals.write_text(json.dumps(kept | {"groups": {"harmless": group}, "stale": ""}))
    page = await inside.read("/admin/prompts")
    assert "gpt-6-luna at https://api.test" in page and "86 %" in page and "plumbing" not in page
    for broken in ("", "[]", "{", '{"at": 1}'):
        inside.admin_context.evals.write_text(broken)
        assert "onetake prompts eval" in await inside.read("/admin/prompts")


async def test_prompts_page_reads_the_results_of_prompts_eval(inside: Site) -> None:
    home = {"ONETAKE_HOME": str(inside.admin_context.evals.parent), "ONETAKE_IGNORE_ENV_FILE": "1"}
    done = await asyncio.to_thread(CliRunner().invoke, app, ["prompts", "eval"], env=home)
    assert done.exit_code == 0, done.output
    page = await inside.read("/admin/prompts")
    assert "82 cases, answered by the simulator" in page and "says nothing about wording" in page
    assert "harmless" in page


# -- empty pages explain themselves


async def test_empty_pages_show_an_explanation(inside: Site) -> None:
    assert "A <code>/create</code> in the chat appears here" in await inside.read("/admin")
    assert "Nothing is in doubt" in await inside.read("/admin/doubt")
    assert "No audit yet" in await inside.read("/admin/audit")
    assert "No users yet" in await inside.read("/admin/limits")
    assert "No run has used a prompt" in await inside.read("/admin/prompts")


async def test_missing_clip_file_returns_404_with_an_explanation(inside: Site, simulator: Simulator) -> None:
    row = await inside.driven(await inside.order())
    assert row.file
    Path(row.file).unlink()
    simulator.trouble("content", "status", status=404, always=True)
    answer = await inside.client.get(f"/admin/runs/{row.ref}/video")
    assert answer.status == 404 and "is neither on this machine nor in its bucket" in await answer.text()
    assert await run(row.run_id, inside.context) is not None


async def test_doubt_page_loads_when_the_providers_list_cannot_be_read(
    ledger_dsn: str, client: LedgerClient, simulator: Simulator, tmp_path: Path
) -> None:
    async with open_site(ledger_dsn, simulator, tmp_path) as site:
        await site.log_in()
        row = await in_doubt(site, simulator)
        simulator.trouble("list", "status", status=503, always=True)
        page = await site.read("/admin/doubt")
        assert "proves nothing right now: it could not be read" in page and "are not known" in page and row.ref in page
        assert news(page) == ""
