"""Incidents are opened, updated and closed by what is so now, not by what changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kafka_self_healing.healing.assessment import ClusterView, Process, Quorum, Standing
from kafka_self_healing.healing.ensemble import quorum_words
from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.model.event import IncidentClosed
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import (
    EXPECTED,
    PAGES,
    Condition,
    Diagnosis,
    Incident,
    IncidentState,
)


def reconcile(turn: Turn, cluster: ClusterView, found: Sequence[tuple[str, Diagnosis]]) -> None:
    """Bring the open incidents in line with this turn's diagnoses."""
    standing: set[str] = set()
    for subject, diagnosis in found:
        known = turn.memory.incident_of(subject)
        incident = _open(turn, subject, diagnosis) if known is None else known
        if known is not None:
            incident = _update(turn, known, diagnosis)
        standing.add(incident.id)
        turn.wake_by(diagnosis.check_at)
        _page(turn, cluster, incident, diagnosis)
    for incident in list(turn.memory.incidents.values()):
        current = _milestones(turn, cluster, incident)
        if incident.id not in standing:
            _maybe_close(turn, cluster, current)


def _open(turn: Turn, subject: str, diagnosis: Diagnosis) -> Incident:
    state = IncidentState.CONFIRMED if diagnosis.confirmed else IncidentState.SUSPECTED
    early = turn.view.warming is not None
    incident = Incident(
        id=turn.new_id("incident"),
        subject=subject,
        condition=diagnosis.condition,
        nodes=diagnosis.nodes,
        state=state,
        evidence=diagnosis.evidence,
        opened=turn.now,
        changed=turn.now,
        confirmed=turn.now if diagnosis.confirmed else None,
        onset_before_us=early,
        cause=None if diagnosis.condition in EXPECTED else diagnosis.condition,
    )
    for node in diagnosis.nodes:
        turn.look(node, f"{diagnosis.condition} {state.value}")
    return turn.change(incident, _words(diagnosis, state))


def _words(diagnosis: Diagnosis, state: IncidentState) -> str:
    text = f"{state.value} {diagnosis.condition}: {'; '.join(diagnosis.evidence)}"
    return text + (f" (waiting: {diagnosis.waiting})" if diagnosis.waiting else "")


def _update(turn: Turn, known: Incident, diagnosis: Diagnosis) -> Incident:
    if not diagnosis.confirmed and known.state is not IncidentState.SUSPECTED:
        return known
    same = diagnosis.condition is known.condition and set(diagnosis.nodes) == set(known.nodes)
    rises = diagnosis.confirmed and known.state is IncidentState.SUSPECTED
    if same and not rises:
        return known
    state = known.state
    changed = diagnosis.condition is not known.condition
    if rises or (changed and diagnosis.confirmed and not known.acknowledged_by):
        state = IncidentState.CONFIRMED
    worse = diagnosis.condition not in EXPECTED and diagnosis.condition is not known.condition
    return turn.change(
        known,
        _words(diagnosis, IncidentState.CONFIRMED if diagnosis.confirmed else state),
        condition=diagnosis.condition,
        cause=known.cause if diagnosis.condition in EXPECTED else diagnosis.condition,
        nodes=diagnosis.nodes or known.nodes,
        state=state,
        evidence=diagnosis.evidence,
        confirmed=known.confirmed or (turn.now if diagnosis.confirmed else None),
        escalation="" if worse else known.escalation,
    )


def _page(turn: Turn, cluster: ClusterView, incident: Incident, diagnosis: Diagnosis) -> None:
    if not diagnosis.confirmed or incident.escalation:
        return
    held = turn.now.since(incident.confirmed or turn.now)
    if diagnosis.condition is Condition.ENSEMBLE_QUORUM_LOST:
        if not any(cluster.nodes[id_].process is Process.ENDED for id_ in diagnosis.nodes):
            escalate(turn, incident, "no dead member can be started: the living do not serve")
    elif diagnosis.condition in PAGES:
        escalate(turn, incident, "a person has to look: no act answers this")
    elif diagnosis.condition is Condition.UNDER_REPLICATED:
        limit = turn.policy.under_replicated_page_s
        if held >= limit:
            escalate(turn, incident, f"it has lasted for {held:.0f} s")
        elif incident.confirmed is not None:
            turn.wake_by(incident.confirmed.mono_s + limit)
    elif diagnosis.condition is Condition.STOPPED_BY_OPERATOR:
        harm = _harm_of_stop(cluster, diagnosis)
        if harm:
            escalate(turn, incident, harm)
    elif diagnosis.condition in EXPECTED:
        _page_stall(turn, cluster, incident)


