"""A clip at an address that a job names: fetched without our key, and only from allowed addresses."""

import ssl
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest

from providers.clips.clip_url import Resolve, fetch_url, is_local, is_private, is_public
from providers.clips.download import ClipGone, Content
from providers.port import ReadError
from tests.media.builders import mp4
from tests.providers.scripted import Reply, answer, in_turn, scripted

MP4 = mp4()
PATIENCE = httpx2.Timeout(5)
TLS = ssl.create_default_context()
SECRET = "X-Amz-Signature=5ec4e7"


def names(table: Mapping[str, str]) -> Resolve:
    """A resolver for these names; every other name is its own address."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return [table.get(host, host)]

    return resolve


async def fetched(url: str, folder: Path, *, local: bool = True, **table: str) -> Content | ClipGone | ReadError:
    resolve = names({name.replace("_", "."): address for name, address in table.items()})
    return await fetch_url(url, folder / "clip", local=local, patience=PATIENCE, tls=TLS, resolve=resolve)


@pytest.mark.asyncio
async def test_clip_request_uses_the_checked_address_original_host_and_no_credentials(tmp_path: Path) -> None:
    async with scripted(in_turn(answer(200, MP4))) as server:
        url = f"http://user:password@cdn.example:{server.port}/v.mp4?{SECRET}"
        got = await fetched(url, tmp_path, cdn_example="127.0.0.1")
    assert isinstance(got, Content)
    [seen] = server.seen
    assert (seen.path, seen.headers["host"]) == (f"/v.mp4?{SECRET}", f"cdn.example:{server.port}")
    assert not {"authorization", "cookie"} & set(seen.headers)


@pytest.mark.asyncio
async def test_clip_host_is_resolved_once_per_request(tmp_path: Path) -> None:
    asked = []

    async def changing(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    async with scripted(in_turn(answer(200, MP4))) as server:
        url = f"http://cdn.example:{server.port}/v.mp4"
        got = await fetch_url(url, tmp_path / "c", local=True, patience=PATIENCE, tls=TLS, resolve=changing)
    assert isinstance(got, Content)
    assert asked == ["cdn.example"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0.0.0.0"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[ff02::1]"),
        *("[::ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "inside.example"),
    ],
)
async def test_clip_at_a_non_public_address_is_not_requested(host: str, tmp_path: Path) -> None:
    async with scripted(in_turn(answer(200, MP4))) as server:
        url = f"http://{host}:{server.port}/v.mp4?{SECRET}"
        got = await fetched(url, tmp_path, local=False, inside_example="10.0.0.1")
    assert isinstance(got, ReadError)
    assert "is not on the public network" in got.detail
    assert SECRET not in got.detail
    assert server.seen == []


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "224.0.0.1", "0.0.0.0", "[::ffff:169.254.169.254]"])
async def test_local_provider_clip_at_a_special_purpose_address_is_rejected(host: str, tmp_path: Path) -> None:
    got = await fetched(f"http://{host}/latest/meta-data", tmp_path, local=True)
    assert isinstance(got, ReadError)
    assert "is not on the public network" in got.detail


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "url",
    [
        "data:video/mp4;base64,AAAA",
        "file:///etc/passwd",
        "ftp://cdn.example/v.mp4",
        "http://",
        "http://[bad",
        "//cdn.example",
        "http://cdn.example/" + "x" * 9000,
    ],
)
async def test_invalid_clip_url_is_not_fetched(url: str, tmp_path: Path) -> None:
    got = await fetched(url, tmp_path)
    assert isinstance(got, ReadError)
    assert got.status is None


@pytest.mark.asyncio
async def test_each_clip_redirect_target_is_checked(tmp_path: Path) -> None:
    """The first host counts as public in this test; the redirect's target does not."""
    async with scripted(in_turn(answer(200, MP4))) as inside:
        away = answer(302, "", location=f"http://169.254.169.254:{inside.port}/v.mp4?{SECRET}")
        async with scripted(in_turn(away)) as outside:
            got = await fetched(f"http://127.0.0.1:{outside.port}/v.mp4", tmp_path)
    assert got == ReadError(None, "the clip's host 169.254.169.254 is not on the public network")
    assert inside.seen == []


