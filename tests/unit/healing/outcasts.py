"""Lenses for processes that live and are not counted in: what their hosts reach, and say inside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tests.unit.healing.scenes import Lens, Scene

from kafka_self_healing.model.evidence import (
    CheckResult,
    HostFact,
    JvmFact,
    Kind,
    Outcome,
    PeersFact,
    ReachFact,
)


def knowing(scene: Scene, node: str, *, reach: bool | None, **jvm: Any) -> Lens:
    """Add to what is seen of a node: whether it reaches the quorum, and gauges of its JVM."""
    ways = tuple(ReachFact(id_, reach) for id_ in scene.cluster.keepers if id_ != node)

    def lens(look: CheckResult) -> CheckResult:
        if look.subject != node:
            return look
        if isinstance(look.fact, HostFact) and look.outcome is Outcome.ANSWERED:
            return replace(look, fact=replace(look.fact, reaches=ways))
        if isinstance(look.fact, JvmFact):
            return replace(look, fact=replace(look.fact, **jvm))
        return look

    return lens


def without(kind: Kind, node: str, lens: Lens) -> Lens:
    """Lose every look of a kind at a node, or by it."""

    def blank(look: CheckResult) -> CheckResult | None:
        lost = look.kind is kind and node in {look.subject, look.observer}
        return None if lost else lens(look)

    return blank


def unlisted(node: str, *, by: Iterable[str], lens: Lens) -> Lens:
    """Let these brokers leave a node out of the list of the living."""
    liars = frozenset(by)

    def lie(look: CheckResult) -> CheckResult | None:
        fact = look.fact
        if not isinstance(fact, PeersFact) or look.observer not in liars:
            return lens(look)
        listed = tuple(id_ for id_ in fact.listed or () if id_ != node)
        return lens(replace(look, fact=replace(fact, listed=listed)))

    return lie


def listing_itself(node: str, lens: Lens) -> Lens:
    """Let a node's own metadata list it, whatever the others say."""

    def own(look: CheckResult) -> CheckResult | None:
        fact = look.fact
        if not isinstance(fact, PeersFact) or look.observer != node:
            return lens(look)
        listed = tuple(sorted({*(fact.listed or ()), node}))
        return lens(replace(look, fact=replace(fact, listed=listed)))

    return own
