"""False versions of a `video` object. Pure; the books stay true.

In       the true `video` object, the habits, how far the shown clock has drifted
Out      the object as shown, in its envelope
"""

import base64
import binascii
import html
import re
import unicodedata
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from simulator.faults.arming import Fault
from simulator.settings import ANSWERS, Habits

Video = dict[str, Any]

EIGHT_HOURS, A_DAY, A_YEAR = 8 * 3600, 86_400, 365 * 86_400
OTHER_ID = "video_00000000000000000000somebodyelse"
TIMED_OUT: Mapping[str, Any] = {"code": "timeout", "message": "The render took too long."}
FAILED: Mapping[str, Any] = {"code": "internal_error", "message": "Something went wrong."}
ANOTHERS: Mapping[str, Any] = {"model": "sim-open", "seconds": "4", "size": "1280x720"}

_DATES: Mapping[str, Callable[[int], Any]] = {
    "zero": lambda _: 0,
    "negative": lambda _: -62_135_596_800,
    "hour_one": lambda _: 3600,
    "a_year_ago": lambda moment: moment - A_YEAR,
    "hours_behind": lambda moment: moment - EIGHT_HOURS,
    "hours_ahead": lambda moment: moment + EIGHT_HOURS,
    "milliseconds": lambda moment: moment * 1000,
    "text": lambda moment: datetime.fromtimestamp(moment, UTC).isoformat(),
    "digits": str,
    "null": lambda _: None,
}
_REWRITES: Mapping[str, Callable[[str], str]] = {
    "upper": str.upper,
    "cinematic": lambda prompt: f"A cinematic shot: {prompt}",
    "escaped": html.escape,
    "ascii": lambda prompt: prompt.encode("ascii", "ignore").decode(),
    "middle": lambda prompt: f"{prompt[: len(prompt) // 3]} … {prompt[-(len(prompt) // 3) :]}",
    "redacted": lambda prompt: "[redacted]" if not prompt.isascii() else prompt,
    "composed": lambda prompt: unicodedata.normalize("NFKC", prompt),
    "swapped": lambda prompt: re.sub(r"\bpaper\b", "brick", prompt),
    "translated": lambda prompt: prompt if prompt.isascii() else " ".join(word[::-1] for word in prompt.split()),
}
_POISONS: Mapping[str, str] = {"nul": "\x00", "surrogate": "\ud800"}

_ENVELOPES: Mapping[str, Callable[[Video], Video]] = {
    "data": lambda video: {"data": video},
    "code": lambda video: {"code": 0, "message": "success", "data": video},
    "code_task": lambda video: {"code": 0, "message": "success", "data": _task_named(video)},
    "code_lone": lambda video: {"code": 0, "message": "success", "data": {"task_id": video.get("id")}},
    "code_request": lambda video: {
        "id": "req-77",
        "code": 0,
        "message": "success",
        "data": {"task_id": video.get("id"), "task_status": video.get("status")},
    },
    "jsend": lambda video: {"status": "success", "data": video},
    "task": lambda video: {"task_id": video.get("id"), "task_status": video.get("status")},
    "lone_task": lambda video: {"task_id": video.get("id")},
    "output": lambda video: {
        "request_id": "6f0d0f4e",
        "output": {"task_id": video.get("id"), "task_status": video.get("status")},
    },
}

ODD_ROWS: Mapping[str, Any] = {
    "integer_id": {"id": 12345, "object": "video", "status": "completed"},
    "no_id": {"object": "video", "status": "completed", "prompt": "a job without a name"},
    "null": None,
    "string": "video_in_words",
    "nested": [{"id": "video_inside", "status": "completed"}],
    "nul_id": {"id": "video_\x00nul", "object": "video", "status": "completed"},
    "surrogate_id": {"id": "video_\ud800half", "object": "video", "status": "completed"},
}

