"""Seconds since boot, including suspension, for deadlines; and the time of day, for people.

A process that was frozen between asking for the fence and sending must notice it, even if the machine slept, so the
submit deadline uses this clock. Linux has CLOCK_BOOTTIME; macOS's CLOCK_MONOTONIC counts sleep as well.
"""

import sys
import time
from datetime import UTC, datetime


def boot_seconds() -> float:
    """Seconds on a clock that never goes back and does not stop while the machine sleeps."""
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def time_of_day() -> str:
    """HH:MM:SS in UTC, for lines on a terminal."""
    return datetime.now(UTC).strftime("%H:%M:%S")
