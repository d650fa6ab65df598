"""What is wrong: the closed set of named situations, and an incident from opening to end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.evidence import Family


class Condition(StrEnum):
    """Named situations; docs/conditions.md has one section for each."""

    QUORUM_LOST = "QUORUM_LOST"
    ENSEMBLE_QUORUM_LOST = "ENSEMBLE_QUORUM_LOST"
    MASS_FAILURE = "MASS_FAILURE"
    VIEWPOINT_LOST = "VIEWPOINT_LOST"
    PROCESS_GONE = "PROCESS_GONE"
    PROCESS_HUNG = "PROCESS_HUNG"
    STORAGE_HUNG = "STORAGE_HUNG"
    TERMINATED = "TERMINATED"
    STOPPED_BY_OPERATOR = "STOPPED_BY_OPERATOR"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    RECOVERING_LOGS = "RECOVERING_LOGS"
    STARTING = "STARTING"
    UNDER_REPLICATED = "UNDER_REPLICATED"
    PROBE_MISCONFIGURED = "PROBE_MISCONFIGURED"
    FLAPPING = "FLAPPING"
    UNDIAGNOSED = "UNDIAGNOSED"


HEALABLE = frozenset({Condition.PROCESS_GONE, Condition.TERMINATED, Condition.PROCESS_HUNG})
"""Conditions that ask for an act; all others wait, or page a person."""

EXPECTED = frozenset({Condition.STARTING, Condition.RECOVERING_LOGS, Condition.SHUTTING_DOWN})
"""Conditions that are no failure while they make progress."""


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
    failure; the present one may be a start. `story`: what happened, a sentence a
    line, the latest 60 kept. `acknowledged_by`: who took it over.
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
    told: bool = False
    cause: Condition | None = None
    acknowledged_by: str = ""
    acts: tuple[str, ...] = ()
    onset_before_us: bool = False
    story: tuple[str, ...] = ()
