"""Does a node's host reach the quorum? By TCP from there; what is not known proves nothing."""

from __future__ import annotations

from kafka_self_healing.healing.assessment import ClusterView, Standing, fresh_bound_s
from kafka_self_healing.model.evidence import HostFact, Kind, Outcome
from kafka_self_healing.model.node import ClusterMode, NodeId
from kafka_self_healing.model.policy import Policy


def reached(node: Standing, view: ClusterView, policy: Policy) -> dict[NodeId, bool | None]:
    """Return for each other keeper of the metadata whether its port opens from the node's host."""
    others = [id_ for id_ in view.view.cluster.keepers if id_ != node.id]
    track = view.view.track(node.id, Kind.HOST)
    fact = track.result.fact if track is not None else None
    if track is None or track.result.outcome is not Outcome.ANSWERED:
        return dict.fromkeys(others)
    fresh = view.now.mono_s - track.result.ended <= fresh_bound_s(Kind.HOST, track, policy)
    said = fact.reaches if isinstance(fact, HostFact) and fresh else None
    known = {one.node: one.open for one in said or ()}
    return {id_: known.get(id_) for id_ in others}


def reaches_quorum(node: Standing, view: ClusterView, policy: Policy) -> bool | None:
    """Whether a majority is within its reach, itself counted if it is one of them; None: unknown.

    In KRaft the leader must be among them: all heartbeats and fetches go there.
    """
    ways = reached(node, view, policy)
    cluster = view.view.cluster
    need = len(cluster.keepers) // 2 + 1 - node.config.is_keeper
    led_by = view.leader if cluster.mode is ClusterMode.KRAFT else None
    to_leader = ways.get(led_by) if led_by in ways else True
    closed = sum(open_ is False for open_ in ways.values())
    if to_leader is False or len(ways) - closed < need:
        return False
    enough = sum(open_ is True for open_ in ways.values()) >= need
    return True if enough and to_leader and ways else None


def reach_words(node: Standing, view: ClusterView, policy: Policy) -> str:
    """Say which of them its host reaches."""
    ways = reached(node, view, policy)
    parts = [
        f"{words} {', '.join(names)}"
        for words, want in (("reaches", True), ("does not reach", False), ("unknown:", None))
        if (names := [id_ for id_, open_ in ways.items() if open_ is want])
    ]
    return f"TCP from its host to the quorum: {'; '.join(parts) or 'nobody to reach'}"
