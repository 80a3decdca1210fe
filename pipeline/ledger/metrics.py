"""The numbers that both the JSON metrics and `onetake stats` show. Pure.

In       Metrics, as the ledger counts them
Out      JSON-ready values; money in US dollars, as the names say
"""

from typing import Any

from pipeline.formatting import MICROUSD
from pipeline.ledger.dashboard import Metrics
from pipeline.ledger.records import State

STEPS = ("check_limits", "validate_prompt", "generate_video", "write_caption", "save_video", "deliver")
# The outcomes that count as a call of the step; its other events report results.
CALLS = {
    "generate_video": {"submitting"},
    "save_video": {"saved"},
    "deliver": {"delivered"},
}


def tool_calls(found: Metrics) -> dict[str, int]:
    """How often each step was really called."""
    return {step: _calls(found, step) for step in STEPS}


def cached_calls(found: Metrics) -> dict[str, int]:
    """How often each step's call was saved because the row already had the answer."""
    return {step: found.cached_calls.get(step, 0) for step in STEPS}


def numbers(found: Metrics) -> dict[str, Any]:
    stats = found.stats
    return {
        "total_runs": stats.total_runs,
        "total_videos": stats.total_videos,
        "tool_calls": tool_calls(found),
        "cached_calls": cached_calls(found),
        "duplicate_calls": stats.duplicates_blocked,
        "paid_calls": stats.paid_calls,
        "money_saved_usd": stats.money_saved_microusd / MICROUSD,
        "held_usd": stats.held_microusd / MICROUSD,
        "spent_usd": stats.spent_microusd / MICROUSD,
        "released_usd": stats.released_microusd / MICROUSD,
        "text_usd": stats.text_microusd / MICROUSD,
        "runs_by_state": {state.value: stats.states.get(state, 0) for state in State},
        "requests_by_answer": dict(stats.checks),
        "in_doubt": stats.states.get(State.UNCERTAIN, 0),
        "parked": stats.parked,
        "day_without_duplicate": found.clean_day.clean,
    }


def _calls(found: Metrics, step: str) -> int:
    wanted = CALLS.get(step)
    return sum(each.n for each in found.events if each.step == step and (wanted is None or each.outcome in wanted))
