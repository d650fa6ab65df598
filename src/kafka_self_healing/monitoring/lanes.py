"""`Lanes`: how many looks run programs at once, so that hung hosts starve no others."""

from __future__ import annotations

from collections import deque
from typing import Final

from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.node import NodeId
from kafka_self_healing.monitoring.watch import Watch

PLACES: Final = 64
"""How many begin beside each other: each may be a process of the system's ssh client."""

SLOW_PLACES: Final = 32
"""How many looks run at hosts that did not answer the last one in time."""

MOST: Final = 128
"""How many run in all, while hosts that answered until now are found to be hung."""

SLOW_S: Final = 0.5
"""A look that has run for so long gives its place to others, and goes on beside them."""

RUNNING_PROGRAMS: Final = frozenset({Kind.SERVICE, Kind.HOST, Kind.LOG, Kind.CUSTOM})
"""Kinds whose look may start a process: on the node's host, or here."""


class Lanes:
    """Admits looks first come, first served, but those of hung hosts only to places of their own.

    Beside SERVICE, which waits for no other kind, a node has one such look at a time: a log that
    cannot be read must not take more than its share.
    """

    def __init__(self) -> None:
        self._quick: dict[Watch, float] = {}
        self._slow: set[Watch] = set()
        self._nodes: set[NodeId] = set()
        self._waiting: deque[Watch] = deque()

    def admit(self, watch: Watch, now: float) -> bool:
        """Return whether its look may begin now; if not, it is handed out later on."""
        if watch.kind not in RUNNING_PROGRAMS:
            return True
        if self._is_free(watch):
            self._take(watch, now)
            return True
        self._waiting.append(watch)
        return False

    def leave(self, watch: Watch, now: float) -> list[Watch]:
        """A look has ended; return those that may begin now in its place."""
        if watch.kind not in RUNNING_PROGRAMS:
            return []
        self._quick.pop(watch, None)
        self._slow.discard(watch)
        if watch.alone_at is not None:
            self._nodes.discard(watch.alone_at)
        return self._admit_waiting(now)

    def age(self, now: float) -> list[Watch]:
        """Find those that have run for long; return those that may begin now in their places."""
        old = [watch for watch, began in self._quick.items() if now - began >= SLOW_S]
        for watch in old:
            del self._quick[watch]
            self._slow.add(watch)
        return self._admit_waiting(now) if old else []

    def _admit_waiting(self, now: float) -> list[Watch]:
        admitted = []
        for watch in tuple(self._waiting):
            if self._is_free(watch):
                self._waiting.remove(watch)
                self._take(watch, now)
                admitted.append(watch)
        return admitted

    def _take(self, watch: Watch, now: float) -> None:
        if watch.slow:
            self._slow.add(watch)
        else:
            self._quick[watch] = now
        if watch.alone_at is not None:
            self._nodes.add(watch.alone_at)

    def _is_free(self, watch: Watch) -> bool:
        if watch.alone_at is not None and watch.alone_at in self._nodes:
            return False
        if watch.slow:
            return len(self._slow) < SLOW_PLACES
        return len(self._quick) < PLACES and len(self._quick) + len(self._slow) < MOST
