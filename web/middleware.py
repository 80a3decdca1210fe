"""Authentication of every request: the login, what requires one, and the headers of every answer.

Public are the login, static files, `/healthz`, `/readyz` and other routes on the same port that have their own
authentication (Telegram's webhook). `/metrics` and `/api/` need a session or `Authorization: Bearer ADMIN_TOKEN`,
a clip a session or a signed link. Everything else needs a session, and every change its CSRF token.
"""

import asyncio
import errno
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote

from aiohttp import web

from pipeline.ledger.transports.common import LedgerError, LedgerRefused
from web.auth import COOKIE, NAME_CHARACTERS_MAX, SESSION_SECONDS, Auth
from web.rendering import AUTH, SESSION, page

PAGES, API, METRICS, CLIPS = "/admin", "/api", "/metrics", "/media"
OPEN = frozenset({"/admin/login", "/healthz", "/readyz"})
STATIC = "/admin/static/"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
WRONG_TOKEN_SECONDS = 0.5
FORM_BYTES_MAX = 65_536  # ours have a few hundred
FORM_SECONDS_MAX = 10.0
MAYBE_DONE = "your change may have been made anyway. Check before you try again."

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = logging.getLogger(__name__)


def is_ours(path: str) -> bool:
    return any(path == room or path.startswith(f"{room}/") for room in (PAGES, API, METRICS, CLIPS))


def is_open(path: str) -> bool:
    return path in OPEN or path.startswith(STATIC) or not is_ours(path)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Authenticate the request; render errors as a page with one clear sentence.

    A ledger that did not answer may still have made the change.
    """
    try:
        return await _authenticate(request, handler)
    except LedgerRefused as error:
        log.warning("page", extra={"action": "ledger_refused", "path": request.path, "error": str(error)})
        return _sorry(request, 400, "The ledger rejected that; nothing was changed.")
    except LedgerError as error:
        log.warning("page", extra={"action": "ledger", "path": request.path, "error": str(error)})
        done = MAYBE_DONE if request.method == "POST" else "nothing was changed. Try again in a moment."
        return _sorry(request, 503, f"The ledger did not answer; {done}")
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return _sorry(request, 404, "There is no such file.")
    except web.HTTPException as refused:
        if refused.status < 400 or request.path.startswith((API, METRICS)):
            raise
        return _sorry(request, refused.status, refused.text or refused.reason)


async def _authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    auth = request.app[AUTH]
    session = auth.session(request.cookies.get(COOKIE))
    if session is not None:
        request[SESSION] = session
    if any("\0" in text for text in (request.path, *request.query.values())):  # PostgreSQL text cannot contain it
        raise web.HTTPBadRequest(text="This address contains an invalid character.")
    if not is_open(request.path) and session is None and not _otherwise_allowed(request, auth):
        return _refuse(request)
    if request.method == "POST" and is_ours(request.path):
        await _check_own(request, auth)
    return await handler(request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    if not is_ours(request.path):
        return
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if not request.path.startswith(STATIC):
        response.headers.setdefault("Cache-Control", "no-store")


def _otherwise_allowed(request: web.Request, auth: Auth) -> bool:
    if request.path == METRICS or request.path.startswith(API):
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or auth.wait_seconds(_address(request)):
            return False
        if auth.is_token(given.strip()):
            return True
        auth.note_wrong(_address(request))
        return False
    if request.path.startswith(CLIPS):
        ref, until, signature = request.path.removeprefix(f"{CLIPS}/"), *map(request.query.get, ("until", "signature"))
        return auth.is_link(ref, until or "", signature or "")
    return False


def _refuse(request: web.Request) -> web.Response:
    if request.path == METRICS or request.path.startswith(API):
        headers = {"WWW-Authenticate": 'Bearer realm="onetake"'}
        if wait := request.app[AUTH].wait_seconds(_address(request)):
            return web.json_response(
                {"success": False, "error": f"too many wrong tokens; try again in {wait:.0f} s"},
                status=429,
                headers={"Retry-After": f"{wait:.0f}"},
            )
        return web.json_response(
            {"success": False, "error": "a session or Authorization: Bearer ADMIN_TOKEN is required"},
            status=401,
            headers=headers,
        )
    if request.path.startswith(CLIPS):
        return web.Response(status=403, text="This link has expired or is not valid.\n")
    if request.method != "GET":
        return web.Response(status=401, text="The session has ended; nothing was changed. Log in and try again.\n")
    raise web.HTTPSeeOther(f"/admin/login?next={quote(request.path_qs)}")


async def _check_own(request: web.Request, auth: Auth) -> None:
    """Reject forms of other sites, by their origin and by the CSRF token that only our pages have."""
    session = request.get(SESSION)
    foreign = request.headers.get("Sec-Fetch-Site") == "cross-site"
    unreadable = web.HTTPBadRequest(text="That form could not be read; nothing was changed.")
    if not _is_plain(request):
        raise unreadable
    try:
        async with asyncio.timeout(FORM_SECONDS_MAX):
            form = await request.post()  # cached: later calls return the same form
    except (ValueError, TimeoutError):  # invalid text, or a body that does not arrive
        raise unreadable from None
    word = str(form.get("csrf", ""))
    if foreign or (session is not None and not auth.is_csrf(session, word)):
        raise web.HTTPForbidden(text="That form came from another page or is too old; nothing was changed.")


def _is_plain(request: web.Request) -> bool:
    """A form as browsers send ours. Anybody may send one, and parsing it blocks the bot: `punycode` takes seconds."""
    return (
        request.content_type == "application/x-www-form-urlencoded"
        and (request.charset or "utf-8").lower() == "utf-8"
        and request.content_length is not None
        and request.content_length <= FORM_BYTES_MAX
    )


def _sorry(request: web.Request, status: int, words: str) -> web.Response:
    if request.path.startswith((API, METRICS)):
        return web.json_response({"success": False, "error": words}, status=status)
    return page(
        request,
        "message.html",
        status,
        title="Not available right now" if status == 503 else "That did not work",
        words=words,
    )


def _address(request: web.Request) -> str:
    """The peer's address: all clients behind a proxy share one, and its limit; a header could be forged."""
    return request.remote or "?"


