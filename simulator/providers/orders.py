"""Reads what vendors write in their own ways: keys, lengths, sizes. Pure.

In       a request, or single values of an order
Out      the key; whole seconds; WIDTHxHEIGHT; an `Order` with its price
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from simulator.settings import Settings
from simulator.videos.orders import Order

SHORT_SIDES: Mapping[str, int] = {"480": 480, "540": 540, "720": 720, "1080": 1080, "2k": 1440, "4k": 2160}
_NUMBER = re.compile(r"\d+")
_RATIO = re.compile(r"(\d{1,2}):(\d{1,2})")


def key_after(scheme: str) -> Callable[[web.Request], str | None]:
    """Reads the key of an `Authorization` header with this scheme, such as `Key` or `Bearer`."""

    def key_of(request: web.Request) -> str | None:
        given, _, key = request.headers.get("Authorization", "").partition(" ")
        return key.strip() or None if given.lower() == scheme.lower() else None

    return key_of


def read_object(body: bytes) -> dict[str, Any] | None:
    """A JSON object, or None."""
    try:
        read = json.loads(body)
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


def seconds_of(value: object, default: int = 5) -> int:
    """8, "8", "8s" or 8.0 as 8."""
    found = _NUMBER.match(str(value)) if isinstance(value, str | int | float) else None
    return int(found[0]) if found is not None and int(found[0]) else default


def size_of(ratio: object = None, resolution: object = None) -> str:
    """WIDTHxHEIGHT of "9:16" and "720p"; also of a size that is already written so, with `x`, `*` or `:`."""
    found = _NUMBER.findall(str(ratio))
    if len(found) == 2 and int(found[0]) >= 100:
        return f"{found[0]}x{found[1]}"
    short = SHORT_SIDES.get(str(resolution).lower().removesuffix("p"), 720)
    parts = _RATIO.fullmatch(str(ratio))
    wide, high = (int(parts[1]), int(parts[2])) if parts is not None and "0" not in parts.groups() else (9, 16)
    long = short * max(wide, high) // min(wide, high) // 2 * 2
    return f"{long}x{short}" if wide > high else f"{short}x{long}"


def order_of(
    settings: Settings,
    provider: str,
    *,
    prompt: str,
    model: str,
    seconds: int,
    size: str,
    sent: Mapping[str, Any],
    microusd_per_second: int | None = None,
    own_id: str | None = None,
    callback_url: str | None = None,
    job_id: str | None = None,
) -> Order:
    """An order with its price; `sent`: the whole input as the vendor's lists echo it."""
    known = settings.vendor_microusd_per_second.get(model, settings.unknown_model_microusd_per_second)
    each = known if microusd_per_second is None else microusd_per_second
    return Order(prompt, model, seconds, size, seconds * each, provider, sent, own_id, callback_url, job_id)
