"""Which incident explains which: troubles of nodes within one of the cluster, and two that are one.

A trouble of a node goes on by itself: it is acted on, and it calls a person where that is news.
Only what would be told of it is told within the incident that explains it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kafka_self_healing.healing.assessment import ClusterView, Quorum
from kafka_self_healing.healing.digest import lasting, where
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.decision import Reason
from kafka_self_healing.model.incident import (
    CLUSTER_WIDE,
    Condition,
    Incident,
    IncidentState,
    beside,
)
from kafka_self_healing.model.notification import NoticeKind

SHOWN = 8
"""Incidents named in one line."""

IMPLIED: dict[Condition, frozenset[Reason]] = {
    Condition.QUORUM_LOST: frozenset(
        {Reason.QUORUM_LOST, Reason.QUORUM_UNKNOWN, Reason.QUORUM_UNREADABLE, Reason.VOTERS_FIRST}
    ),
    Condition.ENSEMBLE_QUORUM_LOST: frozenset(
        {Reason.QUORUM_LOST, Reason.QUORUM_UNKNOWN, Reason.QUORUM_UNREADABLE, Reason.VOTERS_FIRST}
    ),
    Condition.MASS_FAILURE: frozenset({Reason.STORM}),
    Condition.VIEWPOINT_LOST: frozenset({Reason.VIEWPOINT_LOST}),
}
"""Refusals that are no news while such a trouble of the whole cluster is open."""


def absorb(turn: Turn, cluster: ClusterView) -> None:
    """Say of each node's incident which one of the cluster explains it now, if any.

    Of a suspected one too: what is only suspected of a node when the cluster's is told is the same
    trouble, and is not told once more when it is confirmed.
    """
    wide = [
        one
        for condition in CLUSTER_WIDE
        for one in turn.memory.incidents.values()
        if one.condition is condition and one.confirmed and one.subject not in cluster.nodes
    ]
    joined: dict[str, list[Incident]] = {}
    for incident in list(turn.memory.incidents.values()):
        if incident.subject not in cluster.nodes:
            continue
        whole = next((one for one in wide if incident.subject in one.nodes), None)
        if whole is None and incident.part_of:
            _alone_again(turn, incident)
        elif whole is not None and whole.id != incident.part_of:
            line = f"part of {whole.id} ({whole.condition})"
            joined.setdefault(whole.id, []).append(turn.note(incident, line, part_of=whole.id))
    for id_, incidents in joined.items():
        turn.note(turn.memory.incidents[id_], f"explains {names(incidents)}")


def _alone_again(turn: Turn, incident: Incident) -> None:
    """What explained it is over, or no longer about this node. What was told there is told here."""
    line = f"no longer part of {incident.part_of}: it stands for itself"
    if incident.told_in and incident.escalation and not is_news(incident):
        # Why a person was called is found anew, in the words of now.
        turn.note(incident, line, part_of="", escalation="", state=IncidentState.CONFIRMED)
    else:
        turn.note(incident, line, part_of="")


def is_news(incident: Incident) -> bool:
    """Whether the call for a person says more than that a trouble of the whole cluster lasts."""
    return incident.escalated_as is not NoticeKind.ESCALATION or bool(incident.acts)


def implied(turn: Turn, incident: Incident, reasons: frozenset[Reason]) -> bool:
    """Whether such a refusal follows from the trouble of the cluster that explains the incident."""
    whole = turn.memory.incidents.get(incident.part_of)
    return whole is not None and bool(reasons & IMPLIED.get(whole.condition, frozenset()))


def is_wide(incident: Incident) -> bool:
    """Whether it is a trouble of the whole cluster that explains those of its nodes."""
    return incident.condition in CLUSTER_WIDE and incident.subject not in incident.nodes


def beside_lines(memory: Memory, node: str, now: Instant) -> list[str]:
    """Say what stands beside a node's own incident: of it, and of the cluster."""
    lines = []
    for one in memory.incidents.values():
        about = one.subject.startswith(f"{node}/") or node in one.nodes or is_wide(one)
        if about and one.subject != node:
            age = lasting(max(0.0, now.utc_s - one.opened.utc_s))
            suspected = "" if one.confirmed else ", suspected"
            lines.append(f"{one.id}: {one.condition} of {where(one.nodes)}, for {age}{suspected}")
    return lines


def names(incidents: Sequence[Incident]) -> str:
    """Name incidents in one line."""
    named = [f"{one.id} ({one.condition} of {where(one.nodes)})" for one in incidents[:SHOWN]]
    more = len(incidents) - SHOWN
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def same_as(turn: Turn, cluster: ClusterView, incident: Incident) -> Incident | None:
    """Return the open incident that this one, which is no longer found, has turned out to be."""
    memory = turn.memory
    if incident.condition is Condition.UNDER_REPLICATED:
        missing = set(cluster.witness.out_of_sync)
        own = (memory.incident_of(node) for node in sorted(missing))
        return next((one for one in own if one is not None and one.confirmed), None)
    if incident.condition is Condition.MASS_FAILURE and cluster.quorum is Quorum.LOST:
        lost = {Condition.QUORUM_LOST, Condition.ENSEMBLE_QUORUM_LOST}
        found = (one for one in memory.incidents.values() if one.condition in lost)
        return next((one for one in found if one.confirmed), None)
    if incident.condition is Condition.DISK_FILLING:
        full = memory.incident_of(incident.nodes[0])
        return full if full is not None and full.condition is Condition.DISK_FULL else None
    if incident.condition is Condition.CERTIFICATE_EXPIRING:
        return _next_step(turn, incident)
    return None


def _next_step(turn: Turn, incident: Incident) -> Incident | None:
    """Return the incident of a certificate's next step before its end, or of its end."""
    whole, _, _ = incident.subject.rpartition("/")
    owner, _, _ = whole.rpartition("/")
    over = beside(owner, Condition.CERTIFICATE_EXPIRED)
    return next(
        (
            one
            for one in turn.memory.incidents.values()
            if (one.subject == over or one.subject.startswith(f"{whole}/"))
            and one.id != incident.id
            and one.opened == turn.now
        ),
        None,
    )
