"""The values that a template may set of how the model writes."""

import pytest

from steps.text_model.model_settings import SETTINGS, misfit


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("temperature", [0, 0.4, 2], ["hot", 9, -0.1, True, None, float("nan"), [1]]),
        ("top_p", [0, 0.5, 1], [1.1, "0.5"]),
        ("max_tokens", [1, 400], [0, 1.5, True, "400"]),
        ("max_completion_tokens", [1, 400], [-1, None]),
        ("seed", [0, -7, 10**9], [0.5, "7", False]),
        ("stop", ["END", ["a", "b"]], ["", [], ["a"] * 5, [1], None]),
        ("verbosity", ["low", "high"], ["loud", 1, True]),
        ("presence_penalty", [-2, 0, 2], [3, "no"]),
        ("frequency_penalty", [-2, 1.5], [-2.5]),
        ("reasoning_effort", ["none", "minimal", "xhigh"], ["hard", 3, False, None, []]),
        ("service_tier", ["auto", "flex"], ["", 1, None]),
    ],
)
def test_each_model_setting_accepts_only_valid_api_values(name: str, good: list[object], bad: list[object]) -> None:
    assert [value for value in good if misfit(name, value)] == []
    assert [value for value in bad if not misfit(name, value)] == []
    assert SETTINGS[name].takes in str(misfit(name, bad[0]))
