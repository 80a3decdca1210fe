"""Where the data files are: at the root of a checkout, or inside the installed package."""

from pathlib import Path

_INSTALLED = Path(__file__).parent.parent / "_data"
_CHECKOUT = Path(__file__).parent.parent.parent

EVALS = "evals.json"  # in ONETAKE_HOME: the last result of `onetake prompts eval`, for the operators' page


def migrations_folder() -> Path:
    return _find(_INSTALLED / "migrations", _CHECKOUT / "supabase" / "migrations")


def prompts_folder() -> Path:
    return _find(_INSTALLED / "prompts", _CHECKOUT / "prompts")


def models_file() -> Path:
    return _find(_INSTALLED / "models.toml", _CHECKOUT / "models.toml")


def _find(installed: Path, checkout: Path) -> Path:
    return installed if installed.exists() else checkout
