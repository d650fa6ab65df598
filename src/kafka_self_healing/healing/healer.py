"""`step`: one turn of the mind, in the order of docs/workflow.md. It is pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kafka_self_healing.healing import approvals, incidents, notices, planning, verification
from kafka_self_healing.healing.assessment import ClusterView, assess
from kafka_self_healing.healing.diagnosis import diagnose
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.quiet import LastTurn, last_turn, still_holds
from kafka_self_healing.healing.remembering import remember, stranded
from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.healing.view import View, hear
from kafka_self_healing.healing.windows import (
    note_agreement,
    settle,
    update_windows,
    watch_clocks,
    watch_pauses,
)
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.decision import Decision, Look
from kafka_self_healing.model.event import ActFinished, Event, OperatorSaid, RequestChanged
from kafka_self_healing.model.evidence import CheckResult, Kind
from kafka_self_healing.model.incident import BESIDE, Diagnosis
from kafka_self_healing.model.node import NodeId
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.model.recovery import (
    ActClass,
    ActOutcome,
    RecoveryResult,
    RequestState,
    StepReport,
)


@dataclass(frozen=True, slots=True)
class LeaseChanged:
    """This daemon got or lost the cluster's lease."""

    held: bool


@dataclass(frozen=True, slots=True)
class Aborted:
    """A pause, a maintenance or a lost lease came before the first command: nothing was done."""

    request: str
    reason: str


Input = CheckResult | RecoveryResult | OperatorCommand | StepReport | LeaseChanged | Aborted


@dataclass(frozen=True, slots=True)
class Step:
    """What one turn came to. `wake_s`: boot-clock second by which it wants to look again."""

    memory: Memory
    view: View
    decisions: tuple[Decision, ...]
    looks: tuple[Look, ...]
    events: tuple[Event, ...]
    wake_s: float
    cluster: ClusterView
    diagnoses: tuple[tuple[str, Diagnosis], ...]


def step(memory: Memory, view: View, inputs: Sequence[Input], policy: Policy, now: Instant) -> Step:
    """Take one turn: hear, assess, diagnose, keep incidents, verify, plan, tell.

    Whatever it decides is in its events; the shell journals them before it does anything.
    """
    seen = watch_pauses(watch_clocks(view, policy, now), memory, now)
    last = still_holds(view, memory, inputs, policy, now) if seen is view else None
    looks = [one for one in inputs if isinstance(one, CheckResult)]
    if last is not None:
        return _only_heard(memory, view, looks, last, now)
    turn = Turn(memory, replace(seen, last=None), policy, now)
    turn.wake_s = now.mono_s + policy.interval_s
    turn.view = hear(turn.view, looks, policy)
    for said in inputs:
        if not isinstance(said, CheckResult):
            _take(turn, said)
    turn.view = settle(turn.view, policy, now)
    cluster = assess(turn.view, policy, now)
    turn.view = update_windows(cluster, policy, _away(turn.memory, now), _ours(turn.memory))
    cluster = replace(cluster, view=turn.view)
    remember(turn, cluster)
    cluster = replace(cluster, stranded=stranded(cluster, turn.memory))
    found = diagnose(cluster, turn.memory, policy)
    turn.view = note_agreement(turn.view, found, turn.memory, now)
    _ask_reach(turn)
    incidents.reconcile(turn, cluster, found)
    by_node = _of_nodes(found)
    verification.verify(turn, cluster, by_node)
    planning.plan(turn, cluster, by_node)
    notices.tell(turn)
    kept = last_turn(turn.memory, policy, cluster, tuple(found), turn.wake_s)
    return Step(
        turn.memory, replace(turn.view, last=kept), tuple(turn.decisions), tuple(turn.looks),
        tuple(turn.events), turn.wake_s, cluster, tuple(found),
    )  # fmt: skip


