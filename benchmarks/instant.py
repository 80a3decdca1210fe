"""In-process fakes that answer at once, so that only the time of the ledger, the engine and files is measured."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from media.clip_file import Facts, Kind
from providers.clips.download import Content
from providers.job import Job, JobStatus, ListPage
from providers.orders import Answer, Order
from steps.text_model.ask_model import Answered, Asked
from steps.text_model.templates import Message

CLIP = b"\0\0\0\x18ftypisom\0\0\0\0isomiso2\0\0\0\x08moov\0\0\0\x0cmdatclip"
ANSWERS: dict[str, dict[str, Any]] = {
    "Verdict": {
        "allowed": True,
        "reasons": [],
        "explanation": "fine",
        "safe_rewrite": None,
        "improved_prompt": "a paper boat, slow dolly, soft light, rain on tin",
        "title": "A paper boat",
        "category": "nature",
        "language": "en",
    },
    "CaptionDraft": {"text": "A paper boat in the rain.", "hashtags": ["#boat", "#rain", "#paper"]},
}


class InstantProvider:
    """The provider's four calls, without a network."""

    async def post(self, order: Order, before_send: Callable[[], None]) -> Answer:
        before_send()
        return Answer(200, json.dumps({"id": f"job_{uuid4().hex}", "status": "completed"}))

    async def job(self, job_id: str) -> Job:
        return Job(job_id, JobStatus.COMPLETED)

    async def page(self, after: str | None = None) -> ListPage:
        return ListPage((), has_more=False, last_id=None)

    async def content(self, job_id: str, into: Path) -> Content:
        into.write_bytes(CLIP)
        return Content(len(CLIP), hashlib.sha256(CLIP).hexdigest(), Facts(Kind.MP4))


class InstantTextModel:
    """The answers to both templates, without a network."""

    async def answer(
        self, messages: Sequence[Message], output: type[Answered], model: str, settings: dict[str, Any]
    ) -> Asked[Answered]:
        return Asked(output.model_validate(ANSWERS[output.__name__]), 700, 120, 1, 0)