def _next(request: web.Request) -> str:
    wanted = request.query.get("next", "")
    return wanted if re.match(f"{PAGES}([/?]|$)", wanted) and "\\" not in wanted else PAGES


async def show_login(request: web.Request) -> web.StreamResponse:
    if SESSION in request:
        raise web.HTTPSeeOther(_next(request))
    return page(request, "login.html", wrong="", given_name="", next=request.rel_url.raw_query_string)


async def log_in(request: web.Request) -> web.StreamResponse:
    auth, address = request.app[AUTH], _address(request)
    form = await request.post()
    if wait := auth.wait_seconds(address):
        words = f"Too many wrong tokens; try again in {wait:.0f} s."
        answer = _login_again(request, 429, words, form)
        answer.headers["Retry-After"] = f"{wait:.0f}"
        return answer
    if not auth.is_token(str(form.get("token", "")).strip()):
        auth.note_wrong(address)
        log.warning("page", extra={"action": "wrong_token", "address": address})
        await asyncio.sleep(WRONG_TOKEN_SECONDS)
        words = "That is not the token for this bot."
        return _login_again(request, 403, words, form)
    there = web.HTTPSeeOther(_next(request))
    secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
    cookie = auth.open_session(str(form.get("name", "")))
    there.set_cookie(COOKIE, cookie, max_age=SESSION_SECONDS, httponly=True, samesite="Lax", secure=secure, path="/")
    raise there


def _login_again(request: web.Request, status: int, wrong: str, form: Mapping[str, object]) -> web.Response:
    name = str(form.get("name", ""))[:NAME_CHARACTERS_MAX]
    return page(request, "login.html", status, wrong=wrong, given_name=name, next=request.rel_url.raw_query_string)


async def log_out(request: web.Request) -> web.StreamResponse:
    request.app[AUTH].end(request[SESSION])
    there = web.HTTPSeeOther("/admin/login")
    there.del_cookie(COOKIE, path="/")
    raise there
