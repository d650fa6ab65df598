"""From looks to standings: what each node does, who counts it in, and who leads, this turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from kafka_self_healing.healing.replicas import Digest
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

OURS_PROBED = frozenset({Kind.LISTENER, Kind.PROTOCOL, Kind.JVM})
MACHINE_PROBED = frozenset({Kind.SERVICE, Kind.HOST})
ALIVE_IN_SPITE = frozenset(
    {Outcome.AUTHENTICATION, Outcome.AUTHORISATION, Outcome.WRONG_LISTENER, Outcome.TLS}
)
RUNNING_STATE = 3
STALE_VOTER_FETCHES = 3


class Process(Enum):
    """What the service manager says of the process."""

    RUNNING = "running"
    ACTIVATING = "activating"
    AUTO_RESTART = "auto-restart"
    DEACTIVATING = "deactivating"
    ENDED = "ended"
    UNKNOWN = "unknown"


class Quorum(Enum):
    """What is known of the controller quorum."""

    LED = "led"
    LOST = "lost"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Standing:
    """One node as of this turn; None: not known.

    `ok`: runs, answers, is counted in (and a fresh voter). `well`: also in sync, BrokerState 3.
    """

    id: NodeId
    config: NodeConfig
    service: ServiceFact | None
    process: Process
    answers: bool | None
    silent_looks: int
    refused: bool
    host_closed: bool
    jvm: JvmFact | None
    jvm_silent: bool | None
    dark: bool
    gone: bool
    silent: bool
    counted: bool | None
    voter_fresh: bool | None
    voter_stale: bool | None
    in_sync: bool | None
    ok: bool | None
    well: bool | None

    @property
    def dropped(self) -> bool | None:
        """Whether the others have dropped it; a combined node is dropped only as both."""
        parts: list[bool | None] = []
        if self.config.is_broker:
            parts.append(None if self.counted is None else not self.counted)
        if self.config.is_voter:
            parts.append(self.voter_stale)
        if any(part is False for part in parts):
            return False
        return None if any(part is None for part in parts) or not parts else True


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


@dataclass(frozen=True, slots=True)
class _Peers:
    """What all standings need of the others' word."""

    fact: QuorumFact | None
    reign_s: float
    digests: tuple[tuple[NodeId, Digest], ...]
    best: Digest
    living: int
    fetch_timeout_s: float


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
    looks, digests = _witnesses(view, own, horizon) if told or not kraft else ((), ())
    peers = _Peers(
        fact,
        _reign_s(view, fact, now),
        digests,
        _freshest(view, digests),
        sum(node.answers is True and node.config.is_broker for node in own.values()),
        view.cluster.fetch_timeout_s,
    )
    nodes = {id_: _among_peers(standing, peers, own) for id_, standing in own.items()}
    keeping = {
        id_: one if nodes[id_] is one.standing else replace(one, standing=nodes[id_])
        for id_, one in kept.items()
    }
    return ClusterView(
        replace(view, kept=keeping),
        now,
        nodes,
        _quorum_state(nodes, led=told is not None, kraft=kraft),
        fact,
        told[1] if told else None,
        peers.best,
        looks,
    )


def _reign_s(view: View, fact: QuorumFact | None, now: Instant) -> float:
    reign = view.reign
    if reign is None or fact is None or (reign.leader, reign.epoch) != (fact.leader, fact.epoch):
        return 0.0
    return now.mono_s - reign.since


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
    for kind in node.kinds if status is not None else ():
        track = status.tracks.get(kind) if status is not None else None
        if track is None:
            continue
        end = track.result.ended + fresh_bound_s(kind, track, policy)
        if now.mono_s <= end:
            tracks[kind] = track
            until = min(until, end)
    return _Kept(status, policy, until, _own_standing(node, tracks, policy))


def _own_standing(node: NodeConfig, tracks: Mapping[Kind, Track], policy: Policy) -> Standing:
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
    refused = any(
        door is not None and door.result.outcome is Outcome.REFUSED for door in (listener, protocol)
    )
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
        counted=None, voter_fresh=None, voter_stale=None, in_sync=None, ok=None, well=None,
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


def _unanswered(track: Track | None) -> bool:
    return track is not None and track.result.outcome in UNANSWERED


def _host_unreachable(track: Track | None) -> bool:
    if track is None:
        return False
    fact = track.result.fact
    return _unanswered(track) or (isinstance(fact, HostFact) and fact.reachable is False)


