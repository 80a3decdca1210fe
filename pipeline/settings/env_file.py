"""The file `.env`: names and values, in UTF-8.

Raises   ConfigError: the file or one of its lines cannot be read, or a name in it is almost a setting's
"""

import re
from collections.abc import Iterator, Mapping, Set
from difflib import get_close_matches
from io import StringIO
from pathlib import Path

from pipeline.settings.nearest import nearest
from pipeline.settings.setting_checks import ConfigError

ENV_FILE = Path(".env")
NEAR_ENOUGH = 0.85  # difflib's ratio to OPENAI_API_KEY: OPENAI_API_KEYS is above, OPENAI_API_BASE below
NAME = r"[\w.-]+"
FOLDERS = ("ONETAKE_HOME", "PROMPTS_FOLDER")  # relative to the folder of the file, not to the working directory


def env_file_in_use(environment: Mapping[str, str], name: Path = ENV_FILE) -> Path | None:
    """The `.env` in use; None if there is none, or ONETAKE_IGNORE_ENV_FILE=1."""
    if environment.get("ONETAKE_IGNORE_ENV_FILE") == "1":
        return None
    try:
        path = nearest(name)
    except OSError:  # the working directory was removed
        return None
    return path if path.is_symlink() or (path.exists() and not path.is_dir()) else None


def read_env_file(path: Path, known: Set[str]) -> dict[str, str]:
    """The values that the file sets, without empty ones. `known`: the names of all settings."""
    from dotenv import dotenv_values  # `--help` should not wait for it

    text = _text(path)
    if wrong := [f"{path} line {line} cannot be read: write NAME=value" for line in _unreadable(text, known)]:
        raise ConfigError("\n".join(wrong))
    written = {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value}
    _check_names(written, path, known)
    beside = {name: str(path.parent / written[name]) for name in FOLDERS if not written.get(name, "~").startswith("~")}
    return written | beside


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise ConfigError(f"{path}: cannot be read ({why})") from None


def _unreadable(text: str, known: Set[str]) -> Iterator[int]:
    """Numbers of the lines that dotenv would skip without an error: no name, no `=`, a quote not closed on its line.

    With DATABASE_URL skipped, a command would act on another ledger.
    """
    from dotenv.parser import parse_stream

    for line in parse_stream(StringIO(text)):
        swallowed = line.key in known and "\n" in (line.value or "").strip()
        nothing = line.key is not None and (line.value is None or not re.fullmatch(NAME, line.key))
        if line.error or swallowed or nothing:
            above = re.match(r"\s*", line.original.string)
            yield line.original.line + (above[0].count("\n") if above else 0)


def _check_names(written: Mapping[str, str], path: Path, known: Set[str]) -> None:
    """Rejects misspelt names, which would silently count as not set. Ignores the environment: all programs share it."""
    lines = []
    for name in written.keys() - known:
        near = get_close_matches(name.upper(), known, n=1, cutoff=NEAR_ENOUGH)
        if near and near[0] not in written:
            lines.append(f"{name}: {path} sets it, but there is no such setting; did you mean {near[0]}?")
    if lines:
        raise ConfigError("\n".join(sorted(lines)))
