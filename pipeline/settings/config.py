"""The settings: read once from the environment and `.env`, checked, and handed out in small typed parts.

Scripts rely on the names (docs/design.md). The environment overrides `.env` (`nearest` finds it); an empty value
counts as not set; ONETAKE_IGNORE_ENV_FILE=1 ignores `.env`. No message contains a secret.
"""

import hashlib
import os
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from pipeline.settings.data_folder import default_home
from pipeline.settings.env_file import ENV_FILE, env_file_in_use, read_env_file
from pipeline.settings.parts import SupabaseProject, TextEndpoint, VideoEndpoint, Waits
from pipeline.settings.resources import prompts_folder
from pipeline.settings.setting_checks import (
    TOKEN_CHARACTERS_MIN,
    ConfigError,
    can_be_guessed,
    check_base_url,
    passwords_in,
)
from pipeline.settings.vendor_keys import VendorKeys

OPENAI_URL = "https://api.openai.com/v1"
YEAR_SECONDS = 366 * 86400  # the longest wait allowed; an infinite one would be a mistake
Seconds = Annotated[float, Field(gt=0, le=YEAR_SECONDS)]
SecondsOrZero = Annotated[float, Field(ge=0, le=YEAR_SECONDS)]
# Senders that stand for many people: an anonymous admin of a group, a channel's posts, and Telegram itself.
NOBODY_IN_PARTICULAR = frozenset({1087968824, 136817688, 777000})
SECRET_CHARACTERS_MIN = 4  # redacting a shorter one would also blot out ordinary words
# Examples for settings without a default; for the others, messages show the default.
EXAMPLES = {
    "openai_api_key": "sk-...",
    "video_api_key": "sk-...",
    "supabase_service_role_key": "sb_secret_...",
    "video_base_url": "https://gateway.example/v1",
    "video_create_body": "json",
    "video_usd_per_second": "0.10",
    "supabase_url": "https://project.supabase.co",
    "webhook_url": "https://bot.example/telegram",
    "poll_seconds": "5",
    "provider_in_flight_max": "10",
    "provider_creates_per_minute": "30",
    "admin_ids": "1234567,7654321",
    "onetake_home": "/var/lib/onetake",
    "webhook_secret": "$(openssl rand -hex 16)",
    "admin_token": "$(openssl rand -hex 16)",
}


