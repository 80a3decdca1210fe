"""Settings: where each is read from, what a wrong one's error says, and that no secret is ever shown."""

from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.settings.config import Settings, fingerprint, load_settings
from pipeline.settings.data_folder import user_home
from pipeline.settings.setting_checks import ConfigError

SECRETS = {
    "TELEGRAM_BOT_TOKEN": "sesame-1",
    "OPENAI_API_KEY": "sesame-2",
    "VIDEO_API_KEY": "sesame-3",
    "DATABASE_URL": "postgresql://u:sesame-4@db.example/onetake",
    "SUPABASE_SERVICE_ROLE_KEY": "sesame-5",
    "ADMIN_TOKEN": "sesame-6-of-sixteen-or-more",
    "WEBHOOK_SECRET": "sesame-7-of-sixteen-or-more",
}


def read(**environment: str) -> Settings:
    return load_settings(environment, None)


def complaint(**environment: str) -> str:
    with pytest.raises(ConfigError) as refused:
        read(**environment)
    return str(refused.value)


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    path.write_text("OPENAI_API_KEY=from-file\nVIDEO_SECONDS=6\nLLM_MODEL=\n")
    return path


def test_defaults_apply_without_any_setting(tmp_path: Path) -> None:
    settings = read()
    assert (settings.video_seconds, settings.video_size) == (8, "720x1280")
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 8080)
    waits = settings.waits
    assert waits.render_deadline.total_seconds() == 1800
    assert waits.reconcile_grace.total_seconds() == 600
    assert waits.submit_deadline.total_seconds() == 10
    assert waits.clock_skew.total_seconds() == 120
    assert (waits.reconcile_looks, waits.look.total_seconds()) == (5, 30)
    assert waits.confirm.total_seconds() == 900
    assert waits.poll_seconds is None


def test_default_data_folder_is_the_same_from_every_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = set()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        homes.add(read().onetake_home)
    assert homes == {user_home()}
    assert read(ONETAKE_HOME="/var/lib/onetake").onetake_home == Path("/var/lib/onetake")


def test_data_folder_in_the_working_directory_is_still_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".onetake").mkdir()
    assert read().onetake_home == tmp_path / ".onetake"


@pytest.mark.parametrize(
    ("name", "meant"),
    [("OPENAI_API_KEYS", "OPENAI_API_KEY"), ("VIDEO_SECOND", "VIDEO_SECONDS"), ("admin_id", "ADMIN_IDS")],
)
def test_misspelt_setting_in_the_env_file_is_refused_with_a_suggestion(tmp_path: Path, name: str, meant: str) -> None:
    path = tmp_path / ".env"
    path.write_text(f"{name}=sesame\n")
    with pytest.raises(ConfigError) as refused:
        load_settings({}, path)
    assert f"did you mean {meant}?" in str(refused.value)
    assert "sesame" not in str(refused.value)


def test_settings_of_other_programs_in_the_env_file_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("POSTGRES_PASSWORD=x\nOPENAI_API_BASE=x\nOPENAI_API_KEY=k\nOPENAI_API_KEYS=for-another\n")
    assert load_settings({}, path).text.api_key == "k"


@pytest.mark.parametrize("shared", ["1087968824", "777000", "5, 136817688"])
def test_admin_ids_that_telegram_reserves_are_refused(shared: str) -> None:
    """Telegram uses these ids for anonymous admins, for itself, and for channels."""
    assert "is not a person" in complaint(ADMIN_IDS=shared)


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("q7", "16 characters or more"),
        ("a" * 20, "can be guessed"),
        ("$(openssl rand -hex 16)", "can be guessed"),
        ("sixteen chars, no", "letters, digits"),
    ],
)
def test_guessable_or_invalid_webhook_secret_is_refused(secret: str, why: str) -> None:
    assert why in complaint(WEBHOOK_SECRET=secret)


def test_data_folder_that_is_a_dangling_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".onetake").symlink_to(tmp_path / "a disk that is not mounted")
    assert "is a broken link" in complaint()


