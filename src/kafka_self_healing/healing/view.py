"""`View`: what has been seen, by whom and since when. It starts empty and fills at warm-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kafka_self_healing.healing.replicas import Digest, digest
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.evidence import (
    ASIDE,
    CLUSTER_KINDS,
    HEALER,
    UNANSWERED,
    CertificateFact,
    CheckResult,
    Kind,
    Outcome,
    PeersFact,
    QuorumFact,
    ServiceFact,
)
from kafka_self_healing.model.health import NodeStatus, Track, is_good
from kafka_self_healing.model.node import Cluster, NodeId
from kafka_self_healing.model.policy import Policy

LONG_AGO_S = 1.0e6
"""How far back a warm replay puts the onset of what its first lines show (seconds)."""

LOOKS_LONG_AGO = 99
"""How many looks of a long past such a first line stands for."""

STUCK_STATE = "D"
"""The process state in which no signal is delivered: it waits for a disk."""

EXTRA_LISTENERS = frozenset({"jmx", "admin"})
"""Listeners whose certificate no other node of the cluster is shown."""

WARM_KINDS = frozenset({Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.SERVICE, Kind.HOST})
"""Kinds of which every target must have answered or timed out before a round is complete."""


@dataclass(frozen=True, slots=True)
class Witness:
    """What one node says of its peers, with the reading of its metadata that all rules share."""

    track: Track
    digest: Digest


@dataclass(frozen=True, slots=True)
class Rounds:
    """A wait for full rounds of looks after `since` (boot-clock seconds; None: the first turn)."""

    since: float | None
    looks: Mapping[tuple[NodeId, Kind], int]
    why: str

    def done(self, statuses: Mapping[NodeId, NodeStatus], cluster: Cluster) -> int:
        """How many full rounds are over: each target has answered or timed out so often."""
        counts = [
            _looks(statuses, node.id, kind) - self.looks.get((node.id, kind), 0)
            for node in cluster.nodes.values()
            for kind in node.kinds & WARM_KINDS
        ]
        return min(counts, default=0)


def _looks(statuses: Mapping[NodeId, NodeStatus], node: NodeId, kind: Kind) -> int:
    status = statuses.get(node)
    track = status.tracks.get(kind) if status else None
    return track.looks if track else 0


@dataclass(frozen=True, slots=True)
class Reign:
    """A leader of the controller quorum, its epoch, and since when it is known to lead."""

    leader: NodeId
    epoch: int | None
    since: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """A node's log recovery: the gauges' latest fall, and the two points that give the slope."""

    first_at: float
    first_left: int
    fell_at: float
    left: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a node's process: whether it has answered, and was led all along.

    A run that we did not see begin counts as having answered. `boot`: of its host, if readable.
    """

    invocation: str
    since: float
    answered: bool
    led: bool
    boot: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """Looks in a row that told of the same end of a process; looks that told nothing between."""

    since: float
    latest: float
    looks: int
    invocation: str | None


