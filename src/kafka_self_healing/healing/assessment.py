"""From looks to standings: what each node does, who counts it in, and who leads, this turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kafka_self_healing.healing.ensemble import (
    NOBODY,
    Ensemble,
    ensemble_of,
    own_word,
    quorum_state,
)
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


NOT_SERVING_S = 5.0
"""A member that does not serve for longer is in no election: those take a second or two."""


@dataclass(frozen=True, slots=True)
class ClusterView:
    """Everything that rules and guards read: standings, the quorum, the witnesses' reading.

    `account`, `account_look`: the controller quorum leader's word. `ensemble`: the same of a
    ZooKeeper ensemble; `account_look` is then its leader's look.
    """

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
    ensemble: Ensemble = NOBODY

    @property
    def leader(self) -> NodeId | None:
        """Who leads the quorum that keeps the metadata, if that is known."""
        return self.account.leader if self.account is not None else self.ensemble.leader

    @property
    def leaders(self) -> frozenset[NodeId]:
        """Who is acted on last: the quorum's leader; in ZooKeeper mode the controller too."""
        zookeeper = self.view.cluster.mode is ClusterMode.ZOOKEEPER
        both = (self.leader, self.witness.controller if zookeeper else None)
        return frozenset(id_ for id_ in both if id_ is not None)

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
    if kind is Kind.CANARY:
        return policy.fresh_cap_s  # it goes in a rhythm of its own
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

    In ZooKeeper mode it needs an ensemble that is not known to be lost. A node of which nothing
    new was seen keeps its standing: most turns bring one node's looks.
    """
    horizon = now.mono_s - fresh_bound_s(Kind.QUORUM, None, policy)
    kraft = view.cluster.mode is ClusterMode.KRAFT
    told = account(view, horizon) if kraft else None
    ensemble, led_look = (NOBODY, None) if kraft else ensemble_of(view, horizon)
    kept = {node.id: _own(view, node, policy, now) for node in view.cluster.nodes.values()}
    own = {id_: one.standing for id_, one in kept.items()}
    if kraft:
        quorum = _quorum_state(own, led=told is not None)
    else:
        quorum = _ensemble_state(view, own, ensemble, now)
    fact = told[2] if told else None
    photograph = told is None if kraft else quorum is Quorum.LOST
    looks, digests = ((), ()) if photograph else witnesses(view, own, horizon)
    peers = Peers(
        fact,
        reign_s(view, fact, now),
        digests,
        freshest(view, digests),
        frozenset(id_ for id_, node in own.items() if node.answers is True),
        sum(
            node.answers is True and node.config.is_broker and id_ not in view.outcasts
            for id_, node in own.items()
        ),
        view.cluster.fetch_timeout_s,
        ensemble,
    )
    keeping = {id_: one.completed(peers, own) for id_, one in kept.items()}
    nodes = {id_: one.standing for id_, one in keeping.items()}
    return ClusterView(
        view,
        now,
        nodes,
        quorum,
        fact,
        told[1] if told else led_look,
        peers.best,
        looks,
        keeping,
        ensemble=ensemble,
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
    zookeeper = view.cluster.mode is ClusterMode.ZOOKEEPER
    standing = _own_standing(node, tracks, policy, before, zookeeper=zookeeper)
    return _Kept(status, policy, until, standing)


def _own_standing(
    node: NodeConfig,
    tracks: Mapping[Kind, Track],
    policy: Policy,
    before: Standing | None,
    *,
    zookeeper: bool,
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
    answers, serves = _answers(protocol), None
    if zookeeper and node.is_member:
        answers, serves = own_word(protocol) or (answers, None)
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
        serves=serves,
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
    return protocol.quiet if protocol is not None and not protocol.good else 0


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


def _quorum_state(nodes: Mapping[NodeId, Standing], *, led: bool) -> Quorum:
    voters = [node for node in nodes.values() if node.config.is_voter]
    if not voters:
        return Quorum.UNKNOWN
    if led:
        return Quorum.LED
    lost = sum(_down(node) for node in voters)
    proven = sum(node.gone or node.silent for node in voters)
    majority = len(voters) // 2 + 1
    return Quorum.LOST if proven and len(voters) - lost < majority else Quorum.UNKNOWN


def _down(node: Standing) -> bool:
    return node.process is Process.ENDED or node.silent or node.dark


def _ensemble_state(
    view: View, nodes: Mapping[NodeId, Standing], ensemble: Ensemble, now: Instant
) -> Quorum:
    """Return what is known of an ensemble; members that say so for long do not serve."""
    if ensemble.led:
        return Quorum.LED
    members = [node for node in nodes.values() if node.config.is_member]
    idle = {node.id for node in members if not_serving_s(view, node, now) >= NOT_SERVING_S}
    down = sum(_down(node) or node.id in idle for node in members)
    proven = sum(node.gone or node.silent or node.id in idle for node in members)
    return quorum_state(ensemble, down, proven)


def not_serving_s(view: View, node: Standing, now: Instant) -> float:
    """Return for how long a living member has not served (seconds); 0: it serves, or is silent."""
    if node.serves is not False:
        return 0.0
    track = view.track(node.id, Kind.PROTOCOL)
    return now.mono_s - track.since if track is not None else 0.0
