"""What the judge keeps: the journal as it reads it, and the invariants that were broken."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kafka_self_healing.model.control import Switch
from kafka_self_healing.model.event import Decided
from kafka_self_healing.model.incident import Incident
from kafka_self_healing.model.recovery import RecoveryRequest


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken invariant."""

    code: str
    at_s: float
    text: str


@dataclass(slots=True)
class Record:
    """What the journal says so far, read without the mind."""

    incidents: dict[str, Incident] = field(default_factory=dict)
    requests: dict[str, RecoveryRequest] = field(default_factory=dict)
    state_seen: dict[str, float] = field(default_factory=dict)
    answers: dict[str, Decided] = field(default_factory=dict)
    told: dict[str, list[float]] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    switches: list[Switch] = field(default_factory=list)
    acknowledged: dict[str, float] = field(default_factory=dict)
    latch: str = ""
