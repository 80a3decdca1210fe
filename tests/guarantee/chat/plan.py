"""The list of cases, from the points that undisturbed lives reached. Pure.

In       the logs of a few undisturbed lives; the points reached in recoveries
Out      cases: killed once, killed again in recovery, answers lost, updates redelivered
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from signal import SIGTERM

from tests.guarantee.chat.cases import Case, Fault, Result
from tests.guarantee.chat.trace_points import calls_in
from tests.guarantee.chat.visitor import Moment
from tests.guarantee.crash.trace_points import End

ONCE, TWICE, STOPPED = "killed once", "killed twice", "told to stop"
LOST, REFUSED, AGAIN = "the answer was lost", "refused", "updates came again"
TURNS_MAX = 2  # more calls of the same kind add nothing, except that every Telegram call is tested
TELLING, LEDGER = "telegram.", "ledger."
# A broken tracer finds no errors: these points it must find.
ESSENTIAL = (
    *("telegram.getUpdates", "ledger.reserve", "queue.defer_jobs_v1", "telegram.sendMessage", "ledger.note_audience"),
    *("telegram.getUpdates confirming", "ledger.confirm", "telegram.answerCallbackQuery", "http.POST /videos"),
    *("ledger.begin_notification", "telegram.editMessageText", "telegram.sendVideo", "ledger.mark_notified"),
)
LOSSES = ("done_then_drop", "half_answer", "garbage", "drop_before")
REFUSALS: Mapping[str, Mapping[str, int]] = {"flood": {"retry_after": 1}, "status": {"status": 502}}
# The most revealing ones, for the suite.
SHORT_POINTS = (
    "telegram.getUpdates.after",
    "ledger.reserve.after",
    "telegram.sendMessage.after",
    "ledger.confirm.after",
    "http.POST /videos.after",
    "telegram.sendVideo.before",
    "telegram.sendVideo.after",
)
SHORT_LOSSES = ("sendVideo", "answerCallbackQuery")


def undisturbed(number: int) -> Case:
    return Case("undisturbed", f"a life that nothing ends, {number}")


def points_of(logs: Sequence[Sequence[str]]) -> list[str]:
    """Every point of any of these lives, in order."""
    found = dict.fromkeys(chain.from_iterable(logs))
    return [point for point in found if point.startswith(TELLING) or turn(point) <= TURNS_MAX]


def singles(points: Iterable[str], logs: Sequence[Sequence[str]]) -> list[Case]:
    sure = set(logs[0]).intersection(*logs[1:])
    return [Case(ONCE, point, (End(point),), must_strike=point in sure and turn(point) == 1) for point in points]


def stopped(points: Iterable[str]) -> list[Case]:
    """SIGTERM instead of SIGKILL, at commits and messages: work in progress finishes, or is left to the next life."""
    here = [point for point in points if ".before" in point and point.startswith((TELLING, LEDGER))]
    return [Case(STOPPED, point, (End(point, SIGTERM),)) for point in here]


def in_recovery(points: Iterable[str], once: Iterable[Result]) -> list[Case]:
    """Kill the restart, too: at every point that only a restart reaches, and at the same Telegram call again."""
    seen = set(points)
    cases: list[Case] = []
    for each in once:
        first, recovery = each.case.name, each.logs[1] if len(each.logs) > 1 else ()
        new = [point for point in recovery if point not in seen and turn(point) <= TURNS_MAX]
        seen |= set(new)
        same = [first] if first.startswith(TELLING) and first in recovery else []
        cases += [Case(TWICE, f"{first}, then {at}", (End(first), End(at))) for at in (*new, *same)]
    return cases


def lost_answers(logs: Sequence[Sequence[str]]) -> list[Case]:
    """Every Telegram call of an undisturbed life, with its answer lost in every way, or refused."""
    calls = [(method, nth) for method, times in _calls(logs).items() for nth in range(1, times + 1)]
    cases = [_lost(LOST, Fault(*call, kind)) for call in calls for kind in LOSSES]
    cases += [_lost(REFUSED, Fault(*call, kind, more)) for call in calls for kind, more in REFUSALS.items()]
    cases += [_forgotten(times) for times in (1, 2, 3)]
    return cases


def _lost(kind: str, fault: Fault) -> Case:
    return Case(kind, f"{fault.kind} at {fault.name}", faults=(fault,))


def _forgotten(times: int) -> Case:
    return _lost(LOST, Fault("getUpdates", 1, "forget_offset", {"times": times}))


def _calls(logs: Sequence[Sequence[str]]) -> Counter[str]:
    """How often every life calls each method, at least."""
    counted = [Counter(calls_in(log)) for log in logs]
    return Counter({method: min(each[method] for each in counted) for method in counted[0]})


def redelivered() -> list[Case]:
    moments = [*(frozenset({moment}) for moment in Moment), frozenset(Moment)]
    return [Case(AGAIN, " and ".join(sorted(each)), again=each) for each in moments]


def short() -> list[Case]:
    flood = _lost(REFUSED, Fault("sendVideo", 1, "flood", REFUSALS["flood"]))
    return [
        *(Case(ONCE, point, (End(point),), must_strike=True) for point in SHORT_POINTS),
        *(_lost(LOST, Fault(method, 1, "done_then_drop")) for method in SHORT_LOSSES),
        *(flood, _forgotten(2), redelivered()[-1]),
    ]


def blind(points: Iterable[str]) -> list[str]:
    """One sentence for every essential call that was not seen."""
    seen = {point.removesuffix(f" #{turn(point)}") for point in points}
    return [f"the tracer did not see {door}" for door in ESSENTIAL if not {f"{door}.before", f"{door}.after"} <= seen]


def turn(point: str) -> int:
    return int(point.rpartition(" #")[2]) if " #" in point else 1
