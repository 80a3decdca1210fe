"""Imports modules and runs what they do, where every effect raises: sockets, files, programs, clocks and chance.

    python -m tests.providers.purity MODULE...

In       names of modules; their classes that look like a provider's API are tried, too
Out      exit code 1 with the effect and where it was tried; 0 if there was none
Effects  of this interpreter alone: it is of no use afterwards
"""

import datetime
import importlib
import os
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from types import FrameType, ModuleType
from typing import Any

IMPORTS = "importlib._bootstrap"  # of the interpreter itself; those may read files
OPENS = {"open", "os.listdir", "os.scandir"}
OUTSIDE = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "urllib.Request")
CLOCKS = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time")
CHANCE: tuple[tuple[ModuleType, Sequence[str]], ...] = (
    (random, ("random", "randint", "randrange", "choice", "uniform", "getrandbits", "shuffle", "sample", "Random")),
    (secrets, ("token_hex", "token_bytes", "token_urlsafe", "randbelow", "choice")),
    (uuid, ("uuid1", "uuid4")),
    (os, ("urandom", "getrandom")),
)
ADDRESS = "https://double.test/v1"
ANSWERS: tuple[tuple[int | None, str], ...] = (
    (200, "{}"),
    (200, '{"id": "job-1", "status": "queued", "request_id": "job-1", "task_id": "job-1"}'),
    (422, '{"detail": "no such size", "error": {"message": "no such size"}}'),
    (503, "<html>"),
    (None, "reset"),
)


class Impure(BaseException):
    """An effect was tried. No `except Exception` of a module can hide it."""


def forbid_effects() -> None:
    """From now on, whatever reaches outside raises Impure."""
    for name in CLOCKS:
        setattr(time, name, _forbidden(f"time.{name}"))
    for module, names in CHANCE:
        for name in names:
            setattr(module, name, _forbidden(f"{module.__name__}.{name}"))
    datetime.datetime = _Timeless  # type: ignore[misc]  # whoever imports it from now on gets this one
    datetime.date = _Dateless  # type: ignore[misc]  # the same
    sys.addaudithook(_watch)


def _forbidden(what: str) -> Callable[..., Any]:
    def forbidden(*_: Any, **__: Any) -> Any:
        raise Impure(what)

    return forbidden


class _Timeless(datetime.datetime):
    now = classmethod(_forbidden("datetime.now"))
    utcnow = classmethod(_forbidden("datetime.utcnow"))
    today = classmethod(_forbidden("datetime.today"))


class _Dateless(datetime.date):
    today = classmethod(_forbidden("date.today"))


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if event.startswith(OUTSIDE):
        raise Impure(event)
    if event in OPENS and not _imports(sys._getframe(1)):
        raise Impure(f"{event} {args[0]}")


def _imports(frame: FrameType | None) -> bool:
    """Whether the interpreter itself does this for an import."""
    return frame is not None and str(frame.f_globals.get("__name__", "")).startswith(IMPORTS)


def try_module(name: str) -> None:
    module = importlib.import_module(name)
    own = (each for each in list(vars(module).values()) if isinstance(each, type) and each.__module__ == name)
    for each in own:
        is_api = all(hasattr(each, method) for method in ("create", "read_answer", "marker", "facts"))
        if is_api and not getattr(each, "_is_protocol", False):
            _try_api(each(ADDRESS))


def _try_api(api: Any) -> None:
    from providers.orders import SEED, Answer, Fault, Order
    from providers.port import Reply, Request, Scope, read_with

    asked = {"duration": 8, "seed": SEED}
    order = Order(
        "1f0c-run", "a cat", "owner/model", 8, "720x1280", "json", api.facts.name, asked, "https://o.test/c/t"
    )
    sent = [api.create(order) for _ in range(2)]
    assert sent[0] == sent[1], "the same order is two requests"
    assert sent[0].pays, "a create that does not say that it pays could be sent by a reading"
    api.marker(order)
    api.authorization("access-key:secret-key", 1_700_000_000.0)
    for status, body in ANSWERS:
        api.read_answer(Answer(status, body, None if status else Fault.LOST), refuses_429=False, our_key=order.run_id)
        reply = Reply(status or 500, body)

        def free(request: Request, reply: Reply = reply) -> Reply:
            assert not request.pays, "a reading would buy"
            return reply

        for reading in (api.job("job-1", order.model), api.page(None, Scope((order.model,), 0.0)), api.find(order)):
            read_with(reading, free)


def main(names: Sequence[str]) -> int:
    import encodings.idna  # noqa: F401 - what the interpreter loads late by itself

    assert not any(each.partition(".")[0] == "providers" for each in sys.modules), (
        "imported before effects are forbidden"
    )
    forbid_effects()
    for name in names:
        try:
            try_module(name)
        except Impure as effect:
            print(f"{name}: {effect}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
