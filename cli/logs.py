"""Where log records go: to stderr from a process that stays, nowhere from a command that speaks itself."""

import logging

# What every record has; the rest is what the caller gave as `extra`.
USUAL = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class OneLine(logging.Formatter):
    """`14:02:11 WARNING sweep action=sweep_failed error=...`"""

    def format(self, record: logging.LogRecord) -> str:
        extras = {name: value for name, value in record.__dict__.items() if name not in USUAL}
        words = " ".join(f"{name}={value}" for name, value in extras.items())
        when = self.formatTime(record, "%H:%M:%S")
        line = f"{when} {record.levelname} {record.getMessage()} {words}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class Redacted(OneLine):
    """The same, without a secret that a library may have put into an address."""

    def __init__(self, secret: str | None) -> None:
        super().__init__()
        self._secret = secret

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return line.replace(self._secret, "(token)") if self._secret else line


def to_stderr(secret: str | None = None) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(Redacted(secret))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def silent() -> None:
    """Without any handler, Python would print warnings in the middle of a live display."""
    logging.getLogger().addHandler(logging.NullHandler())
