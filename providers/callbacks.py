"""Callbacks of providers: where one goes, and which job it names. Pure.

A callback is a hint. What it says is never believed: the job that it names is fetched with our key. So a forged one
costs one look, and the token in the address, random for each run, keeps strangers from sending any.
"""

from collections.abc import Mapping
from typing import Any

from net.error_text import json_object
from providers.apis import FACTS
from providers.job_ids import id_of
from providers.port import Callback

PATH = "/callbacks"
# Where each provider's callback names its job; the first that is there counts.
JOB_ID_AT: Mapping[str, tuple[tuple[str | int, ...], ...]] = {
    "fal": (("request_id",),),
    "replicate": (("id",),),
    "ark": (("id",),),
    "runware": (("data", 0, "taskUUID"), ("errors", 0, "taskUUID"), ("taskUUID",)),
    "kling": (("task_id",), ("data", "task_id")),
    "higgsfield": (("request_id",),),
    "openrouter": (("data", "id"), ("id",)),
    "luma": (("id",),),
}


def callback_url(public_url: str | None, provider: str, token: str) -> str | None:
    """Where this provider may report a run's job; None if it cannot, or nobody can reach us. `token`: 32 characters."""
    facts = FACTS.get(provider)
    if not public_url or facts is None or facts.callback is Callback.NONE:
        return None
    return f"{public_url.rstrip('/')}{PATH}/{provider}/{token}"


def job_named(provider: str, body: str) -> str | None:
    """The job that a callback's body names; None if it names none."""
    sent = json_object(body)
    return next((found for path in JOB_ID_AT.get(provider, ()) if (found := id_of(_at(sent, path)))), None)


def _at(sent: Any, path: tuple[str | int, ...]) -> object:
    for part in path:
        try:
            sent = sent[part]
        except (KeyError, IndexError, TypeError):
            return None
    return sent