class Settings(VendorKeys):
    """All settings by their names, in lower case."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True)

    telegram_bot_token: SecretStr | None = None
    telegram_api_base: str = "https://api.telegram.org"
    openai_api_key: SecretStr | None = None
    openai_base_url: str = OPENAI_URL
    llm_model: str = "gpt-6-luna"
    video_api_key: SecretStr | None = None
    video_base_url: str | None = None
    video_model: str | None = None
    video_create_body: Literal["multipart", "json"] | None = None
    video_usd_per_second: Annotated[Decimal, Field(gt=0)] | None = None
    video_list_proves_absence: bool = False
    video_key_exclusive: bool = False
    video_seconds: Annotated[int, Field(gt=0)] = 8
    video_size: Annotated[str, Field(pattern=r"^\d{2,5}x\d{2,5}$")] = "720x1280"
    database_url: SecretStr | None = None
    supabase_url: str | None = None
    supabase_service_role_key: SecretStr | None = None
    supabase_bucket: str = "onetake"
    onetake_home: Path = Field(default_factory=default_home)
    prompts_folder: Path | None = None
    admin_ids: str = ""
    admin_token: SecretStr | None = None
    webhook_url: str | None = None
    webhook_secret: SecretStr | None = None
    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    log_format: Literal["console", "json"] = "console"

    poll_seconds: Seconds | None = None
    connect_timeout_seconds: Seconds = 5
    request_timeout_seconds: Seconds = 60
    request_slack_seconds: SecondsOrZero = 5
    text_timeout_seconds: Seconds = 30
    submit_deadline_seconds: Seconds = 10
    attend_seconds: Seconds = 15
    clock_skew_seconds: SecondsOrZero = 120
    look_seconds: Seconds = 30
    reconcile_grace_seconds: Seconds = 600
    reconcile_looks: Annotated[int, Field(ge=1)] = 5
    render_deadline_seconds: Seconds = 1800
    slow_notice_seconds: Seconds = 180
    parked_seconds: Seconds = 86400
    audit_seconds: Seconds = 86400
    confirm_seconds: Seconds = 900
    pause_patience_seconds: Seconds = 600
    sweep_seconds: Seconds = 2
    heartbeat_seconds: Seconds = 1
    stalled_seconds: Seconds = 5
    provider_in_flight_max: Annotated[int, Field(ge=1)] | None = None
    provider_creates_per_minute: Annotated[int, Field(ge=1)] | None = None
    media_keep_days: Annotated[float, Field(ge=0, le=36_600)] = 0
    worker_concurrency: Annotated[int, Field(ge=1, le=1000)] = 100

    @field_validator("openai_base_url", "video_base_url", "telegram_api_base", "supabase_url", "webhook_url")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        return None if url is None else check_base_url(url)

    @field_validator("openai_api_key", "video_api_key", "supabase_service_role_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not re.fullmatch(r"[!-~]+", key.get_secret_value()):
            raise ValueError("contains characters that no key has, such as a space, a line break or an accent")
        return key

    @field_validator("onetake_home", "prompts_folder")
    @classmethod
    def _absolute(cls, folder: Path | None) -> Path | None:
        try:
            return folder.expanduser().absolute() if folder else None
        except RuntimeError as error:
            raise ValueError("begins with the home folder of an unknown user") from error

    @model_validator(mode="after")
    def _pairs(self) -> "Settings":
        if bool(self.supabase_url) != bool(self.supabase_service_role_key):
            raise ValueError("SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY must be set together")
        if self.webhook_url and not self.webhook_secret:
            raise ValueError("WEBHOOK_URL needs WEBHOOK_SECRET, which authenticates Telegram's calls")
        return self

    @field_validator("webhook_url")
    @classmethod
    def _leaves_the_page_its_paths(cls, url: str | None) -> str | None:
        if url and re.match(r"/(admin|api|media|metrics|healthz|readyz)(/|$)", urlsplit(url).path):
            raise ValueError("its path belongs to the operators' page; choose another")
        return url

    @field_validator("admin_token", "webhook_secret")
    @classmethod
    def _is_long(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < TOKEN_CHARACTERS_MIN:
            raise ValueError(f"must have {TOKEN_CHARACTERS_MIN} characters or more, or it can be guessed")
        if token is not None and can_be_guessed(token.get_secret_value()):
            raise ValueError("can be guessed; .env runs no commands: paste the output of `openssl rand -hex 16`")
        return token

    @field_validator("webhook_secret")
    @classmethod
    def _suits_telegram(cls, secret: SecretStr | None) -> SecretStr | None:
        """setWebhook, `secret_token`: https://core.telegram.org/bots/api#setwebhook"""
        if secret is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", secret.get_secret_value()):
            raise ValueError("must be at most 256 letters, digits, _ and -: Telegram accepts no others")
        return secret

    @field_validator("admin_ids")
    @classmethod
    def _are_ids(cls, ids: str) -> str:
        if any(part.strip() and not part.strip().isdecimal() for part in ids.split(",")):
            raise ValueError("must be Telegram ids separated by commas")
        for shared in NOBODY_IN_PARTICULAR & {int(part) for part in ids.split(",") if part.strip()}:
            raise ValueError(f"{shared} is not a person: Telegram sends it for anyone who posts anonymously")
        return ids

    @property
    def prompts(self) -> Path:
        """The folder of the templates in use: PROMPTS_FOLDER, or the project's own."""
        return self.prompts_folder or prompts_folder()

    @property
    def admins(self) -> frozenset[int]:
        """Telegram ids of operators."""
        return frozenset(int(part) for part in self.admin_ids.split(",") if part.strip())

    @property
    def supabase(self) -> SupabaseProject | None:
        if self.supabase_url is None or self.supabase_service_role_key is None:
            return None
        return SupabaseProject(
            self.supabase_url, self.supabase_service_role_key.get_secret_value(), self.supabase_bucket
        )

    @property
    def video(self) -> VideoEndpoint:
        """The OpenAI Videos protocol at VIDEO_BASE_URL.

        Raises ConfigError if no key is set: nothing is bought from an endpoint that nobody chose.
        """
        key = self.video_api_key or self.openai_api_key
        if key is None:
            raise ConfigError("VIDEO_API_KEY: missing; set the key of the video endpoint, or OPENAI_API_KEY for both")
        return VideoEndpoint(
            base_url=self.video_base_url or self.openai_base_url,
            api_key=key.get_secret_value(),
            fingerprint=fingerprint(key.get_secret_value()),
            model=self.video_model,
            usd_per_second=self.video_usd_per_second,
            create_body=self.video_create_body,
            connect_seconds=self.connect_timeout_seconds,
            request_seconds=self.request_timeout_seconds,
        )

    @property
    def text(self) -> TextEndpoint:
        if self.openai_api_key is None:
            raise ConfigError("OPENAI_API_KEY: missing; set the key of the text model, which checks prompts")
        return TextEndpoint(
            self.openai_base_url,
            self.openai_api_key.get_secret_value(),
            self.llm_model,
            self.text_timeout_seconds,
        )

    def secrets(self) -> frozenset[str]:
        """What no log line may contain: every secret setting, and the password in DATABASE_URL."""
        given = [value.get_secret_value() for _, value in self if isinstance(value, SecretStr)]
        if self.database_url is not None:
            given += passwords_in(self.database_url.get_secret_value())
        given += self.extra_headers.values()
        return frozenset(secret for secret in given if len(secret) >= SECRET_CHARACTERS_MIN)

    @property
    def waits(self) -> Waits:
        def seconds(value: float) -> timedelta:
            return timedelta(seconds=value)

        return Waits(
            submit_deadline=seconds(self.submit_deadline_seconds),
            connect_timeout=seconds(self.connect_timeout_seconds),
            request_timeout=seconds(self.request_timeout_seconds),
            request_slack=seconds(self.request_slack_seconds),
            heartbeat=seconds(self.attend_seconds),
            clock_skew=seconds(self.clock_skew_seconds),
            look=seconds(self.look_seconds),
            reconcile_grace=seconds(self.reconcile_grace_seconds),
            reconcile_looks=self.reconcile_looks,
            render_deadline=seconds(self.render_deadline_seconds),
            parked=seconds(self.parked_seconds),
            audit=seconds(self.audit_seconds),
            confirm=seconds(self.confirm_seconds),
            pause_patience=seconds(self.pause_patience_seconds),
            poll_seconds=self.poll_seconds,
        )


