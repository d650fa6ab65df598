"""What is wrong: the closed set of named situations, and an incident from opening to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.evidence import Family
from kafka_self_healing.model.notification import NoticeKind


class Condition(StrEnum):
    """Named situations; docs/conditions.md has one section for each."""

    # of the whole cluster
    QUORUM_LOST = "QUORUM_LOST"
    ENSEMBLE_QUORUM_LOST = "ENSEMBLE_QUORUM_LOST"
    MASS_FAILURE = "MASS_FAILURE"
    VIEWPOINT_LOST = "VIEWPOINT_LOST"
    CONTROLLER_MISSING = "CONTROLLER_MISSING"
    PARTITIONS_OFFLINE = "PARTITIONS_OFFLINE"
    UNDER_REPLICATED = "UNDER_REPLICATED"
    REASSIGNMENT_RUNNING = "REASSIGNMENT_RUNNING"
    # of a process that has ended
    PROCESS_GONE = "PROCESS_GONE"
    KILLED_BY_KERNEL = "KILLED_BY_KERNEL"
    TERMINATED = "TERMINATED"
    STOPPED_BY_OPERATOR = "STOPPED_BY_OPERATOR"
    UNIT_ABSENT = "UNIT_ABSENT"
    NOT_COMMISSIONED = "NOT_COMMISSIONED"
    NO_QUORUM_YET = "NO_QUORUM_YET"
    START_LIMIT_HIT = "START_LIMIT_HIT"
    CRASH_LOOP = "CRASH_LOOP"
    CONFIG_BROKEN = "CONFIG_BROKEN"
    PORT_TAKEN = "PORT_TAKEN"
    WRONG_IDENTITY = "WRONG_IDENTITY"
    DUPLICATE_ID = "DUPLICATE_ID"
    # of a process on its way
    SHUTTING_DOWN = "SHUTTING_DOWN"
    STARTING = "STARTING"
    RECOVERING_LOGS = "RECOVERING_LOGS"
    RECOVERY_STALLED = "RECOVERY_STALLED"
    # of a process that runs and is not well
    PROCESS_HUNG = "PROCESS_HUNG"
    SESSION_LOST = "SESSION_LOST"
    SERVING_NOT_COUNTED = "SERVING_NOT_COUNTED"
    COUNTED_NOT_SERVING = "COUNTED_NOT_SERVING"
    CONTROLLER_WEDGED = "CONTROLLER_WEDGED"
    HEAP_EXHAUSTED = "HEAP_EXHAUSTED"
    INTER_BROKER_AUTH_BROKEN = "INTER_BROKER_AUTH_BROKEN"
    FLAPPING = "FLAPPING"
    UNDIAGNOSED = "UNDIAGNOSED"
    # of its storage
    STORAGE_HUNG = "STORAGE_HUNG"
    STORAGE_LOST = "STORAGE_LOST"
    STORAGE_MISSING = "STORAGE_MISSING"
    DISK_FULL = "DISK_FULL"
    DISK_FILLING = "DISK_FILLING"
    LOG_DIR_FAILED = "LOG_DIR_FAILED"
    # of its host and of the ways to it
    HOST_DOWN = "HOST_DOWN"
    HOST_FROZEN = "HOST_FROZEN"
    PARTITIONED = "PARTITIONED"
    # beside whatever else a node has
    OVERLOADED = "OVERLOADED"
    DESCRIPTORS_EXHAUSTED = "DESCRIPTORS_EXHAUSTED"
    METADATA_ERRORS = "METADATA_ERRORS"
    ENSEMBLE_DEGRADED = "ENSEMBLE_DEGRADED"
    CERTIFICATE_EXPIRING = "CERTIFICATE_EXPIRING"
    CERTIFICATE_EXPIRED = "CERTIFICATE_EXPIRED"
    JMX_UNREACHABLE = "JMX_UNREACHABLE"
    PROBE_MISCONFIGURED = "PROBE_MISCONFIGURED"
    CHECK_FAILED = "CHECK_FAILED"


class Reply(StrEnum):
    """What the healer answers a confirmed condition with.

    START, RESTART: its ladder, as far as the guards permit. LEAVE: nothing, it is no failure.
    HANDS_OFF: told, nothing else. WATCH: told, and a person is called when it lasts. PAGE: a
    person is called at once. NOTE: `explain`, `status` and the digest say it; nobody is called.
    """

    START = "start"
    RESTART = "restart"
    LEAVE = "leave"
    HANDS_OFF = "hands off"
    WATCH = "watch"
    PAGE = "page"
    NOTE = "note"


def reply(condition: Condition) -> Reply:
    """Return the answer to a condition. mypy proves that none is forgotten."""
    match condition:
        case (
            Condition.PROCESS_GONE
            | Condition.KILLED_BY_KERNEL
            | Condition.TERMINATED
            | Condition.START_LIMIT_HIT
        ):
            return Reply.START
        case (
            Condition.PROCESS_HUNG
            | Condition.SESSION_LOST
            | Condition.SERVING_NOT_COUNTED
            | Condition.COUNTED_NOT_SERVING
            | Condition.CONTROLLER_WEDGED
            | Condition.HEAP_EXHAUSTED
        ):
            return Reply.RESTART
        case Condition.STARTING | Condition.RECOVERING_LOGS | Condition.SHUTTING_DOWN:
            return Reply.LEAVE
        case Condition.STOPPED_BY_OPERATOR:
            return Reply.HANDS_OFF
        case (
            Condition.QUORUM_LOST
            | Condition.ENSEMBLE_QUORUM_LOST
            | Condition.CONTROLLER_MISSING
            | Condition.PARTITIONS_OFFLINE
            | Condition.UNDER_REPLICATED
            | Condition.NO_QUORUM_YET
        ):
            return Reply.WATCH
        case (
            Condition.JMX_UNREACHABLE | Condition.NOT_COMMISSIONED | Condition.REASSIGNMENT_RUNNING
        ):
            return Reply.NOTE
        case (
            Condition.MASS_FAILURE
            | Condition.VIEWPOINT_LOST
            | Condition.UNIT_ABSENT
            | Condition.CRASH_LOOP
            | Condition.CONFIG_BROKEN
            | Condition.PORT_TAKEN
            | Condition.WRONG_IDENTITY
            | Condition.DUPLICATE_ID
            | Condition.RECOVERY_STALLED
            | Condition.INTER_BROKER_AUTH_BROKEN
            | Condition.FLAPPING
            | Condition.UNDIAGNOSED
            | Condition.STORAGE_HUNG
            | Condition.STORAGE_LOST
            | Condition.STORAGE_MISSING
            | Condition.DISK_FULL
            | Condition.DISK_FILLING
            | Condition.LOG_DIR_FAILED
            | Condition.HOST_DOWN
            | Condition.HOST_FROZEN
            | Condition.PARTITIONED
            | Condition.OVERLOADED
            | Condition.DESCRIPTORS_EXHAUSTED
            | Condition.METADATA_ERRORS
            | Condition.ENSEMBLE_DEGRADED
            | Condition.CERTIFICATE_EXPIRING
            | Condition.CERTIFICATE_EXPIRED
            | Condition.PROBE_MISCONFIGURED
            | Condition.CHECK_FAILED
        ):
            return Reply.PAGE


class Problem(StrEnum):
    """Classes of conditions that acts answer: attempts and anti-flap are counted for each.

    So an act for one of them never uses up what another needs: a lesser problem never blocks a
    greater one.
    """

    ENDED = "ended"
    START_LIMIT = "start limit"
    SILENT = "silent"
    SERVES_BADLY = "serves badly"
    LEFT_OUT = "left out"
    OTHER = "other"


def problem(condition: Condition) -> Problem:
    """Return the class of a condition."""
    match condition:
        case Condition.PROCESS_GONE | Condition.KILLED_BY_KERNEL | Condition.TERMINATED:
            return Problem.ENDED
        case Condition.START_LIMIT_HIT:
            return Problem.START_LIMIT
        case Condition.PROCESS_HUNG:
            return Problem.SILENT
        case Condition.HEAP_EXHAUSTED | Condition.COUNTED_NOT_SERVING:
            return Problem.SERVES_BADLY
        case Condition.SESSION_LOST | Condition.SERVING_NOT_COUNTED | Condition.CONTROLLER_WEDGED:
            return Problem.LEFT_OUT
        case _:
            return Problem.OTHER


def _answered_with(*replies: Reply) -> frozenset[Condition]:
    return frozenset(condition for condition in Condition if reply(condition) in replies)


HEALABLE = _answered_with(Reply.START, Reply.RESTART)
"""Conditions that ask for an act; all others wait, or page a person."""

EXPECTED = _answered_with(Reply.LEAVE)
"""Conditions that are no failure while they make progress."""

PAGES = _answered_with(Reply.PAGE)
"""Conditions that are told to a person as soon as they are confirmed: no act answers them."""

BESIDE = frozenset(
    {
        Condition.OVERLOADED,
        Condition.DESCRIPTORS_EXHAUSTED,
        Condition.METADATA_ERRORS,
        Condition.ENSEMBLE_DEGRADED,
        Condition.CERTIFICATE_EXPIRING,
        Condition.CERTIFICATE_EXPIRED,
        Condition.DISK_FILLING,
        Condition.LOG_DIR_FAILED,
        Condition.JMX_UNREACHABLE,
        Condition.PROBE_MISCONFIGURED,
        Condition.CHECK_FAILED,
    }
)
"""Conditions of a node that stand beside what else it has, each in an incident of its own."""

CLUSTER_WIDE = (
    Condition.QUORUM_LOST,
    Condition.ENSEMBLE_QUORUM_LOST,
    Condition.MASS_FAILURE,
    Condition.VIEWPOINT_LOST,
)
"""Conditions of the whole cluster that explain troubles of their nodes; the first one counts."""


def beside(node: str, condition: Condition) -> str:
    """Return the subject of the incident of such a condition."""
    return f"{node}/{condition.value}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A condition, the nodes it holds for, and what was seen, in sentences.

    `confirmed` False is a suspicion: look again, tell, never act. `waiting` says what is missing;
    `check_at` is the boot-clock second at which time alone may confirm it.
    """

    condition: Condition
    nodes: tuple[str, ...]
    evidence: tuple[str, ...]
    confirmed: bool
    waiting: str = ""
    families: frozenset[Family] = frozenset()
    check_at: float | None = None


