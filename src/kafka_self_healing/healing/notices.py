"""Who is told what, and when: what is new once, what lasts again, what is over with its story.

Nobody is told of a suspicion, nor of what only the digest tells (Reply.NOTE). What a trouble of the
whole cluster explains is told with it. Troubles of one sort that are due together are one notice.
"""

from __future__ import annotations

from collections.abc import Sequence

from kafka_self_healing.healing import digest
from kafka_self_healing.healing.diagnosis.table import TABLE
from kafka_self_healing.healing.digest import lasting, where
from kafka_self_healing.healing.parts import is_news, is_wide
from kafka_self_healing.healing.told import CALLS, call_key, key
from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.event import Told
from kafka_self_healing.model.incident import (
    EXPECTED,
    Condition,
    Incident,
    IncidentState,
    Reply,
    reply,
)
from kafka_self_healing.model.notification import Notice, NoticeKind

LISTED = 50
"""Incidents listed in one notice."""


def tell(turn: Turn) -> None:
    """Emit the notices that are due this turn."""
    _tell_ends(turn)
    for wide in (True, False):
        # What explains others goes first: its notice lists them.
        known = [one for one in turn.memory.incidents.values() if is_wide(one) is wide]
        called = [one for one in known if _calls(turn, one)]
        for kind in CALLS:
            mine = [one for one in called if one.escalated_as is kind]
            _tell_grouped(turn, mine, kind)
        _tell_failures(turn, [one for one in known if _is_new(turn, one)])
    due = [one for one in turn.memory.incidents.values() if _reminds(turn, one)]
    _tell_all(turn, due, NoticeKind.REMINDER)
    _tell_digest(turn)


def _listed(turn: Turn, incident: Incident) -> bool:
    """Whether it is told within an open incident that explains it, and not by itself."""
    return incident.told_in != "" and incident.told_in in turn.memory.incidents


def _held(turn: Turn, incident: Incident) -> bool:
    """Whether what explains it is about to be told, and will list it."""
    whole = turn.memory.incidents.get(incident.part_of)
    return whole is not None and not whole.told and not whole.acknowledged_by


def _is_new(turn: Turn, incident: Incident) -> bool:
    told = incident.told and (not incident.told_in or _listed(turn, incident))
    if told or incident.confirmed is None or incident.acknowledged_by:
        return False
    if incident.state is IncidentState.ESCALATED or incident.condition in EXPECTED:
        return False
    return reply(incident.condition) is not Reply.NOTE and not _held(turn, incident)


def _calls(turn: Turn, incident: Incident) -> bool:
    """Whether a person is to be called now."""
    kind = incident.escalated_as
    called = call_key(incident, kind) in turn.memory.told
    if incident.state is not IncidentState.ESCALATED or called:
        return False
    if incident.acknowledged_by and kind is NoticeKind.REFUSAL:
        return False  # somebody has it
    if is_news(incident):
        return True
    return not _listed(turn, incident) and not _held(turn, incident)


def _reminds(turn: Turn, incident: Incident) -> bool:
    if not incident.told or incident.acknowledged_by or _listed(turn, incident):
        return False
    if incident.condition is Condition.CERTIFICATE_EXPIRING:
        return False  # each step before its end is told once
    told = turn.memory.told
    kinds = (NoticeKind.FAILURE, *CALLS, NoticeKind.REMINDER)
    ages = [turn.now.since(told[one]) for kind in kinds if (one := key(incident.id, kind)) in told]
    return bool(ages) and min(ages) >= turn.policy.notice_repeat_s


def _tell_ends(turn: Turn) -> None:
    """Tell what is over: the first at once, what is over soon after it together."""
    over, latest = list(turn.memory.unconfirmed.values()), turn.memory.confirmed
    left = 0.0 if latest is None else turn.policy.notice_group_s - turn.now.since(latest)
    if over and left > 0:
        turn.wake_in(left)
        return
    _tell_all(turn, over, NoticeKind.RECOVERY)


def _tell_failures(turn: Turn, new: list[Incident]) -> None:
    """Tell new failures: the first at once, what comes soon after it together.

    None waits longer than that for its company, however much else is told meanwhile.
    """
    latest = max((at.mono_s for at in turn.memory.told.values()), default=None)
    known = [one.confirmed.mono_s for one in new if one.confirmed is not None]
    due = 0.0 if latest is None else min([latest, *known]) + turn.policy.notice_group_s
    if new and latest is not None and latest <= turn.now.mono_s < due:
        turn.wake_by(due)
        return
    _tell_all(turn, new, NoticeKind.FAILURE)


def _tell_grouped(turn: Turn, called: list[Incident], kind: NoticeKind) -> None:
    """Call a person at once; what follows soon of the same condition is one call."""
    recent: set[Condition] = set()
    for incident in turn.memory.incidents.values():
        at = turn.memory.told.get(key(incident.id, kind))
        if at is not None and turn.now.since(at) < turn.policy.notice_group_s:
            recent.add(_what(incident))
            if any(_what(one) is _what(incident) for one in called):
                turn.wake_in(turn.policy.notice_group_s - turn.now.since(at))
    _tell_all(turn, [one for one in called if _what(one) not in recent], kind)


