"""The ordered cold start after a mass failure: proposed, approved by a person, and followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kafka_self_healing.healing.assessment import ClusterView, Process, Standing
from kafka_self_healing.healing.incidents import escalate
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.progress import shows_progress
from kafka_self_healing.healing.turn import Turn, stamp
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.control import ApprovalRequest
from kafka_self_healing.model.event import ApprovalAsked, PlanChanged
from kafka_self_healing.model.incident import (
    Condition,
    Diagnosis,
    Incident,
    Reply,
    reply,
)
from kafka_self_healing.model.plan import ColdStart, PlanState, PlanStep
from kafka_self_healing.model.policy import Mode
from kafka_self_healing.model.recovery import RequestState

LEAST_STEPS = 2
"""A single node is started without a plan."""

ACTS_A_STEP = 2
"""A plan's own budget: an act that was called off may be begun once more."""

SHOWN = 30
"""Steps named in one line of a story."""

NO_STEP = frozenset({Reply.PAGE, Reply.HANDS_OFF, Reply.NOTE})
"""Answers to conditions for which a person has to look, or has decided."""

WHOLE = (Condition.MASS_FAILURE, Condition.QUORUM_LOST, Condition.ENSEMBLE_QUORUM_LOST)
"""Troubles of the whole cluster to which a plan may belong."""


def follow(turn: Turn, cluster: ClusterView, found: Mapping[str, Diagnosis]) -> None:
    """Propose a plan where one is called for; begin the approved one; see its steps through."""
    plan = turn.memory.plan
    if plan is not None and plan.state is PlanState.RUNNING:
        _go_on(turn, cluster, plan, found)
        return
    plan = plan if plan is not None and plan.open else None
    incident = _called_for(turn.memory, cluster)
    if incident is not None and plan is None and _still_suspected(cluster, found):
        return
    steps = () if incident is None else in_order(turn.memory, cluster, found)
    if incident is None or len(steps) < LEAST_STEPS:
        if plan is not None:
            _end(turn, plan, PlanState.WITHDRAWN, "it is no longer called for")
        return
    if plan is not None and plan.incident != incident.id:
        _end(turn, plan, PlanState.WITHDRAWN, f"it belongs to {incident.id} now")
        plan = None
    if plan is not None and _approved(turn, plan):
        return
    expired = plan.id if plan is not None and turn.now.utc_s >= plan.until else ""
    if plan is not None and expired:
        _end(turn, plan, PlanState.EXPIRED, "nobody has approved it in time")
        plan = None
    if plan is None or [s.node for s in plan.steps] != [s.node for s in steps]:
        _propose(turn, incident, plan, steps, expired)


def _still_suspected(cluster: ClusterView, found: Mapping[str, Diagnosis]) -> bool:
    """Whether it is not yet known of every process that has ended why it did."""
    ended = (found[id_] for id_, node in cluster.nodes.items() if id_ in found and node.gone)
    return any(one.waiting and reply(one.condition) is Reply.START for one in ended)


def _called_for(memory: Memory, cluster: ClusterView) -> Incident | None:
    """Return the trouble of the whole cluster that a plan would end."""
    name = cluster.view.cluster.name
    known = [memory.incident_of(f"{name}/{condition.value}") for condition in WHOLE]
    wide = [incident for incident in known if incident is not None and incident.confirmed]
    if not wide:
        return None
    if wide[0].condition is Condition.MASS_FAILURE:
        return wide[0]
    brokers = [node for node in cluster.nodes.values() if node.config.is_broker]
    keepers = [node for node in cluster.nodes.values() if node.config.is_keeper]
    down = all(2 * sum(n.gone for n in group) > len(group) for group in (brokers, keepers))
    return wide[0] if down else None


def in_order(
    memory: Memory, cluster: ClusterView, found: Mapping[str, Diagnosis]
) -> tuple[PlanStep, ...]:
    """Return the steps: dead voters, the last known in-sync holders, the rest."""
    dead = [
        node
        for id_, node in cluster.nodes.items()
        if node.gone
        and id_ in found
        and found[id_].confirmed
        and reply(found[id_].condition) is Reply.START
    ]
    holds = last_held(memory, cluster)

    def place(node: Standing) -> tuple[bool, int, str]:
        return (not node.config.is_keeper, -holds.get(node.id, 0), node.id)

    return tuple(PlanStep(n.id, _why(n, holds.get(n.id, 0))) for n in sorted(dead, key=place))


def last_held(memory: Memory, cluster: ClusterView) -> dict[str, int]:
    """Of how many partitions each node is a last known in-sync holder, all of whom are down."""
    counts: dict[str, int] = {}
    for isr in memory.not_whole.values():
        if isr and all(id_ not in cluster.nodes or not _up(cluster.nodes[id_]) for id_ in isr):
            for id_ in isr:
                counts[id_] = counts.get(id_, 0) + 1
    return counts


def _up(node: Standing) -> bool:
    return node.answers is True


def _why(node: Standing, held: int) -> str:
    what = "member" if node.config.is_member else "voter"
    reasons = [f"a dead {what}: the metadata come first"] if node.config.is_keeper else []
    if held:
        reasons.append(f"last known in sync for {held} partitions that are offline")
    return "; ".join(reasons) or "nothing is known that only it has"


