"""What was seen: kinds of evidence, outcomes of a look, and one fact type a kind.

Every field of a fact may be None: not readable. None is never read as healthy nor as failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What sort of evidence a check brings."""

    LISTENER = "LISTENER"
    PROTOCOL = "PROTOCOL"
    PEERS = "PEERS"
    QUORUM = "QUORUM"
    JVM = "JVM"
    SERVICE = "SERVICE"
    HOST = "HOST"
    LOG = "LOG"
    CERTIFICATE = "CERTIFICATE"
    CANARY = "CANARY"
    CUSTOM = "CUSTOM"


class Family(StrEnum):
    """Whose word it is. Kinds of one family share one viewpoint and count as one witness."""

    OURS = "OURS"
    THEIRS = "THEIRS"
    MACHINE = "MACHINE"


CLUSTER_KINDS = frozenset({Kind.PEERS, Kind.QUORUM})
"""Kinds that speak of the whole cluster: their observer is the node that was asked."""


class Outcome(StrEnum):
    """How a look ended."""

    ANSWERED = "answered"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    RESET = "reset"
    CLOSED = "closed"
    TLS = "tls"
    AUTHENTICATION = "authentication"
    AUTHORISATION = "authorisation"
    WRONG_LISTENER = "wrong_listener"
    PROTOCOL = "protocol"
    NOT_ASKED = "not_asked"


MISCONFIGURED = frozenset(
    {
        Outcome.TLS,
        Outcome.AUTHENTICATION,
        Outcome.AUTHORISATION,
        Outcome.WRONG_LISTENER,
        Outcome.PROTOCOL,
    }
)
"""Outcomes in which something answered, but our probe is not set up for it: the node lives."""

UNANSWERED = frozenset({Outcome.TIMED_OUT, Outcome.RESET, Outcome.CLOSED, Outcome.UNREACHABLE})
"""Outcomes of a node that is silent rather than refusing."""


@dataclass(frozen=True, slots=True)
class ServiceFact:
    """The service manager's word, in systemd's terms, and what /proc and the host add to it.

    `active`: active, activating, deactivating, inactive, failed; `sub`: running, auto-restart …;
    `pid` 0: no process; `process_state`: the letter of /proc/PID/stat; `restarts`: automatic ones;
    `job`: a job queued by somebody ("" = none); `tracer_pid` ≠ 0: a debugger; `lock_held`: some
    process holds the log directory's `.lock`; `host_lock`: another tool's lock; `invocation`:
    changes at each start and is kept after the end.
    """

    active: str | None = None
    sub: str | None = None
    result: str | None = None
    exit_status: int | None = None
    signal: int | str | None = None
    pid: int | None = None
    process_state: str | None = None
    restarts: int | None = None
    unit_file: str | None = None
    job: str | int | bool | None = None
    stop_requested: bool | None = None
    tracer_pid: int | None = None
    lock_held: bool | None = None
    host_lock: str | bool | None = None
    invocation: str | None = None


@dataclass(frozen=True, slots=True)
class LogFact:
    """The last lines of the node's log."""

    tail: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PartitionFact:
    """One partition as a witness sees it; `leader` -1: none; `reassigning`: replicas are moved."""

    id: int
    replicas: tuple[str, ...] | None = None
    isr: tuple[str, ...] | None = None
    leader: str | None = None
    reassigning: bool | None = None


@dataclass(frozen=True, slots=True)
class TopicFact:
    """One topic as a witness sees it; `min_isr`: its min.insync.replicas."""

    name: str
    min_isr: int | None = None
    unclean_election: bool | None = None
    partitions: tuple[PartitionFact, ...] | None = None


@dataclass(frozen=True, slots=True)
class PeersFact:
    """A broker's metadata: the ids it lists, those it calls fenced, the topics it may show us."""

    listed: tuple[str, ...] | None = None
    fenced: tuple[str, ...] | None = None
    controller: str | None = None
    topics: tuple[TopicFact, ...] | None = None


@dataclass(frozen=True, slots=True)
class VoterFact:
    """A voter by the leader's account; stamps in milliseconds of the leader's clock.

    A stamp below 0: never under this leader. None: not readable.
    """

    id: str
    last_caught_up_ms: int | None = None
    last_fetch_ms: int | None = None


@dataclass(frozen=True, slots=True)
class QuorumFact:
    """A controller's answer about the quorum. Only the leader knows; others leave the rest None."""

    leader: str | None = None
    epoch: int | None = None
    fetch_timeout_ms: int | None = None
    now_ms: int | None = None
    voters: tuple[VoterFact, ...] | None = None
    observers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class JvmFact:
    """What the JVM says: BrokerState (3 = running), logs and segments still to be recovered."""

    broker_state: int | None = None
    remaining_logs: int | None = None
    remaining_segments: int | None = None
    offline_log_dirs: int | None = None
    raft_state: str | None = None
    raft_leader: str | None = None


@dataclass(frozen=True, slots=True)
class DataDirFact:
    """A data directory: on the device last seen, with meta.properties or myid, readable."""

    path: str
    same_device: bool | None = None
    has_identity: bool | None = None
    readable: bool | None = None


@dataclass(frozen=True, slots=True)
class DiskFact:
    """One file system of the host (bytes)."""

    path: str
    total: int | None = None
    usable: int | None = None
    read_only: bool | None = None


@dataclass(frozen=True, slots=True)
class HostFact:
    """The host: can it be reached, its disks, the data directories on it."""

    reachable: bool | None = None
    ping: bool | None = None
    disks: tuple[DiskFact, ...] | None = None
    data_dirs: tuple[DataDirFact, ...] | None = None


@dataclass(frozen=True, slots=True)
class ProtocolFact:
    """The node answered its own protocol; the fields are ZooKeeper's."""

    ruok: bool | None = None
    mode: str | None = None
    serving: bool | None = None


Fact = ServiceFact | LogFact | PeersFact | QuorumFact | JvmFact | HostFact | ProtocolFact

FACT_TYPE: dict[Kind, type[Fact]] = {
    Kind.SERVICE: ServiceFact,
    Kind.LOG: LogFact,
    Kind.PEERS: PeersFact,
    Kind.QUORUM: QuorumFact,
    Kind.JVM: JvmFact,
    Kind.HOST: HostFact,
    Kind.PROTOCOL: ProtocolFact,
}

HEALER = "healer"
"""The observer of a look that is our own."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One look: who looked (`healer` or the node that was asked), at whom, how, and what it saw.

    `subject` is a node id, or the cluster's name for kinds that speak of the whole cluster.
    `started` and `ended` are seconds of the boot clock. `error` says in words why there is no fact.
    """

    observer: str
    subject: str
    kind: Kind
    outcome: Outcome
    started: float
    ended: float
    fact: Fact | None = None
    error: str = ""
