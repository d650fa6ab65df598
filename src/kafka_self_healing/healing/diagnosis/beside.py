"""What stands beside a node's main condition: how long it must hold, and when it is over."""

from __future__ import annotations

from kafka_self_healing.healing.assessment import ClusterView, Standing
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.model.incident import Condition, Diagnosis, beside
from kafka_self_healing.model.policy import Policy


def stands(
    node: Standing,
    view: ClusterView,
    memory: Memory,
    policy: Policy,
    condition: Condition,
    bad: bool | None,
    evidence: tuple[str, ...],
) -> Diagnosis | None:
    """Confirm what has been so for `confirm_s`; what cannot be read any more is not over."""
    if bad is False or (bad is None and not memory.incidents):
        return None
    known = memory.incident_of(beside(node.id, condition))
    if bad is None:
        if known is None:
            return None
        sure = known.confirmed is not None
        waiting = "" if sure else "a look that can read it"
        return Diagnosis(condition, (node.id,), known.evidence, sure, waiting)
    since = known.opened.mono_s if known is not None else view.now.mono_s
    held = view.now.mono_s - since >= policy.confirm_s
    return Diagnosis(
        condition,
        (node.id,),
        evidence,
        held,
        "" if held else f"{policy.confirm_s:g} s of it",
        check_at=since + policy.confirm_s,
    )
