"""The file `.env`: names and values, in UTF-8.

Raises   ConfigError: it cannot be read, or has a name that is nearly a setting's
"""

from collections.abc import Mapping, Set
from difflib import get_close_matches
from pathlib import Path

from pipeline.settings.setting_checks import ConfigError

NEAR_ENOUGH = 0.85  # of difflib's ratio: OPENAI_API_KEYS is, OPENAI_API_BASE is not


def read_env_file(path: Path, known: Set[str]) -> dict[str, str]:
    """What it sets, without empty values; nothing if there is no such file. `known`: the settings' names."""
    written = _read(path)
    _check_names(written, path, known)
    return written


def _read(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values  # `--help` should not wait for it

    if not path.is_file():
        return {}
    try:
        return {name: value for name, value in dotenv_values(path).items() if value}
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise ConfigError(f"{path}: cannot be read ({why})") from None


def _check_names(written: Mapping[str, str], path: Path, known: Set[str]) -> None:
    """A misspelt name would count as not set, in silence. The environment is not looked at: it is everybody's."""
    lines = []
    for name in written.keys() - known:
        near = get_close_matches(name.upper(), known, n=1, cutoff=NEAR_ENOUGH)
        if near and near[0] not in written:
            lines.append(f"{name}: {path} sets it, but there is no such setting; did you mean {near[0]}?")
    if lines:
        raise ConfigError("\n".join(sorted(lines)))