def fingerprint(key: str) -> str:
    """Twelve hex digits that distinguish keys without revealing them."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def load_settings(environment: dict[str, str] | None = None, env_file: Path | None = ENV_FILE) -> Settings:
    """The settings of this process. Raises ConfigError, one line per wrong setting."""
    values = dict(os.environ if environment is None else environment)
    if env_file is not None and (path := env_file_in_use(values, env_file)):
        written = read_env_file(path, {name.upper() for name in Settings.model_fields})
        values = written | {k: v for k, v in values.items() if v}
    known = {name: values.get(name.upper(), "").strip() for name in Settings.model_fields}
    try:
        return Settings.model_validate({name: value for name, value in known.items() if value})
    except ValidationError as error:
        raise ConfigError("\n".join(_line(problem) for problem in error.errors())) from None
    except (OSError, RuntimeError) as error:  # from `default_home`: no home folder, or a missing one
        raise ConfigError(f"ONETAKE_HOME: there is no default data folder here ({error}); set it") from error


def _line(problem: Any) -> str:
    """`NAME: what is wrong, for example NAME=value`, without the given value, which may be a secret."""
    words = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return words
    name = str(problem["loc"][0])
    if problem["type"] == "string_pattern_mismatch":
        words = "must be WIDTHxHEIGHT"
    example = EXAMPLES.get(name) or Settings.model_fields[name].default
    shown = str(example).lower() if isinstance(example, bool) else example  # as .env.example writes it
    return f"{name.upper()}: {words[:1].lower()}{words[1:]}, for example {name.upper()}={shown}"
