"""`.env`: which one is read, and that none of its lines is dropped in silence."""

from pathlib import Path

import pytest

from pipeline.settings.config import load_settings
from pipeline.settings.setting_checks import ConfigError


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Of this project, within a folder of another one."""
    top = tmp_path / "other" / "onetake"
    (top / "docs" / "images").mkdir(parents=True)
    (top / "pyproject.toml").write_text('[project]\nname = "onetake"\n')
    (tmp_path / "other" / "pyproject.toml").write_text('[project]\nname = "other"\n')
    (tmp_path / "other" / ".env").write_text("LLM_MODEL=others\n")
    return top


@pytest.mark.parametrize("folder", [".", "docs", "docs/images"])
def test_env_file_of_a_checkout_applies_in_all_its_folders(
    checkout: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / ".env").write_text("LLM_MODEL=ours\nONETAKE_HOME=data\nPROMPTS_FOLDER=~/prompts\n")
    monkeypatch.chdir(checkout / folder)
    settings = load_settings({})
    assert settings.llm_model == "ours"
    assert settings.onetake_home == checkout / "data"  # from where the file is
    assert settings.prompts == Path.home() / "prompts"


def test_nearest_env_file_wins(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / ".env").write_text("LLM_MODEL=ours\n")
    (checkout / "docs" / ".env").write_text("LLM_MODEL=nearer\n")
    monkeypatch.chdir(checkout / "docs")
    assert load_settings({}).llm_model == "nearer"


@pytest.mark.parametrize("folder", ["onetake/docs", "onetake", "elsewhere"])
def test_an_env_file_of_another_project_above_is_not_read(
    checkout: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout.parent / "elsewhere").mkdir()
    monkeypatch.chdir(checkout.parent / folder)
    assert load_settings({}).llm_model == "gpt-6-luna"


def test_a_data_folder_of_a_checkout_is_the_same_from_all_its_folders(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / ".onetake").mkdir()
    monkeypatch.chdir(checkout / "docs")
    assert load_settings({}).onetake_home == checkout / ".onetake"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("LLM_MODEL=x\n\nDATABASE_URL: postgresql://u:sesame@h/d\n", 3),
        ("DATABASE_URL:postgresql://u:sesame@h/d?sslmode=require\n", 1),
        ("# an address\nDATABASE_URL postgresql://u:sesame@h/d\n", 2),
        ('DATABASE_URL="postgresql://u:sesame@h/d\nLLM_MODEL=x\n', 1),
        ('DATABASE_URL="postgresql://u:sesame@h/d\nLLM_MODEL=x"\n', 1),
        ("LLM_MODEL=x\nDATABASE_URL\n", 2),
        ("this is not a line\n", 1),
        ("=sesame\n", 1),
    ],
)
def test_unreadable_env_file_line_is_reported_by_its_number(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / ".env"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_settings({}, path)
    assert str(refused.value) == f"{path} line {line} cannot be read: write NAME=value"


def test_env_file_accepts_export_quotes_comments_spaces_and_crlf(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("\ufeff# ours\r\nexport LLM_MODEL='a b'  # why\r\n  VIDEO_SIZE = \"720x1280\"\r\nPOLL_SECONDS=\r\n")
    settings = load_settings({}, path)
    assert (settings.llm_model, settings.video_size, settings.poll_seconds) == ("a b", "720x1280", None)


def test_env_file_that_is_a_dangling_link_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to(tmp_path / "a disk that is not mounted")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings({}, tmp_path / ".env")
