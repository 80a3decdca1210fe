"""Operators' changes on the page: their effect, their message, and their record."""

import re
from collections.abc import Mapping
from dataclasses import replace
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from procrastinate.exceptions import ConnectorException

from pipeline.formatting import MICROUSD
from pipeline.ledger.client import Ledger
from pipeline.ledger.operators import Operators
from pipeline.ledger.records import JobSource, State
from pipeline.ledger.transports.common import Json, LedgerUnavailable
from pipeline.worker import Engine
from tests.ledger.client import LedgerClient
from tests.support.fixtures import PRICE_MICROUSD, Simulator
from tests.web.site import Site, in_doubt, news, seen, the_run
from web.context import CONTEXT, WebContext

IN_CHAT: dict[str, Any] = {"audience": {"kind": "telegram", "chat_id": 42}, "user_id": "tg:42"}

# -- actions on a run


async def test_settling_a_run_in_doubt_needs_a_reason_and_a_tick(inside: Site, simulator: Simulator) -> None:
    row = await in_doubt(inside, simulator, **IN_CHAT)
    job = simulator.books()["creates"][-1]["job_id"]
    page = await inside.read("/admin/doubt")
    assert row.ref in page and job in page and f"/admin/runs/{row.ref}?job={job}#settle" in page

    said = await inside.submit(f"/admin/runs/{row.ref}/found", job=job, why="  ", sure="yes")
    assert "a job id, a reason and the confirmation are required" in said
    said = await inside.submit(f"/admin/runs/{row.ref}/not-charged", why="their console is empty")
    assert "a reason and the confirmation are required" in said
    assert (await the_run(inside)).state is State.UNCERTAIN

    said = await inside.submit(f"/admin/runs/{row.ref}/found", job=job, why="their console", sure="yes")
    assert said == f"{row.ref} is job {job}. Its price ($0.80) counts as spent; the video is ready to be fetched."
    after = await inside.driven(row.run_id)
    assert (after.state, after.job_id, after.spent_microusd) == (State.SAVED, job, PRICE_MICROUSD)
    said = await inside.submit(f"/admin/runs/{row.ref}/found", job=job, why="their console", sure="yes")
    assert said == f"{row.ref} is job {job}, and its video is here already. Nothing was changed."
    page = await inside.read(f"/admin/runs/{row.ref}")
    assert "by: web:Ada" in page and "why: their console" in page
    said = await inside.submit(f"/admin/runs/{row.ref}/found", job="video_other", why="again", sure="yes", unseen="yes")
    assert "neither in doubt nor parked, so there is nothing to settle: it is saved. Nothing was changed." in said
    assert simulator.creates() == 1


def fields_of(html: str, action: str) -> dict[str, str]:
    """The hidden fields of the form with that action, without the CSRF token."""
    form = html.partition(f'action="{action}"')[2].partition("</form>")[0]
    return {name: value for name, value in fields(form).items() if name != "csrf"}


def fields(html: str) -> dict[str, str]:
    """The hidden fields of the last form."""
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', html))


async def test_settlement_from_an_outdated_page_is_rejected(
    inside: Site, simulator: Simulator, client: LedgerClient
) -> None:
    row = await in_doubt(inside, simulator)
    form = fields(await inside.read(f"/admin/runs/{row.ref}"))
    assert (form["shown_state"], form["shown_job"]) == ("uncertain", "")
    job = simulator.books()["creates"][-1]["job_id"]
    await inside.context.ledger.record_submission(row.run_id, job, JobSource.LIST)
    client.write("update onetake.runs set parked_at = now() where run_id = %s", row.run_id)

    said = await inside.submit(
        f"/admin/runs/{row.ref}/not-charged", why="not in their books", sure="yes", early="yes", **form
    )

    assert said == f"{row.ref} has changed since it was shown: look again. Nothing was changed."
    after = await the_run(inside)
    assert (after.state, after.job_id, after.held_microusd) == (State.RENDERING, job, PRICE_MICROUSD)
    form = fields(await inside.read("/admin/doubt"))
    said = await inside.submit(
        f"/admin/runs/{row.ref}/not-charged", why="they took it back", sure="yes", early="yes", **form
    )
    assert "is settled as not charged" in said