@pytest.mark.parametrize("path", ["/v1/videos", "/v1/chat/completions", "/v1/v1", "/v1/videos/"])
def test_base_url_that_ends_in_an_endpoint_is_refused(path: str) -> None:
    assert "not an endpoint" in complaint(VIDEO_BASE_URL=f"https://gateway.example{path}")


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "VIDEO_BASE_URL", "TELEGRAM_API_BASE", "SUPABASE_URL"])
def test_url_with_a_user_or_password_is_refused(name: str) -> None:
    words = complaint(**{name: "https://u:sesame@gateway.example/v1"})
    assert "contains a user or password" in words
    assert "sesame" not in words


def test_the_env_file_is_read(env_file: Path) -> None:
    settings = load_settings({}, env_file)
    assert (settings.text.api_key, settings.video_seconds) == ("from-file", 6)


def test_the_environment_wins_over_the_env_file(env_file: Path) -> None:
    assert load_settings({"VIDEO_SECONDS": "4"}, env_file).video_seconds == 4


def test_an_empty_value_counts_as_not_set(env_file: Path) -> None:
    settings = load_settings({"VIDEO_SECONDS": "", "VIDEO_SIZE": "  "}, env_file)
    assert (settings.video_seconds, settings.video_size) == (6, "720x1280")
    assert settings.llm_model == "gpt-6-luna"


def test_onetake_ignore_env_file_skips_the_env_file(env_file: Path) -> None:
    assert load_settings({"ONETAKE_IGNORE_ENV_FILE": "1"}, env_file).openai_api_key is None


def test_a_missing_env_file_is_no_error(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path / "none").video_seconds == 8


def test_env_file_that_is_not_utf8_raises_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"OPENAI_API_KEY=\xff\xfe")
    with pytest.raises(ConfigError, match=r"\.env: cannot be read \(it is not UTF-8\)"):
        load_settings({}, path)


def test_whitespace_around_a_value_is_stripped() -> None:
    assert read(OPENAI_API_KEY=" key\n").text.api_key == "key"


@pytest.mark.parametrize(
    ("name", "value", "example"),
    [
        ("POLL_SECONDS", "soon", "5"),
        ("RENDER_DEADLINE_SECONDS", "inf", "1800"),
        ("SWEEP_SECONDS", "nan", "2"),
        ("CONFIRM_SECONDS", "-1", "900"),
        ("RECONCILE_LOOKS", "0", "5"),
        ("HTTP_PORT", "99999", "8080"),
        ("VIDEO_SIZE", "big", "720x1280"),
        ("VIDEO_SECONDS", "eight", "8"),
        ("VIDEO_USD_PER_SECOND", "0", "0.10"),
        ("VIDEO_USD_PER_SECOND", "NaN", "0.10"),
        ("VIDEO_CREATE_BODY", "xml", "json"),
        ("VIDEO_KEY_EXCLUSIVE", "perhaps", "false"),
        ("OPENAI_BASE_URL", "api.openai.com", "https://api.openai.com/v1"),
        ("VIDEO_BASE_URL", "http://", "https://gateway.example/v1"),
        ("VIDEO_BASE_URL", "http://gateway.example:99999/v1", "https://gateway.example/v1"),
        ("VIDEO_BASE_URL", "http://u:pass/word@gateway.example/v1", "https://gateway.example/v1"),
        ("SUPABASE_URL", "https://[::1", "https://project.supabase.co"),
        ("ONETAKE_HOME", "~nobody-of-that-name/x", "/var/lib/onetake"),
    ],
)
def test_invalid_value_error_is_one_line_with_the_name_and_an_example(name: str, value: str, example: str) -> None:
    line = complaint(**{name: value})
    assert line.startswith(f"{name}: ")
    assert line.endswith(f", for example {name}={example}")
    assert "\n" not in line


@pytest.mark.parametrize("key", ["sesame 1", "sesame\n1", "sesame\u00f1", "sesame\x001"])
@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "VIDEO_API_KEY", "SUPABASE_SERVICE_ROLE_KEY"])
def test_key_invalid_in_an_http_header_is_refused_without_showing_it(name: str, key: str) -> None:
    line = complaint(**{name: key})
    assert line.startswith(f"{name}: contains characters")
    assert "None" not in line
    assert "sesame" not in line
    assert "\n" not in line


