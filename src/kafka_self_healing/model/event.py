"""What is written down. Memory is exactly the fold of these events, in their order."""

from __future__ import annotations

from dataclasses import dataclass

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.control import ApprovalRequest, OperatorCommand
from kafka_self_healing.model.decision import Answer, Verdict
from kafka_self_healing.model.incident import Incident
from kafka_self_healing.model.notification import Notice
from kafka_self_healing.model.plan import ColdStart
from kafka_self_healing.model.recovery import RecoveryRequest, RecoveryResult


@dataclass(frozen=True, slots=True)
class DaemonStarted:
    """A daemon began: what was executing before it is unknown now."""

    at: Instant
    version: str
    mode: str
    run: str


@dataclass(frozen=True, slots=True)
class DaemonStopped:
    """A daemon ended in good order."""

    at: Instant
    reason: str


@dataclass(frozen=True, slots=True)
class ConfigLoaded:
    """A configuration came into force at a reload, or was refused (`error`)."""

    at: Instant
    source: str
    mode: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class NodesSeen:
    """These nodes were seen alive for the first time, by us or by the cluster."""

    at: Instant
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InSync:
    """The last known in-sync replicas of a partition that is not whole; None: whole again."""

    topic: str
    partition: int
    isr: tuple[str, ...] | None
    unclean_election: bool | None = None


@dataclass(frozen=True, slots=True)
class InSyncChanged:
    """Partitions lost or regained in-sync replicas."""

    at: Instant
    changes: tuple[InSync, ...]


@dataclass(frozen=True, slots=True)
class IncidentChanged:
    """An incident was opened or changed; it is given as it stands now."""

    at: Instant
    incident: Incident
    what: str


HEALED, CLEARED, MERGED = "healed", "cleared", "merged"


@dataclass(frozen=True, slots=True)
class IncidentClosed:
    """An incident is over, `how`: HEALED by us, CLEARED without us, or MERGED into another one."""

    at: Instant
    incident: Incident
    how: str


@dataclass(frozen=True, slots=True)
class RequestChanged:
    """A request was proposed or went on; EXECUTING is the intent, written before the act."""

    at: Instant
    request: RecoveryRequest


@dataclass(frozen=True, slots=True)
class ActFinished:
    """The hands are done with an act."""

    at: Instant
    result: RecoveryResult


@dataclass(frozen=True, slots=True)
class Decided:
    """The set of reasons for or against an act changed."""

    at: Instant
    incident: str
    node: str
    action: str
    condition: str
    rung: int
    attempt: int
    answer: Answer
    reasons: tuple[Verdict, ...]
    until: float | None = None


@dataclass(frozen=True, slots=True)
class StormChanged:
    """Many nodes went dark or silent together, or none has joined them for long enough."""

    at: Instant
    active: bool
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LatchLifted:
    """A cluster latched by a restart that did not come back may be restarted again."""

    at: Instant
    why: str


@dataclass(frozen=True, slots=True)
class OperatorSaid:
    """An operator's command took effect."""

    at: Instant
    command: OperatorCommand


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """A person was asked to approve an act or a plan."""

    at: Instant
    request: ApprovalRequest


@dataclass(frozen=True, slots=True)
class PlanChanged:
    """A plan was proposed, approved, went on, or ended; it is given as it stands now."""

    at: Instant
    plan: ColdStart


@dataclass(frozen=True, slots=True)
class Told:
    """A notice was put into the outbox."""

    at: Instant
    notice: Notice


@dataclass(frozen=True, slots=True)
class DeliveryTried:
    """A notification was sent, failed, or was given up."""

    at: Instant
    notification: str
    channel: str
    outcome: str
    attempt: int
    error: str = ""


Event = (
    DaemonStarted
    | DaemonStopped
    | ConfigLoaded
    | NodesSeen
    | InSyncChanged
    | IncidentChanged
    | IncidentClosed
    | RequestChanged
    | ActFinished
    | Decided
    | StormChanged
    | LatchLifted
    | OperatorSaid
    | ApprovalAsked
    | PlanChanged
    | Told
    | DeliveryTried
)

EVENT_TYPES: dict[str, type[Event]] = {
    cls.__name__: cls
    for cls in (
        DaemonStarted,
        DaemonStopped,
        ConfigLoaded,
        NodesSeen,
        InSyncChanged,
        IncidentChanged,
        IncidentClosed,
        RequestChanged,
        ActFinished,
        Decided,
        StormChanged,
        LatchLifted,
        OperatorSaid,
        ApprovalAsked,
        PlanChanged,
        Told,
        DeliveryTried,
    )
}
