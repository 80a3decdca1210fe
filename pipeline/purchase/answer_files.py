"""Answer files: the provider's raw answer to a purchase, on disk before the ledger records it.

Until that commit, only this process knows the job id. So the file is written and synced first, replayed until the
ledger has the answer, then removed. It also holds the fence's token, which proves that the answer belongs to the
run's own request.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from providers.apis import APIS
from providers.orders import OPENAI, Answer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptAnswer:
    run_id: UUID
    token: str
    answer: Answer
    provider: str = OPENAI  # whose module reads the answer


class AnswerFiles:
    """The folder ONETAKE_HOME/answers: one file per purchase whose answer is not yet in the ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept_for_good: set[UUID] = set()  # files that could not be removed; each is logged once

    def keep(self, kept: KeptAnswer) -> None:
        """Returns once the file and its name are on disk. Raises OSError (disk full, no rights)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        body = json.dumps({"token": kept.token, "provider": kept.provider, "answer": kept.answer.to_json()})
        draft = self.folder / f".{kept.run_id}.{os.getpid()}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self._path(kept.run_id))
        _sync_folder(self.folder)

    def has(self, run_id: UUID) -> bool:
        """Whether an answer was kept, readable or not: either way, the run's request was sent."""
        return self._path(run_id).exists()

    def get(self, run_id: UUID) -> KeptAnswer | None:
        return _read(self._path(run_id))

    def all(self) -> Iterator[KeptAnswer]:
        for path in sorted(self.folder.glob("*.json")):
            if kept := _read(path):
                yield kept

    def drop(self, run_id: UUID) -> None:
        """Removes a file that the ledger has recorded. If that fails, it is replayed, which changes nothing."""
        try:
            self._path(run_id).unlink(missing_ok=True)
        except OSError as error:
            if run_id not in self._kept_for_good:
                log.warning("answer_file", extra={"action": "not_dropped", "run_id": str(run_id), "error": str(error)})
            self._kept_for_good.add(run_id)

    def drop_drafts(self, before: float) -> None:
        """Removes drafts older than `before`, left half written by a full disk. A kept answer has another name."""
        for draft in self.folder.glob(".*.*"):
            with suppress(OSError):
                if draft.suffix[1:].isdecimal() and draft.stat().st_mtime < before:
                    draft.unlink()

    def _path(self, run_id: UUID) -> Path:
        return self.folder / f"{run_id}.json"


def _read(path: Path) -> KeptAnswer | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        answer, provider = Answer.from_json(content["answer"]), content.get("provider", OPENAI)
        if provider not in APIS:
            raise ValueError(f"an answer of {provider}, which this version does not know")
        return KeptAnswer(UUID(path.stem), content["token"], answer, provider)
    except FileNotFoundError:
        return None  # another process has just recorded it
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # One damaged file must not block the others. It stays in place, for a person; its run is reconciled by the
        # provider's list, as if the answer had been lost.
        log.error("answer_file", extra={"action": "answer_file", "file": path.name, "error": repr(error)})
        return None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
