"""Looks in words, for evidence that a person reads at night."""

from __future__ import annotations

from kafka_self_healing.healing.assessment import ClusterView, Standing
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.evidence import JvmFact, Kind, Outcome, ProtocolFact
from kafka_self_healing.model.health import Track


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
