"""Was it healed? By evidence alone: an exit code proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from kafka_self_healing.healing.assessment import ClusterView, Process, Quorum, Standing
from kafka_self_healing.healing.ensemble import quorum_words
from kafka_self_healing.healing.incidents import close, escalate
from kafka_self_healing.healing.memory import STEP_STOP
from kafka_self_healing.healing.peers import all_known
from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.model.evidence import Kind, LogFact
from kafka_self_healing.model.incident import Condition, Diagnosis, Reply, reply
from kafka_self_healing.model.node import ClusterMode
from kafka_self_healing.model.recovery import ActClass, RecoveryRequest, RequestState

FAILING_NOW_AND_THEN = frozenset({Condition.HEAP_EXHAUSTED, Condition.COUNTED_NOT_SERVING})
"""Conditions in which good answers stand between failures: none may fail while it is proven."""

NODE_EXISTS = "NodeExists"
"""What ZooKeeper answers a broker whose old session still holds its registration."""

ENDED_LOOK_S = 2.0
"""A process seen ended this long after the act's end did not come up (its manager may lag)."""


def verify(turn: Turn, cluster: ClusterView, found: Mapping[str, Diagnosis]) -> None:
    """Judge every act that has ended, and resolve those of which the end is unknown."""
    for request in list(turn.memory.requests.values()):
        node = cluster.nodes.get(request.node)
        if request.ended is None:
            continue
        if node is None:
            _left(turn, request)
        elif request.state is RequestState.UNKNOWN:
            _resolve(turn, cluster, request, node)
        elif request.state is RequestState.VERIFYING:
            _judge(turn, cluster, request, found.get(request.node))


def _left(turn: Turn, request: RecoveryRequest) -> None:
    """Nobody looks at its node any more: it must not hold up the acts of all others."""
    over = turn.now.since(request.ended or turn.now) >= request.limit_s
    if over or request.state is not RequestState.UNKNOWN:
        _end(turn, request, RequestState.ABORTED, "its node is no longer in the inventory")


class Proof(StrEnum):
    """What the evidence says of an act that has ended.

    NOT_YET: on its way. INCONCLUSIVE: it cannot be seen whether it is healed; that is neither.
    """

    HEALED = "healed"
    NOT_YET = "not yet"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


def prove(
    turn: Turn, cluster: ClusterView, request: RecoveryRequest, diagnosis: Diagnosis | None
) -> Proof:
    """Judge one act by what is seen of its node now, and since when."""
    node = cluster.nodes[request.node]
    if request.act_class is ActClass.OTHER:
        gone = diagnosis is None or diagnosis.condition is not request.condition
        return Proof.HEALED if gone else Proof.NOT_YET
    cured = all_known(node.well, _cured(turn, node, request.condition))
    if cured is True and held_s(turn, cluster, request) >= _stable_s(turn):
        return Proof.HEALED
    again = _asks_again(turn, cluster, request, diagnosis) or _loops(turn, request, diagnosis)
    if again or _ended_again(turn, request, node):
        return Proof.FAILED
    return Proof.INCONCLUSIVE if cured is None else Proof.NOT_YET


def _stable_s(turn: Turn) -> float:
    return turn.policy.stable_window_s(turn.view.cluster.session_timeout_s)


def held_s(turn: Turn, cluster: ClusterView, request: RecoveryRequest) -> float:
    """Return for how long all has been well since the act ended; a second dip begins it anew."""
    assert request.ended is not None
    held = min(cluster.well_s(request.node), turn.now.mono_s - request.ended.mono_s)
    if request.condition not in FAILING_NOW_AND_THEN:
        return held
    tracks = (turn.view.track(request.node, kind) for kind in (Kind.PROTOCOL, Kind.CANARY))
    return min([held, *(turn.now.mono_s - track.since for track in tracks if track is not None)])


def _cured(turn: Turn, node: Standing, condition: Condition) -> bool | None:
    """Whether that which the condition was about is over, beside all that `well` says.

    Counted in, registered and caught up are part of `well`; here is what is not.
    """
    if condition in FAILING_NOW_AND_THEN:
        protocol, canary = (turn.view.track(node.id, k) for k in (Kind.PROTOCOL, Kind.CANARY))
        own = None if protocol is None else protocol.good
        return all_known(own, canary is None or canary.good)
    if condition is Condition.CONTROLLER_WEDGED and node.config.is_voter:
        state = node.jvm.raft_state if node.jvm is not None else None
        # Its leader counts it as caught up (`well`); its own word must not speak against that.
        return state in {None, "leader", "follower"}
    return True


def _judge(
    turn: Turn, cluster: ClusterView, request: RecoveryRequest, diagnosis: Diagnosis | None
) -> None:
    node = cluster.nodes[request.node]
    held = held_s(turn, cluster, request)
    match prove(turn, cluster, request, diagnosis):
        case Proof.HEALED:
            _healed(turn, request, held)
        case Proof.FAILED if _ended_again(turn, request, node):
            _ended(turn, cluster, request, diagnosis)
        case Proof.FAILED:
            assert diagnosis is not None
            _end(turn, request, RequestState.FAILED, f"{diagnosis.condition} holds")
        case Proof.NOT_YET if node.well is True:
            turn.wake_by(turn.now.mono_s + max(0.1, _stable_s(turn) - held))
        case Proof.NOT_YET:
            _page_stall(turn, request, "runs but is not in sync, no progress")
        case Proof.INCONCLUSIVE:
            _page_stall(turn, request, "nobody can say whether it is healed")


