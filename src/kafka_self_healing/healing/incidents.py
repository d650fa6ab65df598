"""Incidents are opened, updated and closed by what is so now, not by what changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from kafka_self_healing.healing.assessment import ClusterView, Process, Quorum, Standing
from kafka_self_healing.healing.diagnosis.starting import moved_at
from kafka_self_healing.healing.ensemble import quorum_words
from kafka_self_healing.healing.knowledge import known_over, stands_unseen
from kafka_self_healing.healing.parts import absorb, implied, is_wide, same_as
from kafka_self_healing.healing.progress import recent_restarts
from kafka_self_healing.healing.timeline import follow
from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.model.decision import Reason
from kafka_self_healing.model.event import CLEARED, HEALED, MERGED, IncidentClosed
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import (
    EXPECTED,
    Condition,
    Diagnosis,
    Incident,
    IncidentState,
    Reply,
    reply,
)
from kafka_self_healing.model.notification import NoticeKind

ALONE = ", without an act of ours needed"
AT_ONCE = frozenset({Condition.QUORUM_LOST, Condition.ENSEMBLE_QUORUM_LOST})
"""Troubles of the cluster whose end is proven by one fact: somebody leads."""


def reconcile(turn: Turn, cluster: ClusterView, found: Sequence[tuple[str, Diagnosis]]) -> None:
    """Bring the open incidents in line with this turn's diagnoses."""
    standing: dict[str, Diagnosis] = {}
    for subject, diagnosis in found:
        known = turn.memory.incident_of(subject)
        if known is None:
            incident = _open(turn, subject, diagnosis)
        else:
            incident = _update(turn, known, diagnosis)
        standing[incident.id] = diagnosis
        turn.wake_by(diagnosis.check_at)
    for incident in list(turn.memory.incidents.values()):
        current = _milestones(turn, cluster, follow(turn, cluster, incident))
        if incident.id not in standing:
            _maybe_close(turn, cluster, current)
    absorb(turn, cluster)
    for id_, diagnosis in standing.items():
        _page(turn, cluster, turn.memory.incidents[id_], diagnosis)


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
    if known.over is not None:
        again = "it is so again" if diagnosis.confirmed else "it may be so again"
        known = turn.note(known, again, over=None)
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
    """Call a person where the answer to the condition is one, or where it has lasted too long."""
    if not diagnosis.confirmed or incident.escalation:
        return
    match reply(diagnosis.condition):
        case Reply.PAGE:
            escalate(turn, incident, "a person has to look: no act answers this")
        case Reply.WATCH:
            _watch(turn, cluster, incident, diagnosis)
        case Reply.HANDS_OFF:
            harm = _harm_of_stop(cluster, diagnosis)
            if harm:
                escalate(turn, incident, harm)
        case Reply.LEAVE:
            _page_stall(turn, cluster, incident)
        case Reply.NOTE:
            if diagnosis.condition is Condition.NOT_COMMISSIONED and cluster.quorum is Quorum.LOST:
                escalate(turn, incident, "the quorum is lost, and we start only what we saw alive")
        case Reply.START | Reply.RESTART:
            return
        case other:
            assert_never(other)


def _watch(turn: Turn, cluster: ClusterView, incident: Incident, diagnosis: Diagnosis) -> None:
    """What may end by itself, or by acts on its nodes, is told to a person when it lasts."""
    condition = diagnosis.condition
    if condition is Condition.ENSEMBLE_QUORUM_LOST and not any(
        cluster.nodes[id_].process is Process.ENDED for id_ in diagnosis.nodes
    ):
        escalate(turn, incident, "no dead member can be started: the living do not serve")
        return
    if incident.acknowledged_by:
        return  # somebody watches it
    limit = page_after_s(turn, condition)
    held = turn.now.longest_since(incident.confirmed or turn.now)
    if held >= limit:
        escalate(turn, incident, f"it has lasted for {held:.0f} s")
    else:
        turn.wake_in(limit - held)


def page_after_s(turn: Turn, condition: Condition) -> float:
    """Return how long a condition that is watched may last before a person is called (seconds)."""
    policy = turn.policy
    own = {
        Condition.UNDER_REPLICATED: policy.under_replicated_page_s,
        Condition.PARTITIONS_OFFLINE: policy.partitions_offline_page_s,
        Condition.CONTROLLER_MISSING: policy.controller_missing_page_s,
    }
    return own.get(condition, policy.stall_s)


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
    moved = moved_at(incident.subject, cluster)
    stood = turn.now.since(incident.changed) if moved is None else turn.now.mono_s - moved
    if stood >= turn.policy.stall_s:
        escalate(turn, incident, f"no progress for {stood:.0f} s")
    else:
        turn.wake_in(turn.policy.stall_s - stood)


