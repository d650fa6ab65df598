"""From looks to standings: what each node does, who counts it in, and who leads, this turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

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
from kafka_self_healing.model.health import Track
from kafka_self_healing.model.node import Cluster, ClusterMode, NodeConfig, NodeId
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
    ZooKeeper ensemble; `account_look` is then its leader's look. `changed`: whose standing was made
    anew this turn: looked at, heard, too old, or others say something else of it. `uneasy`: who is
    not wholly well, fails a look, or goes to and fro: of all others nothing can be new. `reread`:
    whether `witness` is another reading than at the last turn. `stranded`: for each topic with
    partitions whose last holders are all down: those. `cut_off`: no reference host is reached.
    """

    view: View
    now: Instant
    nodes: Mapping[NodeId, Standing]
    quorum: Quorum
    account: QuorumFact | None
    account_look: CheckResult | None
    witness: Digest
    witness_looks: tuple[CheckResult, ...]
    kept: object
    ready: frozenset[NodeId] = frozenset()
    ensemble: Ensemble = NOBODY
    changed: tuple[NodeId, ...] = ()
    uneasy: frozenset[NodeId] = frozenset()
    reread: bool = True
    cut_off: bool = False
    stranded: Mapping[str, frozenset[NodeId]] = field(default_factory=dict)

    @property
    def restless(self) -> frozenset[NodeId]:
        """Of whom something may be new: who has changed, or is uneasy."""
        return self.uneasy.union(self.changed)

    def in_place(self, nodes: Iterable[NodeId]) -> list[NodeId]:
        """Return nodes in the order of the inventory."""
        return sorted(nodes, key=self.view.cluster.place.__getitem__)

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
        return tuple(self.in_place(id_ for id_ in self.uneasy if self.nodes[id_].dark))

    @property
    def viewpoint_lost(self) -> bool:
        """Whether it is we who are blind: most nodes are dark, or no reference host is reached."""
        return self.cut_off or len(self.dark) * 2 > len(self.nodes)


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
class Kept:
    """The last turn's standings and what they were made of. Each holds until that changes.

    `until`: the boot-clock second after which a look that a standing rests on is too old.
    """

    cluster: Cluster
    policy: Policy
    peers: Peers
    until: Mapping[NodeId, float]
    nodes: Mapping[NodeId, Standing]
    uneasy: frozenset[NodeId]


def assess(view: View, policy: Policy, now: Instant) -> ClusterView:
    """Derive this turn's standings. The witnesses' word needs a known leader (KRaft).

    In ZooKeeper mode it needs an ensemble that is not known to be lost. A node of which nothing
    new was seen keeps its standing: most turns bring a few nodes' looks.
    """
    cluster, kept = view.cluster, view.kept
    if not isinstance(kept, Kept) or kept.cluster is not cluster or kept.policy is not policy:
        kept = None
    ref, horizon = view.reference, now.mono_s - fresh_bound_s(Kind.QUORUM, None, policy)
    kraft = cluster.mode is ClusterMode.KRAFT
    told = account(view, horizon) if kraft else None
    ensemble, led_look = (NOBODY, None) if kraft else ensemble_of(view, horizon)
    until, own, changed = _own_words(view, policy, now, kept)
    if kraft:
        quorum = _quorum_state([own[id_] for id_ in cluster.voters], led=told is not None)
    else:
        members = [own[id_] for id_ in cluster.members]
        quorum = _ensemble_state(view, members, ensemble, now)
    fact = told[2] if told else None
    photograph = told is None if kraft else quorum is Quorum.LOST
    looks, digests = ((), ()) if photograph else witnesses(view, own, horizon)
    answering = _answering(own, changed, kept)
    peers = Peers(
        fact,
        reign_s(view, fact, now),
        digests,
        freshest(view, digests),
        answering,
        len(answering.intersection(cluster.brokers) - view.outcasts.keys()),
        cluster.fetch_timeout_s,
        ensemble,
    )
    news = cluster.nodes.keys() if kept is None else peers.news_for(kept.peers, cluster)
    completed = {id_: among_peers(own[id_], peers, own) for id_ in news | changed}
    changed |= {id_ for id_, node in completed.items() if node is not own[id_]}
    nodes = {**own, **completed}
    uneasy = {id_ for id_ in changed if _uneasy(view, nodes[id_], policy)}
    uneasy |= kept.uneasy - changed if kept is not None else set()
    return ClusterView(
        view,
        now,
        nodes,
        quorum,
        fact,
        told[1] if told else led_look,
        peers.best,
        looks,
        Kept(cluster, policy, peers, until, nodes, frozenset(uneasy)),
        ensemble=ensemble,
        changed=tuple(sorted(changed, key=cluster.place.__getitem__)),
        uneasy=frozenset(uneasy),
        cut_off=ref is not None and not ref.good and ref.result.ended >= horizon,
        reread=kept is None or peers.best is not kept.peers.best,
    )


def _own_words(
    view: View, policy: Policy, now: Instant, kept: Kept | None
) -> tuple[Mapping[NodeId, float], Mapping[NodeId, Standing], set[NodeId]]:
    """Return until when our looks are fresh, the standings, and whose of these are made anew.

    What the others say in them is still what they said at the last turn.
    """
    nodes = view.cluster.nodes
    if kept is None:
        until, own, due = dict[NodeId, float](), dict[NodeId, Standing](), list(nodes)
    else:
        until, own, due = dict(kept.until), dict(kept.nodes), list(view.touched)
        if min(until.values(), default=now.mono_s) < now.mono_s:
            due += [id_ for id_, end in until.items() if end < now.mono_s]
    for id_ in due:
        until[id_], own[id_] = _own(view, nodes[id_], policy, now, own.get(id_))
    return until, own, set(due)


def _answering(
    own: Mapping[NodeId, Standing], changed: set[NodeId], kept: Kept | None
) -> frozenset[NodeId]:
    """Return who answers; the same object if that has not changed."""
    before = kept.peers.answering if kept is not None else frozenset()
    flipped = {id_ for id_ in changed if (own[id_].answers is True) is not (id_ in before)}
    return before ^ flipped if flipped else before


def _uneasy(view: View, node: Standing, policy: Policy) -> bool:
    """Whether what is said of a node may change without a look at it, or it is not wholly well."""
    if node.well is not True or node.dark or node.silent:
        return True
    status = view.statuses.get(node.id)
    tracks = status.all_tracks() if status is not None else ()
    return any(not track.good or len(track.changes) >= policy.flap_changes for track in tracks)


def _own(
    view: View, node: NodeConfig, policy: Policy, now: Instant, before: Standing | None
) -> tuple[float, Standing]:
    """Return what our own looks say of a node, and until when they are fresh."""
    status = view.statuses.get(node.id)
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
    zookeeper = view.cluster.mode is ClusterMode.ZOOKEEPER
    return until, _own_standing(node, tracks, policy, before, zookeeper=zookeeper)


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
    doors = [one for one in (listener, protocol) if one and one.result.outcome is Outcome.REFUSED]
    refused = bool(doors)
    # What was refused before the end was seen speaks of another run, or of nothing.
    closed = any(service_track and one.result.ended >= service_track.since for one in doors)
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
        and (closed or host_closed)
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


def _quorum_state(voters: Sequence[Standing], *, led: bool) -> Quorum:
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
    view: View, members: Sequence[Standing], ensemble: Ensemble, now: Instant
) -> Quorum:
    """Return what is known of an ensemble; members that say so for long do not serve."""
    if ensemble.led:
        return Quorum.LED
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
