"""What a template may set of how the model writes, and the values each takes: one table for the loader and for lint.

The bounds are those of chat completions (platform.openai.com/docs/api-reference/chat/create). Tools, streams, several
answers or another shape of answer are not for a template to ask for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

STOPS_MAX = 4


@dataclass(frozen=True)
class Setting:
    takes: str
    fits: Callable[[object], bool]


def _number(low: float, high: float) -> Setting:
    def fits(value: object) -> bool:
        return type(value) in {int, float} and isinstance(value, int | float) and low <= value <= high

    return Setting(f"a number from {low:g} to {high:g}", fits)


def _is_whole(value: object) -> bool:
    return type(value) is int


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _one_of(*words: str) -> Setting:
    return Setting(f"one of {', '.join(words)}", words.__contains__)


def _are_stops(value: object) -> bool:
    texts = value if isinstance(value, list) else [value]
    return 1 <= len(texts) <= STOPS_MAX and all(map(_is_text, texts))


TOKENS = Setting("a whole number, 1 or more", lambda value: isinstance(value, int) and _is_whole(value) and value >= 1)
SETTINGS: Mapping[str, Setting] = {
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "max_tokens": TOKENS,
    "max_completion_tokens": TOKENS,
    "seed": Setting("a whole number", _is_whole),
    "stop": Setting(f"a text, or a list of at most {STOPS_MAX}", _are_stops),
    "verbosity": _one_of("low", "medium", "high"),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "reasoning_effort": _one_of("none", "minimal", "low", "medium", "high", "xhigh"),
    "service_tier": Setting("a word, such as auto or flex", _is_text),
}


def misfit(name: str, value: object) -> str | None:
    """What is wrong with the value of a setting that there is, in words; None if nothing is."""
    setting = SETTINGS[name]
    return None if setting.fits(value) else f"{name} is {value}; it takes {setting.takes}"
