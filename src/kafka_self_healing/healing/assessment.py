"""From looks to standings: what each node does, who counts it in, and who leads, this turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kafka_self_healing.healing.peers import Peers, among_peers, freshest, reign_s, witnesses
from kafka_self_healing.healing.replicas import Digest
from kafka_self_healing.healing.standing import Process, Quorum, Standing
from kafka_self_healing.healing.view import View, account
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.evidence import (
    UNANSWERED,
    CheckResult,
    HostFact,
    JvmFact,
    Kind,
    Outcome,
    QuorumFact,
    ServiceFact,
)
from kafka_self_healing.model.health import NodeStatus, Track
from kafka_self_healing.model.node import ClusterMode, NodeConfig, NodeId
from kafka_self_healing.model.policy import Policy

__all__ = [
    "MACHINE_PROBED",
    "OURS_PROBED",
    "ClusterView",
    "Process",
    "Quorum",
    "Standing",
    "assess",
    "fresh_bound_s",
]

OURS_PROBED = frozenset({Kind.LISTENER, Kind.PROTOCOL, Kind.JVM})
MACHINE_PROBED = frozenset({Kind.SERVICE, Kind.HOST})
ALIVE_IN_SPITE = frozenset(
    {Outcome.AUTHENTICATION, Outcome.AUTHORISATION, Outcome.WRONG_LISTENER, Outcome.TLS}
)


@dataclass(frozen=True, slots=True)
class ClusterView:
    """Everything that rules and guards read: standings, the quorum, the witnesses' reading."""

    view: View
    now: Instant
    nodes: Mapping[NodeId, Standing]
    quorum: Quorum
    account: QuorumFact | None
    account_look: CheckResult | None
    witness: Digest
    witness_looks: tuple[CheckResult, ...]
    kept: Mapping[NodeId, object]
    ready: frozenset[NodeId] = frozenset()
    queued: frozenset[NodeId] = frozenset()

    def ok_s(self, node: NodeId) -> float:
        """Seconds for which the node has been known healthy, ISR aside."""
        return self.now.mono_s - self.view.ok_since.get(node, self.now.mono_s)

    def well_s(self, node: NodeId) -> float:
        """Seconds for which the node has been wholly well."""
        return self.now.mono_s - self.view.well_since.get(node, self.now.mono_s)

    @property
    def dark(self) -> tuple[NodeId, ...]:
        """Nodes about which neither our probes nor their machines answer."""
        return tuple(node.id for node in self.nodes.values() if node.dark)

    @property
    def viewpoint_lost(self) -> bool:
        """Whether more than half of the nodes are dark: then it is we who are blind."""
        return len(self.dark) * 2 > len(self.nodes)


def fresh_bound_s(kind: Kind, track: Track | None, policy: Policy) -> float:
    """Return how old a fact of this kind may be: twice the interval it is looked at, capped."""
    interval = policy.interval_s
    if kind in OURS_PROBED and track is not None and not track.good:
        # A silent node is probed less often: our probes fill the backlog of a frozen process.
        interval = max(interval, policy.silent_interval_s)
    return min(policy.fresh_cap_s, 2 * interval)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A node's standing with what it was made of: it holds until that changes or grows old."""

    status: NodeStatus | None
    policy: Policy
    until: float
    standing: Standing
    peers: Peers | None = None

    def completed(self, peers: Peers, nodes: Mapping[NodeId, Standing]) -> _Kept:
        """Add what the others say; the same object again if that has not changed."""
        if self.peers is not None and self.peers.says_as(peers):
            return self
        standing = among_peers(self.standing, peers, nodes)
        return _Kept(self.status, self.policy, self.until, standing, peers)


def assess(view: View, policy: Policy, now: Instant) -> ClusterView:
    """Derive this turn's standings. The witnesses' word needs a known leader (KRaft).

    A node of which nothing new was seen keeps its standing: most turns bring one node's looks.
    """
    horizon = now.mono_s - fresh_bound_s(Kind.QUORUM, None, policy)
    told = account(view, horizon)
    kraft = view.cluster.mode is ClusterMode.KRAFT
    kept = {node.id: _own(view, node, policy, now) for node in view.cluster.nodes.values()}
    own = {id_: one.standing for id_, one in kept.items()}
    fact = told[2] if told else None
    looks, digests = witnesses(view, own, horizon) if told or not kraft else ((), ())
    peers = Peers(
        fact,
        reign_s(view, fact, now),
        digests,
        freshest(view, digests),
        frozenset(id_ for id_, node in own.items() if node.answers is True),
        sum(node.answers is True and node.config.is_broker for node in own.values()),
        view.cluster.fetch_timeout_s,
    )
    keeping = {id_: one.completed(peers, own) for id_, one in kept.items()}
    nodes = {id_: one.standing for id_, one in keeping.items()}
    return ClusterView(
        view,
        now,
        nodes,
        _quorum_state(nodes, led=told is not None, kraft=kraft),
        fact,
        told[1] if told else None,
        peers.best,
        looks,
        keeping,
    )


