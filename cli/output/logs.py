"""Logging: long-running processes log to stderr; other commands, which print for themselves, do not log.

One line per record, as text for a terminal or as JSON for a collector (LOG_FORMAT), without the settings' secrets.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:  # `--help` should not wait for pydantic
    from pipeline.settings.config import Settings

OURS = ("pipeline", "steps", "bot", "web", "cli")  # logged from INFO on; libraries from WARNING on
# Attributes that every record has; all others were passed as `extra`.
USUAL = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class Console(logging.Formatter):
    """`14:02:11 A3E5SA validate_prompt: approved (16 ms)`; `14:02:11 WARNING sweep action=sweep_failed error=...`"""

    def __init__(self, secrets: frozenset[str]) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        extras = extras_of(record)
        words = _step_words(extras) if record.msg == "step" else _words(record, extras)
        line = f"{self.formatTime(record, '%H:%M:%S')} {words}"
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return redacted(line, self._secrets)


class Json(logging.Formatter):
    """`{"at": "2026-11-23T14:02:11.123+00:00", "level": "info", "logger": ..., "event": "step", "run": ...}`"""

    def __init__(self, secrets: frozenset[str]) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **extras_of(record),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: self._plain(value) for name, value in said.items()}, ensure_ascii=False)

    def _plain(self, value: object) -> object:
        """Redacts secrets before JSON escapes their characters."""
        return value if isinstance(value, bool | int | float) or value is None else redacted(str(value), self._secrets)


def extras_of(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in USUAL}


def _words(record: logging.LogRecord, extras: Mapping[str, Any]) -> str:
    told = (f"{name}={_on_one_line(value)}" for name, value in extras.items())
    return " ".join([record.levelname, record.getMessage(), *told])


def _on_one_line(value: object) -> str:
    """Escapes line breaks and control characters: outside text must not look like a log line of ours."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(value))


def _step_words(extras: Mapping[str, Any]) -> str:
    more = [str(extras[name]).replace("_", " ") for name in ("why", "by") if name in extras]
    more += ["parked"] if extras.get("parked") else []
    more += [f"{extras['ms']} ms"] if "ms" in extras else []
    what = f"{extras['action']}: {extras.get('answer') or extras['state']}"
    return f"{extras.get('run', '-')} {what}" + (f" ({', '.join(more)})" if more else "")


def redacted(line: str, secrets: frozenset[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):  # one may contain another
        line = line.replace(secret, "(secret)")
    return line


def to_stderr(settings: "Settings") -> None:
    secrets = settings.secrets() | {quote(secret, safe="") for secret in settings.secrets()}
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter({"console": Console, "json": Json}[settings.log_format](secrets))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)


def silent() -> None:
    """Installs a null handler: without any, Python would print warnings in the middle of a live display."""
    logging.getLogger().addHandler(logging.NullHandler())