def _propose(
    turn: Turn, incident: Incident, plan: ColdStart | None, steps: Sequence[PlanStep], renews: str
) -> None:
    until = turn.now.utc_s + turn.policy.approval_s
    if plan is None:
        plan = ColdStart(
            turn.new_id("plan"), incident.id, tuple(steps), PlanState.PROPOSED, turn.now, until
        )
    else:
        plan = replace(plan, steps=tuple(steps))
    turn.record(PlanChanged(turn.now, plan))
    action = f"cold start of {len(steps)} nodes, one after the other"
    lifts = ("the mode, the order, the pauses, the budgets and the attempts of their starts",)
    asked = turn.memory.asked.get(incident.id)
    request = ApprovalRequest(
        plan.id, incident.id, "", action, lifts, turn.now, plan.until,
        renews or (asked.renews if asked is not None and asked.id == plan.id else ""),
    )  # fmt: skip
    turn.record(ApprovalAsked(turn.now, request))
    shown = [f"{i}. node {s.node} ({s.why})" for i, s in enumerate(steps[:SHOWN], 1)]
    more = f"; and {len(steps) - SHOWN} more" if len(steps) > SHOWN else ""
    target = plan.id if request.renews else incident.id
    line = (
        f"proposes {plan.id}, an ordered cold start, to be approved until"
        f" {stamp(Instant(0.0, plan.until))} by `kafka-self-healing approve {target}`: "
    )
    turn.change(turn.memory.incidents[incident.id], line + "; ".join(shown) + more)
    turn.wake_by(turn.now.mono_s + turn.policy.approval_s)


def _approved(turn: Turn, plan: ColdStart) -> bool:
    given = turn.memory.approvals.get(plan.incident)
    if turn.policy.mode is Mode.OBSERVE:
        return False
    if given is None or (given.until is not None and turn.now.utc_s >= given.until):
        return False
    until = turn.now.utc_s + turn.policy.approval_s
    plan = replace(plan, state=PlanState.RUNNING, approved_by=given.by, until=until)
    turn.record(PlanChanged(turn.now, plan))
    _say(turn, plan, f"{plan.id} is approved by {given.by} and begins")
    return True


def _go_on(
    turn: Turn, cluster: ClusterView, plan: ColdStart, found: Mapping[str, Diagnosis]
) -> None:
    """Note which steps went well; stop at one that did not, or when the time is over."""
    wrong = _went_wrong(turn.memory, cluster, plan, found)
    if wrong:
        _end(turn, plan, PlanState.STOPPED, wrong)
        return
    while plan.current is not None:
        step = plan.current
        how = _done(turn.memory, cluster, step.node)
        if not how:
            break
        steps = tuple(replace(s, done=how) if s.node == step.node else s for s in plan.steps)
        plan = replace(plan, steps=steps)
        turn.record(PlanChanged(turn.now, plan))
        _say(turn, plan, f"{plan.id}: node {step.node}: {how}")
    if plan.current is None:
        _end(turn, plan, PlanState.DONE, "every step was taken")
    elif turn.now.utc_s >= plan.until:
        _end(turn, plan, PlanState.EXPIRED, f"its time is over before node {plan.current.node}")
    else:
        turn.wake_by(turn.now.mono_s + plan.until - turn.now.utc_s)


def _went_wrong(
    memory: Memory, cluster: ClusterView, plan: ColdStart, found: Mapping[str, Diagnosis]
) -> str:
    gone = [one.node for one in plan.steps if not one.done and one.node not in cluster.nodes]
    if gone:
        return f"node {gone[0]} is no longer in the inventory"
    mine = [act for act in memory.acts if act.plan == plan.id]
    failed = next((act for act in mine if act.state is RequestState.FAILED), None)
    if failed is not None:
        return f"the start of node {failed.node} failed: {failed.reason or 'it did not come up'}"
    current = plan.current
    if current is None:
        return ""
    now = found.get(current.node)
    free = memory.open_request(current.node) is None
    if now is not None and free and now.confirmed and reply(now.condition) in NO_STEP:
        return f"no start answers what node {current.node} has now: {now.condition}"
    over = [act for act in mine if act.node == current.node and act.id not in memory.requests]
    if len(over) >= ACTS_A_STEP:
        return f"the start of node {current.node} was called off {len(over)} times"
    return ""


def _done(memory: Memory, cluster: ClusterView, id_: str) -> str:
    """Say how a step was seen to go well; "": not yet.

    A voter cannot answer before the quorum is back: that its process lives has to be enough.
    """
    node, request = cluster.nodes[id_], memory.open_request(id_)
    if request is not None and request.state in {RequestState.EXECUTING, RequestState.UNKNOWN}:
        return ""
    if node.answers is True:
        return "it answers"
    if node.config.is_keeper and node.process is Process.RUNNING:
        return "its process lives"
    unclean = any(
        id_ in isr and name.rpartition("-")[0] in memory.unclean
        for name, isr in memory.not_whole.items()
    )
    # A stale replica must not come up before the one that holds the data.
    progress = node.process is Process.RUNNING and shows_progress(cluster, id_)
    return "it shows progress" if progress and not unclean else ""


def _end(turn: Turn, plan: ColdStart, state: PlanState, reason: str) -> None:
    turn.record(PlanChanged(turn.now, replace(plan, state=state, reason=reason)))
    ran = plan.state is PlanState.RUNNING
    incident = _say(turn, plan, f"{plan.id} is {state.value}: {reason}")
    if incident is not None and ran and state is not PlanState.DONE:
        escalate(turn, incident, f"{plan.id} is {state.value}: {reason}")


def _say(turn: Turn, plan: ColdStart, line: str) -> Incident | None:
    """Tell it in the story of the plan's incident; if that is over, of the present step's node."""
    nodes = [step.node for step in plan.steps if not step.done]
    nodes += [step.node for step in reversed(plan.steps) if step.done]
    known = [turn.memory.incidents.get(plan.incident), *map(turn.memory.incident_of, nodes)]
    incident = next((one for one in known if one is not None), None)
    return None if incident is None else turn.change(incident, line)
