"""Faults of the Bot API.

In       the fault that a call meets
Out      which calls it applies to, and the altered answer
Effects  may reset the connection, before the call is executed or after

`done_then_drop`, `half_answer`, `garbage`, `slow`, `html`, `charset`, `cut_utf8` and the altered answers execute the
call; others do not.
"""

from collections.abc import Callable, Mapping
from typing import Any

from simulator.faults.arming import Fault
from simulator.telegram.api.arguments import Args, whole
from simulator.telegram.api.refusals import Refused, flooded
from simulator.telegram.api.updates import OTHER_POLL
from simulator.telegram.state import Bot

FLOOD_SECONDS = 5
Body = dict[str, Any]
POLLS_ONLY = frozenset({"forget_offset", "conflict", "broken_update"})
UNDONE = frozenset({"drop_before", "hang"})

_STATUS_WORDS = {
    400: "Bad Request: simulated",
    403: "Forbidden: simulated",
    404: "Not Found",
    500: "Internal Server Error",
    502: "Bad Gateway",
}


def _undecodable(body: Body) -> Body:
    """An answer that an outdated client cannot decode: a part lacks a required field."""
    result = body.get("result")
    odd = {"forward_origin": {"type": "hidden_user", "date": 1_422_450_181}}
    return body | {"result": result | odd} if isinstance(result, dict) else body


def _no_result(_: Body) -> Body:
    return {"ok": True}


def _true_result(body: Body) -> Body:
    return body | {"result": True}


def _list_result(body: Body) -> Body:
    return body | {"result": [body.get("result")]}


def _text_id(body: Body) -> Body:
    """Ids as text, as some JavaScript proxies write them."""
    result = body.get("result")
    if not isinstance(result, dict):
        return body
    return body | {"result": _undecodable(body)["result"] | {"message_id": str(result.get("message_id"))}}


def _animation(body: Body) -> Body:
    """A silent video, which Telegram turns into an animation; its file id is then no video's."""
    result = body.get("result")
    if not isinstance(result, dict) or "video" not in result:
        return body
    video = result["video"]
    shown = {name: value for name, value in result.items() if name != "video"}
    return body | {"result": shown | {"animation": video | {"file_id": f"CgAC{video['file_id'][4:]}"}}}


def _broken_update(body: Body) -> Body:
    """The first message of a batch lacks a required field."""
    updates = body.get("result")
    if not isinstance(updates, list) or not updates or "message" not in updates[0]:
        return body
    broken = updates[0] | {"message": _undecodable({"result": updates[0]["message"]})["result"]}
    return body | {"result": [broken, *updates[1:]]}


BENT: Mapping[str, Callable[[Body], Body]] = {
    "undecodable": _undecodable,
    "no_result": _no_result,
    "true_result": _true_result,
    "list_result": _list_result,
    "text_id": _text_id,
    "animation": _animation,
    "broken_update": _broken_update,
}


def meets(fault: Fault, method: str, bot: Bot, args: Args) -> bool:
    """Whether the fault is meant for this call. If not, it stays armed."""
    default = "getUpdates" if fault.kind in POLLS_ONLY else method
    if fault.text("method", default).lower() != method.lower():
        return False
    return fault.kind != "forget_offset" or bot.updates.confirms(args.integer("offset"))


def refusal_of(fault: Fault | None) -> Refused | None:
    """The fault as a refusal, or None if it is not one."""
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
    """The same poll with its confirmation removed."""
    return Args({name: value for name, value in args.fields.items() if name != "offset"})