def _dark(node: NodeConfig, tracks: Mapping[Kind, Track]) -> bool:
    ours = [kind for kind in node.kinds if kind in OURS_PROBED]
    machine = [kind for kind in node.kinds if kind in MACHINE_PROBED]
    if not ours:
        return False
    for kind in ours:
        track = tracks.get(kind)
        if track is None or track.good or track.streak < 2 or not _unanswered(track):
            return False
    return all(
        (track := tracks.get(kind)) is not None
        and track.streak >= 2
        and (_unanswered(track) or _host_unreachable(track))
        for kind in machine
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


def _witnesses(
    view: View, nodes: Mapping[NodeId, Standing], horizon: float
) -> tuple[tuple[CheckResult, ...], tuple[tuple[NodeId, Digest], ...]]:
    """Return the fresh metadata looks of living nodes, and what each of them reads."""
    looks: list[CheckResult] = []
    digests: list[tuple[NodeId, Digest]] = []
    for who, witness in view.witnesses.items():
        look, standing = witness.track.result, nodes.get(who)
        if look.outcome is not Outcome.ANSWERED or look.ended < horizon:
            continue
        if standing is None or standing.answers is not True or not witness.digest.readable:
            continue
        looks.append(look)
        digests.append((who, witness.digest))
    return tuple(looks), tuple(digests)


def _freshest(view: View, digests: tuple[tuple[NodeId, Digest], ...]) -> Digest:
    """Return the reading of the newest witness; the leader's own node goes first."""
    best: tuple[tuple[bool, float], Digest] | None = None
    for who, read in digests:
        leads = view.reign is not None and view.reign.leader == who
        rank = (leads, view.witnesses[who].track.result.ended)
        if best is None or rank > best[0]:
            best = (rank, read)
    return best[1] if best else Digest()


def _counted_in(target: Standing, peers: _Peers) -> bool | None:
    """Whether the witnesses count a broker in; never asked of itself, None if they disagree."""
    voices = [target.id in read.counted for who, read in peers.digests if who != target.id]
    living = peers.living - (target.answers is True)
    if not voices or len(voices) < min(2, living) or len(set(voices)) > 1:
        return None
    return voices[0]


def _in_sync(target: Standing, best: Digest, nodes: Mapping[NodeId, Standing]) -> bool | None:
    """Whether it is in the ISR wherever a leader lives that is not sick itself."""
    if not best.readable or best.blind or best.unreadable:
        return None
    return not any(
        (leader := nodes.get(id_)) is not None and leader.answers is True
        for id_ in best.out_of_sync.get(target.id, ())
        if id_ != target.id
    )


def _among_peers(standing: Standing, peers: _Peers, nodes: Mapping[NodeId, Standing]) -> Standing:
    """Add what the others say of a node; the same object again if nothing has changed."""
    node = standing.config
    counted = _counted_in(standing, peers) if node.is_broker else None
    fresh, stale = None, None
    if node.is_voter:
        fresh, stale = voter_state(standing, peers.fact, peers.reign_s, peers.fetch_timeout_s)
    in_sync = _in_sync(standing, peers.best, nodes) if node.is_broker else None
    ok = all_known(
        _runs(standing),
        standing.answers,
        counted if node.is_broker else True,
        fresh if node.is_voter else True,
    )
    well = all_known(ok, _broker_state_ok(standing), in_sync if node.is_broker else True)
    said = (counted, fresh, stale, in_sync, ok, well)
    if said == (standing.counted, standing.voter_fresh, standing.voter_stale,
                standing.in_sync, standing.ok, standing.well):  # fmt: skip
        return standing
    return replace(
        standing, counted=counted, voter_fresh=fresh, voter_stale=stale, in_sync=in_sync,
        ok=ok, well=well,
    )  # fmt: skip


def all_known(*parts: bool | None) -> bool | None:
    """Return the three-valued AND: False if any is False, else None if any is unknown."""
    if False in parts:
        return False
    return None if None in parts else True


def _runs(standing: Standing) -> bool | None:
    if Kind.SERVICE not in standing.config.kinds:
        return True
    if standing.process is Process.UNKNOWN:
        return None
    return standing.process is Process.RUNNING


def _broker_state_ok(standing: Standing) -> bool | None:
    if Kind.JVM not in standing.config.kinds or not standing.config.is_broker:
        return True
    if standing.jvm is None or standing.jvm.broker_state is None:
        return None
    return standing.jvm.broker_state == RUNNING_STATE


def voter_state(
    standing: Standing, fact: QuorumFact | None, reign_s: float, fetch_timeout_s: float
) -> tuple[bool | None, bool | None]:
    """Return (known healthy, stale) of a voter by the leader's account; None = not known.

    `reign_s`: how long this leader is known to lead; a voter that has never fetched from it
    (a stamp below 0) is stale once that is longer than the limit. A missing stamp says nothing.
    """
    if fact is None:
        return None, None
    fetch_ms = fact.fetch_timeout_ms or int(fetch_timeout_s * 1000)
    if fact.leader == standing.id:
        return (True if standing.answers is True else None), False
    entry = next((voter for voter in fact.voters or () if voter.id == standing.id), None)
    if entry is None or fact.now_ms is None:
        return None, None
    caught = _age_ms(entry.last_caught_up_ms, fact.now_ms)
    fetched = _age_ms(entry.last_fetch_ms, fact.now_ms)
    follows = standing.jvm is None or standing.jvm.raft_state in {None, "leader", "follower"}
    fresh = None
    if caught is not None and standing.answers is not None:
        fresh = caught <= fetch_ms and follows and standing.answers
    limit_ms = STALE_VOTER_FETCHES * fetch_ms
    if fetched is not None:
        return fresh, fetched > limit_ms
    never = entry.last_fetch_ms is not None and entry.last_fetch_ms < 0
    return fresh, (True if never and reign_s * 1000 > limit_ms else None)


def _age_ms(stamp: int | None, now_ms: int) -> int | None:
    if stamp is None or stamp < 0 or stamp > now_ms:
        return None
    return now_ms - stamp