def escalate(
    turn: Turn,
    incident: Incident,
    why: str,
    kind: NoticeKind = NoticeKind.ESCALATION,
    *,
    reasons: frozenset[Reason] = frozenset(),
) -> Incident:
    """Hand an incident to a person; it is told once, with the whole story.

    `kind`: how it is told; that the attempts are used up is told after any other call, too.
    `reasons`: those of a refusal; what a trouble of the whole cluster implies is no news.
    """
    incident = turn.memory.incidents.get(incident.id, incident)
    if incident.escalation and (
        kind is not NoticeKind.GAVE_UP or incident.escalated_as is NoticeKind.GAVE_UP
    ):
        return incident
    if kind is NoticeKind.REFUSAL and implied(turn, incident, reasons):
        kind = NoticeKind.ESCALATION
    return turn.change(
        incident,
        f"a person is needed: {why}",
        state=IncidentState.ESCALATED,
        escalation=why,
        escalated_as=kind,
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
    """Close what is no longer found, once it is known to be over and not only out of sight."""
    node = cluster.nodes.get(incident.subject)
    if node is None:
        other = same_as(turn, cluster, incident)
        if other is not None:
            _merge(turn, incident, other)
        elif incident.subject.partition("/")[0] not in {cluster.view.cluster.name, *cluster.nodes}:
            close(turn, turn.note(incident, "its node is no longer in the inventory"), CLEARED)
        elif known_over(turn, cluster, incident):
            _settle(turn, incident)
        return
    if turn.memory.open_request(incident.subject) is not None:
        return
    track = turn.view.track(node.id, Kind.PROTOCOL)
    looks = track.streak if track is not None and track.good else 0
    if incident.acts:
        stable = turn.policy.stable_window_s(turn.view.cluster.session_timeout_s)
        if node.well is True and cluster.well_s(node.id) >= stable:
            close(turn, incident, CLEARED)
    elif node.ok is True and looks >= turn.policy.clear_looks:
        if stands_unseen(turn, cluster, incident) or _still_loops(turn, incident):
            return
        close(turn, incident, CLEARED)


def _still_loops(turn: Turn, incident: Incident) -> bool:
    """Whether a crash loop may go on: between two of its ends a node is well for a while."""
    if incident.condition is not Condition.CRASH_LOOP:
        return False
    signs, now = turn.policy.signs, turn.now.mono_s
    recent = recent_restarts(turn.view, incident.subject, now, turn.policy)
    if len(recent) < signs.restarts:
        return False
    turn.wake_by(recent[-signs.restarts] + signs.restarts_window_s)
    return True


def _settle(turn: Turn, incident: Incident) -> None:
    """Close what has been over for a while: what comes and goes is one incident."""
    hold_s = turn.policy.confirm_s
    if incident.confirmed is None or incident.condition in AT_ONCE:
        close(turn, incident, CLEARED)
    elif incident.over is None:
        turn.note(incident, "it is not so any more", over=turn.now)
        turn.wake_in(hold_s)
    elif turn.now.since(incident.over) >= hold_s:
        close(turn, incident, CLEARED)
    else:
        turn.wake_in(hold_s - turn.now.since(incident.over))


def _merge(turn: Turn, incident: Incident, other: Incident) -> None:
    """Two incidents have turned out to be one: the first one goes on in the other."""
    same = f"{incident.id} ({incident.condition})"
    # What is news by itself is told anyway; of a start people hear only that it is over.
    told = other.told or (incident.told and other.condition in EXPECTED)
    turn.note(other, f"{same} is the same trouble: it goes on here", told=told)
    turn.note(incident, f"the same trouble as {other.id} ({other.condition}): it goes on there")
    for part in list(turn.memory.incidents.values()):
        if part.told_in == incident.id:
            turn.note(part, f"{incident.id} goes on in {other.id}", told_in=other.id)
    _record_end(turn, turn.memory.incidents[incident.id], MERGED)


def close(turn: Turn, incident: Incident, how: str) -> None:
    """End an incident, and say so in the story of the one that explains it."""
    line = "healed" if how == HEALED else "over" + ("" if is_wide(incident) else ALONE)
    incident = turn.note(incident, line)
    whole = turn.memory.incidents.get(incident.part_of)
    if whole is not None:
        nodes = ", ".join(incident.nodes)
        turn.note(whole, f"{incident.id} ({incident.condition} of {nodes}): {line}")
    _record_end(turn, incident, how)


def _record_end(turn: Turn, incident: Incident, how: str) -> None:
    turn.record(IncidentClosed(turn.now, incident, how))
