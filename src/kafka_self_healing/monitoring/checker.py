"""HealthChecker: folds results into the status of each node, and knows who is troubled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kafka_self_healing.model.evidence import HEALER, UNANSWERED, CheckResult, Kind
from kafka_self_healing.model.health import NodeStatus
from kafka_self_healing.model.node import NodeId


class HealthChecker:
    """Keeps one NodeStatus a node. It retries nothing and judges nothing but good or bad."""

    def __init__(self, nodes: Iterable[NodeId], silent_looks: int) -> None:
        self._statuses = {node: NodeStatus(node) for node in nodes}
        self._silent_looks = silent_looks

    @property
    def statuses(self) -> Mapping[NodeId, NodeStatus]:
        """The present status of every node."""
        return self._statuses

    def hear(self, result: CheckResult) -> NodeStatus | None:
        """Fold one look in and return the new status; None: it changed none.

        Results about the cluster, about unknown nodes, from another node, or older than what is
        known change none.
        """
        before = self._statuses.get(result.subject)
        if before is None or result.observer != HEALER:
            return None
        known = before.track(result.kind, result.name)
        if known is not None and known.then(result) is known:
            return None
        after = self._statuses[result.subject] = before.after(result)
        return after

    def is_troubled(self, node: NodeId) -> bool:
        """Whether the newest look of any kind at `node` was bad."""
        return self._statuses[node].troubled

    @property
    def any_troubled(self) -> bool:
        """Whether any node is troubled: then its witnesses are asked more often."""
        return any(status.troubled for status in self._statuses.values())

    def is_silent(self, node: NodeId) -> bool:
        """Whether it has not answered its own protocol for so long that we should knock less.

        A refused port is no silence: nobody's backlog is filled there, and a start shows at once.
        """
        track = self._statuses[node].tracks.get(Kind.PROTOCOL)
        return (
            track is not None
            and track.result.outcome in UNANSWERED
            and track.streak >= self._silent_looks
        )

    def answers(self, node: NodeId) -> bool | None:
        """Whether it answered its own protocol when last asked; None: not asked yet."""
        track = self._statuses[node].tracks.get(Kind.PROTOCOL)
        return None if track is None else track.good
