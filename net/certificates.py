"""The certificates that every client of this process trusts, and its proxy.

In       SSL_CERT_FILE, SSL_CERT_DIR; HTTPS_PROXY, ALL_PROXY, NO_PROXY
Out      an SSL context, read once (25 ms of CPU) and shared; the proxy for an address
Raises   ProxyUnusable: a proxy that no client here supports, such as SOCKS
"""

import logging
import os
import ssl
from functools import cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

PROXY_SCHEMES = frozenset({"http", "https"})
TALKATIVE = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")


class ProxyUnusable(Exception):
    """The message leaves out the address, which may contain a password."""


@cache
def trusted() -> ssl.SSLContext:
    """Not `ssl.create_default_context`: it writes session keys to SSLKEYLOGFILE, which decrypt the traffic."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return context


def proxy_for(address: str) -> str | None:
    """The proxy from the environment, the same for every client; each library would read other variables.

    A proxy can only tunnel TLS, but it could repeat a plain HTTP request or answer it. Plain HTTP is for one's own
    servers, so they are called directly.
    """
    url = urlsplit(address)
    if url.scheme.lower() != "https" or proxy_bypass(url.netloc):
        return None
    proxies = getproxies()
    name = next((name for name in ("https", "all") if proxies.get(name)), None)
    return None if name is None else _checked(proxies[name], f"{name.upper()}_PROXY")


def _checked(proxy: str, name: str) -> str:
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        url = urlsplit(proxy)
        usable = url.scheme.lower() in PROXY_SCHEMES and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ProxyUnusable(
            f"{name}: only a proxy that begins with http:// or https:// can be used (SOCKS is not spoken here); "
            "set another one, or list the hosts to call directly in NO_PROXY"
        )
    return proxy


def forget_headers() -> None:
    """Removes OpenAI's header variables: the SDK would send them to any server, and one could replace our key.

    Call it before creating a client of `openai`, which reads them then.
    """
    for name in ("OPENAI_CUSTOM_HEADERS", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        os.environ.pop(name, None)


def keep_quiet() -> None:
    """Silences libraries that log prompts at DEBUG and signed links at INFO; OPENAI_LOG would switch both on.

    Call it after importing `openai`, which reads the variable on import.
    """
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
