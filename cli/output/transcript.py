"""A simulated chat as lines for a terminal: each message once, and only the new parts of an edited one. Pure."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

NAME_WIDTH = 9
WIDTH = 96

View = Mapping[str, Any]


class Transcript:
    """Remembers which parts of each message were shown."""

    def __init__(self) -> None:
        self._shown: dict[int, tuple[str, ...]] = {}
        self._labels: dict[int, tuple[str, ...]] = {}

    def news(self, views: Sequence[View]) -> list[Text]:
        return [line for view in views for line in self._of(view)]

    def _of(self, view: View) -> list[Text]:
        number = int(view["message_id"])
        parts = tuple(part for part in str(view.get("text") or view.get("caption") or "").split("\n\n") if part)
        if view.get("video"):
            parts = (_video(view["video"]), *parts)
        fresh = [part for part in parts if part not in self._shown.get(number, ())]
        edited = number in self._shown
        self._shown[number] = parts
        buttons = self._buttons(number, view)
        lines = _lines(str(view["from"]["name"]), fresh, edited=edited)
        return lines + ([_row(buttons)] if buttons else [])

    def _buttons(self, number: int, view: View) -> tuple[str, ...]:
        """The labels, if they have changed."""
        labels = tuple(button["text"] for row in view.get("keyboard") or [] for button in row)
        known, self._labels[number] = self._labels.get(number, ()), labels
        return () if labels == known else labels


def _video(video: Mapping[str, Any]) -> str:
    size = f"{video['width']}x{video['height']}, {video['duration']} s"
    return f"▶ video, {size}, {int(video.get('file_size') or 0) / 1000:,.0f} kB"


def _lines(name: str, parts: Sequence[str], *, edited: bool) -> list[Text]:
    lines = []
    wrapped = [
        line for part in parts for raw in part.split("\n") for line in textwrap.wrap(raw, WIDTH - NAME_WIDTH) or [""]
    ]
    for place, line in enumerate(wrapped):
        who = "" if place else ("  edited" if edited else name)
        lines.append(Text.assemble((f"{who:<{NAME_WIDTH}}", "dim" if edited else "bold cyan"), line))
    return lines


def _row(labels: Sequence[str]) -> Text:
    return Text.assemble(" " * NAME_WIDTH, (" ".join(f"[{label}]" for label in labels), "magenta"))
