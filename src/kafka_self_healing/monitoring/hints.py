"""`Hints`: what makes a look worth while at once, and at whom, within limits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kafka_self_healing.model.evidence import (
    UNANSWERED,
    CheckResult,
    Kind,
    Outcome,
    PeersFact,
)
from kafka_self_healing.model.health import Track
from kafka_self_healing.model.node import Cluster, NodeId
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.monitoring.checker import HealthChecker

LEAST_APART_S: Final = 0.25
"""Hints about one node make looks at it at least so far apart: a node that accepts connections only
to close them again must not be asked as fast as it answers."""

SMALL_GROUP: Final = 32
"""Up to so many nodes, a hint about one has all kinds of the whole group looked at."""

GROUP_LOOKS_A_SECOND: Final = 100
"""A larger group is asked for its sign of life only, and no more nodes a second than this."""

ALL_KINDS: Final = frozenset(Kind)
SIGN_OF_LIFE: Final = frozenset({Kind.PROTOCOL})

_NEVER = float("-inf")
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """Look at these kinds of a node (None: at what speaks of the whole cluster) at a moment.

    `knock`: at a silent node too, whose backlog each knock fills.
    """

    node: NodeId | None
    kinds: frozenset[Kind]
    at: float
    knock: bool = False


class Hints:
    """Turns what happened into calls. It is about when to look, never about what is so."""

    def __init__(
        self,
        cluster: Cluster,
        policy: Policy,
        checker: HealthChecker,
        look: Callable[[Call, float], None],
    ) -> None:
        self._pause_s = policy.suspect_interval_s
        self._doubt_s = policy.interval_s
        self._checker = checker
        self._look = look
        self._groups = [frozenset(cluster.voters), frozenset(cluster.brokers)]
        self._groups += [frozenset(cluster.members)]
        self._hinted: dict[NodeId, float] = {}
        self._group_looked: dict[frozenset[NodeId], float] = {}
        self._cluster_looked = _NEVER
        self._mute: set[tuple[NodeId, Kind]] = set()
        self._told: tuple[object, object] = (None, None)
        self._counted: frozenset[NodeId] | None = None

    def about(self, node: NodeId, why: str, now: float, *, knock: bool = False) -> None:
        """Look at a node, at its groups, and at what the others say of it."""
        _LOGGER.debug("looking at node %s at once: %s", node, why)
        last = self._hinted.get(node, _NEVER)
        if now - last < LEAST_APART_S:
            self._look(Call(node, ALL_KINDS, last + LEAST_APART_S, knock), now)
            return
        self._hinted[node] = now
        self._look(Call(node, ALL_KINDS, now, knock), now)
        if now - self._cluster_looked >= self._pause_s:
            self._cluster_looked = now
            self._look(Call(None, ALL_KINDS, now), now)
        for group in self._groups:
            if node in group:
                self._look_at_group(group, node, now)

    def _look_at_group(self, group: frozenset[NodeId], but: NodeId, now: float) -> None:
        small = len(group) <= SMALL_GROUP
        pause_s = self._pause_s if small else len(group) / GROUP_LOOKS_A_SECOND
        if now - self._group_looked.get(group, _NEVER) < pause_s:
            return
        self._group_looked[group] = now
        for node in sorted(group - {but}):  # the same looks in the same order, whatever the hash
            self._look(Call(node, ALL_KINDS if small else SIGN_OF_LIFE, now), now)

    def of_look(self, result: CheckResult, track: Track) -> None:
        """A look of ours shows another state of affairs at its node."""
        service = result.kind is Kind.SERVICE
        if track.troubles and track.streak == 1:
            why = f"{result.kind} is {result.outcome}"
            self.about(result.subject, why, result.ended, knock=service)
        elif service and self._checker.is_silent(result.subject):
            self.about(result.subject, "its process is another one", result.ended, knock=True)

    def of_witness(self, result: CheckResult) -> None:
        """A node was asked about the others. One that stops answering is worth a look itself."""
        key = (result.observer, result.kind)
        if result.outcome is Outcome.ANSWERED:
            self._mute.discard(key)
            if isinstance(result.fact, PeersFact):
                self._compare(result.fact, result.ended)
        elif key not in self._mute:
            self._mute.add(key)
            if result.outcome in UNANSWERED:
                self._checker.doubt(result.observer, result.ended + self._doubt_s)
            self.about(result.observer, f"{result.kind} is {result.outcome}", result.ended)

    def _compare(self, fact: PeersFact, now: float) -> None:
        """A node that the others have dropped or taken in again is worth a look."""
        told = (fact.listed, fact.fenced)
        if fact.listed is None or told == self._told:
            return
        self._told = told
        counted = frozenset(fact.listed).difference(fact.fenced or ())
        before, self._counted = self._counted, counted
        for node in sorted(counted ^ (counted if before is None else before)):
            if self._checker.knows(node):
                self._checker.stir(node, now)
                self.about(node, "the others count it otherwise", now)