def _tell_all(turn: Turn, incidents: Sequence[Incident], kind: NoticeKind) -> None:
    """Put out one notice for the incidents of each condition."""
    groups: dict[Condition, list[Incident]] = {}
    for incident in incidents:
        groups.setdefault(_what(incident), []).append(incident)
    for group in groups.values():
        _tell(turn, group, kind)


def _what(incident: Incident) -> Condition:
    return incident.cause or incident.condition


def _tell(turn: Turn, group: Sequence[Incident], kind: NoticeKind) -> None:
    """Record a notice; the shell puts it into the outbox in the same transaction."""
    first, *others = group
    parts = [one for one in turn.memory.incidents.values() if one.part_of == first.id]
    listed = [*group, *parts] if others else parts
    nodes = dict.fromkeys(node for one in (*group, *parts) for node in one.nodes)
    what = _what(first)
    notice = Notice(
        key=call_key(first, kind) if kind in CALLS else key(first.id, kind),
        kind=kind,
        cluster=turn.view.cluster.name,
        incident=first.id,
        condition=what.value,
        nodes=tuple(nodes),
        summary=_summary(turn, group, kind),
        story=first.story,
        at=turn.now,
        parts=_lines(turn, listed),
        also=tuple(one.id for one in (*others, *parts)),
        you="" if kind is NoticeKind.RECOVERY else _runbook(what),
    )
    for one in group:
        if one.id in turn.memory.incidents and (not one.told or one.told_in):
            turn.note(one, f"told: {kind.value}", told=True, told_in="")
    for part in parts:
        if not part.told or part.told_in not in {"", first.id}:
            turn.note(part, f"told with {first.id}", told=True, told_in=first.id)
    turn.record(Told(turn.now, notice))


def _lines(turn: Turn, incidents: Sequence[Incident]) -> tuple[str, ...]:
    lines = [_line(turn.now, one) for one in incidents[:LISTED]]
    more = len(incidents) - LISTED
    return (*lines, f"and {more} more") if more > 0 else tuple(lines)


def _line(now: Instant, incident: Incident) -> str:
    suspected = "" if incident.confirmed else ", suspected"
    text = f"{incident.id}: {_what(incident)} of {where(incident.nodes)}{suspected}"
    text += f", for {lasting(now.since(incident.opened))}"
    return f"{text}: {incident.escalation}" if incident.escalation else text


def _runbook(condition: Condition) -> str:
    row = TABLE.get(condition)
    return row.you if row is not None else ""


def _acts(turn: Turn, incident: Incident) -> int:
    """Count the acts of an incident; of a trouble of the cluster those on its nodes meanwhile."""
    if not is_wide(incident):
        return len(incident.acts)
    since = turn.now.since(incident.opened)
    acts = [a for a in turn.memory.acts if a.node in incident.nodes and not a.undone]
    ages = [turn.now.since(act.began) for act in acts if act.began]
    return sum(age <= since for age in ages)


def _summary(turn: Turn, group: Sequence[Incident], kind: NoticeKind) -> str:
    now, first = turn.now, group[0]
    nodes = dict.fromkeys(node for one in group for node in one.nodes)
    at = where(tuple(nodes))
    lasted = now.since(min((one.opened for one in group), key=lambda opened: opened.utc_s))
    known = ", and was so before the healer looked" if first.onset_before_us else ""
    match kind:
        case NoticeKind.RECOVERY:
            count = sum(_acts(turn, one) for one in group)
            acts = f"after {count} act(s)" if count else "without an act"
            return f"{_what(first)} of {at} is over {acts}, {lasted:.0f} s after its onset"
        case NoticeKind.FAILURE:
            return f"{first.condition} of {at}: {'; '.join(first.evidence)}{known}"
        case NoticeKind.ESCALATION | NoticeKind.REFUSAL:
            # What is paged at once has not been told before: what was seen goes first.
            seen = first.evidence if reply(first.condition) is Reply.PAGE else ()
            return f"{first.condition} of {at}: {'; '.join((*seen, first.escalation))}{known}"
        case NoticeKind.GAVE_UP:
            text = f"given up until somebody acknowledges: {first.escalation}"
            return f"{first.condition} of {at}: {text}"
        case NoticeKind.REMINDER:
            return f"{_what(first)} of {at} is still open after {lasting(lasted)}"
        case NoticeKind.DIGEST:
            return ""


def _tell_digest(turn: Turn) -> None:
    """Once a day: what is open, noted, over and refused. That it comes shows that we live."""
    memory, policy = turn.memory, turn.policy
    if not policy.digest or not digest.due(memory.digested, policy.digest_hour, turn.now):
        return
    known = memory.incidents.values()
    notice = Notice(
        key=f"{NoticeKind.DIGEST.value}/{int(turn.now.utc_s)}",
        kind=NoticeKind.DIGEST,
        cluster=turn.view.cluster.name,
        incident="",
        condition="",
        nodes=(),
        summary=digest.title(known, memory.day),
        story=digest.lines(known, memory.day, turn.now),
        at=turn.now,
    )
    turn.record(Told(turn.now, notice))
