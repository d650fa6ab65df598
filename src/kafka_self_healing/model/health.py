"""What the looks at one node add up to: `Track` (one kind of evidence) and `NodeStatus` (all)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kafka_self_healing.model.evidence import (
    UNANSWERED,
    CheckResult,
    HostFact,
    Kind,
    Outcome,
    ProtocolFact,
    ServiceFact,
)

CHANGES_KEPT = 8


def is_good(result: CheckResult) -> bool:
    """Whether this look alone shows nothing wrong."""
    if result.outcome is not Outcome.ANSWERED:
        return False
    fact = result.fact
    if isinstance(fact, ServiceFact):
        return fact.active in {"active", "reloading"}
    if isinstance(fact, HostFact):
        return fact.reachable is not False
    if isinstance(fact, ProtocolFact):
        return fact.serving is not False
    return True


@dataclass(frozen=True, slots=True)
class Track:
    """The looks of one kind at one subject by one observer, folded. Times: boot-clock seconds.

    `since`: end of the first look of the present run of good or bad looks; `streak`: its length;
    `looks`: all of them; `changes`: the latest times at which good and bad changed places.
    """

    result: CheckResult
    good: bool
    since: float
    streak: int = 1
    looks: int = 1
    changes: tuple[float, ...] = ()

    def then(self, result: CheckResult) -> Track:
        """Return the track after one more look. A look older than the newest changes nothing."""
        if result.ended < self.result.ended:
            return self
        good = is_good(result)
        overtaken = result.started < self.result.started and result.outcome in UNANSWERED
        if overtaken and self.good:
            # It waited in vain from before the good look on: that is old news, not a change.
            return self
        if good is self.good:
            return Track(result, good, self.since, self.streak + 1, self.looks + 1, self.changes)
        changes = (*self.changes[1 - CHANGES_KEPT :], result.ended)
        return Track(result, good, result.ended, 1, self.looks + 1, changes)


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """All that our own looks say of one node: a track for each kind of evidence."""

    node: str
    tracks: Mapping[Kind, Track] = field(default_factory=dict)

    def after(self, result: CheckResult) -> NodeStatus:
        """Return the status with one more look folded in."""
        known = self.tracks.get(result.kind)
        track = known.then(result) if known else Track(result, is_good(result), result.ended)
        return NodeStatus(self.node, {**self.tracks, result.kind: track})

    @property
    def troubled(self) -> bool:
        """Whether any kind's newest look was bad: the eyes look closer then."""
        return any(not track.good for track in self.tracks.values())
