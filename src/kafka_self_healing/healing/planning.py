"""Which act, on which node, when: the ladder, the order, and the two turns of an act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kafka_self_healing.healing import approvals, cold_start
from kafka_self_healing.healing.assessment import ClusterView, Standing
from kafka_self_healing.healing.guards import asked, judge
from kafka_self_healing.healing.guards.quorum import rank
from kafka_self_healing.healing.guards.subject import Question
from kafka_self_healing.healing.incidents import escalate
from kafka_self_healing.healing.memory import Memory, decision_key, decision_text, ladder_key
from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.decision import Answer, Decision, Nature, Reason, Verdict, nature
from kafka_self_healing.model.event import Decided
from kafka_self_healing.model.incident import HEALABLE, Condition, Diagnosis, Incident
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.model.notification import NoticeKind
from kafka_self_healing.model.policy import HungStop, Policy, Rung
from kafka_self_healing.model.recovery import (
    RecoveryRequest,
    RequestState,
    StopStyle,
)

STOP_MARGIN_S = 60.0
"""How much longer than its manager's own limit an orderly stop may take (seconds)."""

NO_RUNG = Rung("none", limit_s=0.0)
ORDER_GUARDS = frozenset({"start_order", "controller_last"})
SPENT = frozenset({Reason.OUT_OF_RUNGS, Reason.DIED_YOUNG, Reason.NEVER_ANSWERED})
"""Refusals that stand until a person acknowledges: the attempts are used up."""

DRAFT = "draft"
"""The id of an act that is not proposed; several drafts of one turn must not share a real one."""


def plan(turn: Turn, cluster: ClusterView, found: Mapping[str, Diagnosis]) -> None:
    """Propose, permit or refuse an act for every node whose condition asks for one."""
    cold_start.follow(turn, cluster, found)
    _drop_moot_proposals(turn, found)
    wanted = [node for node, d in found.items() if node in cluster.nodes and _asks(d)]
    if not wanted:
        return
    drafts = {node: _draft(turn, cluster, node, found[node]) for node in wanted}
    questions = {node: _question(turn, cluster, d, found[node]) for node, d in drafts.items() if d}
    # Who could act matters only to the order of several.
    several = len(questions) > 1
    ready = frozenset(node for node, q in questions.items() if several and not _blocked(q))
    cluster = replace(cluster, ready=ready)
    for node in in_order(questions, cluster):
        draft = drafts[node]
        assert draft is not None
        _decide(turn, _question(turn, cluster, draft, found[node]))


def _asks(diagnosis: Diagnosis) -> bool:
    return diagnosis.confirmed and diagnosis.condition in HEALABLE


def _drop_moot_proposals(turn: Turn, found: Mapping[str, Diagnosis]) -> None:
    for request in list(turn.memory.requests.values()):
        if request.state is not RequestState.PROPOSED:
            continue
        diagnosis = found.get(request.node)
        if diagnosis is None or not _asks(diagnosis) or diagnosis.condition != request.condition:
            turn.move(request, state=RequestState.ABORTED, reason="it is no longer so")


def in_order(questions: Mapping[str, Question], cluster: ClusterView) -> list[str]:
    """Return the nodes in the order in which they would be acted on."""
    leaders = cluster.leaders

    def key(node: str) -> tuple[bool, bool, bool, bool, str]:
        holds = any(node in nodes for nodes in cluster.stranded.values())
        return rank(cluster.nodes[node], leads=node in leaders, holds=holds)

    return sorted(questions, key=key)


def _draft(
    turn: Turn, cluster: ClusterView, node: str, diagnosis: Diagnosis
) -> RecoveryRequest | None:
    """Return the node's open proposal, or the next act of its ladder; None while one is open."""
    known = turn.memory.open_request(node)
    if known is not None:
        return known if known.state is RequestState.PROPOSED else None
    incident = turn.memory.incident_of(node)
    if incident is None:
        return None
    return draft(turn, cluster.nodes[node], diagnosis, incident)