@dataclass(frozen=True, slots=True)
class Outcast:
    """Since when a process runs and answers while the others do not count it in.

    `latest`: when the newest look began that says so; `looks`: how many have. `invocation`: of the
    process; a new one begins anew. `asked`: when it was last asked what its host reaches.
    `reaches_since`: since when its host is known to reach the quorum, without a break, and
    `reaches_at`: when that was last known.
    """

    since: float
    latest: float
    looks: int
    invocation: str | None
    asked: float = float("-inf")
    reaches_since: float | None = None
    reaches_at: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the start of a process that does not answer yet has come, and when it last moved.

    `read_bytes`: as of `read_at`; `recovered`: what the newest lines of its log (of the look that
    began at `log_at`) say of logs that are recovered.
    """

    run: str | None
    moved_at: float
    state: int | None = None
    read_bytes: int | None = None
    read_at: float = 0.0
    recovered: frozenset[str] = frozenset()
    log_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Answers:
    """The latest looks of PROTOCOL at one run: when each began, and whether it was answered."""

    run: str | None
    looks: tuple[tuple[float, bool], ...]


@dataclass(frozen=True, slots=True)
class View:
    """Facts and their windows. Maps are never changed in place. Times: boot-clock seconds.

    `certificates`: the latest look at each node's that could read them all, or that saw a bad one;
    `own_certificates`: at each of our own files; `reference`: looks at the reference hosts.
    `explained_at`: when a condition last explained changes of a node's looks. `restarts`: when its
    manager started a node again; `restart_counts`: its own count. `latest_word`: the witness heard
    last. `touched`: of whom something was heard since the standings were made; `noted`: who had a
    diagnosis or an incident then; `kept`: these standings; `last`: the turn that made them.
    """

    cluster: Cluster
    statuses: Mapping[NodeId, NodeStatus] = field(default_factory=dict)
    witnesses: Mapping[NodeId, Witness] = field(default_factory=dict)
    latest_word: Witness | None = None
    quorum: Mapping[NodeId, Track] = field(default_factory=dict)
    lease: bool = True
    warming: Rounds | None = None
    clock_doubt: Rounds | None = None
    turn: Instant | None = None
    reign: Reign | None = None
    backdate_until: float | None = None
    well_since: Mapping[NodeId, float] = field(default_factory=dict)
    ok_since: Mapping[NodeId, float] = field(default_factory=dict)
    sick_since: Mapping[NodeId, float] = field(default_factory=dict)
    sick_before_us: frozenset[NodeId] = frozenset()
    storm_nodes: frozenset[NodeId] = frozenset()
    storm_joined: float | None = None
    recoveries: Mapping[NodeId, Recovery] = field(default_factory=dict)
    catching_up: Mapping[NodeId, Recovery] = field(default_factory=dict)
    runs: Mapping[NodeId, Run] = field(default_factory=dict)
    agreed_at: Mapping[NodeId, float] = field(default_factory=dict)
    stuck_looks: Mapping[NodeId, int] = field(default_factory=dict)
    stops_seen: frozenset[NodeId] = frozenset()
    ends: Mapping[NodeId, Ended] = field(default_factory=dict)
    outcasts: Mapping[NodeId, Outcast] = field(default_factory=dict)
    explained_at: Mapping[NodeId, float] = field(default_factory=dict)
    restarts: Mapping[NodeId, tuple[float, ...]] = field(default_factory=dict)
    restart_counts: Mapping[NodeId, int] = field(default_factory=dict)
    progress: Mapping[NodeId, Progress] = field(default_factory=dict)
    answers: Mapping[NodeId, Answers] = field(default_factory=dict)
    touched: frozenset[NodeId] = frozenset()
    noted: frozenset[NodeId] = frozenset()
    kept: object = None
    certificates: Mapping[NodeId, CheckResult] = field(default_factory=dict)
    own_certificates: Mapping[str, CheckResult] = field(default_factory=dict)
    reference: Track | None = None
    last: object = None

    @classmethod
    def cold(cls, cluster: Cluster) -> View:
        """A view that still has to warm up."""
        return cls(cluster, warming=Rounds(None, {}, "the healer has just begun to look"))

    @classmethod
    def warm(cls, cluster: Cluster) -> View:
        """A view for replays: what the first looks show has held for longer than every window."""
        return cls(cluster, backdate_until=-LONG_AGO_S)

    def track(self, node: NodeId, kind: Kind) -> Track | None:
        """Our own looks of one kind at one node."""
        status = self.statuses.get(node)
        return status.tracks.get(kind) if status else None

    def rewarm(self, now: Instant, why: str) -> View:
        """Start the warm-up anew, for instance after a resume or a suspend."""
        return replace(self, warming=self._rounds(now, why), backdate_until=None)

    def doubt_clock(self, now: Instant, why: str) -> View:
        """Freeze acts until full rounds have passed without another step of the clock."""
        return replace(self, clock_doubt=self._rounds(now, why))

    def _rounds(self, now: Instant, why: str) -> Rounds:
        counts = {
            (node.id, kind): _looks(self.statuses, node.id, kind)
            for node in self.cluster.nodes.values()
            for kind in node.kinds & WARM_KINDS
        }
        return Rounds(now.mono_s, counts, why)


def speaker(result: CheckResult, cluster: Cluster) -> NodeId:
    """Return whose word a cluster-wide look is: the node that was asked."""
    if result.observer == HEALER and result.subject in cluster.nodes:
        return result.subject
    return result.observer


def hear(view: View, results: Sequence[CheckResult], policy: Policy) -> View:
    """Fold new looks into the view."""
    heard: dict[NodeId, dict[Kind, Track]] = {}
    others: list[CheckResult] = []
    witnesses: dict[NodeId, Witness] | None = None
    quorum: dict[NodeId, Track] | None = None
    latest, reference, backdate = view.latest_word, view.reference, view.backdate_until
    for result in results:
        if backdate == -LONG_AGO_S:
            backdate = result.ended + policy.interval_s
        if result.kind in CLUSTER_KINDS:
            who = speaker(result, view.cluster)
            if result.kind is Kind.PEERS:
                witnesses = dict(view.witnesses) if witnesses is None else witnesses
                said = witnesses[who] = _heard_witness(witnesses.get(who), latest, result)
                latest = said if said.digest.readable else latest
            else:
                quorum = dict(view.quorum) if quorum is None else quorum
                known = quorum.get(who)
                quorum[who] = known.then(result) if known else _first(result, None)
        elif result.kind in ASIDE:
            others.append(result)
        elif result.subject in view.cluster.nodes and result.outcome is not Outcome.NOT_ASKED:
            tracks = heard.get(result.subject)
            if tracks is None:
                status = view.statuses.get(result.subject)
                tracks = heard[result.subject] = dict(status.tracks) if status else {}
            before = tracks.get(result.kind)
            tracks[result.kind] = before.then(result) if before else _first(result, backdate)
        elif result.subject == view.cluster.name and result.kind is Kind.LISTENER:
            reference = reference.then(result) if reference else _first(result, backdate)
    view = replace(
        view,
        statuses=_with(view.statuses, heard) if heard else view.statuses,
        witnesses=view.witnesses if witnesses is None else witnesses,
        quorum=view.quorum if quorum is None else quorum,
        latest_word=latest,
        reference=reference,
        stuck_looks=_stuck_looks(view, results, backdate),
        backdate_until=backdate,
        touched=_touched(view, results) if results else view.touched,
    )
    return _aside(view, others) if others else view


def _with(
    statuses: Mapping[NodeId, NodeStatus], heard: Mapping[NodeId, Mapping[Kind, Track]]
) -> Mapping[NodeId, NodeStatus]:
    told = {
        node: NodeStatus(node, tracks, known.custom if (known := statuses.get(node)) else {})
        for node, tracks in heard.items()
    }
    return {**statuses, **told}


def _touched(view: View, results: Sequence[CheckResult]) -> frozenset[NodeId]:
    """Of whom something was heard: whose looks these are, or who spoke of the others."""
    heard = {
        speaker(look, view.cluster) if look.kind in CLUSTER_KINDS else look.subject
        for look in results
    }
    return view.touched | (heard & view.cluster.nodes.keys())


def _aside(view: View, results: Sequence[CheckResult]) -> View:
    """Fold in what supports no act: checks of the operator's own, and certificates."""
    statuses, certificates = dict(view.statuses), dict(view.certificates)
    own = dict(view.own_certificates)
    for result in results:
        id_ = result.subject
        if id_ not in view.cluster.nodes or result.outcome is Outcome.NOT_ASKED:
            continue
        statuses[id_] = (statuses.get(id_) or NodeStatus(id_)).after(result)
        if isinstance(result.fact, CertificateFact):
            own |= {one.address: result for one in result.fact.own or ()}
        known = certificates.get(id_)
        if not isinstance(result.fact, CertificateFact) or not result.fact.listeners:
            continue
        whole = known is not None and _shows_all(known)
        counts = not whole or _shows_all(result) or _shows_bad(result)
        if known is None or (counts and result.ended >= known.ended):
            certificates[id_] = result
    return replace(view, statuses=statuses, certificates=certificates, own_certificates=own)


