"""Fetch a clip from an address that a job names. The address may point anywhere, so it is not trusted.

In       a http(s) address, a file to write to, and whether addresses of our own network are allowed
Out      Content, ClipGone or ReadError; none of them repeats a query string, which may be a signature
Raises   OSError if the clip cannot be written
Effects  GETs without our key, to exactly the address that was checked; every redirect is checked again
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx2

from providers.clips.download import ClipGone, Content, download
from providers.port import ReadError

REDIRECTS_MAX = 5
ADDRESSES_MAX = 4  # of one name, tried in turn
URL_CHARACTERS_MAX = 8_192
DNS_SECONDS = 10.0
SECRET_CHARACTERS_MIN = 6
PATH_SECRET_CHARACTERS_MIN = 16  # shorter parts of a path are names, such as `videos`

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Refused(Exception):
    """The address is not allowed; the message names only the host."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


async def is_local(base_url: str, resolve: Resolve = resolve) -> bool:
    """Whether the provider itself is in our network; if so, its clips may be there too."""
    try:
        url = httpx2.URL(base_url)
        found = await resolve(url.host, url.port or 443)
        return bool(found) and all(is_private(ipaddress.ip_address(each)) for each in found)
    except (OSError, ValueError, httpx2.InvalidURL):
        return False


async def fetch_url(
    url: str,
    into: Path,
    *,
    local: bool,
    patience: httpx2.Timeout,
    tls: ssl.SSLContext,
    resolve: Resolve = resolve,
    redirects: int = REDIRECTS_MAX,
) -> Content | ClipGone | ReadError:
    """The clip at `url`, after at most `redirects` redirects. `local`: addresses in our own network are allowed."""
    try:
        next_url = httpx2.URL(url)
        for _ in range(redirects + 1):
            got = await _get(next_url, into, local, patience, tls, resolve)
            if not isinstance(got, httpx2.Response):
                return got if isinstance(got, Content) else replace(got, detail=without_address(got.detail, next_url))
            next_url = next_url.join(got.headers["location"])
    except Refused as refused:
        return ReadError(None, str(refused))
    except httpx2.HTTPError as error:
        return ReadError(None, f"the clip's address: {type(error).__name__}")
    except (ValueError, httpx2.InvalidURL):
        return ReadError(None, "the clip's address cannot be read")
    return leads_on()


def leads_on() -> ReadError:
    return ReadError(None, f"the clip's address redirects more than {REDIRECTS_MAX} times")


async def _get(
    url: httpx2.URL, into: Path, local: bool, patience: httpx2.Timeout, tls: ssl.SSLContext, resolve: Resolve
) -> Content | ClipGone | ReadError | httpx2.Response:
    """One hop. Connects to the address that was checked: resolving the name again may give another one."""
    addresses = await _checked(url, local, resolve)
    headers = {"Host": url.netloc.decode("ascii")}  # without the user and password that an address may carry
    extensions = {"sni_hostname": url.raw_host.decode("ascii")}
    # No proxy: it would have to allow addresses instead of names.
    async with httpx2.AsyncClient(
        timeout=patience, follow_redirects=False, verify=tls, proxy=None, trust_env=False
    ) as http:
        for address in addresses[:-1]:
            try:
                pinned = _pinned(url, address)
                return await download(http, pinned, into, headers=headers, extensions=extensions)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return await download(http, _pinned(url, addresses[-1]), into, headers=headers, extensions=extensions)


def without_address(words: str, url: httpx2.URL) -> str:
    """Hides an address's signature, in its query or its path: a server's error may repeat the whole address."""
    query = (url.query.decode("ascii", "replace"), *(value for _, value in url.params.multi_items()))
    path = (part for part in (url.path, quote(url.path, safe="/")) for part in part.split("/"))
    secrets = {secret for secret in query if len(secret) >= SECRET_CHARACTERS_MIN}
    secrets |= {part for part in path if len(part) >= PATH_SECRET_CHARACTERS_MIN}
    for secret in sorted(secrets, key=len, reverse=True):
        words = words.replace(secret, "[signature]")
    return words


def _pinned(url: httpx2.URL, address: str) -> str:
    return str(url.copy_with(host=address, username=None, password=None, fragment=None))


async def _checked(url: httpx2.URL, local: bool, resolve: Resolve) -> Sequence[str]:
    """The host's addresses, all of them allowed. Raises Refused."""
    if url.scheme not in {"http", "https"} or not url.host or len(str(url)) > URL_CHARACTERS_MAX:
        raise Refused("the clip's address is not a web address")
    try:
        async with asyncio.timeout(DNS_SECONDS):
            found = await resolve(url.host, url.port or (443 if url.scheme == "https" else 80))
    except (OSError, TimeoutError, UnicodeError):
        raise Refused(f"the clip's host {url.host} has no address") from None
    for each in found:
        address = ipaddress.ip_address(each)
        if not (is_public(address) or (local and is_private(address))):
            raise Refused(f"the clip's host {url.host} is not on the public network")
    if not found:
        raise Refused(f"the clip's host {url.host} has no address")
    return found[:ADDRESSES_MAX]


def is_public(address: Address) -> bool:
    """Whether the address is public. An IPv6 address that embeds an IPv4 one is public if that one is."""
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def is_private(address: Address) -> bool:
    """Whether the address is in this machine or its network. Never link-local, where clouds serve credentials."""
    inner = _inner(address)
    if inner is not None:
        return is_private(inner)
    if address.is_loopback:
        return True
    odd = address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved
    return not address.is_global and not odd


NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _inner(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.teredo is not None:
        return address.teredo[1]
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
