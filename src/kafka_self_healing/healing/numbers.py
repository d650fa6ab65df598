"""What stands behind a guard that permits: its numbers, for `explain`. They decide nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kafka_self_healing.healing.guards.subject import Question
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.policy import Budget
from kafka_self_healing.model.recovery import ActClass, RecoveryRequest

Words = Callable[[Question], str]


def numbers(question: Question, guard: str) -> str:
    """Return the numbers that a guard has looked at, in words; "" where it has none."""
    words = _WORDS.get(guard)
    return words(question) if words is not None else ""


def _mode(q: Question) -> str:
    return f"mode {q.policy.mode.value}"


def _fresh(q: Question) -> str:
    ages = []
    for kind in (Kind.SERVICE, Kind.PROTOCOL, Kind.JVM):
        track = q.view.view.track(q.request.node, kind)
        if track is not None:
            ages.append(f"{kind.value} {q.now - track.result.ended:.1f} s old")
    return ", ".join(ages)


def _families(q: Question) -> str:
    return ", ".join(sorted(q.diagnosis.families)) if q.diagnosis is not None else ""


def _storm(q: Question) -> str:
    sick = len(q.view.view.sick_since)
    return f"{sick} of {len(q.view.nodes)} nodes dark or silent"


def _slot(q: Question) -> str:
    others = [r for r in q.memory.requests.values() if r.node != q.request.node]
    return f"{len(others)} acts open on other nodes"


def _spacing(q: Question) -> str:
    ended = [q.view.now.since(a.ended) for a in _restarts(q) if a.ended is not None]
    return f"the last restart ended {min(ended):.0f} s ago" if ended else "no restart in 24 h"


def _anti_flap(q: Question) -> str:
    own = [a for a in _restarts(q) if a.node == q.request.node]
    return f"{len(own)} restarts of this node in 24 h"


def _restarts(q: Question) -> list[RecoveryRequest]:
    return [a for a in q.memory.acts if a.act_class is ActClass.RESTART and not a.undone]


def _quorum(q: Question) -> str:
    keepers = [node for node in q.view.nodes.values() if node.config.is_keeper]
    fit = [n for n in keepers if n.ok is True and n.id != q.request.node]
    majority = len(keepers) // 2 + 1
    return f"{len(fit)} of {len(keepers)} are well without it, {majority} are a majority"


def _replicas(q: Question) -> str:
    topics = q.view.witness.topics or ()
    held = [
        part
        for topic in topics
        for part in topic.partitions or ()
        if q.request.node in (part.replicas or ())
    ]
    return f"it holds {len(held)} partitions"


def _others(q: Question) -> str:
    others = [node for node in q.view.nodes.values() if node.id != q.request.node]
    return f"{sum(node.ok is True for node in others)} of {len(others)} others are well"


def _attempts(q: Question) -> str:
    return f"attempt {q.request.attempt} of rung {q.request.rung + 1} of {q.rungs}"


def _budget(q: Question) -> str:
    acts = [
        act for act in q.memory.acts if act.id != q.request.id and not act.plan and not act.undone
    ]
    own = [act for act in acts if act.node == q.request.node]
    start = q.request.act_class is ActClass.START
    alike = [act for act in acts if (act.act_class is ActClass.START) is start]
    cluster = q.policy.start_budget if start else q.policy.restart_budget
    node = _spent(q, own, q.policy.node_budget)
    return f"node {node}, cluster {_spent(q, alike, cluster)}"


def _spent(q: Question, acts: list[RecoveryRequest], budget: Budget) -> str:
    ages = [q.view.now.since(act.began) for act in acts if act.began is not None]
    used = sum(age < budget.window_s for age in ages)
    return f"{used} of {budget.acts} in {budget.window_s / 3600:g} h"


_WORDS: Mapping[str, Words] = {
    "mode_permits": _mode,
    "view_is_fresh": _fresh,
    "two_families": _families,
    "no_storm": _storm,
    "one_at_a_time": _slot,
    "restart_spacing": _spacing,
    "quorum_is_safe": _quorum,
    "replicas_are_safe": _replicas,
    "others_are_well": _others,
    "anti_flap": _anti_flap,
    "within_budget": _budget,
    "attempts_left": _attempts,
}
