"""Which certificates are trusted: the system's, read once (25 ms of CPU) and shared by every client."""

import ssl
from functools import cache


@cache
def trusted() -> ssl.SSLContext:
    return ssl.create_default_context()