def _own(view: View, node: NodeConfig, policy: Policy, now: Instant) -> _Kept:
    """Return what our own looks say of a node; the others' word is still that of the last turn."""
    status = view.statuses.get(node.id)
    known = view.kept.get(node.id)
    if (
        isinstance(known, _Kept)
        and known.status is status
        and known.policy is policy
        and known.standing.config is node
        and now.mono_s <= known.until
    ):
        return known
    tracks: dict[Kind, Track] = {}
    until = float("inf")
    usual = fresh_bound_s(Kind.SERVICE, None, policy)
    for kind, track in status.tracks.items() if status is not None else ():
        if kind not in node.kinds:
            continue
        bound = usual if track.good else fresh_bound_s(kind, track, policy)
        end = track.result.ended + bound
        if now.mono_s <= end:
            tracks[kind] = track
            until = min(until, end)
    before = known.standing if isinstance(known, _Kept) else None
    return _Kept(status, policy, until, _own_standing(node, tracks, policy, before))


def _own_standing(
    node: NodeConfig, tracks: Mapping[Kind, Track], policy: Policy, before: Standing | None
) -> Standing:
    """Read our own looks. What the others say is taken over from `before`, and checked next."""
    service_track = tracks.get(Kind.SERVICE)
    service = service_track.result.fact if service_track else None
    service = service if isinstance(service, ServiceFact) else None
    process = _process(service)
    protocol, listener, jvm_track = (
        tracks.get(Kind.PROTOCOL),
        tracks.get(Kind.LISTENER),
        tracks.get(Kind.JVM),
    )
    answers = _answers(protocol)
    # One port, two ways to knock: a lost look at one of them does not unprove the other.
    refused = _refused(listener) or _refused(protocol)
    jvm = jvm_track.result.fact if jvm_track else None
    jvm = jvm if isinstance(jvm, JvmFact) else None
    jvm_silent = None
    if Kind.JVM in node.kinds and jvm_track is not None:
        # Whatever refuses our credentials lives.
        jvm_silent = jvm_track.result.outcome in UNANSWERED | {Outcome.REFUSED}
    silent_looks = _silent_looks(protocol)
    host_closed = _unanswered(listener) and _host_unreachable(tracks.get(Kind.HOST))
    jvm_gone = Kind.JVM not in node.kinds or jvm_silent is True
    gone = (
        process is Process.ENDED
        and service is not None
        and service.lock_held is False
        and (refused or host_closed)
        and jvm_gone
    )
    running = process in {Process.RUNNING, Process.DEACTIVATING, Process.ACTIVATING}
    silent = running and silent_looks >= policy.silent_looks and jvm_gone and not refused
    return Standing(
        node.id, node, service, process, answers, silent_looks, refused, host_closed,
        jvm, jvm_silent, _dark(node, tracks), gone, silent,
        counted=before.counted if before else None,
        voter_fresh=before.voter_fresh if before else None,
        voter_stale=before.voter_stale if before else None,
        in_sync=before.in_sync if before else None,
        ok=before.ok if before else None,
        well=before.well if before else None,
    )  # fmt: skip


def _process(service: ServiceFact | None) -> Process:
    if service is None or service.active is None:
        return Process.UNKNOWN
    if service.active in {"active", "reloading"}:
        return Process.RUNNING
    if service.active == "activating":
        return Process.AUTO_RESTART if service.sub == "auto-restart" else Process.ACTIVATING
    if service.active == "deactivating":
        return Process.DEACTIVATING
    return Process.ENDED if service.active in {"inactive", "failed"} else Process.UNKNOWN


def _answers(protocol: Track | None) -> bool | None:
    if protocol is None:
        return None
    if protocol.good or protocol.result.outcome in ALIVE_IN_SPITE:
        return True
    return False if protocol.streak >= 2 else None


def _silent_looks(protocol: Track | None) -> int:
    if protocol is None or protocol.good or protocol.result.outcome not in UNANSWERED:
        return 0
    return protocol.streak


def _refused(track: Track | None) -> bool:
    return track is not None and track.result.outcome is Outcome.REFUSED


def _unanswered(track: Track | None) -> bool:
    return track is not None and track.result.outcome in UNANSWERED


def _host_unreachable(track: Track | None) -> bool:
    if track is None:
        return False
    fact = track.result.fact
    return _unanswered(track) or (isinstance(fact, HostFact) and fact.reachable is False)


def _dark(node: NodeConfig, tracks: Mapping[Kind, Track]) -> bool:
    probed = False
    for kind in OURS_PROBED:
        if kind not in node.kinds:
            continue
        track = tracks.get(kind)
        if track is None or track.good or track.streak < 2 or not _unanswered(track):
            return False
        probed = True
    return probed and all(
        (track := tracks.get(kind)) is not None
        and track.streak >= 2
        and (_unanswered(track) or _host_unreachable(track))
        for kind in MACHINE_PROBED
        if kind in node.kinds
    )


def _quorum_state(nodes: Mapping[NodeId, Standing], *, led: bool, kraft: bool) -> Quorum:
    voters = [node for node in nodes.values() if node.config.is_voter]
    if not kraft or not voters:
        return Quorum.UNKNOWN
    if led:
        return Quorum.LED
    lost = sum(node.process is Process.ENDED or node.silent or node.dark for node in voters)
    proven = sum(node.gone or node.silent for node in voters)
    majority = len(voters) // 2 + 1
    return Quorum.LOST if proven and len(voters) - lost < majority else Quorum.UNKNOWN
