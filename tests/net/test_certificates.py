"""Every client uses the same certificates and proxy, and no secret is written down."""

import ssl
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from net.certificates import ProxyUnusable, forget_headers, proxy_for, trusted

HOST = "https://api.example.org/v1"
NAMES = [f"{name}_proxy" for name in ("http", "https", "all", "no")]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_openai_header_variables_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_CUSTOM_HEADERS", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "X-Api-Key: theirs")
    forget_headers()
    client = AsyncOpenAI(api_key="ours", base_url=HOST)
    assert "theirs" not in str(client.default_headers)


def test_tls_session_keys_are_not_logged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    context = trusted.__wrapped__()
    assert context.keylog_filename is None and not (tmp_path / "keys").exists()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_ssl_cert_variables_select_the_trusted_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = trusted.__wrapped__().cert_store_stats()["x509_ca"]
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert known > 0
    assert trusted.__wrapped__().cert_store_stats()["x509_ca"] == 0


@pytest.mark.parametrize(
    ("environment", "address", "proxy"),
    [
        ({}, HOST, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, HOST, "http://proxy:3128"),
        ({"https_proxy": "http://u:p@proxy:3128"}, HOST, "http://u:p@proxy:3128"),
        ({"HTTPS_PROXY": "proxy:3128"}, HOST, "http://proxy:3128"),
        ({"HTTPS_PROXY": "https://proxy"}, HOST.upper(), "https://proxy"),
        ({"ALL_PROXY": "http://proxy:1"}, HOST, "http://proxy:1"),
        ({"ALL_PROXY": "socks5://proxy:1", "HTTPS_PROXY": "http://proxy:2"}, HOST, "http://proxy:2"),
        ({"HTTP_PROXY": "socks5://proxy:1"}, HOST, None),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "example.org"}, HOST, None),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "*"}, HOST, None),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "example.com"}, HOST, "http://proxy:1"),
        ({"HTTPS_PROXY": "http://proxy:1", "HTTP_PROXY": "http://proxy:1"}, "http://127.0.0.1:8000/v1", None),
        ({"HTTPS_PROXY": "socks5://proxy:1"}, "http://127.0.0.1:8000/v1", None),
        ({"HTTPS_PROXY": "socks5://proxy:1", "NO_PROXY": "api.example.org"}, HOST, None),
    ],
    ids=str,
)
def test_proxy_is_chosen_from_the_environment_variables(
    environment: dict[str, str], address: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(address) == proxy


@pytest.mark.parametrize("proxy", ["socks5://u:hush@proxy:1", "foo://proxy", "http://", "http://proxy:no", "http://[x"])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_unusable_proxy_error_hides_the_password(name: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, proxy)
    with pytest.raises(ProxyUnusable, match=f"^{name}: only a proxy") as caught:
        proxy_for(HOST)
    assert "hush" not in str(caught.value)
