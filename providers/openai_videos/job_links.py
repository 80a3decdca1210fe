"""Where a job says that its finished clip is. Pure.

In       the JSON object of a job
Out      http(s) addresses, pictures last
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Where gateways put the address of a finished clip: a field and the fields below it. In a list, any item may be it.
CLIP_URL_PATHS = (
    ("url",),
    ("video_url",),
    ("output",),
    ("video", "url"),
    ("data", "url"),
    ("result", "url"),
    ("result", "video_url"),
    ("content", "video_url"),
    ("unsigned_urls",),
)
URL_CHARACTERS_MAX = 8_192
URLS_MAX = 6  # of one job; each may take as long as a whole download
LIST_ITEMS_MAX = 20
PICTURE_NAMES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif")


def clip_urls(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The http(s) addresses in the usual places, pictures last. A data: URI is ignored."""
    places = (value for path in CLIP_URL_PATHS for value in _at(row, path))
    found = dict.fromkeys(value for value in places if isinstance(value, str) and _is_web_address(value))
    return tuple(sorted(found, key=is_picture)[:URLS_MAX])


def _at(value: object, path: Sequence[str]) -> Iterator[object]:
    if isinstance(value, list):
        for each in value[:LIST_ITEMS_MAX]:
            yield from _at(each, path) if isinstance(each, dict) or not path else ()
    elif not path:
        yield value
    elif isinstance(value, dict):
        yield from _at(value.get(path[0]), path[1:])


def is_picture(url: str) -> bool:
    """Whether the name is that of a picture, such as a thumbnail next to the clip."""
    return url.split("?", maxsplit=1)[0].split("#", maxsplit=1)[0].lower().endswith(PICTURE_NAMES)


def _is_web_address(text: str) -> bool:
    web = text.lower().startswith(("http://", "https://"))
    return web and len(text) <= URL_CHARACTERS_MAX and text.isprintable() and " " not in text
