"""Job ids: which values are ids, and which ids name the same job. Pure."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

ID_CHARACTERS_MAX = 500  # LiteLLM packs provider and model into its ids; a database index takes ten times as much
OTHER_IDS = ("video_id", "task_id", "job_id")  # fields whose very name says that they identify a job
IDS = ("id", *OTHER_IDS)
LITELLM_ID = re.compile(r"(?:^|;)video_id:(.+)$")


def same_job(shown: str, asked: str) -> bool:
    """Whether two ids name one job. LiteLLM packs the provider's id into a longer one, new in each answer:
    base64 of `litellm:custom_llm_provider:...;model_id:...;video_id:...` (litellm/types/videos/utils.py).
    """
    return canonical_id(shown) == canonical_id(asked)


def canonical_id(job_id: str) -> str:
    """The same for all ids of one job; `onetake.canonical_id` in the schema does the same."""
    packed = job_id.removeprefix("video_")
    try:
        text = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return job_id
    found = LITELLM_ID.search(text) if text.startswith("litellm:") else None
    return found[1] if found else job_id


def shown_ids(row: Mapping[str, Any]) -> list[str]:
    """All ids in a row. Not `request_id`, which names the request."""
    return [text for name in IDS if (text := id_of(row.get(name)))]


def id_of(value: object) -> str | None:
    """The value as an id that can be stored and requested; else None: dots lead to another path, numbers start at 1."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        value = str(value)
    if not isinstance(value, str):
        return None
    fits = 0 < len(value) <= ID_CHARACTERS_MAX and value.isprintable() and value == value.strip()
    return value if fits and value not in {".", ".."} else None
