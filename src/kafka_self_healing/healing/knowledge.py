"""Is it over, or only out of our sight? What is no longer found closes on this alone."""

from __future__ import annotations

from collections.abc import Iterable

from kafka_self_healing.healing.assessment import ClusterView, Process, Quorum, fresh_bound_s
from kafka_self_healing.healing.diagnosis.table import TABLE
from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.model.evidence import ASIDE, HostFact, Kind, Outcome
from kafka_self_healing.model.health import Track
from kafka_self_healing.model.incident import Condition, Incident

SELDOM = ASIDE | {Kind.LOG, Kind.CANARY}
"""Kinds that are looked at so seldom that their latest word stands until the next one."""


SHOWN_BY = {
    Condition.DISK_FULL: Kind.HOST,
    Condition.COUNTED_NOT_SERVING: Kind.CANARY,
}
"""Troubles of a node that answers all the same, and the kind that shows them."""


def known_over(turn: Turn, cluster: ClusterView, incident: Incident) -> bool:
    """Whether a trouble of the cluster, or beside a node's own, is seen to be over."""
    owner = incident.subject.partition("/")[0]
    if owner in cluster.nodes:
        return _read_again(turn, cluster, owner, incident)
    if turn.view.warming is not None:
        return False
    match incident.condition:
        case Condition.QUORUM_LOST | Condition.ENSEMBLE_QUORUM_LOST:
            return cluster.quorum is Quorum.LED
        case Condition.MASS_FAILURE:
            return len(cluster.view.sick_since) < turn.policy.storm_nodes
        case Condition.VIEWPOINT_LOST:
            return not cluster.viewpoint_lost
        case Condition.UNDER_REPLICATED:
            return _shown(cluster) and not _explained(turn, cluster)
        case Condition.CONTROLLER_MISSING:
            brokers = (n for n in cluster.nodes.values() if n.config.is_broker)
            living = [n for n in brokers if n.process is not Process.ENDED]
            said = [n.jvm.active_controller if n.jvm is not None else None for n in living]
            # Of two, one that cannot be asked any more may still be the second.
            return said.count(True) == 1 and not (incident.nodes and None in said)
        case Condition.CERTIFICATE_EXPIRING | Condition.CERTIFICATE_EXPIRED:
            return bool(cluster.view.certificates)
        case other:
            asked = Kind.PEERS in TABLE[other].needs or not incident.nodes
            return _shown(cluster) if asked else True


def _shown(cluster: ClusterView) -> bool:
    """Whether the others tell of their partitions: no topics and no error is a blind answer."""
    return cluster.witness.readable and not cluster.witness.blind


def stands_unseen(turn: Turn, cluster: ClusterView, incident: Incident) -> bool:
    """Whether a node that answers may still have it: what showed it has not been read again."""
    kind = SHOWN_BY.get(incident.condition)
    if kind is None or kind not in cluster.nodes[incident.subject].config.kinds:
        return False
    return not _is_read(turn, cluster, (incident.subject, kind, ""))


def _explained(turn: Turn, cluster: ClusterView) -> bool:
    """Whether replicas are still missing and only a trouble of their nodes hides that."""
    missing = cluster.witness.out_of_sync
    return any(turn.memory.incident_of(node) is not None for node in missing)


def _read_again(turn: Turn, cluster: ClusterView, node: str, incident: Incident) -> bool:
    """Whether what showed the trouble has been read again; it was not found there then."""
    standing = cluster.nodes[node]
    if standing.well is True and incident.condition is Condition.PROBE_MISCONFIGURED:
        return True  # it has answered all that we ask of it
    asked = TABLE[incident.condition].needs | _named(incident.evidence)
    kinds = [kind for kind in asked if kind in standing.config.kinds or kind in _CLUSTER]
    name = incident.subject.partition("/")[2].partition("/")[2]
    return all(_is_read(turn, cluster, (node, kind, name)) for kind in kinds)


_CLUSTER = frozenset({Kind.PEERS, Kind.QUORUM})


def _named(evidence: Iterable[str]) -> frozenset[Kind]:
    """Return the kinds of evidence that the sentences of a diagnosis begin with."""
    first = {line.partition(":")[0].split(" ")[0] for line in evidence}
    return frozenset(kind for kind in Kind if kind.value in first)


def _is_read(turn: Turn, cluster: ClusterView, what: tuple[str, Kind, str]) -> bool:
    """Whether the newest look of a kind at a node could read it; of CUSTOM the one of that name."""
    node, kind, name = what
    view = cluster.view
    if kind is Kind.PEERS:
        witness = view.witnesses.get(node)
        track = witness.track if witness else None
    elif kind is Kind.QUORUM:
        track = view.quorum.get(node)
    else:
        status = view.statuses.get(node)
        track = status.track(kind, name) if status else None
    return track is not None and _reads(track, turn)


def _reads(track: Track, turn: Turn) -> bool:
    look = track.result
    if look.outcome is not Outcome.ANSWERED:
        return False
    if look.kind is Kind.CUSTOM:
        return track.good
    if isinstance(look.fact, HostFact) and look.fact.reachable is False:
        return False
    bound = fresh_bound_s(look.kind, track, turn.policy)
    return look.kind in SELDOM or turn.now.mono_s - look.ended <= bound
