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


ASIDE = frozenset({Kind.CERTIFICATE, Kind.CUSTOM})
"""Kinds of no family: they are kept, shown, and never proof of anything."""

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
    changes at each start and is kept after the end. `code`: systemd's ExecMainCode in words
    (exited, killed, dumped); `start_limit_s`, `stop_timeout_s`: StartLimitIntervalUSec,
    TimeoutStopUSec; `success_exit`: SuccessExitStatus; `oom_killed`: by the kernel; `health`:
    Docker's word; `boot_id`: of the host; `started_s`: boot-clock second of that host at which the
    process was started; `read_bytes`: bytes that it fetched from disks.
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
    code: str | None = None
    start_limit_s: float | None = None
    stop_timeout_s: float | None = None
    success_exit: tuple[str, ...] | None = None
    oom_killed: bool | None = None
    health: str | None = None
    boot_id: str | None = None
    started_s: float | None = None
    read_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class LogFact:
    """The last lines of the node's log."""

    tail: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PartitionFact:
    """One partition as a witness sees it; `leader` -1: none; `reassigning`: replicas are moved.

    `elr`: of a partition without leader, who may lead it without loss though not in the ISR.
    """

    id: int
    replicas: tuple[str, ...] | None = None
    isr: tuple[str, ...] | None = None
    leader: str | None = None
    reassigning: bool | None = None
    elr: tuple[str, ...] | None = None


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
    """A controller's answer about the quorum. Only the leader knows; others leave the rest None.

    A ZooKeeper member's answer about its ensemble: `mode` (leader, follower, observer,
    standalone), `leader` only of itself, and then `synced`: how many followers it counts as synced.
    """

    leader: str | None = None
    epoch: int | None = None
    fetch_timeout_ms: int | None = None
    now_ms: int | None = None
    voters: tuple[VoterFact, ...] | None = None
    observers: tuple[str, ...] | None = None
    mode: str | None = None
    synced: int | None = None


@dataclass(frozen=True, slots=True)
class JvmFact:
    """What the JVM says: BrokerState (3 = running), logs and segments still to be recovered.

    `idle`: RequestHandlerAvgIdlePercent (may exceed 1); `applied_lag_ms`: how far the applied
    metadata lag behind; `session`: SessionState of ZooKeeper mode; `heap`: part of the heap in use.
    """

    broker_state: int | None = None
    remaining_logs: int | None = None
    remaining_segments: int | None = None
    offline_log_dirs: int | None = None
    raft_state: str | None = None
    raft_leader: str | None = None
    active_controller: bool | None = None
    under_replicated: int | None = None
    offline_partitions: int | None = None
    metadata_errors: int | None = None
    applied_lag_ms: float | None = None
    idle: float | None = None
    request_queue: int | None = None
    open_files: int | None = None
    max_files: int | None = None
    heap: float | None = None
    session: str | None = None


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
class ReachFact:
    """Whether a TCP connection from this host to another node's quorum port opens."""

    node: str
    open: bool | None = None


@dataclass(frozen=True, slots=True)
class HostFact:
    """The host: can it be reached, its disks, the data directories on it.

    `clock_offset_s`: its UTC minus ours; `uptime_s`: seconds since its boot. `reaches`: the
    controllers, or members of the ensemble, that it reaches; asked only of a node in doubt.
    """

    reachable: bool | None = None
    ping: bool | None = None
    boot_id: str | None = None
    uptime_s: float | None = None
    clock_offset_s: float | None = None
    disks: tuple[DiskFact, ...] | None = None
    data_dirs: tuple[DataDirFact, ...] | None = None
    reaches: tuple[ReachFact, ...] | None = None


@dataclass(frozen=True, slots=True)
class ProtocolFact:
    """The node answered its own protocol; the fields are ZooKeeper's.

    `refused`: four-letter words that its whitelist does not have; `registered`: the broker ids
    below /brokers/ids; `latency_ms`, `outstanding`, `fsync_ms`: of mntr.
    """

    ruok: bool | None = None
    mode: str | None = None
    serving: bool | None = None
    version: str | None = None
    synced: int | None = None
    latency_ms: float | None = None
    outstanding: int | None = None
    fsync_ms: float | None = None
    open_files: int | None = None
    max_files: int | None = None
    refused: tuple[str, ...] | None = None
    registered: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ListenerCertificate:
    """The certificate that one listener serves. `not_after`: UTC seconds; `days_left` may be < 0.

    `problem` says in words what a client would refuse it for; "": nothing. None: not known.
    """

    listener: str
    address: str
    subject: str | None = None
    issuer: str | None = None
    not_after: float | None = None
    days_left: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class CertificateFact:
    """The certificates of all TLS listeners of a node that are configured.

    `own`: those of our own files that we show to them; the node's health does not hang on them.
    """

    listeners: tuple[ListenerCertificate, ...] | None = None
    own: tuple[ListenerCertificate, ...] | None = None


@dataclass(frozen=True, slots=True)
class CanaryFact:
    """A record went through a partition that the broker leads; times in milliseconds.

    `partition` None: it leads none of the canary's, so nothing could be tried.
    """

    topic: str | None = None
    partition: int | None = None
    produce_ms: float | None = None
    consume_ms: float | None = None


class ProbeState(StrEnum):
    """Nagios' four words for the outcome of a check of the operator's own."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class MetricFact:
    """One number of a check's performance data."""

    name: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class CustomFact:
    """What a check of the operator's own says. `metrics`: performance data by name.

    `stands_for`: the kind of evidence that the configuration names it for; None: it alerts only.
    """

    state: ProbeState | None = None
    text: str | None = None
    metrics: tuple[MetricFact, ...] | None = None
    stands_for: Kind | None = None


Fact = (
    ServiceFact
    | LogFact
    | PeersFact
    | QuorumFact
    | JvmFact
    | HostFact
    | ProtocolFact
    | CertificateFact
    | CanaryFact
    | CustomFact
)

FACT_TYPE: dict[Kind, type[Fact]] = {
    Kind.SERVICE: ServiceFact,
    Kind.LOG: LogFact,
    Kind.PEERS: PeersFact,
    Kind.QUORUM: QuorumFact,
    Kind.JVM: JvmFact,
    Kind.HOST: HostFact,
    Kind.PROTOCOL: ProtocolFact,
    Kind.CERTIFICATE: CertificateFact,
    Kind.CANARY: CanaryFact,
    Kind.CUSTOM: CustomFact,
}

HEALER = "healer"
"""The observer of a look that is our own."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One look: who looked (`healer` or the node that was asked), at whom, how, and what it saw.

    `subject` is a node id, or the cluster's name for kinds that speak of the whole cluster.
    `started` and `ended` are seconds of the boot clock. `error` says in words why there is no fact.
    `name`: of CUSTOM, which check it was; a node may have several.
    """

    observer: str
    subject: str
    kind: Kind
    outcome: Outcome
    started: float
    ended: float
    fact: Fact | None = None
    error: str = ""
    name: str = ""
