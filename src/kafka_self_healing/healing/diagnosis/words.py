"""Looks in words, for evidence that a person reads at night."""

from __future__ import annotations

from kafka_self_healing.healing.assessment import (
    MACHINE_PROBED,
    OURS_PROBED,
    ClusterView,
    Standing,
)
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.evidence import JvmFact, Kind, Outcome, ProtocolFact
from kafka_self_healing.model.health import Track

ALL_WAYS = OURS_PROBED | MACHINE_PROBED
"""The kinds by which we reach a node and its host."""


def age(seconds: float) -> str:
    """Say how long ago something was."""
    if seconds > 86400:
        return "long ago"
    return f"{max(0.0, seconds):.1f} s ago"


def look_words(track: Track, now: Instant) -> str:
    """Say how the newest look of one kind ended."""
    look = track.result
    name = f" {look.name}" if look.name else ""
    text = f"{look.kind}{name}: {look.outcome.value.replace('_', ' ')}"
    if isinstance(look.fact, JvmFact) and look.fact.broker_state is not None:
        text += f", BrokerState {look.fact.broker_state}"
    if isinstance(look.fact, ProtocolFact):
        text += _mode_words(look.fact)
    if look.outcome is not Outcome.ANSWERED and track.streak > 1:
        text += f" {track.streak} times"
    if look.error and look.outcome not in {Outcome.ANSWERED, Outcome.REFUSED}:
        text += f" ({look.error[:160]})"
    return f"{text}, {age(now.mono_s - look.ended)}"


def _mode_words(fact: ProtocolFact) -> str:
    if fact.serving is False:
        return ", not serving" + (" (ruok says imok all the same)" if fact.ruok else "")
    return f", {fact.mode}" if fact.mode else ""


def service_words(view: ClusterView, node: Standing) -> str:
    """Say what the service manager says."""
    fact = node.service
    track = view.view.track(node.id, Kind.SERVICE)
    if fact is None or track is None:
        return "SERVICE: not readable"
    parts = [f"SERVICE: {fact.active}" + (f" ({fact.sub})" if fact.sub else "")]
    if fact.pid:
        parts.append(f"pid {fact.pid}")
    if fact.signal not in (None, "", 0):
        parts.append(f"ended by signal {fact.signal}")
    elif fact.exit_status is not None and not fact.pid:
        parts.append(f"exit status {fact.exit_status}")
    parts.append(age(view.now.mono_s - track.result.ended))
    return ", ".join(parts)


def all_looks(node: Standing, view: ClusterView) -> tuple[str, ...]:
    """Say how the newest look of each kind at a node ended."""
    status = view.view.statuses.get(node.id)
    tracks = status.tracks if status else {}
    return tuple(look_words(track, view.now) for _, track in sorted(tracks.items()))


def dark_since(node: Standing, view: ClusterView) -> float:
    """When the last of our ways to it closed; that this is darkness is known only looks later."""
    tracks = [view.view.track(node.id, kind) for kind in node.config.kinds & ALL_WAYS]
    return max((track.since for track in tracks if track is not None), default=view.now.mono_s)


def closed_doors(node: Standing, view: ClusterView) -> tuple[str, ...]:
    """Say how the newest looks at its ports, its protocol and its JVM ended."""
    kinds = (Kind.LISTENER, Kind.PROTOCOL, Kind.JVM)
    return tuple(
        look_words(track, view.now)
        for kind in kinds
        if (track := view.view.track(node.id, kind)) is not None
    )


def blindness(view: ClusterView) -> str:
    """Return how it shows that we have lost our viewpoint."""
    if view.cut_off:
        return "none of the reference hosts is reached"
    return f"{len(view.dark)} of {len(view.nodes)} nodes answer on no way that we have"
