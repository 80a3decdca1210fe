"""What single settings must be like, and the one error if they are not. Pure."""

import re
from urllib.parse import unquote, urlsplit

TOKEN_CHARACTERS_MIN = 16  # of what opens a door of ours to whoever knows it


class ConfigError(Exception):
    """A setting is wrong or missing; one clear line each."""


def can_be_guessed(token: str) -> bool:
    """A command that nobody ran, a placeholder, or a few characters again and again."""
    few = len(set(token)) < TOKEN_CHARACTERS_MIN // 2
    return few or "$(" in token or re.search(r"changeme|password|your_|1234567890", token, re.IGNORECASE) is not None


def names_a_host(url: str) -> bool:
    """urlsplit's own complaints repeat the address, which may hold a password."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def passwords_in(dsn: str) -> list[str]:
    """Of a connection string, as a URL or in words, percent-encoded or not."""
    found = re.findall(r"://[^:/@]*:(.*)@", dsn) + re.findall(r"\bpassword\s*=\s*'?([^\s'&]+)", dsn)
    return [form for password in found for form in (password, unquote(password))]