def _ended(
    turn: Turn, cluster: ClusterView, request: RecoveryRequest, diagnosis: Diagnosis | None
) -> None:
    why = request.reason or "the process ended again"
    if diagnosis is not None and diagnosis.condition is Condition.STOPPED_BY_OPERATOR:
        _end(turn, request, RequestState.ABORTED, "an operator stopped the node")
    elif _no_quorum_yet(turn, cluster, request):
        quorum = quorum_words(turn.view.cluster.mode)
        _end(turn, request, RequestState.ABORTED, f"it did not find {quorum}: no attempt")
    else:
        _ended_by_itself(turn, cluster, request, why)


def _ended_by_itself(turn: Turn, cluster: ClusterView, request: RecoveryRequest, why: str) -> None:
    """A start that its own old registration ended is no attempt: it only came too early."""
    words = _last_words(turn, cluster, request)
    if words is not None and NODE_EXISTS in words:
        why = "its old registration was not yet released (NodeExists): no attempt"
        _end(turn, request, RequestState.ABORTED, why)
    elif words is not None:
        _end(turn, request, RequestState.FAILED, why)


def _page_stall(turn: Turn, request: RecoveryRequest, what: str) -> None:
    """Not yet in sync is no failure while it progresses; what stands still is told."""
    incident = turn.memory.incidents.get(request.incident)
    assert request.ended is not None
    if incident is None:
        return
    moved = [request.ended.mono_s]
    moved += [at.mono_s for at in (incident.serving, incident.in_sync) if at is not None]
    for follows in (turn.view.recoveries, turn.view.catching_up):
        if request.node in follows:
            moved.append(follows[request.node].fell_at)
    if request.node in turn.view.progress:
        moved.append(turn.view.progress[request.node].moved_at)
    due = max(moved) + turn.policy.stall_s
    if turn.now.mono_s >= due:
        stood = turn.now.mono_s - max(moved)
        escalate(turn, incident, f"{what} for {stood:.0f} s")
    else:
        turn.wake_by(due)


def _healed(turn: Turn, request: RecoveryRequest, held: float) -> None:
    back = turn.now.after(-held)
    turn.move(request, state=RequestState.HEALED, well_since=back)
    incident = turn.memory.incidents.get(request.incident)
    if incident is not None:
        incident = turn.change(incident, f"{request.action} ({request.id}): well for {held:.0f} s")
        close(turn, incident, "healed")


def _ended_again(turn: Turn, request: RecoveryRequest, node: Standing) -> bool:
    track = turn.view.track(request.node, Kind.SERVICE)
    if track is None or node.process is not Process.ENDED or request.ended is None:
        return False
    assert node.service is not None
    after = track.result.started - request.ended.mono_s
    new = node.service.invocation
    changed = new is not None and new != request.invocation_before and after > 0
    return changed or after >= ENDED_LOOK_S


def _loops(turn: Turn, request: RecoveryRequest, diagnosis: Diagnosis | None) -> bool:
    """Whether the process ends again and again, and its manager starts it each time."""
    if diagnosis is None or not diagnosis.confirmed or request.ended is None:
        return False
    restarts = turn.view.restarts.get(request.node, ())
    since = any(at > request.ended.mono_s for at in restarts)
    return diagnosis.condition is Condition.CRASH_LOOP and since


def _no_quorum_yet(turn: Turn, cluster: ClusterView, request: RecoveryRequest) -> bool:
    """A broker exits 1 by itself when it has found no quorum: KRaft's waits a minute for one."""
    node, track = cluster.nodes[request.node], turn.view.track(request.node, Kind.SERVICE)
    if not node.config.is_broker or cluster.quorum is Quorum.LED or track is None:
        return False
    assert request.ended is not None
    assert node.service is not None
    lived = track.since - request.ended.mono_s
    signs, kraft = turn.policy.signs, turn.view.cluster.mode is ClusterMode.KRAFT
    least = signs.no_quorum_exit_s if kraft else signs.no_ensemble_exit_s
    return node.service.exit_status == 1 and lived >= least


def _last_words(turn: Turn, cluster: ClusterView, request: RecoveryRequest) -> str | None:
    """Return what the log of a process that ended says; None: a look at it is awaited.

    Only a broker of ZooKeeper mode that exits 1 is asked: its old registration may be in the way.
    """
    node, end = cluster.nodes[request.node], cluster.view.ends.get(request.node)
    zookeeper = turn.view.cluster.mode is ClusterMode.ZOOKEEPER and node.config.is_broker
    status = node.service.exit_status if node.service is not None else None
    if not zookeeper or status != 1 or Kind.LOG not in node.config.kinds or end is None:
        return ""
    track = turn.view.track(request.node, Kind.LOG)
    if track is not None and track.result.started >= end.since:
        fact = track.result.fact
        return "\n".join(fact.tail or ()) if isinstance(fact, LogFact) else ""
    if turn.now.mono_s - end.since >= turn.policy.signs.last_words_s:
        return ""
    turn.look(request.node, "why it ended", frozenset({Kind.LOG}))
    turn.wake_by(end.since + turn.policy.signs.last_words_s)
    return None


