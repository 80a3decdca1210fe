"""Authentication: a token to log in, a signed cookie for the session, a CSRF token on every change.

In       ADMIN_TOKEN
Out      Auth: sessions, signed links, CSRF tokens; a throttle for wrong tokens
Effects  none but counting. A new ADMIN_TOKEN ends every session and link: all keys are derived from it.

Cookie `onetake_session`: base64(JSON {name, sid, until}) "." HMAC-SHA256. It holds no secret. Logging out ends it in
this process; after a restart, a copy of it is valid again until its twelve hours are over.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

COOKIE = "onetake_session"
SESSION_SECONDS = 12 * 3600
LINK_SECONDS = 3600
WRONG_AT_MOST = 5  # tokens from one address in WINDOW_SECONDS; for all addresses together, four times as many
WINDOW_SECONDS = 60.0
NAME_CHARACTERS_MAX = 40
ADDRESSES_KEPT = 10_000


@dataclass(frozen=True)
class LoginSession:
    """`name` is how the operator signed in: each change is recorded with it, as `web:<name>`."""

    name: str
    sid: str
    until: int

    @property
    def who(self) -> str:
        return f"web:{self.name}"


class Auth:
    """`clock`: seconds since 1970, because links and cookies must survive restarts."""

    def __init__(self, token: str, clock: Callable[[], float]) -> None:
        self._token_digest = hashlib.sha256(token.encode()).digest()
        self._key = hmac.digest(token.encode(), b"onetake sessions and links", "sha256")
        self._clock = clock
        self._ended: dict[str, int] = {}  # sessions that logged out -> when they would have expired
        self._wrong: dict[str, deque[float]] = {}
        self._all_wrong: deque[float] = deque()

    # -- login

    def is_token(self, given: str) -> bool:
        """Compare in constant time, whatever the lengths."""
        return hmac.compare_digest(hashlib.sha256(_bytes(given)).digest(), self._token_digest)

    def wait_seconds(self, address: str) -> float:
        """0, or the seconds until this address may try a token again."""
        now = self._clock()
        mine = self._wrong.get(address, deque())
        return max(_over(mine, WRONG_AT_MOST, now), _over(self._all_wrong, 4 * WRONG_AT_MOST, now))

    def note_wrong(self, address: str) -> None:
        now = self._clock()
        if len(self._wrong) >= ADDRESSES_KEPT:
            self._wrong.clear()  # the total count is kept
        self._wrong.setdefault(address, deque(maxlen=WRONG_AT_MOST)).append(now)
        self._all_wrong.append(now)
        while self._all_wrong and self._all_wrong[0] < now - WINDOW_SECONDS:
            self._all_wrong.popleft()

    # -- sessions

    def open_session(self, name: str) -> str:
        """Open a session; returns the cookie's value."""
        printable = "".join(each if each.isprintable() else " " for each in name)
        plain = " ".join(printable.split())[:NAME_CHARACTERS_MAX] or "operator"
        session = {"name": plain, "sid": secrets.token_hex(16), "until": int(self._clock()) + SESSION_SECONDS}
        body = base64.urlsafe_b64encode(json.dumps(session).encode()).decode()
        return f"{body}.{self._sign('session', body)}"

    def session(self, cookie: str | None) -> LoginSession | None:
        body, _, signature = (cookie or "").partition(".")
        if not body or not _same(signature, self._sign("session", body)):
            return None
        try:
            session = LoginSession(**json.loads(base64.urlsafe_b64decode(body)))
        except (binascii.Error, ValueError, TypeError):
            return None
        return session if session.until > self._clock() and session.sid not in self._ended else None

    def end(self, session: LoginSession) -> None:
        now = self._clock()
        self._ended = {sid: until for sid, until in self._ended.items() if until > now} | {session.sid: session.until}

    def csrf(self, session: LoginSession) -> str:
        return self._sign("csrf", session.sid)

    def is_csrf(self, session: LoginSession, given: str) -> bool:
        return _same(given, self.csrf(session))

    # -- links to a clip

    def sign_link(self, ref: str) -> tuple[int, str]:
        """When the link expires, and its signature."""
        until = int(self._clock()) + LINK_SECONDS
        return until, self._sign("clip", f"{ref} {until}")

    def is_link(self, ref: str, until: str, signature: str) -> bool:
        if not until.isdecimal() or int(until[:15]) < self._clock():
            return False
        return _same(signature, self._sign("clip", f"{ref} {until}"))

    def _sign(self, purpose: str, words: str) -> str:
        return hmac.digest(self._key, _bytes(f"{purpose}\n{words}"), "sha256").hex()


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(_bytes(given), right.encode())


def _bytes(text: str) -> bytes:
    """Encode text, also if it is not valid: in headers, bytes that are not UTF-8 become surrogates."""
    return text.encode(errors="surrogatepass")


def _over(tries: "deque[float]", at_most: int, now: float) -> float:
    recent = [at for at in tries if at > now - WINDOW_SECONDS]
    return recent[-at_most] + WINDOW_SECONDS - now if len(recent) >= at_most else 0.0
