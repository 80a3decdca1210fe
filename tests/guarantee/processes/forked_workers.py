"""Plays cases side by side in a few processes: a life in doubt mostly waits.

In       cases, and the function that plays one
Out      the results, in the order of the cases
Effects  forks this process, which must have imported everything before
"""

import os
import pickle
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

Case = TypeVar("Case")
Result = TypeVar("Result")


def side_by_side(cases: Sequence[Case], play: Callable[[Case], Result], folder: Path, at_once: int) -> list[Result]:
    """Each forked process takes every n-th case; if one fails, everything stops."""
    shares = [list(range(len(cases)))[n::at_once] for n in range(min(at_once, len(cases)))]
    workers = [_fork([(number, cases[number]) for number in share], play, folder) for share in shares]
    results: dict[int, Result] = {}
    for pid, path in workers:
        _, status = os.waitpid(pid, 0)
        assert status == 0, f"a worker failed: {os.waitstatus_to_exitcode(status)}"
        results |= pickle.loads(path.read_bytes())
    return [results[number] for number in range(len(cases))]


def _fork(share: list[tuple[int, Case]], play: Callable[[Case], Result], folder: Path) -> tuple[int, Path]:
    path = folder / f"{uuid4().hex}.results"
    sys.stdout.flush()
    if pid := os.fork():
        return pid, path
    code = 1
    try:
        path.write_bytes(pickle.dumps({number: play(case) for number, case in share}))
        code = 0
    except BaseException:  # noqa: BLE001 - top level of a process: reported, and never raised into the parent
        traceback.print_exc()
    finally:
        os._exit(code)
