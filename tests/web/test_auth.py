"""Access to every route, and what is shown without it. Walks all routes, so that new ones are covered too."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiohttp.test_utils import TestClient, TestServer

from bot.transport import webhook
from bot.transport.updates import Incoming
from pipeline.settings.config import load_settings
from tests.bot.recording import make_bot
from tests.media.builders import webm
from tests.support.fixtures import KEY, Simulator
from tests.web.site import TOKEN, Site, as_written, open_site
from web.app import make_app
from web.auth import LINK_SECONDS, SESSION_SECONDS, WINDOW_SECONDS, WRONG_AT_MOST, Auth

OPEN = {"/admin/login", "/healthz", "/readyz", "/admin/static/{filename}"}
BY_TOKEN = {"/metrics", "/api/admin/agent/metrics", "/api/admin/agent/days"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def routes(site: Site) -> list[tuple[str, str]]:
    """Method and registered path of every route."""
    app = site.client.app
    assert app is not None
    found = []
    for route in app.router.routes():
        assert route.resource is not None
        found.append((route.method, route.resource.canonical))
    return sorted({(method, re.sub(r"^/admin/static$", "/admin/static/{filename}", path)) for method, path in found})


async def test_every_protected_route_reveals_nothing_without_a_session(site: Site) -> None:
    run_id = await site.order("a secret lighthouse")
    row = await site.driven(run_id)
    assert len(routes(site)) > 25
    for method, canonical in routes(site):
        if canonical in OPEN or canonical == "/":
            continue
        path = canonical.replace("{ref}", row.ref)
        answer = await site.client.request(method, path, allow_redirects=False)
        said = await answer.text() if method != "HEAD" else ""
        assert answer.status in {303, 401, 403}, (method, path, answer.status)
        if answer.status == 303:
            assert answer.headers["Location"].startswith("/admin/login?next="), path
        assert "lighthouse" not in said and row.ref not in said and len(said) < 200, (path, said)
    after = await site.context.ledger.load(run_id)
    assert after is not None and replace(after, read_at=row.read_at) == row


async def test_open_routes_reveal_no_data_and_static_paths_cannot_escape(site: Site) -> None:
    row = await site.driven(await site.order("a secret lighthouse"))
    for path in ("/admin/login", "/healthz", "/readyz", "/admin/static/admin.js", "/admin/static/admin.css"):
        said = await site.read(path)
        assert "lighthouse" not in said and row.ref not in said and TOKEN not in said

    for path in ("/admin/static/../app.py", "/admin/static/%2e%2e/app.py", "/admin/static/%2Fetc%2Fpasswd"):
        said = await as_written(site, path)
        assert "make_app" not in said and "root:" not in said and " 200 " not in said.splitlines()[0], path
    assert (await site.client.get("/admin/static/")).status in {403, 404}  # no directory listing


NO_TEXT = b"\xff"


@pytest.mark.parametrize("path", ["/admin", "/healthz", "/metrics", "/admin/login"])
@pytest.mark.parametrize("cookie", [b"aa." + NO_TEXT, NO_TEXT + b".aa", NO_TEXT])
async def test_non_text_cookies_and_tokens_are_rejected_without_an_error(site: Site, path: str, cookie: bytes) -> None:
    cookie_header, bearer = b"Cookie: onetake_session=" + cookie, b"Authorization: Bearer " + cookie
    answers = {"/admin": "303", "/healthz": "200", "/metrics": "401", "/admin/login": "200"}
    assert (await as_written(site, path, cookie_header, bearer)).split()[1] == answers[path]


def test_operator_name_keeps_only_printable_characters() -> None:
    auth = Auth(TOKEN, lambda: 0.0)
    session = auth.session(auth.open_session("\x1b[31mA\0d\u202ea \ud800"))
    assert session is not None and session.who == "web:[31mA d a"


@pytest.mark.parametrize("path", sorted(BY_TOKEN))
async def test_metrics_accept_only_the_exact_bearer_token(site: Site, path: str) -> None:
    assert (await site.client.get(path, headers=BEARER)).status == 200
    for wrong in ("Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer " + TOKEN[:-1]):
        answer = await site.client.get(path, headers={"Authorization": wrong})
        assert answer.status == 401, wrong
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert (await answer.json())["success"] is False


async def test_bearer_token_does_not_open_pages_or_allow_changes(site: Site) -> None:
    assert (await site.client.get("/admin", headers=BEARER, allow_redirects=False)).status == 303
    answer = await site.client.post("/admin/pause", headers=BEARER, data={"why": "x"}, allow_redirects=False)
    assert answer.status == 401
    assert not (await site.admin_context.operators.controls()).paused


async def test_the_cookie_is_signed_http_only_and_same_site(site: Site) -> None:
    answer = await site.log_in()

    cookie = answer.cookies["onetake_session"]
    assert cookie["httponly"] and cookie["samesite"] == "Lax" and cookie["path"] == "/" and not cookie["secure"]
    assert int(cookie["max-age"]) == SESSION_SECONDS
    body, _, signature = cookie.value.partition(".")
    for forged in (f"{body}.{'0' * 64}", f"{body}.", body, f"{body[:-4]}AAAA.{signature}", f".{signature}", "é.é"):
        headers = {"Cookie": f"onetake_session={forged}"}
        site.client.session.cookie_jar.clear()
        answer = await site.client.get("/admin", headers=headers, allow_redirects=False)
        assert answer.status == 303, forged


async def test_session_cookie_is_secure_behind_tls(site: Site) -> None:
    form = {"name": "Ada", "token": TOKEN}
    headers = {"X-Forwarded-Proto": "https"}
    answer = await site.client.post("/admin/login", data=form, headers=headers, allow_redirects=False)

    assert answer.cookies["onetake_session"]["secure"]


async def test_session_ends_on_logout_expiry_or_a_new_token(inside: Site) -> None:
    (kept,) = [cookie.value for cookie in inside.client.session.cookie_jar if cookie.key == "onetake_session"]
    await inside.read("/admin")
    await inside.client.post("/admin/logout", data={"csrf": await inside.csrf()})
    headers = {"Cookie": f"onetake_session={kept}"}
    assert (await inside.client.get("/admin", headers=headers, allow_redirects=False)).status == 303  # old cookie

    await inside.log_in()
    inside.clock.now += SESSION_SECONDS + 1
    assert (await inside.client.get("/admin", allow_redirects=False)).status == 303

    cookie = Auth(TOKEN, inside.clock).open_session("Ada")
    assert Auth(TOKEN, inside.clock).session(cookie) is not None  # a restart ends no session
    assert Auth(TOKEN + "-new", inside.clock).session(cookie) is None


async def test_too_many_wrong_tokens_block_even_the_right_token_for_a_while(site: Site) -> None:
    for _ in range(WRONG_AT_MOST):
        answer = await site.log_in(token="not-this-one-either")
        assert answer.status == 403 and "not the token for this bot" in await answer.text()
    answer = await site.log_in()
    assert answer.status == 429 and 0 < int(answer.headers["Retry-After"]) <= WINDOW_SECONDS
    assert (await site.client.get("/metrics", headers=BEARER)).status == 429

    site.clock.now += WINDOW_SECONDS + 1
    assert (await site.log_in()).status == 303


def test_wrong_tokens_from_many_addresses_are_throttled_together() -> None:
    auth = Auth(TOKEN, lambda: 1000.0)
    for number in range(4 * WRONG_AT_MOST):
        assert auth.wait_seconds(f"10.0.0.{number}") == 0
        auth.note_wrong(f"10.0.0.{number}")
    assert auth.wait_seconds("10.0.1.1") == WINDOW_SECONDS


def test_token_check_rejects_wrong_tokens_of_any_length() -> None:
    auth = Auth(TOKEN, lambda: 0.0)

    assert auth.is_token(TOKEN)
    for wrong in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é" * 500, "x" * 1_000_000):
        assert not auth.is_token(wrong)


@pytest.mark.parametrize("form", [{}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "é"}])
async def test_form_without_a_valid_csrf_token_changes_nothing(inside: Site, form: dict[str, str]) -> None:
    before = await inside.admin_context.operators.limits()
    history = await inside.admin_context.dashboard.changes(50)
    changes = [
        ("/admin/pause", {"why": "x"}),
        ("/admin/limits", {"key": "cooldown_seconds", "value": "77"}),
        ("/admin/users", {"user_id": "tg:1", "act": "block"}),
        ("/admin/audit", {}),
        ("/admin/audit/explain", {"subject": "video_1", "why": "x"}),
        ("/admin/logout", {}),
    ]
    for path, asked in changes:
        answer = await inside.client.post(path, data=asked | form)
        assert answer.status == 403 and "nothing was changed" in await answer.text(), path
    assert not (await inside.admin_context.operators.controls()).paused
    assert await inside.admin_context.operators.limits() == before
    assert await inside.admin_context.dashboard.changes(50) == history
    await inside.read("/admin")  # still logged in


async def test_csrf_token_of_another_session_and_cross_site_forms_are_rejected(inside: Site) -> None:
    auth = Auth(TOKEN, inside.clock)
    other = auth.session(auth.open_session("Eve"))
    assert other is not None
    answer = await inside.client.post("/admin/pause", data={"csrf": auth.csrf(other), "why": "x"})
    assert answer.status == 403

    foreign = {"Sec-Fetch-Site": "cross-site"}
    answer = await inside.client.post("/admin/pause", data={"csrf": await inside.csrf(), "why": "x"}, headers=foreign)
    assert answer.status == 403
    answer = await inside.client.post("/admin/login", data={"token": TOKEN}, headers=foreign, allow_redirects=False)
    assert answer.status == 403
    assert not (await inside.admin_context.operators.controls()).paused


async def test_every_page_sends_headers_against_foreign_scripts_frames_and_caching(inside: Site) -> None:
    for path in ("/admin", "/admin/runs", "/admin/login", "/api/admin/agent/metrics", "/metrics", "/admin/nothing"):
        headers = (await inside.client.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"


async def test_pages_have_no_inline_scripts_styles_or_external_resources(inside: Site) -> None:
    row = await inside.driven(await inside.order())
    for path in ("", "/runs", f"/runs/{row.ref}", "/doubt", "/audit", "/limits", "/prompts"):
        html = await inside.read(f"/admin{path}")
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", html), path
        assert "http" not in "".join(re.findall(r'(?:src|href|action)="([^"]*)"', html)), path  # no external resources
        assert KEY not in html and TOKEN not in html


async def test_clip_is_served_with_its_real_content_type(inside: Site) -> None:
    inside.simulator.makes(webm())
    row = await inside.driven(await inside.order())
    answer = await inside.client.get(f"/admin/runs/{row.ref}/video")
    assert (answer.status, answer.content_type, await answer.read()) == (200, "video/webm", webm())
    assert f'filename="onetake-{row.ref}.webm"' in answer.headers["Content-Disposition"]


async def test_clip_needs_a_session_or_an_unexpired_signed_link(inside: Site) -> None:
    row = await inside.driven(await inside.order())
    html = await inside.read(f"/admin/runs/{row.ref}")
    found = re.search(rf"/media/{row.ref}\?until=\d+&amp;signature=[0-9a-f]+", html)
    assert found
    link = found[0].replace("&amp;", "&")
    answer = await inside.client.get(f"/admin/runs/{row.ref}/video")
    assert answer.status == 200 and answer.content_type == "video/mp4"
    assert (await answer.read())[4:8] == b"ftyp"

    inside.client.session.cookie_jar.clear()
    answer = await inside.client.get(link)
    assert answer.status == 200 and (await answer.read())[4:8] == b"ftyp"
    other = await inside.order("another boat", user_id="cli:other")
    other_ref = (await inside.driven(other)).ref
    until = re.search(r"until=(\d+)", link)
    assert until
    for wrong in (
        link.replace(row.ref, other_ref),
        link.replace(until[1], str(int(until[1]) + 9999)),
        link[:-1] + ("0" if link[-1] != "0" else "1"),
        f"/media/{row.ref}",
        f"/media/{row.ref}?until=9999999999&signature=",
        f"/media/{row.ref}?until=1e99&signature=0",
    ):
        assert (await inside.client.get(wrong)).status == 403, wrong
    inside.clock.now += LINK_SECONDS + 1
    assert (await inside.client.get(link)).status == 403


@pytest.mark.parametrize(
    ("wanted", "goes"),
    [
        ("/admin/limits", "/admin/limits"),
        ("/admin/runs?state=open", "/admin/runs?state=open"),
        ("https://evil.test/admin", "/admin"),
        ("//evil.test/admin", "/admin"),
        ("/admin\\@evil.test", "/admin"),
        ("/\\evil.test", "/admin"),
        ("javascript:alert(1)", "/admin"),
        ("", "/admin"),
        ("//[", "/admin"),
        ("/admin/runs?since=2026-11-23T14:00%2B01:00", "/admin/runs?since=2026-11-23T14:00%2B01:00"),
        ("/admin/runs?model=a%26b%3Dc%25", "/admin/runs?model=a%26b%3Dc%25"),
        ("/admin/runs/AAAAAA?job=vid%231", "/admin/runs/AAAAAA?job=vid%231"),
    ],
)
async def test_login_redirects_only_to_admin_pages(site: Site, wanted: str, goes: str) -> None:
    form = {"name": "Ada", "token": TOKEN}
    answer = await site.client.post("/admin/login", params={"next": wanted}, data=form, allow_redirects=False)

    assert (answer.status, answer.headers["Location"]) == (303, goes)


@pytest.mark.parametrize("query", ["since=2026-11-23T14:00%2B01:00&state=open", "model=a%26b%3D%25"])
async def test_login_redirects_to_the_page_first_requested(site: Site, query: str) -> None:
    path = f"/admin/runs?{query}"
    kept_out = await site.client.get(path, allow_redirects=False)
    login = await site.read(kept_out.headers["Location"])
    action = re.search(r'action="([^"]*)"', login)
    assert action
    form = {"name": "Ada", "token": TOKEN}
    answer = await site.client.post(unescape(action[1]), data=form, allow_redirects=False)

    assert answer.headers["Location"] == path


@pytest.mark.parametrize(
    "path",
    [
        "/admin/runs?ref=%00",
        "/admin/runs?user_id=tg:%00",
        "/admin/runs/%00",
        "/admin/runs/%ED%A0%80",
        "/admin/runs?until=9999-12-31T23:59:59-23:59",
        "/admin/runs?before=0001-01-01T00:00:00%2B23:59",
        "/media/%00",
        f"/admin/static/{'9' * 400}",
        f"/admin/{'a' * 7000}",
        "/api/admin/agent/days?days=%00",
    ],
)
async def test_odd_urls_cause_no_server_error(inside: Site, path: str) -> None:
    answer = await inside.client.get(path)

    assert answer.status in {200, 400, 403, 404}, await answer.text()
    assert "did not answer" not in await answer.text()


async def test_nul_characters_in_form_values_are_replaced_by_spaces(inside: Site) -> None:
    assert "it must be a whole number, not a b" in await inside.submit(
        "/admin/limits", key="cooldown_seconds", value="a\0b"
    )
    await inside.submit("/admin/pause", why="back\0soon")
    assert (await inside.admin_context.operators.controls()).pause_reason == "back soon"


async def test_readyz_is_503_while_the_ledger_is_unavailable(
    ledger_dsn: str, simulator: Simulator, tmp_path: Path
) -> None:
    async with open_site(ledger_dsn, simulator, tmp_path) as site:
        assert (await site.client.get("/readyz")).status == 200
        await site.log_in()
        with psycopg.connect(ledger_dsn, autocommit=True) as connection:
            connection.execute("alter function public.controls() rename to controls_away")
            try:
                assert (await site.client.get("/readyz")).status == 503
                answer = await site.client.get("/admin/limits")
                assert answer.status == 503 and "nothing was changed" in await answer.text()
                assert (await site.client.get("/healthz")).status == 200
            finally:
                connection.execute("alter function public.controls_away() rename to controls")


async def test_webhook_path_may_start_with_admin_and_a_non_text_secret_is_rejected(site: Site) -> None:
    bot, _ = make_bot()
    heard: list[int] = []

    async def feed(update: Any) -> None:
        heard.append(update.update_id)

    url = "https://bot.example/admin-hook"
    assert load_settings({"WEBHOOK_URL": url, "WEBHOOK_SECRET": "its-secret-of-sixteen"}, None).webhook_url == url
    read = Incoming(bot, site.admin_context.ledger.rpc).read
    app = webhook.make_app(read, feed, url, "its-secret-of-sixteen", make_app(site.admin_context, TOKEN))
    async with TestClient(TestServer(app)) as client:
        answer = await client.post(
            "/admin-hook", json={"update_id": 7}, headers={webhook.SECRET_HEADER: "its-secret-of-sixteen"}
        )
        assert (answer.status, heard) == (200, [7])
        no_text = f"{webhook.SECRET_HEADER}: ".encode() + NO_TEXT
        said = await as_written(replace(site, client=client), "/admin-hook", no_text, body=b"{}")
        assert said.split()[1] == "401"


async def test_telegram_webhook_is_served_beside_the_page_with_its_own_secret(site: Site) -> None:
    bot, _ = make_bot()
    heard: list[int] = []

    async def feed(update: Any) -> None:
        heard.append(update.update_id)

    read = Incoming(bot, site.admin_context.ledger.rpc).read
    app = webhook.make_app(
        read, feed, "https://bot.example/", "its-secret-of-sixteen", make_app(site.admin_context, TOKEN)
    )
    async with TestClient(TestServer(app)) as client:
        assert (await client.post("/", json={"update_id": 7})).status == 401
        answer = await client.post("/", json={"update_id": 7}, headers={webhook.SECRET_HEADER: "its-secret-of-sixteen"})
        assert (answer.status, heard) == (200, [7])
        assert (await client.get("/healthz")).status == 200
        assert (await client.get("/admin", allow_redirects=False)).status == 303
