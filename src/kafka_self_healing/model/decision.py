"""What was decided and why: verdicts of guards, decisions, and requests for a closer look."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.recovery import RecoveryRequest

NEVER = "never"


class Reason(StrEnum):
    """Why a guard refuses, or what it tells though it permits; docs/guards.md explains each."""

    NOTHING = "nothing"
    PAUSED = "paused"
    IN_MAINTENANCE = "in_maintenance"
    NO_LEASE = "no_lease"
    NOT_COMMISSIONED = "not_commissioned"
    OBSERVE = "observe"
    NEEDS_APPROVAL = "needs_approval"
    APPROVED = "approved"
    WARMING_UP = "warming_up"
    CLOCK_STEPPED = "clock_stepped"
    STALE = "stale"
    VIEWPOINT_LOST = "viewpoint_lost"
    STORM = "storm"
    NOTHING_WRONG = "nothing_wrong"
    ONE_FAMILY = "one_family"
    UNRESOLVED_ACT = "unresolved_act"
    SLOT_TAKEN = "slot_taken"
    SLOT_UNKNOWN = "slot_unknown"
    VERIFYING = "verifying"
    FIRST_ONE_FIRST = "first_one_first"
    FIRST_ONE_DIED = "first_one_died"
    RESTART_SPACING = "restart_spacing"
    SERVICE_UNREADABLE = "service_unreadable"
    WORK_UNREADABLE = "work_unreadable"
    UNIT_JOB = "unit_job"
    HOST_LOCK = "host_lock"
    STOPPING = "stopping"
    STOP_UNREADABLE = "stop_unreadable"
    STOP_REQUESTED = "stop_requested"
    UNIT_UNREADABLE = "unit_unreadable"
    MASKED = "masked"
    DEBUGGER = "debugger"
    TRACER_UNREADABLE = "tracer_unreadable"
    STATE_UNREADABLE = "state_unreadable"
    REASSIGNMENT = "reassignment"
    DATA_DIRS_NOT_WATCHED = "data_dirs_not_watched"
    DATA_DIRS_UNREADABLE = "data_dirs_unreadable"
    STORAGE_MISSING = "storage_missing"
    DISK_FULL = "disk_full"
    STILL_REGISTERED = "still_registered"
    RELEASE_NOT_SEEN = "release_not_seen"
    DUPLICATE_ID = "duplicate_id"
    PLAN_ORDER = "plan_order"
    VOTERS_FIRST = "voters_first"
    LAST_IN_SYNC_FIRST = "last_in_sync_first"
    LAST_IN_SYNC_DOWN = "last_in_sync_down"
    IN_SYNC_UNKNOWN = "in_sync_unknown"
    QUORUM_LOST = "quorum_lost"
    QUORUM_UNKNOWN = "quorum_unknown"
    QUORUM_UNREADABLE = "quorum_unreadable"
    VOTERS_DIFFER = "voters_differ"
    QUORUM_AT_RISK = "quorum_at_risk"
    SMALL_QUORUM = "small_quorum"
    REPLICAS_AT_RISK = "replicas_at_risk"
    EXEMPT_TOPICS = "exempt_topics"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_PROBLEM = "certificate_problem"
    CERTIFICATE_UNREADABLE = "certificate_unreadable"
    OTHERS_SICK = "others_sick"
    SMALL_GROUP = "small_group"
    LATCHED = "latched"
    CONTROLLER_LAST = "controller_last"
    ANTI_FLAP = "anti_flap"
    BACKOFF = "backoff"
    NODE_BUDGET = "node_budget"
    CLUSTER_BUDGET = "cluster_budget"
    FLEET_BUDGET = "fleet_budget"
    OUT_OF_RUNGS = "out_of_rungs"
    DIED_YOUNG = "died_young"
    NEVER_ANSWERED = "never_answered"
    NOT_CONFIRMED = "not_confirmed"
    LOOK_AGAIN = "look_again"
    GUARD_FAILED = "guard_failed"


class Nature(StrEnum):
    """What a refusal calls for.

    CHOSEN: somebody wanted it so; it is told with the failure, not as an escalation. QUEUED: it
    ends with what goes on elsewhere; a person is called only when it stands long. FINAL: only a
    person changes it: called at once. USUAL: a person is called when it stands for a moment.
    """

    CHOSEN = "chosen"
    QUEUED = "queued"
    FINAL = "final"
    USUAL = "usual"


def nature(reason: Reason) -> Nature:
    """Return what a refusal for this reason calls for. mypy proves that none is forgotten."""
    match reason:
        case (
            Reason.OBSERVE
            | Reason.PAUSED
            | Reason.IN_MAINTENANCE
            | Reason.NO_LEASE
            | Reason.NEEDS_APPROVAL
        ):
            return Nature.CHOSEN
        case (
            Reason.SLOT_TAKEN
            | Reason.SLOT_UNKNOWN
            | Reason.VERIFYING
            | Reason.FIRST_ONE_FIRST
            | Reason.UNRESOLVED_ACT
            | Reason.PLAN_ORDER
            | Reason.VOTERS_FIRST
            | Reason.LAST_IN_SYNC_FIRST
            | Reason.CONTROLLER_LAST
            | Reason.LOOK_AGAIN
        ):
            return Nature.QUEUED
        case (
            Reason.OUT_OF_RUNGS
            | Reason.DIED_YOUNG
            | Reason.NEVER_ANSWERED
            | Reason.DISK_FULL
            | Reason.DUPLICATE_ID
        ):
            return Nature.FINAL
        case (
            Reason.NOTHING
            | Reason.NOT_COMMISSIONED
            | Reason.APPROVED
            | Reason.WARMING_UP
            | Reason.CLOCK_STEPPED
            | Reason.STALE
            | Reason.VIEWPOINT_LOST
            | Reason.STORM
            | Reason.NOTHING_WRONG
            | Reason.ONE_FAMILY
            | Reason.FIRST_ONE_DIED
            | Reason.RESTART_SPACING
            | Reason.SERVICE_UNREADABLE
            | Reason.WORK_UNREADABLE
            | Reason.UNIT_JOB
            | Reason.HOST_LOCK
            | Reason.STOPPING
            | Reason.STOP_UNREADABLE
            | Reason.STOP_REQUESTED
            | Reason.UNIT_UNREADABLE
            | Reason.MASKED
            | Reason.DEBUGGER
            | Reason.TRACER_UNREADABLE
            | Reason.STATE_UNREADABLE
            | Reason.REASSIGNMENT
            | Reason.DATA_DIRS_NOT_WATCHED
            | Reason.DATA_DIRS_UNREADABLE
            | Reason.STORAGE_MISSING
            | Reason.STILL_REGISTERED
            | Reason.RELEASE_NOT_SEEN
            | Reason.LAST_IN_SYNC_DOWN
            | Reason.IN_SYNC_UNKNOWN
            | Reason.QUORUM_LOST
            | Reason.QUORUM_UNKNOWN
            | Reason.QUORUM_UNREADABLE
            | Reason.VOTERS_DIFFER
            | Reason.QUORUM_AT_RISK
            | Reason.SMALL_QUORUM
            | Reason.REPLICAS_AT_RISK
            | Reason.EXEMPT_TOPICS
            | Reason.CERTIFICATE_EXPIRED
            | Reason.CERTIFICATE_PROBLEM
            | Reason.CERTIFICATE_UNREADABLE
            | Reason.OTHERS_SICK
            | Reason.SMALL_GROUP
            | Reason.LATCHED
            | Reason.ANTI_FLAP
            | Reason.BACKOFF
            | Reason.NODE_BUDGET
            | Reason.CLUSTER_BUDGET
            | Reason.FLEET_BUDGET
            | Reason.NOT_CONFIRMED
            | Reason.GUARD_FAILED
        ):
            return Nature.USUAL


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one guard says of one request.

    `blocking` verdicts refuse; `reported` ones permit but are told. `until` is the boot-clock
    second at which waiting alone may change it. `lifted_by` names what else does.
    """

    guard: str
    allowed: bool
    reason: Reason = Reason.NOTHING
    text: str = ""
    reported: bool = False
    lifted_by: str = ""
    until: float | None = None

    @property
    def blocking(self) -> bool:
        """Whether it stands in the way."""
        return not self.allowed


class Answer(StrEnum):
    """The three decisions."""

    ACT = "act"
    WAIT = "wait"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Decision:
    """Act, wait (until), or refuse: with all reasons. `request` is the act in question."""

    answer: Answer
    request: RecoveryRequest
    reasons: tuple[Verdict, ...] = ()
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """Ask the eyes for a fresh look at these nodes now.

    `reach`: for a while, ask their hosts too whether they reach the quorum's ports.
    """

    nodes: tuple[str, ...]
    kinds: frozenset[Kind]
    why: str
    reach: bool = False