def draft(turn: Turn, node: Standing, diagnosis: Diagnosis, incident: Incident) -> RecoveryRequest:
    """Return the next act of the ladder for a diagnosis, not yet proposed."""
    ladder = turn.policy.ladder(node.config, diagnosis.condition)
    rung, attempt = next_try(turn.memory, turn.policy, node.config, diagnosis.condition,
                             incident.opened)  # fmt: skip
    step = ladder[min(rung, len(ladder) - 1)] if ladder else NO_RUNG
    style = stop_style(node, turn.policy)
    service = node.service
    return RecoveryRequest(
        id=DRAFT,
        incident=incident.id,
        node=node.id,
        action=step.action,
        condition=diagnosis.condition,
        rung=rung,
        attempt=attempt,
        state=RequestState.PROPOSED,
        proposed=turn.now,
        limit_s=_limit_s(step, node, style),
        stop_style=style,
        pid_before=service.pid if service else None,
        invocation_before=service.invocation if service else None,
        disruptive=step.disruptive,
    )


def _limit_s(step: Rung, node: Standing, style: StopStyle) -> float:
    """An orderly stop has the time that its manager gives it, and a minute; nobody cuts it off."""
    own = node.service.stop_timeout_s if node.service is not None else None
    orderly = step.action == "service:restart" and style is StopStyle.GRACEFUL
    return step.limit_s if own is None or not orderly else max(step.limit_s, own + STOP_MARGIN_S)


def next_try(
    memory: Memory, policy: Policy, node: NodeConfig, condition: Condition, onset: Instant
) -> tuple[int, int]:
    """Return (rung, attempt): attempts go on unless an hour of health lies before the onset.

    A rung beyond the ladder's last one: the circuit is open until a person acknowledges.
    """
    known = memory.ladders.get(ladder_key(node.id, condition))
    if known is None:
        return 0, 1
    if known.healed is not None and onset.since(known.healed) >= policy.ladder_reset_s:
        return 0, 1
    ladder = policy.ladder(node, condition)
    if known.rung < len(ladder) and known.attempts < ladder[known.rung].retry.attempts:
        return known.rung, known.attempts + 1
    return known.rung + 1, 1


def stop_style(node: Standing, policy: Policy) -> StopStyle:
    """KILL only what is silent and dropped: it would wake up as a stale broker otherwise.

    A process that is not stopped (state T) must also be silent by its JVM: then it cannot finish
    an orderly stop either.
    """
    out = node.silent and node.dropped is True
    state = node.service.process_state if node.service else None
    stopped = state == "T" or (state in {"S", "R"} and node.jvm_silent is True)
    kill = policy.hung_stop is HungStop.KILL_WHEN_DROPPED
    return StopStyle.KILL if out and stopped and kill else StopStyle.GRACEFUL


def _question(
    turn: Turn, cluster: ClusterView, request: RecoveryRequest, diagnosis: Diagnosis
) -> Question:
    return Question(
        request,
        cluster,
        turn.memory,
        turn.policy,
        diagnosis,
        rungs=len(turn.policy.ladder(cluster.nodes[request.node].config, diagnosis.condition)),
        proposed_at=_proposed_at(turn, request),
    )


def _proposed_at(turn: Turn, request: RecoveryRequest) -> float | None:
    return request.proposed.mono_s if request.id in turn.memory.requests else None


def _blocked(question: Question) -> bool:
    rows = [
        row
        for row in asked(question.request.act_class)
        if row.name not in ORDER_GUARDS and row.name != "still_true"
    ]
    return any(verdict.blocking for verdict in judge(question, rows))


def _decide(turn: Turn, question: Question) -> None:
    """First turn: propose and ask for a look. Second turn: act, if all still stands."""
    question = replace(question, memory=turn.memory)
    request = question.request
    verdicts = judge(question, asked(request.act_class))
    blocking = [verdict for verdict in verdicts if verdict.blocking]
    proposed = request.id in turn.memory.requests
    if not blocking and proposed:
        _act(turn, question, verdicts)
    elif not blocking:
        request = replace(request, id=turn.new_id("act"))
        turn.move(request, state=RequestState.PROPOSED)
        turn.look(request.node, f"{request.action} was proposed")
        turn.wake_by(turn.now.mono_s + turn.policy.suspect_interval_s)
    elif proposed and all(verdict.reason is Reason.LOOK_AGAIN for verdict in blocking):
        if turn.now.mono_s - request.proposed.mono_s >= turn.policy.timeout_s:
            turn.look(request.node, f"the look for {request.action} was lost")
        turn.wake_by(turn.now.mono_s + turn.policy.suspect_interval_s)
        _tell(turn, request, Answer.WAIT, verdicts, blocking)
    else:
        if proposed:
            why = ", ".join(verdict.guard for verdict in blocking)
            turn.move(request, state=RequestState.ABORTED, reason=f"refused by {why}")
        untils = [verdict.until for verdict in blocking]
        waits = all(until is not None for until in untils)
        for until in untils:
            turn.wake_by(until)
        _tell(turn, request, Answer.WAIT if waits else Answer.REFUSE, verdicts, blocking)


