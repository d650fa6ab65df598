"""`Agenda`: begins looks when they are due, at once when asked, and never too many in one turn."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from typing import Final

from kafka_self_healing.clock import Clock
from kafka_self_healing.monitoring.lanes import Lanes
from kafka_self_healing.monitoring.watch import Watch

TICK_S: Final = 0.05
"""How often is looked for what is due. Looks of one tick begin together, which costs less than a
wake-up for each, and is no news to anybody: an interval is jittered by more."""

STARTS_A_TURN: Final = 8
"""How many looks begin in one turn of the event loop; between two turns answers are read.

A storm of hints at a thousand nodes would open all connections at once, and each answer would be
late by what all the others take.
"""


_Calendar = list[tuple[float, int, Watch]]


class Agenda:
    """The queue of looks that are to begin, and the calendar of those that are due later."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lanes = Lanes()
        self._ready: deque[Watch] = deque()
        self._of_nodes: _Calendar = []
        self._of_cluster: _Calendar = []
        self._entries = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pumping = False

    async def run(self) -> None:
        """Call whatever is due, until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._pump_soon()
        try:
            while True:
                # A cluster's metadata take long to read: not while nodes are answering.
                await self._clock.sleep(TICK_S / 2)
                self._call_due(self._of_cluster, self._clock.now().mono_s)
                await self._clock.sleep(TICK_S / 2)
                now = self._clock.now().mono_s
                self._call_due(self._of_nodes, now)
                for successor in self._lanes.age(now):
                    successor.call()
        finally:
            self._loop = None

    def ask(self, watch: Watch) -> None:
        """Have a watch that rests look as soon as it is its turn."""
        watch.wanted = True
        self.begin(watch)

    def begin(self, watch: Watch) -> None:
        """Have a watch that rests look in its turn, though nobody asked for it."""
        if not watch.queued:
            watch.queued = True
            self._ready.append(watch)
            self._pump_soon()

    def rest(self, watch: Watch, due: float) -> None:
        """Have a watch that rests look at `due`, if nobody asks before."""
        watch.due = due
        self._entries += 1
        calendar = self._of_cluster if watch.about_cluster else self._of_nodes
        heapq.heappush(calendar, (due, self._entries, watch))

    def leave(self, watch: Watch) -> None:
        """A look has ended: another one may have waited for its place."""
        for successor in self._lanes.leave(watch, self._clock.now().mono_s):
            successor.call()

    def _call_due(self, calendar: _Calendar, now: float) -> None:
        while calendar and calendar[0][0] <= now:
            due, _, watch = heapq.heappop(calendar)
            # An entry holds as long as nothing else has made the watch look, or put it off.
            if due == watch.due and watch.began is None:
                self.begin(watch)

    def _pump_soon(self) -> None:
        if self._loop is not None and self._ready and not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        now = self._clock.now().mono_s
        for _ in range(min(STARTS_A_TURN, len(self._ready))):
            watch = self._ready.popleft()
            if self._lanes.admit(watch, now):
                watch.call()
        self._pump_soon()
