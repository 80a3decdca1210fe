"""Checks of single settings, and the one error for settings that fail. Pure."""

import re
from urllib.parse import unquote, urlsplit

ENDPOINTS = ("/videos", "/chat/completions", "/responses", "/v1/v1")
TOKEN_CHARACTERS_MIN = 16  # of a secret that alone grants access: ADMIN_TOKEN, WEBHOOK_SECRET


class ConfigError(Exception):
    """A setting is wrong or missing; one clear line each."""


def can_be_guessed(token: str) -> bool:
    """Whether the token is a shell command that was not run, a placeholder, or a few characters repeated."""
    few = len(set(token)) < TOKEN_CHARACTERS_MIN // 2
    return few or "$(" in token or re.search(r"changeme|password|your_|1234567890", token, re.IGNORECASE) is not None


def names_a_host(url: str) -> bool:
    """Whether the URL has a host and a valid port. urlsplit's errors are hidden: they may repeat a password in it."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def passwords_in(dsn: str) -> list[str]:
    """The passwords in a connection string, a URL or `password=...`: each as written, and percent-decoded."""
    found = re.findall(r"://[^:/@]*:(.*)@", dsn) + re.findall(r"\bpassword\s*=\s*'?([^\s'&]+)", dsn)
    return [form for password in found for form in (password, unquote(password))]


def check_base_url(url: str) -> str:
    """The URL without a slash at its end. Raises ValueError with what is wrong with it."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    if not names_a_host(url):
        raise ValueError("has no host or an invalid port")
    if "@" in urlsplit(url).netloc:
        raise ValueError("contains a user or password, which logs and pages would show; remove it")
    if url.rstrip("/").endswith(ENDPOINTS):
        raise ValueError("must be the base URL, usually ending in /v1, not an endpoint")
    if "?" in url or "#" in url:  # paths that a client appends would end up in there
        raise ValueError("must be a base URL without ? or #, since paths are appended")
    return url.rstrip("/")