@pytest.mark.asyncio
async def test_at_most_five_clip_redirects_are_followed(tmp_path: Path) -> None:
    again = answer(302, "", location="/next")
    async with scripted(in_turn(*[again] * 5, answer(200, MP4))) as server:
        assert isinstance(await fetched(f"http://127.0.0.1:{server.port}/v", tmp_path), Content)
    async with scripted(in_turn(again)) as server:
        got = await fetched(f"http://127.0.0.1:{server.port}/v", tmp_path)
    assert got == ReadError(None, "the clip's address redirects more than 5 times")
    assert len(server.seen) == 6


@pytest.mark.asyncio
@pytest.mark.parametrize("location", ["http://[bad", "ftp://cdn.example/v", "data:video/mp4,x", "http://"])
async def test_clip_redirect_to_an_invalid_url_is_a_read_error(location: str, tmp_path: Path) -> None:
    async with scripted(in_turn(answer(302, "", location=location))) as server:
        assert isinstance(await fetched(f"http://127.0.0.1:{server.port}/v", tmp_path), ReadError)


@pytest.mark.asyncio
async def test_secrets_from_the_clip_url_are_removed_from_the_error_detail(tmp_path: Path) -> None:
    token = "tok-5ec4e7-5ec4e7-5ec4e7"
    async with scripted(in_turn(answer(404, f"no object {token}, a+b or 5ec4 e75ec4"))) as server:
        got = await fetched(f"http://127.0.0.1:{server.port}/signed/{token}/v.mp4?k=5ec4%20e75ec4", tmp_path)
    assert got == ClipGone(404, "no object [signature], a+b or [signature]")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (answer(404), ClipGone(404)),
        (answer(403, "<Error>expired</Error>"), ReadError(403, "<Error>expired</Error>")),
        (answer(200, MP4[:-1]), ReadError(200, f"cut short: {len(MP4) - 1} bytes of at least {len(MP4)}")),
        (answer(400, f"no /v?{SECRET} here, nor 5ec4e7"), ClipGone(400, "no /v?[...] here, nor [signature]")),
        (answer(200, "<html>"), ReadError(200, "not a video; it begins: <html>")),
        (Reply(b""), ReadError(None, "the clip's address: RemoteProtocolError")),
    ],
)
async def test_clip_url_responses_are_classified_like_content_responses(
    reply: Reply, outcome: ClipGone | ReadError, tmp_path: Path
) -> None:
    async with scripted(in_turn(reply)) as server:
        assert await fetched(f"http://127.0.0.1:{server.port}/v?{SECRET}", tmp_path) == outcome


@pytest.mark.asyncio
async def test_unresolvable_clip_host_is_a_read_error(tmp_path: Path) -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    url = f"https://cdn.example/v?{SECRET}"
    got = await fetch_url(url, tmp_path / "c", local=False, patience=PATIENCE, tls=TLS, resolve=unknown)
    assert got == ReadError(None, "the clip's host cdn.example has no address")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("base_url", "local"),
    [
        ("http://127.0.0.1:8080/v1", True),
        ("http://[::1]/v1", True),
        ("http://litellm:4000", True),
        ("http://100.101.1.1/v1", True),
        ("https://api.example/v1", False),
        ("http://169.254.169.254/v1", False),
        ("nonsense", False),
    ],
)
async def test_provider_is_local_if_its_host_is_a_private_address(base_url: str, local: bool) -> None:
    assert await is_local(base_url, names({"litellm": "172.18.0.3", "api.example": "93.184.215.14"})) is local


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"])
def test_public_addresses_are_public_and_not_private(address: str) -> None:
    assert is_public(ip_address(address))
    assert not is_private(ip_address(address))
