"""What the healer wrote into its journal, read for the screen and the report, never as proof."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from kafka_self_healing.demo.verdict import Claims
from kafka_self_healing.errors import StorageError
from kafka_self_healing.healing.guards import asked
from kafka_self_healing.model.event import (
    ActFinished,
    Decided,
    Event,
    IncidentChanged,
    IncidentClosed,
    OperatorSaid,
)
from kafka_self_healing.model.incident import EXPECTED, Incident, IncidentState
from kafka_self_healing.model.recovery import act_class
from kafka_self_healing.storage import Journal, open_store

LINE_LENGTH = 150


@dataclass(slots=True)
class Chronicle:
    """Follows the journal of a state folder. `events`: all that was read so far."""

    state_dir: Path
    cluster: str
    events: list[Event] = field(default_factory=list)
    _last: int = 0

    def news(self) -> list[Event]:
        """Return what was written since the last call; nothing while there is no journal yet."""
        fresh: list[Event] = []
        try:
            with closing(open_store(self.state_dir, read_only=True)) as store:
                for entry in Journal(store, self.cluster).entries(after=self._last):
                    fresh.append(entry.event)
                    self._last = entry.seq
        except StorageError:
            # The daemon is just making it, or is writing: what is there is read the next time.
            return []
        self.events += fresh
        return fresh

    def since(self, boot_s: float) -> list[Event]:
        """Return the events from that boot-clock second on."""
        return [event for event in self.events if event.at.mono_s >= boot_s]


def claims_of(events: Iterable[Event], recovery: Sequence[str] = ()) -> Claims:
    """Return what the healer said in these events."""
    conditions: set[tuple[str, str]] = set()
    closed: list[tuple[str, str]] = []
    reasons: dict[str, set[str]] = {"observe": set(), "paused": set()}
    still_open: dict[str, Incident] = {}
    for event in events:
        if isinstance(event, IncidentChanged):
            conditions.add((event.incident.subject, event.incident.condition.value))
            still_open[event.incident.id] = event.incident
        elif isinstance(event, IncidentClosed):
            closed.append((event.incident.subject, event.how))
            still_open.pop(event.incident.id, None)
        elif isinstance(event, Decided):
            for reason in event.reasons:
                reasons.get(reason.reason, set()).add(event.node)
    return Claims(
        frozenset(conditions),
        tuple(closed),
        frozenset(reasons["observe"]),
        frozenset(reasons["paused"]),
        tuple(recovery),
        tuple(f"{one.id} {one.condition} of {one.subject}" for one in still_open.values()),
    )


def line_of(event: Event) -> str | None:
    """Return an event in words for the timeline; None for what only repeats another one."""
    match event:
        case IncidentChanged(incident=incident, what=what):
            return _short(f"{incident.id} (node {', '.join(incident.nodes) or '-'}) {what}")
        case OperatorSaid(command=command):
            return f"{command.order} by {command.by}: {command.reason or '-'}"
        case _:
            return None


def _short(text: str) -> str:
    """Cut a long line: the whole of it is in the report, the mails and the journal."""
    return text if len(text) <= LINE_LENGTH else text[: LINE_LENGTH - 1] + "…"


@dataclass(frozen=True, slots=True)
class Milestones:
    """Boot-clock seconds at which the healer says it came so far with one node.

    `diagnosed`: a failure was confirmed; that a node starts or shuts down is none.
    """

    suspected: float | None = None
    diagnosed: float | None = None
    decided: float | None = None
    acted: float | None = None
    serving: float | None = None
    in_sync: float | None = None
    healed: float | None = None


def milestones(events: Iterable[Event], node: str, after: float) -> Milestones:
    """Return when the first incident of `node` after that second came how far."""
    first: dict[str, float] = {}
    incident_id: str | None = None
    for event in events:
        at = event.at.mono_s
        if at < after:
            continue
        if isinstance(event, IncidentChanged | IncidentClosed) and event.incident.subject == node:
            incident_id = incident_id or event.incident.id
            if event.incident.id == incident_id:
                _note(first, event, at)
        elif isinstance(event, Decided) and event.node == node and event.answer.value == "act":
            first.setdefault("decided", at)
        elif isinstance(event, ActFinished) and event.result.node == node:
            first.setdefault("acted", at)
    return Milestones(**first)


def _note(first: dict[str, float], event: IncidentChanged | IncidentClosed, at: float) -> None:
    incident = event.incident
    first.setdefault("suspected", at)
    if incident.state is not IncidentState.SUSPECTED and incident.condition not in EXPECTED:
        first.setdefault("diagnosed", at)
    # The last word counts for these two: a node may fall out again before it is back for good.
    for name, moment in (("serving", incident.serving), ("in_sync", incident.in_sync)):
        if moment is not None:
            first[name] = moment.mono_s
        else:
            first.pop(name, None)
    if isinstance(event, IncidentClosed) and event.how == "healed":
        first.setdefault("healed", at)


@dataclass(frozen=True, slots=True)
class DecisionStory:
    """One decision: when (boot-clock seconds), what, the evidence, and what the guards said."""

    at: float
    title: str
    evidence: tuple[str, ...]
    objections: tuple[str, ...]
    agreed: tuple[str, ...]


def decisions(events: Iterable[Event]) -> list[DecisionStory]:
    """Return every decision with the evidence of its incident at that time and all guards."""
    evidence: dict[str, tuple[str, ...]] = {}
    found: list[DecisionStory] = []
    for event in events:
        if isinstance(event, IncidentChanged):
            evidence[event.incident.id] = event.incident.evidence
        elif isinstance(event, Decided):
            spoke = {reason.guard for reason in event.reasons if not reason.allowed}
            guards = [row.name for row in asked(act_class(event.action))]
            found.append(
                DecisionStory(
                    event.at.mono_s,
                    f"{event.answer.value.upper()}: {event.action} on node {event.node}"
                    f" for {event.condition}, attempt {event.attempt}",
                    evidence.get(event.incident, ()),
                    tuple(
                        f"{reason.guard}: {reason.text}"
                        + (f" (lifted by: {reason.lifted_by})" if reason.lifted_by else "")
                        for reason in event.reasons
                    ),
                    tuple(name for name in guards if name not in spoke),
                )
            )
    return found
