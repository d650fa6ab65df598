"""Rules about a process on its way: starting, recovering its logs, or stuck in that.

A start is judged by its progress, never by patience.
"""

from __future__ import annotations

from typing import Final

from kafka_self_healing.healing.assessment import ClusterView, Process, Standing
from kafka_self_healing.healing.diagnosis.rule import Row
from kafka_self_healing.healing.diagnosis.words import age, closed_doors, service_words
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.peers import RUNNING_STATE
from kafka_self_healing.healing.view import Recovery
from kafka_self_healing.healing.windows import SEGMENT_WEIGHT, remaining_s
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.model.recovery import ActClass


def starting(node: Standing, view: ClusterView, memory: Memory, policy: Policy) -> Diagnosis | None:
    """It is on its way: left alone while it makes progress."""
    found = _on_its_way(node, view, memory)
    moved = moved_at(node.id, view)
    if found is None or not found.confirmed or moved is None:
        return found
    due = moved + policy.stall_s
    if view.now.mono_s < due:
        return Diagnosis(found.condition, found.nodes, found.evidence, True, check_at=due)
    text = f"no progress for {view.now.mono_s - moved:.0f} s"
    evidence = (text, *found.evidence)
    return Diagnosis(Condition.RECOVERY_STALLED, (node.id,), evidence, confirmed=True)


def moved_at(node: str, view: ClusterView) -> float | None:
    """Return when a start last made progress (boot-clock seconds); None: nothing is starting."""
    progress, recovery = view.view.progress.get(node), view.view.recoveries.get(node)
    if progress is None:
        return None
    return progress.moved_at if recovery is None else max(progress.moved_at, recovery.fell_at)


def _on_its_way(node: Standing, view: ClusterView, memory: Memory) -> Diagnosis | None:
    if node.process in {Process.ACTIVATING, Process.AUTO_RESTART}:
        words = (service_words(view, node),)
        return Diagnosis(Condition.STARTING, (node.id,), words, confirmed=True)
    if node.process is not Process.RUNNING:
        return None
    recovery = view.view.recoveries.get(node.id)
    loading = node.jvm is not None and (
        node.jvm.remaining_logs is not None or node.jvm.remaining_segments is not None
    )
    if loading and recovery is not None and node.answers is not True:
        seen: tuple[str, ...] = (
            recovery_words(recovery, view.now.mono_s),
            service_words(view, node),
        )
        return Diagnosis(Condition.RECOVERING_LOGS, (node.id,), seen, confirmed=True)
    state = node.jvm.broker_state if node.jvm is not None else None
    # A dedicated controller has no BrokerState at any age.
    young = node.config.is_broker and node.jvm is not None
    young = young and state != RUNNING_STATE and node.answers is not True
    if node.refused or young or _just_started(node, memory):
        seen = (service_words(view, node), *closed_doors(node, view))
        waiting = "" if young or _still_runs(node, view) else "a look of SERVICE begun since"
        return Diagnosis(Condition.STARTING, (node.id,), seen, not waiting, waiting)
    return None


def _still_runs(node: Standing, view: ClusterView) -> bool:
    """Whether SERVICE was asked after the door closed: a crash closes it before we ask again."""
    service = view.view.track(node.id, Kind.SERVICE)
    door = view.view.track(node.id, Kind.LISTENER) or view.view.track(node.id, Kind.PROTOCOL)
    if service is None or door is None or door.good:
        return True
    return service.result.started >= door.since


def _just_started(node: Standing, memory: Memory) -> bool:
    """Whether an act of ours runs or is being verified and the node does not answer yet."""
    request = memory.open_request(node.id)
    return (
        request is not None
        and request.act_class is ActClass.START
        and request.ended is not None
        and node.answers is not True
        and node.silent_looks < 2
    )


def recovery_words(recovery: Recovery, now: float) -> str:
    """Say how far log recovery is, with the time left by its measured slope."""
    logs, segments = divmod(recovery.left, SEGMENT_WEIGHT)
    left = remaining_s(recovery, now)
    text = f"log recovery: {logs} logs, {segments} segments of the current one left"
    text += f", about {left:.0f} s to go" if left is not None else ""
    return text + f"; last progress {age(now - recovery.fell_at)}"


_SERVICE: Final = frozenset({Kind.SERVICE})

ROWS: Final = (
    Row(
        Condition.STARTING,
        _SERVICE,
        "the process runs, and its port is refused or BrokerState is not yet 3; or its manager is"
        " about to start it",
        "a port that accepts and a protocol that is silent (PROCESS_HUNG); its end",
        "at once; where only the port tells it, a look of SERVICE begun since",
        "left alone while it makes progress. None for 600 s is RECOVERY_STALLED",
        "nothing",
    ),
    Row(
        Condition.RECOVERING_LOGS,
        _SERVICE | {Kind.JVM},
        "the process runs and the JVM shows logs or segments left to recover",
        "an answer to PROTOCOL",
        "at once",
        "left alone for as long as it makes progress; the time left is shown. None for 600 s is"
        " RECOVERY_STALLED",
        "wait. Never restart it: recovery would begin anew. More"
        " `num.recovery.threads.per.data.dir` make the next one faster",
    ),
    Row(
        Condition.RECOVERY_STALLED,
        _SERVICE,
        "a process on its way has made no progress for 600 s (`policy.stall_s`): no gauge of the"
        " recovery fell, BrokerState did not rise, it read less than 10 MB a minute from its disks,"
        " and its log names no further segment",
        "any of these moving",
        "600 s",
        "nothing: a restart would begin anew. A person is called",
        "take a thread dump (`jstack PID`) and read the end of its log. A broker whose log repeats"
        " that it cannot reach a controller waits for a quorum or for its network; a disk that"
        " hardly reads (`iostat -x`) is the cause itself",
    ),
)