def test_invalid_url_error_does_not_repeat_the_password() -> None:
    assert "sesame" not in complaint(VIDEO_BASE_URL="http://u:sesame/1@gateway.example/v1")


def test_every_wrong_value_has_its_own_line() -> None:
    assert len(complaint(HTTP_PORT="no", VIDEO_SIZE="no").splitlines()) == 2


@pytest.mark.parametrize(
    ("lonely", "missing"),
    [
        ({"SUPABASE_URL": "https://x.supabase.co"}, "SUPABASE_SERVICE_ROLE_KEY"),
        ({"SUPABASE_SERVICE_ROLE_KEY": "k"}, "SUPABASE_URL"),
        ({"WEBHOOK_URL": "https://bot.example"}, "WEBHOOK_SECRET"),
    ],
)
def test_setting_without_its_required_partner_is_refused_naming_both(lonely: dict[str, str], missing: str) -> None:
    line = complaint(**lonely)
    assert missing in line
    assert next(iter(lonely)) in line
    assert "\n" not in line


def test_video_endpoint_defaults_to_the_text_models_endpoint() -> None:
    shared = read(OPENAI_API_KEY="a", OPENAI_BASE_URL="http://one/v1/").video
    assert (shared.base_url, shared.api_key, shared.fingerprint) == ("http://one/v1", "a", fingerprint("a"))
    own = read(OPENAI_API_KEY="a", VIDEO_API_KEY="b", VIDEO_BASE_URL="http://two/v1").video
    assert (own.base_url, own.api_key, own.fingerprint) == ("http://two/v1", "b", fingerprint("b"))


def test_missing_key_error_names_the_setting() -> None:
    with pytest.raises(ConfigError, match=r"^VIDEO_API_KEY: missing"):
        _ = read().video
    with pytest.raises(ConfigError, match=r"^OPENAI_API_KEY: missing"):
        _ = read(VIDEO_API_KEY="b").text


def test_a_price_is_read_exactly() -> None:
    assert read(VIDEO_USD_PER_SECOND="0.1").video_usd_per_second == Decimal("0.1")


def test_no_secret_shows_in_any_representation() -> None:
    settings = read(**SECRETS, SUPABASE_URL="https://x.supabase.co")
    shown = f"{settings!r} {settings} {settings.video!r} {settings.text!r} {settings.model_dump_json()}"
    assert "sesame" not in shown


def test_no_secret_shows_in_a_config_error() -> None:
    line = complaint(**SECRETS, HTTP_PORT="no", SUPABASE_URL="sesame-0", WEBHOOK_URL="sesame-8")
    assert "sesame" not in line


def test_fingerprint_is_twelve_hex_digits_and_differs_per_key() -> None:
    assert fingerprint("sk-one") != fingerprint("sk-two")
    assert len(fingerprint("sk-one")) == 12
    assert int(fingerprint("sk-one"), 16) >= 0


def test_settings_are_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read().video_seconds = 4  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("path", ["/admin", "/admin/x", "/api/telegram", "/media/x", "/metrics", "/readyz", "/healthz"])
def test_webhook_url_on_a_path_of_the_operators_page_is_refused(path: str) -> None:
    words = complaint(WEBHOOK_URL=f"https://bot.example{path}", WEBHOOK_SECRET="a-secret-of-many")
    assert words.startswith("WEBHOOK_URL: its path belongs to the operators' page; choose another")
    for other in ("", "/telegram", "/administration", "/x/admin"):
        assert read(WEBHOOK_URL=f"https://bot.example{other}", WEBHOOK_SECRET="a-secret-of-many").webhook_url


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "VIDEO_BASE_URL"])
@pytest.mark.parametrize("url", ["https://gateway.example/v1/videos?x=", "https://gateway.example/v1#", "http://h/?"])
def test_base_url_with_a_query_or_fragment_is_refused(name: str, url: str) -> None:
    """With `.../v1/videos?x=`, even `/chat/completions` would be a POST of /v1/videos."""
    assert "without ? or #" in complaint(**{name: url})