def _asks_again(
    turn: Turn, cluster: ClusterView, request: RecoveryRequest, diagnosis: Diagnosis | None
) -> bool:
    """Whether a condition asks for a RESTART by looks of which all that count began after the act.

    A start that is on its way is not yet counted in: that takes it a session at least.
    """
    track = turn.view.track(request.node, Kind.PROTOCOL)
    if diagnosis is None or track is None or request.ended is None or not diagnosis.confirmed:
        return False
    if reply(diagnosis.condition) is not Reply.RESTART:
        return False
    looks_s = turn.policy.silent_looks * turn.policy.suspect_interval_s
    if diagnosis.condition is not Condition.PROCESS_HUNG:
        session = cluster.view.cluster.session_timeout_s
        looks_s = turn.policy.confirm_s + turn.policy.signs.out_sessions * session
    return track.result.started - request.ended.mono_s >= looks_s


def _resolve(turn: Turn, cluster: ClusterView, request: RecoveryRequest, node: Standing) -> None:
    """Find out by a fresh look what became of an act of which the end is unknown."""
    track = turn.view.track(request.node, Kind.SERVICE)
    assert request.ended is not None
    service = node.service
    if track is None or service is None or track.result.started <= request.ended.mono_s:
        _unknown_for_long(turn, request)
        return
    new_pid = service.pid not in (None, 0, request.pid_before)
    known = service.invocation is not None and request.invocation_before is not None
    same_run = known and service.invocation == request.invocation_before
    if node.process is Process.RUNNING and new_pid:
        turn.move(request, state=RequestState.VERIFYING, ended=turn.now,
                  reason="found running with a new process")  # fmt: skip
    elif request.act_class is ActClass.RESTART:
        _resolve_restart(turn, request, node)
    elif node.process is Process.ENDED and same_run:
        _undone(turn, request, "it was never carried out")
    elif node.process is Process.ENDED and known:
        _ended_by_itself(turn, cluster, request, "the process ran and ended again")
    else:
        _unknown_for_long(turn, request)


def _resolve_restart(turn: Turn, request: RecoveryRequest, node: Standing) -> None:
    if node.process is Process.ENDED and _stopped_later(turn, request):
        _undone(turn, request, "it was never carried out, and somebody stopped the process later")
    elif node.process is Process.ENDED:
        _end(turn, request, RequestState.ABORTED, "stopped and not started: a start is owed")
    elif node.process is Process.RUNNING and not request.begun_steps:
        _undone(turn, request, "it was never carried out")
    elif _outlived(turn, request, node):
        _undone(turn, request, "the process that it was to stop still runs")
    else:
        _unknown_for_long(turn, request)


def _stopped_later(turn: Turn, request: RecoveryRequest) -> bool:
    """Whether its process still ran undisturbed for some looks after the end of the act was lost.

    A stop of ours shows at once, as `deactivating`. Who stops it later has a reason of his own.
    """
    track = turn.view.track(request.node, Kind.SERVICE)
    assert request.ended is not None
    if track is None or track.since not in track.changes or STEP_STOP in request.steps:
        return False
    looks_s = 2 * turn.policy.suspect_interval_s + turn.policy.timeout_s
    return track.since - request.ended.mono_s > looks_s


def _undone(turn: Turn, request: RecoveryRequest, why: str) -> None:
    """It is proven that nothing was done to the node: no step counts as begun."""
    _end(turn, replace(request, begun_steps=()), RequestState.ABORTED, why)


def _outlived(turn: Turn, request: RecoveryRequest, node: Standing) -> bool:
    """Whether the old process runs on after the time limit: a stop on its way has had its time."""
    assert request.ended is not None
    same = node.service is not None and node.service.pid not in {None, 0}
    same = same and node.service is not None and node.service.pid == request.pid_before
    over = turn.now.since(request.ended) >= request.limit_s
    return node.process is Process.RUNNING and same and over


def _unknown_for_long(turn: Turn, request: RecoveryRequest) -> None:
    assert request.ended is not None
    held = turn.now.since(request.ended)
    incident = turn.memory.incidents.get(request.incident)
    if held >= turn.policy.unknown_act_page_s:
        if incident is not None:
            escalate(turn, incident, f"what became of {request.action} ({request.id}) is unknown")
    else:
        turn.wake_by(turn.now.mono_s + turn.policy.suspect_interval_s)


def _end(turn: Turn, request: RecoveryRequest, state: RequestState, why: str) -> None:
    turn.move(request, state=state, reason=why)
    incident = turn.memory.incidents.get(request.incident)
    if incident is not None:
        turn.change(incident, f"{request.action} ({request.id}) {state.value}: {why}")
