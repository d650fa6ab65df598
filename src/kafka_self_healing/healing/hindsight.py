"""What the journal says of a node at a past moment: why it was, or was not, being healed. Pure.

Looks are not journalled: what was seen then is known only as far as the incident's story tells it,
and a decision only as of the moment at which its reasons last changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kafka_self_healing.healing.diagnosis.table import TABLE
from kafka_self_healing.healing.digest import lasting
from kafka_self_healing.healing.guards import asked
from kafka_self_healing.healing.memory import Memory, fold_one
from kafka_self_healing.healing.parts import beside_lines
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.codec import to_plain
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.decision import Answer
from kafka_self_healing.model.event import (
    ConfigLoaded,
    DaemonStarted,
    DaemonStopped,
    Decided,
    Event,
    IncidentClosed,
    Told,
)
from kafka_self_healing.model.incident import Incident
from kafka_self_healing.model.notification import Notice
from kafka_self_healing.model.recovery import RecoveryRequest, act_class

NOT_KEPT = (
    "what was seen at that moment (looks are not journalled; the story and the facts are),"
    " and how its guards stood between two changes of their reasons"
)


@dataclass(slots=True)
class _Past:
    """The memory at that moment, and the latest word on the node."""

    memory: Memory
    mode: str = ""
    ended: Instant | None = None
    latest: Event | None = None
    decided: Decided | None = None
    closed: IncidentClosed | None = None
    told: Notice | None = None
    known: bool = False


def explain_at(events: Iterable[Event], cluster: str, node: str, at_utc: float) -> dict[str, Any]:
    """Answer "why was it not healed then?" from the journal of a cluster, oldest event first.

    `at_utc`: UTC seconds. Events of a later time are left out, in whatever order they stand.
    """
    past = _replay(events, node, at_utc)
    now = Instant(past.latest.at.mono_s if past.latest else 0.0, at_utc)
    incident = past.memory.incident_of(node)
    decided = past.decided
    if decided is not None and (incident is None or not _stands(decided, incident)):
        decided = None
    open_acts = [r for r in past.memory.requests.values() if r.node == node]
    mine = {"", cluster, node}
    switches = [s for s in past.memory.switches if s.holds(now) and s.target in mine]
    return {
        "node": node,
        "at": _utc(at_utc),
        "daemon": "not running" if past.ended or not past.mode else "running",
        "mode": past.mode,
        "known": past.known,
        "paragraph": _paragraph(past, now, node, (incident, decided, open_acts)),
        "incident": to_plain(incident) if incident is not None else None,
        "condition": incident.condition.value if incident is not None else "",
        "you": TABLE[incident.condition].you if incident is not None else "",
        "facts": dict(incident.facts) if incident is not None else {},
        "facts_at": _at(incident.facts_at) if incident is not None else "",
        "decided": _decided(decided),
        "guards": _guards(decided),
        "acts": [to_plain(request) for request in open_acts],
        "switches": [to_plain(switch) for switch in switches],
        "beside": beside_lines(past.memory, node, now),
        "told": f"{_utc(past.told.at.utc_s)} {past.told.kind.value}" if past.told else "",
        "story": list(incident.story) if incident is not None else [],
        "not_kept": NOT_KEPT,
    }


def _stands(decided: Decided, incident: Incident) -> bool:
    """Whether a decision is about what the incident is now; that an act was done stays true."""
    same = decided.condition == incident.condition.value or decided.answer is Answer.ACT
    return same and decided.incident == incident.id


def _replay(events: Iterable[Event], node: str, at_utc: float) -> _Past:
    past = _Past(Memory())
    for event in events:
        if event.at.utc_s > at_utc:
            continue
        past.memory = fold_one(past.memory, event)
        past.latest = event
        match event:
            case DaemonStarted(mode=mode):
                past.mode, past.ended = mode, None
            case ConfigLoaded(mode=mode, error=""):
                past.mode = mode
            case DaemonStopped(at=at):
                past.ended = at
            case Decided() if event.node == node:
                past.decided, past.known = event, True
            case IncidentClosed(incident=incident) if incident.subject == node:
                past.closed, past.known = event, True
            case Told(notice=notice) if node in notice.nodes:
                past.told, past.known = notice, True
            case _:
                continue
    past.known = past.known or node in past.memory.seen or bool(past.memory.incident_of(node))
    return past


def _decided(decided: Decided | None) -> dict[str, Any] | None:
    if decided is None:
        return None
    plain: dict[str, Any] = to_plain(decided)
    del plain["reasons"], plain["until"]
    return {**plain, "at": _at(decided.at)}


def _guards(decided: Decided | None) -> list[dict[str, Any]]:
    """Return the guards of the act then: all were asked, and those not named had nothing to say."""
    if decided is None:
        return []
    said = {verdict.guard: verdict for verdict in decided.reasons}
    names = [row.name for row in asked(act_class(decided.action))]
    table = []
    for name in dict.fromkeys([*names, *said]):
        verdict = said.get(name)
        refuses = verdict is not None and verdict.blocking
        table.append(
            {
                "guard": name,
                "says": "refuses" if refuses else "reports" if verdict else "permits",
                "text": verdict.text if verdict else "",
                "lifted_by": verdict.lifted_by if verdict and refuses else "",
            }
        )
    return table


def _paragraph(
    past: _Past,
    now: Instant,
    node: str,
    then: tuple[Incident | None, Decided | None, list[RecoveryRequest]],
) -> str:
    incident, decided, acts = then
    parts = [*_healer_words(past, now)]
    if not past.known:
        parts.append(f"The journal knows nothing of node {node} up to then.")
    elif incident is None:
        parts.append(f"No incident of node {node} was open.")
        if past.closed is not None:
            over = past.closed
            ago = lasting(now.utc_s - over.at.utc_s)
            what = over.incident.cause or over.incident.condition
            parts.append(f"Its latest one, {what}, was {over.how} {ago} before.")
    else:
        parts += _incident_words(incident, now)
    for request in acts:
        parts.append(f"{request.action} ({request.id}) was {request.state.value}.")
    if decided is not None and not acts:
        parts.append(_decision_words(decided, now))
    elif incident is not None and not acts:
        parts.append("No act was being considered for it.")
    return " ".join(parts)


def _healer_words(past: _Past, now: Instant) -> list[str]:
    if past.latest is None:
        return ["The journal begins later."]
    if past.ended is not None:
        return [f"The healer was not running; it had ended at {_at(past.ended)}."]
    words = [f"The healer ran in mode {past.mode}." if past.mode else "The mode is not known."]
    silent = now.utc_s - past.latest.at.utc_s
    words.append(f"Its latest entry was {lasting(silent)} old.")
    if any(s.order is Order.PAUSE and s.holds(now) for s in past.memory.switches):
        words.append("It was paused.")
    return words


def _incident_words(incident: Incident, now: Instant) -> list[str]:
    age = lasting(now.utc_s - incident.opened.utc_s)
    words = [f"{incident.condition} was {incident.state.value} ({incident.id}, open for {age})."]
    if incident.part_of:
        words.append(f"It was part of {incident.part_of}.")
    if incident.acknowledged_by:
        words.append(f"{incident.acknowledged_by} had taken it over.")
    elif incident.escalation:
        words.append(f"A person had been called: {incident.escalation}.")
    return words


def _decision_words(decided: Decided, now: Instant) -> str:
    ago = lasting(now.utc_s - decided.at.utc_s)
    since = f"decided {ago} before, and unchanged since"
    if decided.answer is Answer.ACT:
        return f"The latest decision was to do {decided.action} ({since})."
    why = "; ".join(v.text for v in decided.reasons if v.blocking)
    word = "had to wait" if decided.answer is Answer.WAIT else "was refused"
    return f"{decided.action} {word}: {why} ({since})."


def _at(moment: Instant | None) -> str:
    return "" if moment is None else _utc(moment.utc_s)


def _utc(utc_s: float) -> str:
    at = datetime.fromtimestamp(utc_s, tz=UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 100000}Z"
