"""The digest: what is remembered of a day, and how it is told once a day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.decision import Answer
from kafka_self_healing.model.event import HEALED, MERGED, Decided, IncidentClosed
from kafka_self_healing.model.incident import Condition, Incident, Reply, reply

DAY_S = 24 * 3600.0
KEPT = 100
"""Lines of one sort that are kept for the digest; what is beyond them is counted."""


@dataclass(frozen=True, slots=True)
class Over:
    """An incident that is over: what, of which nodes, how it ended, after how many acts."""

    at: Instant
    condition: Condition
    nodes: tuple[str, ...]
    how: str
    acts: int


@dataclass(frozen=True, slots=True)
class Day:
    """What happened since the latest digest.

    `over`: the confirmed incidents that ended; `refused`: by act and node, how often the reasons
    against it changed, and the latest ones; `left_out`: what was too much to keep.
    """

    over: tuple[Over, ...] = ()
    refused: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    left_out: int = 0


def after_decision(day: Day, event: Decided) -> Day:
    """Return the day after a decision: a refusal is kept."""
    if event.answer is not Answer.REFUSE:
        return day
    key = f"{event.action} of node {event.node}"
    if key not in day.refused and len(day.refused) >= KEPT:
        return replace(day, left_out=day.left_out + 1)
    why = "; ".join(verdict.text for verdict in event.reasons if verdict.blocking)
    count = day.refused.get(key, (0, ""))[0] + 1
    return replace(day, refused={**day.refused, key: (count, why)})


def after_end(day: Day, event: IncidentClosed) -> Day:
    """Return the day after the end of an incident; what was only suspected is nobody's news."""
    incident = event.incident
    what = incident.cause or incident.condition
    if incident.confirmed is None or reply(what) is Reply.LEAVE or event.how == MERGED:
        return day
    if len(day.over) >= KEPT:
        return replace(day, left_out=day.left_out + 1)
    over = Over(event.at, what, incident.nodes, event.how, len(incident.acts))
    return replace(day, over=(*day.over, over))


def due(digested: Instant | None, hour: int, now: Instant) -> bool:
    """Whether the digest of a day is due: its hour (UTC) has come since the latest one.

    Not in the first hour of the first daemon: it has nothing to tell yet. Without a daemon (in a
    replay) there is none.
    """
    if digested is None:
        return False
    today = now.utc_s - now.utc_s % DAY_S + hour * 3600.0
    latest = today if now.utc_s >= today else today - DAY_S
    return digested.utc_s < latest and now.utc_s - digested.utc_s >= 3600.0


def title(incidents: Iterable[Incident], day: Day) -> str:
    """Say the day in one line."""
    calls = [one for one in incidents if _is_open(one)]
    healed = sum(over.how == HEALED for over in day.over)
    people = sum(bool(one.escalation) for one in calls)
    return (
        f"{len(calls)} open ({people} need a person), {healed} healed,"
        f" {len(day.over) - healed} over by themselves, {len(day.refused)} acts refused"
    )


def lines(incidents: Iterable[Incident], day: Day, now: Instant) -> tuple[str, ...]:
    """Return the digest, a sentence a line: open, noted, over, refused."""
    known = list(incidents)
    told = [f"open: {_open_words(one, now)}" for one in known if _is_open(one)]
    told += [f"noted: {_open_words(one, now)}" for one in known if _is_note(one)]
    told += [f"{over.how}: {_over_words(over)}" for over in day.over]
    for what, (count, why) in day.refused.items():
        times = f" ({count} times for changing reasons)" if count > 1 else ""
        told.append(f"refused: {what}{times}: {why}")
    if day.left_out:
        told.append(f"and {day.left_out} more that are not listed")
    return tuple(told)


def _is_note(incident: Incident) -> bool:
    return incident.confirmed is not None and reply(incident.condition) is Reply.NOTE


def _is_open(incident: Incident) -> bool:
    quiet = {Reply.NOTE, Reply.LEAVE}
    what = incident.cause or incident.condition
    return incident.confirmed is not None and reply(what) not in quiet


def _open_words(incident: Incident, now: Instant) -> str:
    words = f"{incident.id}: {incident.condition} of {where(incident.nodes)}"
    words += f", for {lasting(now.since(incident.opened))}"
    if incident.acknowledged_by:
        return f"{words}, taken by {incident.acknowledged_by}"
    if incident.escalation:
        return f"{words}, needs a person: {incident.escalation}"
    return words


def _over_words(over: Over) -> str:
    at = datetime.fromtimestamp(over.at.utc_s, tz=UTC)
    acts = f"after {over.acts} act(s)" if over.acts else "without an act"
    return f"{over.condition} of {where(over.nodes)} {acts}, at {at:%Y-%m-%d %H:%M:%S}Z"


def where(nodes: tuple[str, ...]) -> str:
    """Name the nodes of a trouble."""
    if not nodes:
        return "the cluster"
    return f"node {nodes[0]}" if len(nodes) == 1 else f"nodes {', '.join(nodes)}"


def lasting(seconds: float) -> str:
    """Say a duration in the unit that fits."""
    for unit, size in (("days", DAY_S), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