class IncidentState(StrEnum):
    """Where an incident stands."""

    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    ESCALATED = "escalated"


@dataclass(frozen=True, slots=True)
class Incident:
    """One problem of one subject (a node, or the cluster's name) until it is over.

    `onset_before_us`: it was there when we began to look. `cause`: the latest condition that was a
    failure; the present one may be a start. `escalated_as`: how a person was called. `part_of`:
    the incident of the whole cluster that explains it; what is told is told there; `told_in`: it
    was told there, and not by itself. `over`: since when it is known to be over. `facts`: what was
    known of its subject at `facts_at`, in words; `fact_changes`: how often that has changed.
    `story`: what happened, a sentence a line; the first and the latest 59 are kept.
    `acknowledged_by`: who took it over.
    """

    id: str
    subject: str
    condition: Condition
    nodes: tuple[str, ...]
    state: IncidentState
    evidence: tuple[str, ...]
    opened: Instant
    changed: Instant
    confirmed: Instant | None = None
    serving: Instant | None = None
    in_sync: Instant | None = None
    escalation: str = ""
    escalated_as: NoticeKind = NoticeKind.ESCALATION
    part_of: str = ""
    told: bool = False
    told_in: str = ""
    over: Instant | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    facts_at: Instant | None = None
    fact_changes: int = 0
    cause: Condition | None = None
    acknowledged_by: str = ""
    acts: tuple[str, ...] = ()
    onset_before_us: bool = False
    story: tuple[str, ...] = ()
