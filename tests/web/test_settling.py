"""Settling on the page: looked up first, overridden by a tick, taken back, and what remains to explain."""

import re
from typing import Any

from tests.support.fixtures import Simulator
from tests.web.site import Site, in_doubt, seen, the_run

IN_CHAT: dict[str, Any] = {"audience": {"kind": "telegram", "chat_id": 42}, "user_id": "tg:42"}


async def test_job_id_unknown_to_the_provider_needs_confirmation(inside: Site, simulator: Simulator) -> None:
    row = await in_doubt(inside, simulator, **IN_CHAT)
    form = {"job": "video_nope", "why": "a guess", "sure": "yes"}

    said = await inside.submit(f"/admin/runs/{row.ref}/found", **form)
    assert said.startswith("The provider does not know a job video_nope. Nothing was changed. Check the id;")
    assert (await the_run(inside)).job_id is None

    said = await inside.submit(f"/admin/runs/{row.ref}/found", **form, unseen="yes")
    assert said == (
        f"{row.ref} is job video_nope, which the provider does not show. "
        "Its price ($0.80) stays set aside until the video is here."
    )
    await inside.order("another video", **IN_CHAT)  # the user may order again
    said = await inside.submit("/admin/audit")
    [open_] = [each for each in await inside.admin_context.operators.open_differences() if each.ref == row.ref]
    assert open_.kind not in {"two_paid_calls", "perhaps_two_paid_calls"}


async def test_job_that_differs_from_the_order_needs_confirmation(inside: Site, simulator: Simulator) -> None:
    row = await in_doubt(inside, simulator)
    job = simulator.control("POST", "/_sim/jobs", {"prompt": "somebody else's"})["id"]
    form = {"job": job, "why": "our proxy rewrites prompts", "sure": "yes"}

    said = await inside.submit(f"/admin/runs/{row.ref}/found", **form)
    assert (
        said.startswith(f"The provider shows job {job} with")
        and "tick “Use this job although it differs from the order”" in said
    )
    assert (await the_run(inside)).job_id is None
    assert f"{row.ref} is job {job}." in await inside.submit(f"/admin/runs/{row.ref}/found", **form, despite="yes")


async def test_settlement_can_be_taken_back_until_more_has_happened(inside: Site, simulator: Simulator) -> None:
    row = await in_doubt(inside, simulator)
    path = f"/admin/runs/{row.ref}"
    assert "Take it back" not in await inside.read(path)
    await inside.submit(f"{path}/not-charged", why="misread", sure="yes", early="yes", **seen(row))
    assert "Take it back" in await inside.read(path)
    assert await inside.submit(f"{path}/take-back") == f"{row.ref} was not changed: a reason is required."

    said = await inside.submit(f"{path}/take-back", why="it is there")
    assert said == f"The settlement was taken back: {row.ref} is in doubt again. $0.80 is set aside again."
    await inside.submit(f"{path}/found", job="video_nope", why="a guess", sure="yes", unseen="yes")
    said = await inside.submit(f"{path}/take-back", why="a slip")
    assert said == f"The settlement was taken back: {row.ref} is in doubt again. $0.80 stays set aside."
    assert "Take it back" not in await inside.read(path)
    assert "has changed since and is" in await inside.submit(f"{path}/take-back", why="again")


async def test_differences_are_listed_until_an_operator_explains_them(inside: Site, simulator: Simulator) -> None:
    row = await inside.driven(await inside.order())
    job = simulator.control("POST", "/_sim/jobs", {"prompt": "somebody else's"})["id"]
    assert 'data-testid="no-differences"' in await inside.read("/admin/audit")
    await inside.submit("/admin/audit")
    await inside.context.ledger.keep_stray_answer(row.run_id, "another_token", 200, '{"id": "<video_lost>"}')
    page = await inside.read("/admin/audit")
    assert "A job without a run" in page and job in page and 'name="subject"' in page
    assert "&lt;video_lost&gt;" in page and "no record of sending" in page

    assert "an explanation is required" in await inside.submit("/admin/audit/explain", subject=job, why=" ")
    said = await inside.submit("/admin/audit/explain", subject=job, why="a colleague's test")
    assert said == f"Explained: 1 difference about {job} closed, for good."
    page = await inside.read("/admin/audit")
    assert 'data-testid="no-differences"' in page
    said = await inside.submit("/admin/audit/explain", subject=job, why="again")
    assert said == f"No difference about {job} is open. Nothing was changed."
    change = (await inside.admin_context.dashboard.changes(1))[0]
    assert (change.who, change.key, change.after) == ("web:Ada", f"difference:{job}", "a colleague's test")
    page = await inside.read("/admin/limits")
    assert f"Difference {job}" in page and "explained: a colleague" in page


async def test_run_page_shows_the_unclear_answer_and_the_last_list_error(inside: Site, simulator: Simulator) -> None:
    simulator.trouble("create", "status", status=502, made=True)
    simulator.trouble("list", "status", status=503, always=True)
    row = await inside.driven(await inside.order("a lost kite"))
    await inside.driven(row.run_id)
    page = await inside.read(f"/admin/runs/{row.ref}")
    assert "Answer: HTTP 502" in page
    assert "Last look: the list could not be read: HTTP 503." in page
    assert "Last look: the list could not be read: HTTP 503." in await inside.read("/admin/doubt")


async def test_run_timeline_shows_words_not_python_values(inside: Site, simulator: Simulator) -> None:
    row = await in_doubt(inside, simulator)
    await inside.driven(row.run_id)
    page = await inside.read(f"/admin/runs/{row.ref}")
    assert "look incomplete" in page and "proposed:" not in page and "[]" not in page and "None" not in page


async def test_difference_links_its_run_exactly_once(inside: Site, simulator: Simulator) -> None:
    row = await inside.driven(await inside.order())
    await inside.context.account.provider.post(row.order(), lambda: None)  # the same video again, unknown to us
    await inside.submit("/admin/audit")
    (listed,) = re.findall(r"<li>(.*?)</li>", await inside.read("/admin/audit"))
    assert listed.count(f'<a href="/admin/runs/{row.ref}"><code>{row.ref}</code></a>') == 1
    assert len(re.findall(rf"\b{row.ref}\b", re.sub("<[^>]+>", "", listed))) == 1
