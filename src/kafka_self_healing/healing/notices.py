"""Who is told, and when: a failure once, an escalation and a recovery with the whole story."""

from __future__ import annotations

from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.event import IncidentClosed, Told
from kafka_self_healing.model.incident import EXPECTED, Incident, IncidentState
from kafka_self_healing.model.notification import Notice, NoticeKind


def tell(turn: Turn) -> None:
    """Emit the notices that are due this turn."""
    for event in list(turn.events):
        if isinstance(event, IncidentClosed) and event.incident.told:
            _tell(turn, event.incident, NoticeKind.RECOVERY)
    open_now = list(turn.memory.incidents.values())
    for incident in open_now:
        if incident.state is IncidentState.ESCALATED:
            _tell_or_remind(turn, incident, NoticeKind.ESCALATION)
        elif incident.confirmed is not None and incident.told:
            _tell_or_remind(turn, incident, NoticeKind.FAILURE)
    silent = [i for i in open_now if i.confirmed is not None and i.condition not in EXPECTED]
    _tell_failures(turn, [i for i in silent if not turn.memory.incidents[i.id].told])


def _tell_failures(turn: Turn, silent: list[Incident]) -> None:
    """Tell new failures: the first at once, what comes soon after it together."""
    latest = max((at.mono_s for at in turn.memory.told.values()), default=None)
    due = 0.0 if latest is None else latest + turn.policy.notice_group_s
    if silent and latest is not None and latest <= turn.now.mono_s < due:
        turn.wake_by(due)
        return
    for incident in silent:
        _tell(turn, incident, NoticeKind.FAILURE)


def _tell_or_remind(turn: Turn, incident: Incident, kind: NoticeKind) -> None:
    told = turn.memory.told.get(f"{incident.id}/{kind.value}")
    if told is None:
        if kind is NoticeKind.ESCALATION:
            _tell(turn, incident, kind)
        return
    reminded = turn.memory.told.get(f"{incident.id}/{NoticeKind.REMINDER.value}", told)
    if turn.now.since(reminded) >= turn.policy.notice_repeat_s and not incident.acknowledged_by:
        _tell(turn, incident, NoticeKind.REMINDER)


def _tell(turn: Turn, incident: Incident, kind: NoticeKind) -> None:
    """Record a notice; the shell puts it into the outbox in the same transaction."""
    notice = Notice(
        key=f"{incident.id}/{kind.value}",
        kind=kind,
        cluster=turn.view.cluster.name,
        incident=incident.id,
        condition=(incident.cause or incident.condition).value,
        nodes=incident.nodes,
        summary=_summary(turn.now, incident, kind),
        story=incident.story,
        at=turn.now,
    )
    if incident.id in turn.memory.incidents and not incident.told:
        turn.change(incident, f"told: {kind.value}", told=True)
    turn.record(Told(turn.now, notice))


def _summary(now: Instant, incident: Incident, kind: NoticeKind) -> str:
    where = f"node {', '.join(incident.nodes)}" if incident.nodes else "the cluster"
    lasted = now.since(incident.opened)
    what = incident.cause or incident.condition
    match kind:
        case NoticeKind.RECOVERY:
            acts = f"after {len(incident.acts)} act(s)" if incident.acts else "without an act"
            return f"{what} of {where} is over {acts}, {lasted:.0f} s after its onset"
        case NoticeKind.FAILURE:
            return f"{incident.condition} of {where}: {'; '.join(incident.evidence)}"
        case NoticeKind.ESCALATION:
            return f"{incident.condition} of {where}: {incident.escalation}"
        case NoticeKind.REMINDER:
            return f"{what} of {where} is still open after {lasted:.0f} s"
