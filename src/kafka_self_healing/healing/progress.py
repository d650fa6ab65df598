"""How a run of a process goes on: progress of its start, restarts by its manager, its answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from kafka_self_healing.healing.assessment import ClusterView, Process, Standing
from kafka_self_healing.healing.view import Answers, Progress, View
from kafka_self_healing.model.evidence import UNANSWERED, Kind, LogFact
from kafka_self_healing.model.node import NodeId
from kafka_self_healing.model.policy import Policy

READ_WINDOW_S: Final = 60.0
"""Over how long bytes read are counted: a recovery reads in bursts."""

ANSWERS_KEPT: Final = 200
ANSWERS_KEPT_S: Final = 300.0

RECOVERED: Final = re.compile(
    r"(?:partition=|Log\()([\w.\-/=]+).*?(?:Recovering unflushed segment (\d+)|Loading producer"
    r" state till offset (\d+)|Completed load)"
)
"""A line about a log that is recovered: the partition, and its segment or offset."""

STARTING: Final = frozenset({Process.RUNNING, Process.ACTIVATING})


def follow_runs(view: View, cluster: ClusterView, policy: Policy) -> View:
    """Return the view with the progress, restarts and answers of this turn."""
    progress: dict[NodeId, Progress] = {}
    answers = dict(view.answers)
    for id_ in cluster.restless.union(answers.keys() & cluster.nodes.keys()):
        node = cluster.nodes[id_]
        if node.well is True and id_ not in answers:
            continue
        if node.process in STARTING and node.answers is not True:
            progress[id_] = _progress(view, node, policy, cluster.now.mono_s)
        looks = _answers(view, node)
        if looks is not None:
            answers[id_] = looks
        else:
            answers.pop(id_, None)
    counts, restarts = _restarts(view, cluster, policy)
    if progress or view.progress or answers != view.answers or restarts is not view.restarts:
        view = replace(view, progress=progress, answers=answers, restarts=restarts)
    return view if counts is view.restart_counts else replace(view, restart_counts=counts)


def shows_progress(cluster: ClusterView, node: NodeId) -> bool:
    """Whether the present run of a node has come on since it was first seen."""
    view = cluster.view
    recovery, run, progress = (
        view.recoveries.get(node),
        view.runs.get(node),
        view.progress.get(node),
    )
    if recovery is not None and recovery.fell_at > recovery.first_at:
        return True
    return run is not None and progress is not None and progress.moved_at > run.since


def _progress(view: View, node: Standing, policy: Policy, now: float) -> Progress:
    run = node.service.invocation if node.service is not None else None
    state = node.jvm.broker_state if node.jvm is not None else None
    fetched = node.service.read_bytes if node.service is not None else None
    known = view.progress.get(node.id)
    if known is None or known.run != run:
        recovered, log_at = _recovered(view, node, Progress(run, now))
        return Progress(run, now, state, fetched, now, recovered, log_at)
    moved = known.moved_at
    if state is not None and state > (known.state if known.state is not None else -1):
        moved, known = now, replace(known, state=state)
    if fetched is not None and fetched != known.read_bytes:
        grown = fetched - known.read_bytes if known.read_bytes is not None else 0
        if grown >= policy.signs.read_bytes_s * max(READ_WINDOW_S, now - known.read_at):
            moved, known = now, replace(known, read_bytes=fetched, read_at=now)
        elif grown <= 0 or now - known.read_at > READ_WINDOW_S:
            known = replace(known, read_bytes=fetched, read_at=now)
    recovered, log_at = _recovered(view, node, known)
    if recovered - known.recovered:
        moved = now
    if (moved, recovered, log_at) == (known.moved_at, known.recovered, known.log_at):
        return known
    return replace(known, moved_at=moved, recovered=recovered, log_at=log_at)


def _recovered(view: View, node: Standing, known: Progress) -> tuple[frozenset[str], float]:
    """Return what the newest lines of its log name as recovered; old ones again are no news."""
    track = view.track(node.id, Kind.LOG)
    fact = track.result.fact if track is not None else None
    if track is None or not isinstance(fact, LogFact) or track.result.started <= known.log_at:
        return known.recovered, known.log_at
    found = [match for line in fact.tail or () for match in RECOVERED.finditer(line)]
    names = frozenset("/".join(part or "" for part in match.groups()) for match in found)
    return names or known.recovered, track.result.started


def _answers(view: View, node: Standing) -> Answers | None:
    """Follow the looks at a node of which at least one was not answered lately."""
    track, known = view.track(node.id, Kind.PROTOCOL), view.answers.get(node.id)
    run = node.service.invocation if node.service is not None else None
    if track is None or node.process is Process.ENDED:
        return None
    if known is not None and run is not None and known.run not in (None, run):
        known = None
    look = track.result
    failed = not track.good and look.outcome in UNANSWERED
    if known is None:
        return Answers(run, ((look.started, False),)) if failed else None
    if look.started <= known.looks[-1][0]:
        return known
    kept = [seen for seen in known.looks if look.started - seen[0] <= ANSWERS_KEPT_S]
    looks = (*kept[1 - ANSWERS_KEPT :], (look.started, not failed))
    return Answers(run or known.run, looks) if not all(good for _, good in looks) else None


def recent_restarts(view: View, id_: NodeId, now: float, policy: Policy) -> tuple[float, ...]:
    """Return when its manager has started a node within the window (boot-clock seconds)."""
    window_s = policy.signs.restarts_window_s
    return tuple(at for at in view.restarts.get(id_, ()) if now - at <= window_s)


def _restarts(
    view: View, cluster: ClusterView, policy: Policy
) -> tuple[Mapping[NodeId, int], Mapping[NodeId, tuple[float, ...]]]:
    """Follow the managers' own counts of restarts; one that was set back begins anew."""
    counts: dict[NodeId, int] = {}
    restarts: dict[NodeId, tuple[float, ...]] = {}
    for id_ in cluster.changed:
        count, before = _count(cluster.nodes[id_]), view.restart_counts.get(id_)
        if count is None or count == before:
            continue
        counts[id_] = count
        if before is None or count < before:
            restarts[id_] = ()
            continue
        now, most = cluster.now.mono_s, policy.signs.restarts
        recent = recent_restarts(view, id_, now, policy)
        restarts[id_] = (*recent, *[now] * min(count - before, most))
    if not counts:
        return view.restart_counts, view.restarts
    return {**view.restart_counts, **counts}, {**view.restarts, **restarts}


def _count(node: Standing) -> int | None:
    return node.service.restarts if node.service is not None else None