async def test_operator_cannot_replace_a_job_from_the_providers_answer(
    inside: Site, simulator: Simulator, client: LedgerClient
) -> None:
    row = await in_doubt(inside, simulator)
    await inside.context.ledger.record_submission(row.run_id, "video_x", JobSource.LIST)
    client.write(
        "update onetake.runs set parked_at = now(), job_source = 'answer', progress = 7 where run_id = %s", row.run_id
    )

    said = await inside.submit(f"/admin/runs/{row.ref}/found", job="video_y", why="I saw it", sure="yes", unseen="yes")

    assert said.startswith(f"Run {row.ref} has job video_x from the provider's own answer; another cannot replace it.")


# -- messages when something is unavailable


def with_office(site: Site, **changes: Any) -> None:
    """Replace parts of the page's context; the application itself is frozen by now."""
    server: Any = site.client.server
    server.app._state[CONTEXT] = replace(site.admin_context, **changes)


def answers_are_lost(admin_context: WebContext, *names: str) -> dict[str, Any]:
    """These ledger functions take effect, but their answer is lost."""
    inner = admin_context.ledger.rpc

    async def rpc(name: str, args: Mapping[str, Json]) -> Json:
        answer = await inner(name, args)
        if name in names:
            raise LedgerUnavailable("the connection broke")
        return answer

    return {"ledger": Ledger(rpc), "operators": Operators(rpc)}


async def test_lost_ledger_answer_reports_that_the_change_may_have_been_made(inside: Site) -> None:
    row = await inside.context.ledger.load(await inside.order())
    assert row is not None
    with_office(inside, **answers_are_lost(inside.admin_context, "cancel_run", "set_paused"))
    for path, form in ((f"/admin/runs/{row.ref}/cancel", {}), ("/admin/pause", {"why": "fire"})):
        answer = await inside.client.post(path, data={"csrf": await inside.csrf(), **form})
        said = await answer.text()
        assert answer.status == 503, path
        assert "may have been made anyway. Check before you try again." in said and "nothing was" not in said

    assert (await the_run(inside)).state is State.CANCELED
    assert (await inside.admin_context.operators.controls()).paused


async def test_found_settlement_records_operator_and_reason_despite_a_lost_answer(
    inside: Site, simulator: Simulator
) -> None:
    row = await in_doubt(inside, simulator)
    job = simulator.books()["creates"][-1]["job_id"]
    with_office(inside, **answers_are_lost(inside.admin_context, "record_event", "settle_found"))

    form = {"csrf": await inside.csrf(), "job": job, "why": "their console", "sure": "yes"}
    assert (await inside.client.post(f"/admin/runs/{row.ref}/found", data=form)).status == 503

    last = (await inside.admin_context.operators.events(row.run_id))[-1]
    assert (await the_run(inside)).job_id == job
    assert (last.step, last.outcome) == ("settle", "found")
    seen = last.detail["seen"]
    assert last.detail == {"by": "web:Ada", "why": "their console", "job": job, "seen": seen}
    assert seen["status"] in {"queued", "in_progress", "completed"}


