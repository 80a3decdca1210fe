"""Trouble at the Bot API's door.

In       the fault a call meets
Out      which calls it may meet, and what becomes of the answer
Effects  may reset the connection, before the call is carried out or after

`done_then_drop`, `half_answer`, `garbage` and `slow` carry the call out; the others do not.
"""

from simulator.faults import Fault
from simulator.telegram.arguments import Args, whole
from simulator.telegram.refusals import Refused, flooded
from simulator.telegram.state import Bot
from simulator.telegram.updates import OTHER_POLL

FLOOD_SECONDS = 5
POLLS_ONLY = frozenset({"forget_offset", "conflict"})
UNDONE = frozenset({"drop_before", "hang"})

_STATUS_WORDS = {
    400: "Bad Request: simulated",
    403: "Forbidden: simulated",
    404: "Not Found",
    500: "Internal Server Error",
    502: "Bad Gateway",
}


def meets(fault: Fault, method: str, bot: Bot, args: Args) -> bool:
    """Whether a call is one that this fault is meant for. One that is not leaves it armed."""
    default = "getUpdates" if fault.kind in POLLS_ONLY else method
    if fault.text("method", default).lower() != method.lower():
        return False
    return fault.kind != "forget_offset" or bot.updates.confirms(args.integer("offset"))


def refusal_of(fault: Fault | None) -> Refused | None:
    """The answer of a fault that is a refusal."""
    match "" if fault is None else fault.kind, fault:
        case "flood", Fault():
            return flooded(max(1, whole(fault.params.get("retry_after"), FLOOD_SECONDS)))
        case "conflict", Fault():
            return Refused(409, OTHER_POLL)
        case "status", Fault():
            status = whole(fault.params.get("status"), 500)
            words = fault.text("description", _STATUS_WORDS.get(status, "simulated trouble"))
            wait = fault.params.get("retry_after")
            return Refused(status, words, None if wait is None else whole(wait))
        case _:
            return None


def forgetful(args: Args) -> Args:
    """The same poll, as if it had confirmed nothing."""
    return Args({name: value for name, value in args.fields.items() if name != "offset"})
