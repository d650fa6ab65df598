"""The only file that reads the operating system's clock, sleeps, or is asked for chance.

`Clock` is what the shell is given; tests and the simulation give their own. Times of the mind are
`Instant`s: seconds of the boot clock (it counts through a suspend) and seconds of UTC.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from kafka_self_healing.instant import Instant


class Clock(Protocol):
    """Where the shell gets its time from."""

    def now(self) -> Instant:
        """Return the present moment."""

    async def sleep(self, seconds: float) -> None:
        """Wait; other tasks go on."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> Instant:
        """Return boot-clock seconds and UTC seconds."""
        return Instant(time.clock_gettime(time.CLOCK_BOOTTIME), time.time())

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds`; zero lets other tasks run."""
        await asyncio.sleep(seconds)


def boot_seconds() -> float:
    """Return the boot clock, for code without a `Clock` (supervisor, benchmarks, progress bars)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def utc_seconds() -> float:
    """Return seconds since 1970, for code without a `Clock`."""
    return time.time()


def pause(seconds: float) -> None:
    """Block this thread (only in processes that have no event loop, such as the supervisor)."""
    time.sleep(seconds)