async def test_change_succeeds_while_the_queue_is_unreachable(inside: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    row = await inside.context.ledger.load(await inside.order())
    assert row is not None

    async def away(_: Engine, run_id: UUID | str) -> None:
        raise ConnectorException(f"no connection for {run_id}")

    monkeypatch.setattr(Engine, "enqueue", away)
    said = await inside.submit(f"/admin/runs/{row.ref}/cancel")

    assert said == f"{row.ref} is canceled; nothing was ordered, and $0.80 was released."


async def test_not_charged_releases_the_price_and_another_runs_job_is_rejected(
    inside: Site, simulator: Simulator
) -> None:
    other = await inside.driven(await inside.order("another"))
    row = await in_doubt(inside, simulator, user_id="cli:two")
    assert other.job_id
    said = await inside.submit(
        f"/admin/runs/{row.ref}/found", job=other.job_id, why="I guess", sure="yes", despite="yes"
    )
    assert said == f"Job {other.job_id} already belongs to run {other.ref}. Nothing was changed."

    asked = {"why": "asked them", "sure": "yes", **seen(row)}
    said = await inside.submit(f"/admin/runs/{row.ref}/not-charged", **asked)
    assert said.startswith(f"The provider's list shows a job that may be the order of {row.ref}: video_")
    simulator.trouble("list", "status", status=503, always=True)
    said = await inside.submit(f"/admin/runs/{row.ref}/not-charged", **asked)
    assert said.startswith(f"The order of {row.ref} may still turn up at the provider until 20")
    assert said.endswith("tick “It is early, but I have checked the provider's records”.")
    after = await inside.context.ledger.load(row.run_id)
    assert after is not None and after.state is State.UNCERTAIN
    said = await inside.submit(f"/admin/runs/{row.ref}/not-charged", **asked, early="yes")
    assert said == (
        f"{row.ref} is settled as not charged: $0.80 was released, and its user is being notified. "
        "This rests on your word alone: the list could not be read: HTTP 503."
    )
    after = await inside.context.ledger.load(row.run_id)
    assert after is not None
    assert (after.state, after.held_microusd, after.released_microusd) == (State.FAILED, 0, PRICE_MICROUSD)
    said = await inside.submit(f"/admin/runs/{row.ref}/not-charged", **asked)
    assert said == f"Run {row.ref} is settled as not charged: $0.80 is free again."  # the first one to ask


async def test_cancel_works_before_the_purchase_and_not_after(inside: Site, simulator: Simulator) -> None:
    waiting = await inside.context.ledger.load(await inside.order("a kite", confirm=True, **IN_CHAT))
    assert waiting is not None
    assert "Cancel this run" in await inside.read(f"/admin/runs/{waiting.ref}")
    said = await inside.submit(f"/admin/runs/{waiting.ref}/cancel")
    assert said == f"{waiting.ref} is canceled; nothing was ordered, and $0.80 was released."
    bought = await inside.driven(await inside.order("a boat"))
    said = await inside.submit(f"/admin/runs/{bought.ref}/cancel")
    assert said == f"{bought.ref} is saved: it can no longer be canceled, and nothing was changed."
    said = await inside.submit(f"/admin/runs/{waiting.ref}/cancel")  # retried, as after a lost answer
    assert said == f"{waiting.ref} is canceled: nothing was ordered."
    assert simulator.creates() == 1


# -- limits


async def test_every_limit_is_on_the_page_and_changes_record_who_and_the_old_value(inside: Site) -> None:
    limits = {limit.key for limit in await inside.admin_context.operators.limits()}
    page = await inside.read("/admin/limits")
    assert limits == {key for key in limits if f'id="limit-{key}"' in page}, "a limit is missing on the page"

    said = await inside.submit("/admin/limits", key="budget_day_microusd", value="12.5", sure="yes")
    assert said == "budget_day_microusd: changed from $100,000,000.00 to $12.50."
    said = await inside.submit("/admin/limits", key="rollout", value="percent")
    assert said == "rollout: changed from all to percent."
    last, before_it, *_ = await inside.admin_context.dashboard.changes(5)
    assert (last.key, last.who, last.before, last.after) == ("rollout", "web:Ada", "all", "percent")
    assert (before_it.after, before_it.before) == (12_500_000, 100_000_000 * MICROUSD)


@pytest.mark.parametrize(
    ("form", "says"),
    [
        (
            {"key": "cooldown_seconds", "value": "soon"},
            "cooldown_seconds was not changed: it must be a whole number, not soon.",
        ),
        ({"key": "cooldown_seconds", "value": ""}, "it must be a whole number, not nothing"),
        ({"key": "budget_day_microusd", "value": "NaN"}, "it must be dollars"),
        ({"key": "budget_day_microusd", "value": "1e400"}, "it must be dollars"),
        ({"key": "budget_day_microusd", "value": "1e999999"}, "it must be dollars"),
        ({"key": "budget_day_microusd", "value": "-Infinity"}, "it must be dollars"),
        ({"key": "cooldown_seconds", "value": "1.5"}, "it must be a whole number, not 1.5"),
        ({"key": "budget_day_microusd", "value": "5,50"}, "it must be dollars, such as 5 or 5.50, not 5,50"),
        ({"key": "cooldown_seconds", "value": "9" * 499}, "not changed"),
        ({"key": "budget_day_microusd", "value": "0.0000001"}, "it must be dollars"),
        ({"key": "cooldown_seconds", "value": "-1"}, "cooldown_seconds was not changed: it must be"),
        ({"key": "cooldown_seconds", "value": "99999999999999999999"}, "not changed"),
        ({"key": "no_such", "value": "1"}, "no_such was not changed: there is no such limit."),
        ({"key": "rollout", "value": "half"}, "rollout was not changed"),
        ({"key": "budget_day_microusd", "value": "1", "user_id": "tg:1"}, "that limit applies to all users"),
    ],
)
async def test_invalid_limit_value_is_rejected_with_a_reason(inside: Site, form: dict[str, str], says: str) -> None:
    before = await inside.admin_context.operators.limits()

    assert says in await inside.submit("/admin/limits", **form)
    assert await inside.admin_context.operators.limits() == before


async def test_user_limit_can_be_set_and_removed(inside: Site, client: LedgerClient) -> None:
    await inside.order("a boat", user_id="tg:1")
    said = await inside.submit("/admin/limits", key="videos_per_user_day", value="2", user_id="tg:1")
    assert said == "videos_per_user_day of tg:1: changed from the default to 2."
    page = await inside.read("/admin/limits")
    assert "videos_per_user_day = 2" in page
    per_user = {limit.key for limit in await inside.admin_context.operators.limits() if limit.per_user}
    assert set(re.findall(r"<option>(\w+)</option>", page)) == per_user | {"percent", "allowlist"}
    said = await inside.submit("/admin/limits", key="videos_per_user_day", value="", user_id="tg:1")
    assert said == "videos_per_user_day of tg:1: changed from 2 to the default."


async def test_rejected_limit_value_stays_in_its_field_with_the_reason(inside: Site) -> None:
    await inside.client.post(
        "/admin/limits",
        data={"csrf": await inside.csrf(), "key": "cooldown_seconds", "value": '1"5'},
        allow_redirects=False,
    )
    html = await inside.read("/admin/limits?tried=cooldown_seconds&value=1%225")
    assert 'value="1&#34;5" aria-invalid="true" aria-describedby="wrong" autofocus' in html
    assert news(html) == 'cooldown_seconds was not changed: it must be a whole number, not 1"5.'


async def test_budget_change_of_more_than_tenfold_needs_confirmation(inside: Site) -> None:
    await inside.submit("/admin/limits", key="budget_day_microusd", value="7.50", sure="yes")
    said = await inside.submit("/admin/limits", key="budget_day_microusd", value="5000000")
    assert "$5,000,000.00 is more than 10 times the current $7.50" in said
    assert "tick “Yes, change it this much”" in said
    asked = await inside.read("/admin/limits?tried=budget_day_microusd&value=5000000&sure=True")
    assert 'name="sure"' not in asked, "there is nothing to confirm without the question"
    said = await inside.submit("/admin/limits", key="budget_day_microusd", value="0.5")
    assert said.startswith("budget_day_microusd: changed from $7.50")
    await inside.submit("/admin/limits", key="budget_day_microusd", value="100")
    said = await inside.submit("/admin/limits", key="budget_day_microusd", value="1")
    assert "$1.00 is less than a tenth of the current $100.00" in said
    said = await inside.submit("/admin/limits", key="budget_day_microusd", value="1", sure="yes")
    assert said == "budget_day_microusd: changed from $100.00 to $1.00."


async def test_change_history_is_shown_in_words_with_reasons(inside: Site) -> None:
    await inside.submit("/admin/limits", key="budget_day_microusd", value="7.50", sure="yes")
    await inside.submit("/admin/limits", key="cooldown_seconds", value="3", user_id="tg:1")
    await inside.submit("/admin/users", user_id="tg:1", act="block", why="Too many kites.")
    await inside.submit("/admin/pause", why="Back at 18:00.")
    rows = re.findall(
        r'data-label="What">(.*?)</td>.*?"wrap">(.*?)</td>.*?"wrap">(.*?)</td>', await inside.read("/admin/limits")
    )
    assert [tuple(map(unescape, row)) for row in rows[:4]] == [
        ("Orders", "accepting orders", "paused: Back at 18:00."),
        ("tg:1", "can order", "blocked: Too many kites."),
        ("cooldown_seconds of tg:1", "the default", "3 s"),
        ("budget_day_microusd", "$100,000,000.00", "$7.50"),
    ]


async def test_pause_needs_a_reason_and_resume_from_an_outdated_page_is_rejected(inside: Site) -> None:
    assert "a reason is required, because users see it" in await inside.submit("/admin/pause", why=" ")
    await inside.submit("/admin/pause", why="Back at 18:00.")
    controls = await inside.admin_context.operators.controls()
    assert (controls.paused, controls.pause_reason, controls.paused_by) == (True, "Back at 18:00.", "web:Ada")
    assert "Back at 18:00." in await inside.read("/admin")
    stale = fields_of(await inside.read("/admin/limits"), "/admin/resume")
    await inside.admin_context.operators.pause("they bill twice", "web:Bob")
    said = await inside.submit("/admin/resume", **stale)
    assert said == "Somebody paused or resumed orders after this page was loaded. Nothing was changed."
    assert (await inside.admin_context.operators.controls()).pause_reason == "they bill twice"
    await inside.submit("/admin/resume", **fields_of(await inside.read("/admin/limits"), "/admin/resume"))
    assert not (await inside.admin_context.operators.controls()).paused


@pytest.mark.parametrize("budget", [4_000, 1_005_000, 50_000_000, 1_234_567_890_000, 1])
async def test_shown_budget_can_be_submitted_again_without_changing_it(inside: Site, budget: int) -> None:
    await inside.admin_context.operators.set_limit("budget_day_microusd", budget, "tests")
    found = re.search(r'id="limit-budget_day_microusd"[^>]* value="([^"]*)"', await inside.read("/admin/limits"))
    assert found
    await inside.submit("/admin/limits", key="budget_day_microusd", value=found[1])

    (limit,) = [each for each in await inside.admin_context.operators.limits() if each.key == "budget_day_microusd"]
    assert limit.value == budget


@pytest.mark.parametrize(
    "user", ["web:Ada", "tg:0", "TG:42", "tg:", "tg:forty", "tg: 42", "tg:042", "tg:4\u0662", "cli:"]
)
async def test_changes_for_an_invalid_user_id_are_rejected(inside: Site, user: str) -> None:
    for said in (
        await inside.submit("/admin/limits", key="videos_per_user_day", value="1", user_id=user),
        await inside.submit("/admin/users", act="block", user_id=user, why="x"),
    ):
        assert said.endswith(f"a user is tg:<Telegram id> or cli:<name>, not {user}.")
    assert await inside.admin_context.operators.users(10) == ()


async def test_users_can_be_blocked_unblocked_and_invited(inside: Site) -> None:
    await inside.submit("/admin/users", user_id="7", act="block", why="spam")  # as Telegram shows the id
    page = await inside.read("/admin/limits")
    assert "blocked" in page and "spam" in page
    await inside.submit("/admin/users", user_id="tg:7", act="unblock")
    assert "can order again" not in await inside.read("/admin/limits")  # shown once
    assert "is invited, and can order" in await inside.submit("/admin/users", user_id="tg:7", act="invite")
    assert "a user is tg:" in await inside.submit("/admin/users", user_id="Ada", act="block")
    assert "block, unblock or invite" in await inside.submit("/admin/users", user_id="tg:7", act="burn")
