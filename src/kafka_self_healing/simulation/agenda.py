"""Virtual time: a heap of what happens when. Nothing here waits; time jumps from event to event."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any


class Agenda:
    """Events in the order of their time; events of the same time in the order of their entry."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = count()
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def at(self, when: float, what: Callable[..., None], *args: Any) -> None:
        """Do `what(*args)` at `when` (virtual seconds), or at once if that is past."""
        heapq.heappush(self._heap, (max(when, self.now), next(self._order), what, args))

    def after(self, seconds: float, what: Callable[..., None], *args: Any) -> None:
        """Do `what(*args)` in `seconds`."""
        self.at(self.now + seconds, what, *args)

    @property
    def next_at(self) -> float | None:
        """When the next event is due (virtual seconds); None: there is none."""
        return self._heap[0][0] if self._heap else None

    def run(self, until: float) -> None:
        """Let everything happen that is due up to and including `until` (virtual seconds)."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, what, args = heapq.heappop(heap)
            what(*args)
        self.now = until
