"""A clock that stands still until it is told to go on: hours of retries in milliseconds."""

from __future__ import annotations

import asyncio
from itertools import count

from kafka_self_healing.instant import Instant

START = Instant(100.0, 1_700_000_000.0)
TURNS = 50
"""Turns of the event loop after which everything that does no I/O has come to rest."""


class VirtualClock:
    """Time moves from sleeper to sleeper, and only in `advance`."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self._sleepers: dict[int, tuple[float, asyncio.Future[None]]] = {}
        self._numbers = count()

    def now(self) -> Instant:
        """Return the virtual moment."""
        return START.after(self.elapsed_s)

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has come so far."""
        number = next(self._numbers)
        future = asyncio.get_running_loop().create_future()
        self._sleepers[number] = (self.elapsed_s + seconds, future)
        try:
            await future
        finally:
            self._sleepers.pop(number, None)

    async def settle(self) -> None:
        """Let all tasks run until nothing moves without time."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, waking each sleeper at its time."""
        end = self.elapsed_s + seconds
        await self.settle()
        while self._sleepers:
            due_s, future = min(self._sleepers.values(), key=lambda sleeper: sleeper[0])
            if due_s > end:
                break
            self.elapsed_s = max(self.elapsed_s, due_s)
            if not future.done():
                future.set_result(None)
            await self.settle()
        self.elapsed_s = end
        await self.settle()