def _harm_of_stop(cluster: ClusterView, diagnosis: Diagnosis) -> str:
    if any("cannot be read" in line for line in diagnosis.evidence):
        return "hands off: whether somebody stopped it cannot be read"
    if cluster.quorum is Quorum.LOST:
        return f"the stop leaves {quorum_words(cluster.view.cluster.mode)} lost"
    for topic in cluster.witness.topics or ():
        for part in topic.partitions or ():
            short = topic.min_isr is not None and len(part.isr or ()) < topic.min_isr
            if short and set(diagnosis.nodes) & set(part.replicas or ()):
                return f"the stop leaves {topic.name}-{part.id} under min.insync.replicas"
    return ""


def _page_stall(turn: Turn, cluster: ClusterView, incident: Incident) -> None:
    """A start is judged by its progress, never by patience."""
    recovery = cluster.view.recoveries.get(incident.subject)
    since = recovery.fell_at if recovery is not None else incident.changed.mono_s
    if turn.now.mono_s - since >= turn.policy.stall_s:
        escalate(turn, incident, f"no progress for {turn.now.mono_s - since:.0f} s")
    else:
        turn.wake_by(since + turn.policy.stall_s)


def escalate(turn: Turn, incident: Incident, why: str) -> Incident:
    """Hand an incident to a person; it is told once, with the whole story."""
    incident = turn.memory.incidents.get(incident.id, incident)
    if incident.escalation:
        return incident
    return turn.change(
        incident, f"a person is needed: {why}", state=IncidentState.ESCALATED, escalation=why
    )


def _milestones(turn: Turn, cluster: ClusterView, incident: Incident) -> Incident:
    """Note when a node serves again and when it is in sync again."""
    incident = turn.memory.incidents.get(incident.id, incident)
    node = cluster.nodes.get(incident.subject)
    if node is None or incident.confirmed is None:
        return incident
    if incident.serving is None and node.answers is True and _answered_since(turn, incident, node):
        incident = turn.change(incident, "the node answers again", serving=turn.now)
    if incident.serving is not None and incident.in_sync is None and node.well is True:
        incident = turn.change(incident, "in sync and counted in by the others", in_sync=turn.now)
        stable = turn.policy.stable_window_s(turn.view.cluster.session_timeout_s)
        turn.wake_by(turn.now.mono_s + stable)
    elif incident.in_sync is not None and node.well is False:
        incident = turn.change(incident, "no longer in sync", in_sync=None)
    return incident


def _answered_since(turn: Turn, incident: Incident, node: Standing) -> bool:
    track = turn.view.track(node.id, Kind.PROTOCOL)
    request = turn.memory.open_request(node.id)
    if track is None:
        return False
    if request is not None:
        return request.ended is not None and track.result.started >= request.ended.mono_s
    return incident.confirmed is not None and track.result.started > incident.confirmed.mono_s


def _maybe_close(turn: Turn, cluster: ClusterView, incident: Incident) -> None:
    node = cluster.nodes.get(incident.subject)
    if node is None:
        if _known_over(cluster, incident):
            close(turn, incident, "cleared")
        return
    if turn.memory.open_request(incident.subject) is not None:
        return
    track = turn.view.track(node.id, Kind.PROTOCOL)
    looks = track.streak if track is not None and track.good else 0
    if incident.acts:
        stable = turn.policy.stable_window_s(turn.view.cluster.session_timeout_s)
        if node.well is True and cluster.well_s(node.id) >= stable:
            close(turn, incident, "cleared")
    elif node.ok is True and looks >= turn.policy.clear_looks:
        close(turn, incident, "cleared")


def _known_over(cluster: ClusterView, incident: Incident) -> bool:
    """Whether a trouble of the whole cluster is over, rather than out of our sight."""
    condition = incident.condition
    if condition in {Condition.QUORUM_LOST, Condition.ENSEMBLE_QUORUM_LOST}:
        return cluster.quorum is Quorum.LED
    if condition is Condition.UNDER_REPLICATED or not incident.nodes:
        return cluster.witness.readable
    return True


def close(turn: Turn, incident: Incident, how: str) -> None:
    """End an incident."""
    line = "healed" if how == "healed" else "over, without an act of ours needed"
    incident = turn.change(incident, line)
    turn.record(IncidentClosed(turn.now, replace(incident), how))