def _act(turn: Turn, question: Question, verdicts: list[Verdict]) -> None:
    """Write the intent. The shell journals it before anything is done."""
    node, request = question.node, question.request
    service, style = node.service, stop_style(node, turn.policy)
    ladder = turn.policy.ladder(node.config, request.condition)
    step = ladder[request.rung] if request.rung < len(ladder) else None
    plan = turn.memory.plan
    request = turn.move(
        request,
        state=RequestState.EXECUTING,
        began=turn.now,
        plan=plan.id if plan is not None and question.plan_step is not None else "",
        limit_s=_limit_s(step, node, style) if step is not None else request.limit_s,
        stop_style=style,
        pid_before=service.pid if service else None,
        invocation_before=service.invocation if service else None,
    )
    incident = turn.memory.incidents.get(request.incident)
    if incident is not None:
        line = f"{request.action} on node {request.node} ({request.id}), attempt {request.attempt}"
        acts = (*incident.acts, request.id)
        turn.change(incident, line, acts=acts, serving=None, in_sync=None)
    _tell(turn, request, Answer.ACT, verdicts, [])
    turn.decisions.append(Decision(Answer.ACT, request, tuple(verdicts)))


def _tell(
    turn: Turn,
    request: RecoveryRequest,
    answer: Answer,
    verdicts: list[Verdict],
    blocking: list[Verdict],
) -> None:
    """A decision becomes an event only when its set of reasons changes."""
    untils = [verdict.until for verdict in blocking if verdict.until is not None]
    until = max(untils) if answer is Answer.WAIT and untils else None
    event = Decided(
        turn.now, request.incident, request.node, request.action, request.condition.value,
        request.rung, request.attempt, answer, tuple(verdicts), until,
    )  # fmt: skip
    key = decision_key(request.incident, request.node)
    news = turn.memory.decisions.get(key) != decision_text(event)
    if news or answer is Answer.ACT:
        turn.record(event)
    incident = turn.memory.incidents.get(request.incident)
    if incident is None or answer is Answer.ACT:
        return
    if news:
        turn.decisions.append(Decision(answer, request, tuple(verdicts), until))
        why = "; ".join(f"{v.guard}: {v.text}" for v in blocking)
        turn.change(incident, f"{answer.value} with {request.action}: {why}")
    if answer is Answer.REFUSE:
        approvals.ask(turn, request, verdicts)
        _escalate_refusal(turn, incident, blocking)


def _escalate_refusal(turn: Turn, incident: Incident, blocking: list[Verdict]) -> None:
    natures = {nature(verdict.reason) for verdict in blocking}
    if Nature.CHOSEN in natures:
        return
    held = turn.now.longest_since(incident.confirmed or turn.now)
    queued = all(nature(v.reason) is Nature.QUEUED or v.until for v in blocking)
    limit = turn.policy.stall_s if queued else turn.policy.notice_group_s
    if Nature.FINAL in natures or held >= limit:
        # What time alone lifts is no reason to call somebody, where there is another one.
        lasting = [verdict for verdict in blocking if not verdict.until] or blocking
        why = "; ".join(verdict.text for verdict in lasting)
        reasons = frozenset(verdict.reason for verdict in blocking)
        kind = NoticeKind.GAVE_UP if reasons & SPENT else NoticeKind.REFUSAL
        escalate(turn, incident, f"healing is refused: {why}", kind, reasons=reasons)
    else:
        turn.wake_by(turn.now.mono_s + limit - held)
