"""What must be remembered of what was seen: nodes once alive, in-sync replicas, storms, latches."""

from __future__ import annotations

from collections.abc import Mapping

from kafka_self_healing.healing.assessment import ClusterView
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.model.event import (
    InSync,
    InSyncChanged,
    LatchLifted,
    NodesSeen,
    StormChanged,
)
from kafka_self_healing.model.node import NodeId


def remember(turn: Turn, cluster: ClusterView) -> None:
    """Record what later turns, and the healer after a restart, will need."""
    _nodes(turn, cluster)
    _in_sync(turn, cluster)
    stormy = cluster.view.storm_joined is not None
    if stormy is not turn.memory.storm:
        turn.record(StormChanged(turn.now, stormy, tuple(sorted(cluster.view.storm_nodes))))
    stable = turn.policy.stable_window_s(cluster.view.cluster.session_timeout_s)
    if turn.memory.latch and all(
        node.ok is True and cluster.ok_s(node.id) >= stable for node in cluster.nodes.values()
    ):
        turn.record(LatchLifted(turn.now, f"all nodes have been healthy for {stable:.0f} s"))


def stranded(cluster: ClusterView, memory: Memory) -> Mapping[str, frozenset[NodeId]]:
    """Return the holders of `ClusterView.stranded`."""
    down = {id_ for id_ in cluster.uneasy if cluster.nodes[id_].answers is not True}
    found: dict[str, frozenset[NodeId]] = {}
    for name, isr in memory.not_whole.items():
        if isr and isr[0] in down and set(isr) <= down:
            topic = name.rpartition("-")[0]
            found[topic] = found.get(topic, frozenset()) | frozenset(isr)
    return found


def _nodes(turn: Turn, cluster: ClusterView) -> None:
    if cluster.nodes.keys() <= turn.memory.seen:
        return
    missing = [id_ for id_ in cluster.nodes if id_ not in turn.memory.seen]
    of_cluster = set(cluster.witness.seen)
    if cluster.account is not None:
        voters = cluster.account.voters or ()
        of_cluster |= {voter.id for voter in voters if (voter.last_fetch_ms or -1) > 0}
    new = tuple(id_ for id_ in missing if id_ in of_cluster or cluster.nodes[id_].answers is True)
    if new:
        turn.record(NodesSeen(turn.now, new))


def _in_sync(turn: Turn, cluster: ClusterView) -> None:
    witness, memory = cluster.witness, turn.memory
    if not cluster.reread or not witness.readable or witness.topics is None or witness.blind:
        return  # whoever is shown no topics has not seen any of them whole again
    seen = {f"{topic}-{part}": isr for (topic, part), isr in witness.not_whole.items()}
    hidden = set(witness.unreadable)
    for key, isr in memory.not_whole.items():
        if key in hidden or key.rpartition("-")[0] in hidden:
            seen.setdefault(key, isr)
    same = memory.in_sync_known and seen == memory.not_whole and witness.unclean == memory.unclean
    if same:
        return
    changes = []
    for key in {**memory.not_whole, **seen}:
        if memory.not_whole.get(key) != seen.get(key):
            topic, _, part = key.rpartition("-")
            changes.append(InSync(topic, int(part), seen.get(key), topic in witness.unclean))
    for topic in sorted(memory.unclean ^ witness.unclean):
        if topic not in {change.topic for change in changes}:
            changes.append(InSync(topic, -1, None, topic in witness.unclean))
    if changes or not memory.in_sync_known:
        turn.record(InSyncChanged(turn.now, tuple(changes)))
