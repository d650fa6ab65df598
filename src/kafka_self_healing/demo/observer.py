"""The demo's own eyes: every node's metadata by its own client, and the supervisor's list of acts.

It shares nothing with the healer: no client, no look, no journal.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from kafka_self_healing.clock import boot_seconds
from kafka_self_healing.demo.acts import Act, read_acts
from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.layout import Node
from kafka_self_healing.demo.witness import Picture, ask_node

POLL_S: Final = 0.2
_ASK_TIMEOUT_S: Final = 1.0
_JOIN_LIMIT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one node said from `at` (boot-clock seconds) on, until its next sighting.

    `answers` False: nothing, and the sets are empty. `in_sync`: the nodes that it lists and shows
    in sync in every partition that they hold.
    """

    at: float
    node: int
    answers: bool
    listed: frozenset[int] = frozenset()
    in_sync: frozenset[int] = frozenset()


class Observer:
    """Asks each node five times a second, in a thread of its own, and keeps what changes."""

    def __init__(self, nodes: Mapping[int, Node], directory: Path) -> None:
        self._nodes = dict(nodes)
        self._directory = directory
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._sightings: list[Sighting] = []
        self._threads = [
            threading.Thread(target=self._watch, args=(node,), name=f"observer-{node.id}")
            for node in self._nodes.values()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(_JOIN_LIMIT_S)

    @property
    def sightings(self) -> tuple[Sighting, ...]:
        """All changes so far, in the order in which they were seen."""
        with self._lock:
            return tuple(self._sightings)

    def acts(self) -> list[Act]:
        """Return what the supervisor wrote down."""
        return read_acts(self._directory)

    def _watch(self, node: Node) -> None:
        last: Sighting | None = None
        everyone = frozenset(self._nodes)
        while True:
            try:
                picture = ask_node((node.host, node.kafka_port), _ASK_TIMEOUT_S)
                seen = sighting_of(boot_seconds(), node.id, picture, everyone)
            except (OSError, DemoError):
                seen = Sighting(boot_seconds(), node.id, answers=False)
            if last is None or _said(seen) != _said(last):
                with self._lock:
                    self._sightings.append(seen)
                last = seen
            if self._ended.wait(POLL_S):
                return


def sighting_of(at: float, node: int, picture: Picture, everyone: Iterable[int]) -> Sighting:
    """Return what a node's picture of the cluster says of each of `everyone`."""
    in_sync = frozenset(other for other in everyone if picture.in_sync_everywhere(other))
    return Sighting(at, node, True, picture.brokers, in_sync)


def _said(sighting: Sighting) -> tuple[bool, frozenset[int], frozenset[int]]:
    return sighting.answers, sighting.listed, sighting.in_sync


def back_since(
    sightings: Sequence[Sighting], struck: Mapping[int, float], witnesses: Iterable[int]
) -> float | None:
    """Return since when all is well without a break until now; None if it is not.

    `struck`: the second of each victim's (last) blow. Well: each victim answers for itself and
    began to after its blow, so that it is not the one of before; and every other witness answers
    and shows it in sync. Others show a dead node in sync until its session is over: that alone is
    a photograph.
    """
    since = max(struck.values(), default=0.0)
    for node in {*witnesses, *struck}:
        began: float | None = None
        for one in sightings:
            if one.node != node:
                continue
            good = one.answers and frozenset(struck) - {node} <= one.in_sync
            began = (one.at if began is None else began) if good else None
        if began is None or (node in struck and not _answers_anew(sightings, node, struck[node])):
            return None
        since = max(since, began)
    return since


def _answers_anew(sightings: Sequence[Sighting], node: int, after: float) -> bool:
    return answered_at(sightings, node, after) is not None


def dropped_at(sightings: Sequence[Sighting], victim: int, after: float) -> dict[int, float]:
    """Return when each other node first answered without listing `victim`, after the blow."""
    found: dict[int, float] = {}
    for one in sightings:
        if one.node != victim and one.at > after and one.answers and victim not in one.listed:
            found.setdefault(one.node, one.at)
    return found


def answered_at(sightings: Sequence[Sighting], node: int, after: float) -> float | None:
    """Return when `node` first answered again after it had gone silent after `after`."""
    silent = False
    for one in sightings:
        if one.node != node or one.at <= after:
            continue
        if silent and one.answers:
            return one.at
        silent = silent or not one.answers
    return None
