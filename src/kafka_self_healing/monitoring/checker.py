"""HealthChecker: folds results into the status of each node, and knows who is troubled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from kafka_self_healing.model.evidence import (
    HEALER,
    UNANSWERED,
    CheckResult,
    Kind,
    Outcome,
    ServiceFact,
)
from kafka_self_healing.model.health import NodeStatus, Track
from kafka_self_healing.model.node import NodeId
from kafka_self_healing.monitoring.rhythm import CALM_AFTER_S


class Heard(NamedTuple):
    """What one look did to a status.

    `news`: it shows another outcome or another fact; `turned`: another state of affairs, not only
    other figures.
    """

    track: Track
    news: bool
    turned: bool


@dataclass(slots=True, eq=False)
class _Known:
    """What is known of one node. Changed in place: a status is made when somebody wants it."""

    tracks: dict[Kind, Track] = field(default_factory=dict)
    custom: dict[str, Track] = field(default_factory=dict)
    troubles: set[tuple[Kind, str]] = field(default_factory=set)
    turned_at: float = 0.0
    status: NodeStatus | None = None


class HealthChecker:
    """Keeps one NodeStatus a node. It retries nothing and judges nothing but good or bad."""

    def __init__(self, nodes: Iterable[NodeId], silent_looks: int) -> None:
        self._known = {node: _Known() for node in nodes}
        self._silent_looks = silent_looks
        self._troubled: set[NodeId] = set()
        self._doubted: dict[NodeId, float] = {}

    @property
    def statuses(self) -> Mapping[NodeId, NodeStatus]:
        """The present status of every node."""
        return {node: self.status(node) for node in self._known}

    def status(self, node: NodeId) -> NodeStatus:
        """Return the present status of a node; the same object until something is heard."""
        known = self._known[node]
        if known.status is None:
            known.status = NodeStatus(node, dict(known.tracks), dict(known.custom))
        return known.status

    def knows(self, node: NodeId) -> bool:
        """Whether it is one of ours."""
        return node in self._known

    def hear(self, result: CheckResult) -> Heard | None:
        """Fold one look in; None: it changed no status.

        Results about the cluster, about unknown nodes, from another node, of a look that was not
        made, or older than what is known change none.
        """
        known = self._known.get(result.subject)
        if known is None or result.observer != HEALER or result.outcome is Outcome.NOT_ASKED:
            return None
        kind, name = result.kind, result.name
        custom = kind is Kind.CUSTOM
        before = known.custom.get(name) if custom else known.tracks.get(kind)
        after = Track.first(result) if before is None else before.then(result)
        if after is before:
            return None
        if custom:
            known.custom[name] = after
        else:
            known.tracks[kind] = after
        known.status = None
        if after.troubles:
            known.troubles.add((kind, name))
            self._troubled.add(result.subject)
        elif known.troubles:
            known.troubles.discard((kind, name))
            if not known.troubles:
                self._troubled.discard(result.subject)
        turned = before is None or _turned(before, after)
        if turned:
            known.turned_at = result.ended
        return Heard(after, turned or _differs(before, result), turned)

    def stir(self, node: NodeId, now: float) -> None:
        """Something about a node changed that its own looks do not show."""
        self._known[node].turned_at = now

    def doubt(self, node: NodeId, until: float) -> None:
        """Look closely at a node for a while: it did not answer when asked about the others."""
        self._doubted[node] = until

    def is_troubled(self, node: NodeId) -> bool:
        """Whether the newest look of any kind at `node` was bad."""
        return node in self._troubled

    @property
    def any_troubled(self) -> bool:
        """Whether any node is troubled."""
        return bool(self._troubled)

    def is_suspected(self, node: NodeId, now: float) -> bool:
        """Whether to look closely at `node`.

        It is troubled, and not just as it was for long; or it is in doubt.
        """
        if node in self._troubled and now - self._known[node].turned_at < CALM_AFTER_S:
            return True
        until = self._doubted.get(node)
        if until is None:
            return False
        if now >= until:
            del self._doubted[node]
        return now < until

    def any_suspected(self, now: float) -> bool:
        """Whether to look closely at any node: then its witnesses are asked more often."""
        return any(self.is_suspected(node, now) for node in (*self._troubled, *self._doubted))

    def is_silent(self, node: NodeId) -> bool:
        """Whether it has not answered its own protocol for so long that we should knock less.

        A refused port is no silence: nobody's backlog is filled there, and a start shows at once.
        """
        track = self._known[node].tracks.get(Kind.PROTOCOL)
        return (
            track is not None
            and not track.good
            and track.result.outcome in UNANSWERED
            and track.streak >= self._silent_looks
        )

    def answers(self, node: NodeId) -> bool | None:
        """Whether it answered its own protocol when last asked; None: not asked yet."""
        track = self._known[node].tracks.get(Kind.PROTOCOL)
        return None if track is None else track.good


def _differs(before: Track | None, result: CheckResult) -> bool:
    if before is None or before.result.outcome is not result.outcome:
        return True
    known = before.result.fact
    return known is not result.fact and known != result.fact


def _turned(before: Track, after: Track) -> bool:
    """Whether a look shows another state of affairs, not only other figures."""
    if before.good is not after.good or before.result.outcome is not after.result.outcome:
        return True
    old, new = before.result.fact, after.result.fact
    if not isinstance(old, ServiceFact) or not isinstance(new, ServiceFact):
        return False
    return (old.active, old.sub, old.pid, old.invocation) != (
        new.active, new.sub, new.pid, new.invocation,
    )  # fmt: skip
