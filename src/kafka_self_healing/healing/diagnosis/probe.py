"""Rules about our own sight: viewpoint lost, probes misconfigured, flapping, undiagnosed."""

from __future__ import annotations

from kafka_self_healing.healing.assessment import (
    MACHINE_PROBED,
    NOT_SERVING_S,
    OURS_PROBED,
    ClusterView,
    Process,
    Quorum,
    Standing,
    not_serving_s,
)
from kafka_self_healing.healing.diagnosis.process import dropped_words
from kafka_self_healing.healing.diagnosis.words import look_words
from kafka_self_healing.healing.ensemble import own_word
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.view import ASIDE
from kafka_self_healing.model.evidence import MISCONFIGURED, Kind, ProtocolFact
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.node import ClusterMode
from kafka_self_healing.model.policy import Policy

MISCONFIGURED_LOOKS = 3
ALL_WAYS = OURS_PROBED | MACHINE_PROBED


def viewpoint_lost(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """All our ways to a node are closed while the others still count it in."""
    if not node.dark or node.dropped is not False:
        return None
    held = view.now.mono_s - _dark_since(node, view)
    # A node that has just died is still counted in for one session.
    need = 2 * view.view.cluster.session_timeout_s
    evidence = (*_all_looks(node, view), "the others still count it in")
    return Diagnosis(
        Condition.VIEWPOINT_LOST,
        (node.id,),
        evidence,
        confirmed=held >= need,
        waiting="" if held >= need else f"counted in for {need:g} s",
        check_at=view.now.mono_s + need - held,
    )


def _dark_since(node: Standing, view: ClusterView) -> float:
    """When the last of our ways to it closed; that this is darkness is known only looks later."""
    tracks = [view.view.track(node.id, kind) for kind in node.config.kinds & ALL_WAYS]
    return max((track.since for track in tracks if track is not None), default=view.now.mono_s)


def misconfigured(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """Something answers, but our probe is not set up for it: the node lives."""
    # A node that is well in every respect has answered all that we ask of it.
    status = None if node.well is True else view.view.statuses.get(node.id)
    tracks = [t for kind, t in status.tracks.items() if kind not in ASIDE] if status else []
    witness, quorum = view.view.witnesses.get(node.id), view.view.quorum.get(node.id)
    tracks += [witness.track] if witness else []
    tracks += [quorum] if quorum else []
    bad = [t for t in tracks if not t.good and t.result.outcome in MISCONFIGURED]
    if view.view.cluster.mode is ClusterMode.ZOOKEEPER:
        mute = _says_no_mode(node, view)
        if mute is not None:
            return mute
    if not bad:
        return None
    confirmed = any(track.streak >= MISCONFIGURED_LOOKS for track in bad)
    evidence = tuple(look_words(track, view.now) for track in bad)
    return Diagnosis(
        Condition.PROBE_MISCONFIGURED,
        (node.id,),
        (*evidence, "the node answers; what has to be repaired is our probe"),
        confirmed=confirmed,
        waiting="" if confirmed else f"{MISCONFIGURED_LOOKS} such looks",
    )


def _says_no_mode(node: Standing, view: ClusterView) -> Diagnosis | None:
    """A member answers, but not in what mode: ruok alone proves nothing."""
    track = view.view.track(node.id, Kind.PROTOCOL) if node.config.is_member else None
    if track is None or own_word(track) != (None, None):
        return None
    fact = track.result.fact
    refused = fact.refused if isinstance(fact, ProtocolFact) else None
    text = "it answers, but not in what mode it is; ruok alone proves nothing"
    if refused:
        text += f"; not in its 4lw.commands.whitelist: {', '.join(refused)}"
    confirmed = track.streak >= MISCONFIGURED_LOOKS
    return Diagnosis(
        Condition.PROBE_MISCONFIGURED,
        (node.id,),
        (look_words(track, view.now), text, "what has to be repaired is our probe"),
        confirmed=confirmed,
        waiting="" if confirmed else f"{MISCONFIGURED_LOOKS} such looks",
    )


def not_serving(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """A member lives and serves nobody, and no lost quorum explains it."""
    held = not_serving_s(view.view, node, view.now)
    if held < NOT_SERVING_S or view.quorum is Quorum.LOST:
        return None
    waiting = "" if held >= policy.confirm_s else f"{policy.confirm_s:g} s of it"
    return Diagnosis(
        Condition.UNDIAGNOSED,
        (node.id,),
        (*_all_looks(node, view), "by its own word it does not serve"),
        confirmed=not waiting,
        waiting=waiting,
        check_at=view.now.mono_s + policy.confirm_s - held,
    )


def undiagnosed(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    """It is sick, and the families of evidence do not agree on how."""
    track = view.view.track(node.id, Kind.PROTOCOL)
    if track is None or track.good or track.streak < 2 or node.answers is True:
        return None
    since = max(track.since, view.view.agreed_at.get(node.id, track.since))
    held = view.now.mono_s - since
    # Once the others have dropped it, Kafka's own session has been the waiting.
    agreed = node.dropped is True and node.silent_looks >= policy.silent_looks
    waiting = "" if agreed or held >= policy.confirm_s else f"{policy.confirm_s:g} s of it"
    old = _older_looks(node, view, track.since)
    if old and held < policy.confirm_s:
        # What was seen before the trouble began does not speak against any diagnosis of it.
        waiting = f"a look of {', '.join(old)} begun since"
    return Diagnosis(
        Condition.UNDIAGNOSED,
        (node.id,),
        (*_all_looks(node, view), dropped_words(node)),
        confirmed=not waiting,
        waiting=waiting,
        check_at=since + policy.confirm_s,
    )


def _older_looks(node: Standing, view: ClusterView, since: float) -> list[str]:
    """Return the kinds whose good answer is older than the trouble: they must be asked again."""
    status = view.view.statuses.get(node.id)
    tracks = status.tracks.items() if status else ()
    return sorted(
        kind.value
        for kind, track in tracks
        if kind in OURS_PROBED | MACHINE_PROBED and track.good and track.result.started < since
    )


def flapping(node: Standing, view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """Good and failing looks change places too often, and nothing else explains it."""
    track = view.view.track(node.id, Kind.PROTOCOL)
    if track is None or node.process in {Process.ENDED, Process.ACTIVATING}:
        return None
    if len(track.changes) < policy.flap_changes:
        return None
    recent = [at for at in track.changes if view.now.mono_s - at <= policy.flap_window_s]
    if len(recent) < policy.flap_changes or _explained(node.id, view, memory, policy):
        return None
    text = f"{len(recent)} changes between good and failing looks in {policy.flap_window_s:g} s"
    return Diagnosis(
        Condition.FLAPPING, (node.id,), (text, look_words(track, view.now)), confirmed=True
    )


def _explained(node: str, view: ClusterView, memory: Memory, policy: Policy) -> bool:
    """Whether another incident of this node, or a late act of ours, explains the changes."""
    incident = memory.incident_of(node)
    if incident is not None and incident.condition is not Condition.FLAPPING:
        return True
    return any(
        act.node == node
        and (act.ended is None or view.now.since(act.ended) <= policy.flap_window_s)
        for act in memory.acts
    )


def _all_looks(node: Standing, view: ClusterView) -> tuple[str, ...]:
    status = view.view.statuses.get(node.id)
    tracks = status.tracks if status else {}
    return tuple(look_words(track, view.now) for _, track in sorted(tracks.items()))
