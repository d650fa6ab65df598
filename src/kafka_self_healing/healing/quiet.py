"""Turns that bring nothing new: good looks at nodes that are well, showing what was known.

Such a look is heard, and no more: all that it could change is how old the facts are. What time
alone may change, the last turn has asked to be woken for, or it comes with the age of a look that
the turn rests on. Until then a whole turn would come to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafka_self_healing.healing.assessment import ClusterView, Kept, fresh_bound_s
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.view import View
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.evidence import HEALER, CheckResult, Kind, Outcome
from kafka_self_healing.model.health import is_good
from kafka_self_healing.model.incident import Diagnosis
from kafka_self_healing.model.policy import Policy


@dataclass(frozen=True, slots=True)
class LastTurn:
    """What the last whole turn rested on and came to.

    `wake_s`: the boot-clock second for which it asked to be woken; `until_s`: the first one after
    which a look that it rests on is too old.
    """

    memory: Memory
    policy: Policy
    cluster: ClusterView
    found: tuple[tuple[str, Diagnosis], ...]
    wake_s: float
    until_s: float


def last_turn(
    memory: Memory,
    policy: Policy,
    cluster: ClusterView,
    found: tuple[tuple[str, Diagnosis], ...],
    wake_s: float,
) -> LastTurn:
    """Return what is kept of a whole turn."""
    view, bound = cluster.view, fresh_bound_s(Kind.QUORUM, None, policy)
    words = [*(one.track for one in view.witnesses.values()), *view.quorum.values()]
    ends = [track.result.ended + bound for track in (*words, view.reference) if track is not None]
    ahead = [end for end in ends if end >= cluster.now.mono_s]
    own = cluster.kept.until.values() if isinstance(cluster.kept, Kept) else ()
    until = min((*ahead, *own), default=cluster.now.mono_s)
    return LastTurn(memory, policy, cluster, found, wake_s, until)


def still_holds(
    view: View, memory: Memory, inputs: Sequence[object], policy: Policy, now: Instant
) -> LastTurn | None:
    """Return the last turn if these inputs are looks that can change nothing of it."""
    last = view.last
    if not isinstance(last, LastTurn) or last.memory is not memory or last.policy is not policy:
        return None
    waits = view.warming is not None or view.clock_doubt is not None or memory.requests
    if waits or not inputs or now.mono_s >= min(last.wake_s, last.until_s):
        return None
    known = all(isinstance(one, CheckResult) and _known(one, view, last) for one in inputs)
    return last if known else None


def _known(look: CheckResult, view: View, last: LastTurn) -> bool:
    """Whether a look shows what was known, at a node that is well and has nothing."""
    id_, track = look.subject, view.track(look.subject, look.kind)
    if track is None or not track.good or look.observer != HEALER:
        return False
    if look.outcome is not Outcome.ANSWERED or look.fact != track.result.fact:
        return False
    follows = (
        last.cluster.uneasy, view.noted, view.sick_since, view.answers, view.progress,
        view.recoveries, view.catching_up, view.stuck_looks, view.ends, view.outcasts,
    )  # fmt: skip
    well = last.cluster.nodes[id_].well is True and not any(id_ in which for which in follows)
    return well and is_good(look) and look.started >= track.result.started
