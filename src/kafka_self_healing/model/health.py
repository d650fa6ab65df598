"""What the looks at one node add up to: `Track` (one kind of evidence) and `NodeStatus` (all)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from kafka_self_healing.model.evidence import (
    UNANSWERED,
    CheckResult,
    CustomFact,
    HostFact,
    Kind,
    Outcome,
    ProbeState,
    ProtocolFact,
    ServiceFact,
)

CHANGES_KEPT = 8

UNTROUBLING: Final = frozenset({Kind.CERTIFICATE, Kind.LOG})
"""Kinds that never make a node troubled: looking closer would show nothing sooner."""


def is_good(result: CheckResult) -> bool:
    """Whether this look alone shows nothing wrong."""
    if result.outcome is not Outcome.ANSWERED:
        return False
    fact = result.fact
    if fact is None:
        return True
    if isinstance(fact, ServiceFact):
        return fact.active in {"active", "reloading"}
    if isinstance(fact, ProtocolFact):
        return fact.serving is not False
    if isinstance(fact, HostFact):
        return fact.reachable is not False
    if isinstance(fact, CustomFact):
        return fact.state not in {ProbeState.CRITICAL, ProbeState.UNKNOWN}
    return True


@dataclass(frozen=True, slots=True)
class Track:
    """The looks of one kind at one subject by one observer, folded. Times: boot-clock seconds.

    `since`: end of the first look of the present run of good or bad looks; `streak`: its length;
    `looks`: all of them; `changes`: the latest times at which good and bad changed places;
    `quiet`: how many looks in a row, up to the newest, brought no answer of any sort.
    """

    result: CheckResult
    good: bool
    since: float
    streak: int = 1
    looks: int = 1
    changes: tuple[float, ...] = ()
    quiet: int = 0

    @classmethod
    def first(cls, result: CheckResult) -> Track:
        """Return the track of a first look."""
        quiet = int(result.outcome in UNANSWERED)
        return cls(result, is_good(result), result.ended, quiet=quiet)

    def then(self, result: CheckResult) -> Track:
        """Return the track after one more look. A look older than the newest changes nothing."""
        if result.ended < self.result.ended:
            return self
        good = result.outcome is Outcome.ANSWERED and is_good(result)
        quiet = 0
        if not good and result.outcome in UNANSWERED:
            if self.good and result.started < self.result.started:
                # It waited in vain from before the good look on: that is old news, not a change.
                return self
            quiet = self.quiet + 1
        if good is self.good:
            return Track(
                result, good, self.since, self.streak + 1, self.looks + 1, self.changes, quiet
            )
        changes = (*self.changes[1 - CHANGES_KEPT :], result.ended)
        return Track(result, good, result.ended, 1, self.looks + 1, changes, quiet)

    @property
    def troubles(self) -> bool:
        """Whether its newest look is a reason to look closer at the node.

        CUSTOM is one only where the operator named a kind of evidence that it stands for.
        """
        if self.good or self.result.kind in UNTROUBLING:
            return False
        if self.result.kind is not Kind.CUSTOM:
            return True
        fact = self.result.fact
        return (
            isinstance(fact, CustomFact)
            and fact.stands_for is not None
            and fact.state is ProbeState.CRITICAL
        )


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """All that our own looks say of one node.

    `tracks`: one for each kind of evidence but CUSTOM; `custom`: one for each check of the
    operator's own, by `CheckResult.name`.
    """

    node: str
    tracks: Mapping[Kind, Track] = field(default_factory=dict)
    custom: Mapping[str, Track] = field(default_factory=dict)

    def track(self, kind: Kind, name: str = "") -> Track | None:
        """Return the track of a kind; of CUSTOM that of the check called `name`."""
        return self.custom.get(name) if kind is Kind.CUSTOM else self.tracks.get(kind)

    def after(self, result: CheckResult) -> NodeStatus:
        """Return the status with one more look folded in."""
        known = self.track(result.kind, result.name)
        track = known.then(result) if known else Track.first(result)
        if result.kind is Kind.CUSTOM:
            return NodeStatus(self.node, self.tracks, {**self.custom, result.name: track})
        return NodeStatus(self.node, {**self.tracks, result.kind: track}, self.custom)

    def all_tracks(self) -> Iterator[Track]:
        """Every track, CUSTOM ones last."""
        yield from self.tracks.values()
        yield from self.custom.values()

    @property
    def troubled(self) -> bool:
        """Whether the newest look of any kind is a reason to look closer."""
        return any(track.troubles for track in self.all_tracks())
