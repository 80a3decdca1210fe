"""The known points, in `points.txt`: every outside call of a run, so that a reviewer sees them change."""

from collections.abc import Sequence
from pathlib import Path

FILE = Path(__file__).parent.parent / "points.txt"
COMMAND = "python -m tests.guarantee.matrix --write-points"


def read() -> list[str]:
    return FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []


def write(points: Sequence[str]) -> None:
    FILE.write_text("".join(f"{point}\n" for point in sorted(points)), encoding="utf-8")


def differences(points: Sequence[str]) -> list[str]:
    """One sentence for every point that is new or gone."""
    new, gone = sorted(set(points) - set(read())), sorted(set(read()) - set(points))
    return [
        f"A run now touches the world at `{point}`, which {FILE.name} does not know: decide what a crash there"
        f" may do, then {COMMAND}."
        for point in new
    ] + [f"A run no longer comes to `{point}`, which {FILE.name} knows: {COMMAND}." for point in gone]