_OF_FAULTS: Mapping[str, Callable[[Fault], Mapping[str, Any]]] = {
    "lie": lambda fault: fault.params.get("habits", {}),
    "enveloped": lambda fault: {"envelope": fault.text("envelope", "code")},
    "unknown_status": lambda fault: {"shown": {"status": fault.params.get("status", "post_processing")}},
    "other_id": lambda fault: {"shown": {"id": fault.text("id", OTHER_ID), **_said(fault, "status")}},
    "shows_failed": lambda fault: {"shown": {"status": "failed", "error": fault.params.get("error", FAILED)}},
    "shows_expired": lambda fault: {
        "shown": {
            "status": "expired",
            "progress": int(fault.number("progress", 40)),
            "error": fault.params.get("error", TIMED_OUT),
        }
    },
    "anothers": lambda fault: {
        "shown": {**ANOTHERS, **_said(fault, "status"), **_said(fault, "error")},
        "hidden": fault.params.get("hidden", ("prompt",)),
        "dates_shift_seconds": -fault.number("older", A_DAY),
    },
    "no_prompt": lambda _: {"hidden": ("prompt",)},
    "empty": lambda _: {"list_share": 0.0},
    "stale": lambda fault: {"list_age_seconds": fault.number("seconds", 60)},
    "shuffled": lambda _: {"list_order": "shuffled"},
    "odd_rows": lambda fault: {"odd_rows": fault.params.get("rows", tuple(ODD_ROWS))},
}


def habits_of(fault: Fault | None) -> Mapping[str, Any]:
    """The habits that a fault changes for one request."""
    if fault is None or fault.kind not in _OF_FAULTS:
        return {}
    changed = _OF_FAULTS[fault.kind](fault)
    return {"lies_in": ANSWERS, **changed}


def bent(video: Video, habits: Habits, drift_seconds: float) -> Video:
    """A job as this server shows it, with its false fields."""
    _bend_dates(video, habits, drift_seconds)
    _bend_prompt(video, habits)
    if video.get("status") in habits.status_words:
        video["status"] = habits.status_words[video["status"]]
    video.update(habits.shown)
    if habits.poison:
        _poison(video, habits)
    for name in habits.hidden:
        video.pop(name, None)
    return video


def add_url(video: Video, where: str, url: str) -> None:
    """Add the clip's URL to a job, in the field that servers without `/content` use."""
    shapes: Mapping[str, Any] = {"url": url, "video_url": url, "output": [url], "data": [{"url": url}]}
    if where == "previews":  # the shorter one first
        video["output"] = [f"{url}&preview=2", url]
    else:
        video[where] = shapes[where]


def enveloped(video: Video, envelope: str) -> Video:
    """Wrap a job in an envelope."""
    return _ENVELOPES[envelope](video) if envelope else video


def alias(job_id: str, model: str) -> str:
    """A job id in LiteLLM's format: the provider's id with routing data, in base64."""
    packed = f"litellm:custom_llm_provider:openai;model_id:{model};video_id:{job_id}"
    return "video_" + base64.b64encode(packed.encode()).decode()


def task_id(job_id: str) -> str:
    """A gateway's own id for this job."""
    return f"task_{job_id[-12:]}"


def number(job_id: str) -> int:
    """The id of a job at a server that numbers its jobs."""
    return zlib.crc32(job_id.encode()) + 1


def unaliased(shown: str) -> str | None:
    """The provider's id inside an alias, or None if this is not an alias."""
    try:
        packed = base64.b64decode(shown.removeprefix("video_"), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return packed.partition(";video_id:")[2] or None


def _bend_dates(video: Video, habits: Habits, drift_seconds: float) -> None:
    shift = int(habits.dates_shift_seconds + drift_seconds)
    words = {"created_at": habits.created_at, "completed_at": habits.completed_at, "expires_at": habits.expires_at}
    for name, word in words.items():
        moment = video.get(name)
        if moment is None:
            continue
        if word == "missing":
            del video[name]
        else:
            video[name] = _DATES[word](moment + shift) if word else moment + shift


def _bend_prompt(video: Video, habits: Habits) -> None:
    prompt = video.get("prompt")
    if not isinstance(prompt, str):
        return
    if habits.prompt_rewrite:
        prompt = _REWRITES[habits.prompt_rewrite](prompt)
    most = habits.prompt_characters
    if most is not None and len(prompt) > most:
        prompt = prompt[:most] + habits.prompt_ellipsis
    video["prompt"] = prompt


def _poison(video: Video, habits: Habits) -> None:
    poison = _POISONS[habits.poison]
    for name in habits.poisoned:
        value = video.get(name)
        if isinstance(value, str):
            video[name] = value + poison
        elif isinstance(value, Mapping):
            video[name] = {key: f"{each}{poison}" for key, each in value.items()}


def _task_named(video: Video) -> Video:
    return {"task_id": video.get("id")} | {name: value for name, value in video.items() if name != "id"}


def _said(fault: Fault, name: str) -> Mapping[str, Any]:
    return {name: fault.params[name]} if name in fault.params else {}
