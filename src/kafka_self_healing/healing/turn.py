"""`Turn`: the working sheet of one step. What it records is folded into memory at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from kafka_self_healing.healing.memory import Memory, fold_one
from kafka_self_healing.healing.view import View
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.decision import Decision, Look
from kafka_self_healing.model.event import Event, IncidentChanged, RequestChanged
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import Incident
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.model.recovery import RecoveryRequest

STORY_KEPT = 60
"""Lines of a story: how it began, and the latest ones."""

LEAST_WAIT_S = 0.1


@dataclass(slots=True)
class Turn:
    """Collects what one step says; `memory` is always up to date with `events`."""

    memory: Memory
    view: View
    policy: Policy
    now: Instant
    events: list[Event] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    wake_s: float = 0.0

    def record(self, event: Event) -> None:
        """Write an event down and let memory follow."""
        self.events.append(event)
        self.memory = fold_one(self.memory, event)

    def new_id(self, prefix: str) -> str:
        """Return the next id; it is taken once something with it is recorded."""
        return f"{prefix}-{self.memory.counter + 1}"

    def change(self, incident: Incident, line: str, **changes: Any) -> Incident:
        """Change an incident and add a sentence to its story."""
        return self.note(incident, line, changed=self.now, **changes)

    def note(self, incident: Incident, line: str, **changes: Any) -> Incident:
        """Add a sentence to the story of an incident that stands as it stood."""
        told = f"{stamp(self.now, incident.opened)} {line}"
        story = (*incident.story[:1], *incident.story[1:][2 - STORY_KEPT :], told)
        incident = replace(incident, story=story, **changes)
        self.record(IncidentChanged(self.now, incident, line))
        return incident

    def move(self, request: RecoveryRequest, **changes: Any) -> RecoveryRequest:
        """Bring a request into its next state."""
        request = replace(request, **changes)
        self.record(RequestChanged(self.now, request))
        return request

    def look(self, node: str, why: str, kinds: frozenset[Kind] = frozenset(Kind)) -> None:
        """Ask for a fresh look at a node and at what the others say of it."""
        self.looks.append(Look((node,), kinds, why))

    def wake_in(self, seconds: float) -> None:
        """Ask to be woken in so many seconds."""
        self.wake_by(self.now.mono_s + max(seconds, LEAST_WAIT_S))

    def wake_by(self, at: float | None) -> None:
        """Ask to be woken by `at` (boot-clock seconds), not at once: clocks round differently."""
        if at is not None and at > self.now.mono_s:
            self.wake_s = min(self.wake_s, max(at, self.now.mono_s + LEAST_WAIT_S))


def stamp(now: Instant, since: Instant | None = None) -> str:
    """Return the UTC time of day, to the tenth of a second; with the date on another day."""
    at = datetime.fromtimestamp(now.utc_s, tz=UTC)
    text = f"{at:%H:%M:%S}.{at.microsecond // 100000}Z"
    same = since is None or datetime.fromtimestamp(since.utc_s, tz=UTC).date() == at.date()
    return text if same else f"{at:%Y-%m-%d} {text}"