def _shows_all(look: CheckResult) -> bool:
    """Whether a look read every certificate that a node cannot live without."""
    listeners = look.fact.listeners if isinstance(look.fact, CertificateFact) else ()
    return all(
        one.problem is not None or one.listener in EXTRA_LISTENERS for one in listeners or ()
    )


def _shows_bad(look: CheckResult) -> bool:
    """Whether a look read a certificate that clients refuse."""
    listeners = look.fact.listeners if isinstance(look.fact, CertificateFact) else ()
    return any(
        one.problem or (one.days_left is not None and one.days_left < 0) for one in listeners or ()
    )


def _stuck_looks(
    view: View, results: Sequence[CheckResult], backdate: float | None
) -> Mapping[NodeId, int]:
    """Count each node's looks in a row that show its process in state D."""
    counts = dict(view.stuck_looks)
    for result in results:
        if not isinstance(result.fact, ServiceFact):
            continue
        if result.fact.process_state != STUCK_STATE:
            counts.pop(result.subject, None)
            continue
        unseen = result.subject not in counts and view.track(result.subject, Kind.SERVICE) is None
        long_ago = unseen and backdate is not None and result.ended <= backdate
        counts[result.subject] = counts.get(result.subject, 0) + (LOOKS_LONG_AGO if long_ago else 1)
    return view.stuck_looks if counts == view.stuck_looks else counts


