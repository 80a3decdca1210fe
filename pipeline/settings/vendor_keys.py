"""The accounts at providers: credentials by the vendors' own names, and where each provider is.

A base URL is needed only for a proxy, another region, or a simulated provider.
"""

import re
from collections.abc import Mapping

from pydantic import BaseModel, SecretStr, field_validator

from pipeline.settings.setting_checks import check_base_url

# The settings of each provider's credentials, in the order in which its API wants them joined.
KEYS: Mapping[str, tuple[str, ...]] = {
    "fal": ("fal_key",),
    "replicate": ("replicate_api_token",),
    "ark": ("ark_api_key",),
    "runware": ("runware_api_key",),
    "kling": ("kling_access_key", "kling_secret_key"),
    "higgsfield": ("hf_key",),
    "runway": ("runwayml_api_secret",),
    "openrouter": ("openrouter_api_key",),
    "luma": ("lumaai_api_key",),
}


HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]+")  # RFC 9110, 5.1
OUR_HEADERS = frozenset({"authorization", "content-type", "content-length", "host", "idempotency-key"})


class VendorKeys(BaseModel):
    """Credentials and base URLs of all providers but the one at VIDEO_BASE_URL."""

    public_url: str | None = None
    video_models: str = ""
    video_extra_headers: SecretStr | None = None
    fal_key: SecretStr | None = None
    fal_base_url: str | None = None
    replicate_api_token: SecretStr | None = None
    replicate_base_url: str | None = None
    ark_api_key: SecretStr | None = None
    ark_base_url: str | None = None
    runware_api_key: SecretStr | None = None
    runware_base_url: str | None = None
    kling_access_key: SecretStr | None = None
    kling_secret_key: SecretStr | None = None
    kling_base_url: str | None = None
    hf_key: SecretStr | None = None
    higgsfield_base_url: str | None = None
    runwayml_api_secret: SecretStr | None = None
    runway_base_url: str | None = None
    openrouter_api_key: SecretStr | None = None
    openrouter_base_url: str | None = None
    lumaai_api_key: SecretStr | None = None
    luma_base_url: str | None = None

    @field_validator(*(name for names in KEYS.values() for name in names))
    @classmethod
    def _vendor_key_fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        """By a name that Settings does not use: its validator would replace this one."""
        if key is not None and not re.fullmatch(r"[!-~]+", key.get_secret_value()):
            raise ValueError("contains characters that no key has, such as a space, a line break or an accent")
        return key

    @field_validator("public_url", *(f"{name}_base_url" for name in KEYS))
    @classmethod
    def _is_base_url(cls, url: str | None) -> str | None:
        return None if url is None else check_base_url(url)

    @field_validator("video_extra_headers")
    @classmethod
    def _are_headers(cls, text: SecretStr | None) -> SecretStr | None:
        if text is not None:
            headers_in(text.get_secret_value())
        return text

    @property
    def also_offered(self) -> tuple[str, ...]:
        """What users of the bot may choose besides VIDEO_MODEL, as VIDEO_MODELS lists it."""
        return tuple(dict.fromkeys(name.strip() for name in self.video_models.split(",") if name.strip()))

    @property
    def extra_headers(self) -> Mapping[str, str]:
        """What VIDEO_EXTRA_HEADERS adds to each request at VIDEO_BASE_URL."""
        return headers_in(self.video_extra_headers.get_secret_value()) if self.video_extra_headers else {}

    def credentials(self, provider: str) -> str | None:
        """The provider's key, several parts joined by colons; None if a part is not set."""
        parts = [getattr(self, name) for name in KEYS[provider]]
        return ":".join(part.get_secret_value() for part in parts) if all(parts) else None

    def base_url_of(self, provider: str) -> str | None:
        url: str | None = getattr(self, f"{provider}_base_url")
        return url


def headers_in(text: str) -> Mapping[str, str]:
    """`Name: value; Other: value`. Raises ValueError."""
    headers = {}
    for part in text.split(";"):
        name, colon, value = (each.strip() for each in part.partition(":"))
        if not (colon and value and HEADER_NAME.fullmatch(name) and value.isprintable() and value.isascii()):
            raise ValueError("must be headers as `Name: value`, several with semicolons between them")
        if name.lower() in OUR_HEADERS:
            raise ValueError(f"sets {name}, which onetake sets itself")
        headers[name] = value
    return headers
