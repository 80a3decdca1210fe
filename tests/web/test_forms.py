"""Forms that no browser sends: each is rejected with a sentence before anything slow happens."""

import gzip
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from tests.web.site import TOKEN, Site, as_written
from web.app import make_app, serve

FORM = b"application/x-www-form-urlencoded"
PART = b'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\nabc\r\n--x--\r\n'
ODD_FORMS = {
    "a byte that is no text": (FORM, b"token=\xff"),
    "an unknown encoding": (FORM + b"; charset=nope", b"token=a"),
    "an encoding that takes seconds to read": (FORM + b"; charset=punycode", b"token=" + b"a" * 60_000),
    "half a surrogate": (FORM + b"; charset=utf-7", b"token=+2AA-"),
    "a form of parts": (b"multipart/form-data; boundary=x", PART),
    "no form": (b"application/octet-stream", b"token=a"),
    "a long form": (FORM, b"token=" + b"a" * 70_000),
}


@pytest.mark.parametrize("form", ODD_FORMS.values(), ids=ODD_FORMS)
async def test_unreadable_form_is_rejected_with_400(site: Site, form: tuple[bytes, bytes]) -> None:
    said = await as_written(site, "/admin/login", b"Content-Type: " + form[0], body=form[1])

    assert said.split()[1] == "400" and "could not be read; nothing was changed" in said, said[:200]


async def test_form_without_content_length_is_rejected(site: Site) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"token=" + b"a" * 100

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await site.client.post("/admin/login", data=endless(), headers=headers)

    assert answer.status == 400 and "could not be read" in await answer.text()


async def test_compressed_form_is_rejected(site: Site) -> None:
    """A stranger's 291 kB became 300 MB and blocked the bot for a second."""
    async with serve(make_app(site.admin_context, TOKEN), "127.0.0.1", 0) as port, ClientSession() as client:
        packed = gzip.compress(b"name=Ada&token=" + TOKEN.encode())
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}
        async with client.post(f"http://127.0.0.1:{port}/admin/login", data=packed, headers=headers) as answer:
            assert answer.status == 400