def _first(result: CheckResult, backdate: float | None) -> Track:
    if backdate is None or result.ended > backdate:
        return Track.first(result)
    since, quiet = result.ended - LONG_AGO_S, LOOKS_LONG_AGO * (result.outcome in UNANSWERED)
    return Track(result, is_good(result), since, LOOKS_LONG_AGO, LOOKS_LONG_AGO, quiet=quiet)


def _heard_witness(known: Witness | None, latest: Witness | None, result: CheckResult) -> Witness:
    """Fold in a witness's look; what it, or the latest of all, has said before is not read anew."""
    track = known.track.then(result) if known is not None else _first(result, None)
    if known is not None and track.result is not result:
        return known
    fact = result.fact
    for before in (known, latest):
        if before is not None and fact == before.track.result.fact:
            return Witness(track, before.digest)
    return Witness(track, digest(fact if isinstance(fact, PeersFact) else None))


def account(view: View, horizon: float) -> tuple[NodeId, CheckResult, QuorumFact] | None:
    """Return the quorum leader's own account, not older than `horizon`: (who said it, look, fact).

    Only the leader knows: a fact with a leader and voters is its word, whoever passed it on. A
    later look at the same controller that brought no such answer takes the word back.
    """
    best: tuple[NodeId, CheckResult, QuorumFact] | None = None
    for who, track in view.quorum.items():
        look = track.result
        fact = look.fact
        if look.outcome is not Outcome.ANSWERED or look.ended < horizon:
            continue
        if not isinstance(fact, QuorumFact) or fact.leader is None or not fact.voters:
            continue
        if fact.leader.startswith("-"):
            continue
        if best is None or _rank(fact, look) > _rank(best[2], best[1]):
            best = (who, look, fact)
    return best


def _rank(fact: QuorumFact, look: CheckResult) -> tuple[int, float]:
    return (fact.epoch if fact.epoch is not None else -1, look.ended)
