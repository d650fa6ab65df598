"""Which notices count as told for which incident, and whose end still has to be told."""

from __future__ import annotations

from collections.abc import Mapping

from kafka_self_healing.model.event import MERGED, IncidentClosed
from kafka_self_healing.model.incident import Incident
from kafka_self_healing.model.notification import Notice, NoticeKind

Known = Mapping[str, Incident]

TOLD_AGAIN = (
    NoticeKind.ESCALATION,
    NoticeKind.REFUSAL,
    NoticeKind.GAVE_UP,
    NoticeKind.REMINDER,
)
"""What is told anew after an acknowledgement."""

CALLS = (NoticeKind.ESCALATION, NoticeKind.REFUSAL, NoticeKind.GAVE_UP)
"""Notices that call a person: once for each condition that an incident comes to be."""


def key(id_: str, kind: NoticeKind) -> str:
    """Return the key under which it is kept when a notice of a kind was put out last."""
    return f"{id_}/{kind.value}"


def call_key(incident: Incident, kind: NoticeKind) -> str:
    """Return the key of a call for a person: what it comes to be later is another call."""
    return f"{key(incident.id, kind)}/{(incident.cause or incident.condition).value}"


def keys(notice: Notice, known: Known) -> tuple[str, ...]:
    """Return the keys of a notice: its own, and those of its peers that are told with it.

    What is told within the trouble that explains it has no notice of its own.
    """
    peers = (id_ for id_ in notice.also if id_ in known and not known[id_].told_in)
    told = (notice.incident, *peers)
    calls = [known[id_] for id_ in told if id_ in known and notice.kind in CALLS]
    return (
        *(key(id_, notice.kind) for id_ in told),
        *(call_key(one, notice.kind) for one in calls),
    )


def again(incident: Incident) -> tuple[str, ...]:
    """Return what the keys begin with of what is told anew after an acknowledgement."""
    return tuple(key(incident.id, kind) for kind in TOLD_AGAIN)


def after_recovery(unconfirmed: Known, notice: Notice) -> Known:
    """Return whose end still has to be told after a notice of some."""
    over = {notice.incident, *notice.also}
    return {id_: one for id_, one in unconfirmed.items() if id_ not in over}


def after_end(unconfirmed: Known, known: Known, event: IncidentClosed) -> Known:
    """Return whose end has to be told after one more.

    Who was told of an incident by itself is told of its end, unless it goes on in another.
    """
    over = event.incident
    alone = not over.told_in or over.told_in not in known
    due = over.told and alone and event.how != MERGED
    return {**unconfirmed, over.id: over} if due else unconfirmed