def _only_heard(
    memory: Memory, view: View, looks: Sequence[CheckResult], last: LastTurn, now: Instant
) -> Step:
    """Return what the last whole turn came to, with the looks heard."""
    view = replace(hear(view, looks, last.policy), turn=now)
    cluster = replace(last.cluster, view=view, now=now)
    return Step(memory, view, (), (), (), last.wake_s, cluster, last.found)


def _ask_reach(turn: Turn) -> None:
    """Ask from time to time what the hosts reach of processes that live and are not counted in."""
    due = turn.now.mono_s - turn.policy.interval_s
    asked = {
        id_: replace(out, asked=turn.now.mono_s)
        for id_, out in turn.view.outcasts.items()
        if out.asked <= due and Kind.HOST in turn.view.cluster.nodes[id_].kinds
    }
    if asked:
        why = "the others do not count it in: does its host reach them?"
        turn.looks.append(Look(tuple(asked), frozenset({Kind.HOST}), why, reach=True))
        turn.view = replace(turn.view, outcasts={**turn.view.outcasts, **asked})


def _of_nodes(found: Sequence[tuple[str, Diagnosis]]) -> dict[NodeId, Diagnosis]:
    """Return each node's own condition; what stands beside it asks for no act."""
    return {subject: one for subject, one in found if one.condition not in BESIDE}


def _away(memory: Memory, now: Instant) -> frozenset[NodeId]:
    """Nodes that never count for a storm: in maintenance."""
    switches = (s for s in memory.switches if s.order is Order.MAINTENANCE and s.holds(now))
    return frozenset(switch.target for switch in switches)


def _ours(memory: Memory) -> frozenset[NodeId]:
    """Nodes that are stopping because of us: a RESTART is open, or a start is owed."""
    restarts = (r.node for r in memory.requests.values() if r.act_class is not ActClass.START)
    return frozenset(restarts) | frozenset(memory.owed_starts)


def _take(turn: Turn, said: Input) -> None:
    match said:
        case RecoveryResult():
            _act_ended(turn, said)
        case StepReport(request=id_, step=name, ended=ended):
            request = turn.memory.requests.get(id_)
            if request is not None and ended:
                turn.move(request, steps=(*request.steps, name))
            elif request is not None:
                turn.move(request, begun_steps=(*request.begun_steps, name))
        case OperatorCommand():
            if said.order is Order.APPROVE:
                said = approvals.as_shown(turn, said)
            turn.record(OperatorSaid(turn.now, said))
            if said.order is Order.RESUME:
                turn.view = turn.view.rewarm(turn.now, "resumed just now")
        case LeaseChanged(held=held):
            if held and not turn.view.lease:
                turn.view = turn.view.rewarm(turn.now, "the lease was just taken over")
            turn.view = replace(turn.view, lease=held)
        case Aborted(request=id_, reason=why):
            request = turn.memory.requests.get(id_)
            if request is not None:
                request = replace(request, begun_steps=())  # written down, and not begun
                turn.move(request, state=RequestState.ABORTED, reason=why)
        case CheckResult():
            return


def _act_ended(turn: Turn, result: RecoveryResult) -> None:
    request = turn.memory.requests.get(result.request)
    turn.record(ActFinished(turn.now, result))
    if request is None or request.state is not RequestState.EXECUTING:
        return
    unknown = result.outcome is ActOutcome.UNKNOWN
    reason = result.message if result.outcome is not ActOutcome.DONE else ""
    state = RequestState.UNKNOWN if unknown else RequestState.VERIFYING
    request = replace(request, state=state, ended=turn.now, reason=reason)
    turn.record(RequestChanged(turn.now, request))
    turn.look(request.node, f"{request.action} ended: {result.outcome.value}")
    incident = turn.memory.incidents.get(request.incident)
    if incident is not None:
        words = f"{request.action} ({request.id}) ended: {result.outcome.value}"
        turn.change(incident, words + (f", {reason}" if reason else ""))
