"""Guards about what was done before: slots, spacing, latch, flapping, backoff, budgets."""

from __future__ import annotations

from collections.abc import Iterable

from kafka_self_healing.healing.assessment import Process, Quorum
from kafka_self_healing.healing.diagnosis.process import rebooted
from kafka_self_healing.healing.guards.subject import PASSES, Question, refuse
from kafka_self_healing.healing.memory import STEP_STOP, ladder_key
from kafka_self_healing.healing.progress import shows_progress
from kafka_self_healing.model.decision import Reason, Verdict
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.incident import Condition, problem
from kafka_self_healing.model.node import ClusterMode
from kafka_self_healing.model.policy import Budget
from kafka_self_healing.model.recovery import (
    ActClass,
    RecoveryRequest,
    RequestState,
    RetryPolicy,
)

NOT_STARTS = frozenset({ActClass.RESTART, ActClass.OTHER})

MOST_LOST = 5
"""Acts in a row that may be lost on their way before a person is asked to look at the way."""
"""Acts of one budget. Of these, a RESTART alone interrupts a process."""


def no_unresolved_act(q: Question) -> Verdict:
    """No earlier act on this node is executing, being verified, or of unknown end."""
    for request in q.memory.requests.values():
        if request.node != q.request.node or request.id == q.request.id:
            continue
        if request.state is RequestState.PROPOSED:
            continue
        text = f"{request.action} ({request.id}) is {request.state.value}"
        return refuse(Reason.UNRESOLVED_ACT, text, lifted_by="its end")
    return PASSES


def one_at_a_time(q: Question) -> Verdict:
    """One act executing a cluster; a START holds the slot for a while, a RESTART until healed.

    An act that disturbs nothing is not asked this, and holds nothing up.
    """
    for other in q.memory.requests.values():
        if other.node == q.request.node or other.id == q.request.id:
            continue
        if other.act_class is ActClass.OTHER:
            continue
        held = _slot_held(q, other)
        if held is not None:
            return held
    if q.request.act_class is ActClass.START:
        return _earlier_starts(q)
    return PASSES


def _slot_held(q: Question, other: RecoveryRequest) -> Verdict | None:
    what = f"{other.action} on node {other.node} ({other.id})"
    if other.state is RequestState.EXECUTING:
        return refuse(Reason.SLOT_TAKEN, f"{what} is executing", lifted_by="its end")
    ended = other.ended.mono_s if other.ended else q.now
    if other.state is RequestState.UNKNOWN and q.now < ended + other.limit_s:
        return refuse(Reason.SLOT_UNKNOWN, f"{what} may still be executing", lifted_by="its end",
                      until=ended + other.limit_s)  # fmt: skip
    if other.state is RequestState.PROPOSED:
        return None
    if q.request.act_class is ActClass.RESTART:
        why = "is not yet healed" if other.state is RequestState.VERIFYING else "has no known end"
        return refuse(Reason.VERIFYING, f"{what} {why}", lifted_by="its healing")
    lost = q.view.quorum is Quorum.LOST and _loss_is_proven(q, other)
    if other.act_class is ActClass.RESTART and not (lost and q.node.config.is_keeper):
        return _restart_holds(q, what, ended)
    if other.state is RequestState.UNKNOWN:
        return None
    until = ended + (q.policy.slot_quorum_lost_s if lost else q.policy.slot_s)
    if q.now < until:
        return refuse(Reason.SLOT_TAKEN, f"{what} has just started", until=until,
                      lifted_by="the new process living on")  # fmt: skip
    if not q.node.config.is_keeper and not _shows_life(q, other) and not _given_up(q, other):
        return refuse(Reason.FIRST_ONE_FIRST, f"{what} neither answers nor shows progress",
                      lifted_by="its answer")  # fmt: skip
    return None


def _loss_is_proven(q: Question, other: RecoveryRequest) -> bool:
    """Whether so many keepers of the quorum are gone, or have not answered since their start.

    Who is only silent may be well behind bad weather, and the quorum with it.
    """
    cluster = q.view.view.cluster
    lacking = {id_ for id_ in cluster.keepers if q.view.nodes[id_].gone}
    track = q.view.view.track(other.node, Kind.PROTOCOL)
    ended = other.ended.mono_s if other.ended else q.now
    if track is None or not (track.good or any(at > ended for at in track.changes)):
        lacking.add(other.node)
    present = len(cluster.keepers) - len(lacking.intersection(cluster.keepers))
    return present < len(cluster.keepers) // 2 + 1


def _restart_holds(q: Question, what: str, ended: float) -> Verdict | None:
    """A RESTART holds back a START while it may be about to heal, not for ever.

    What was restarted cannot come back without those that are dead: with a quorum lost, or as the
    only one left to witness, it would never be healed, and nothing would ever be started.
    """
    session = q.view.view.cluster.session_timeout_s
    alone = session + q.policy.start_leave_alone_margin_s
    until = ended + alone + q.policy.stable_window_s(session)
    if q.now >= until:
        return None
    return refuse(Reason.VERIFYING, f"{what} is not yet healed", lifted_by="its healing, or time",
                  until=until)  # fmt: skip


def _shows_life(q: Question, act: RecoveryRequest) -> bool:
    standing = q.view.nodes.get(act.node)
    return standing is not None and (standing.answers is True or shows_progress(q.view, act.node))


def _given_up(q: Question, act: RecoveryRequest) -> bool:
    """Whether the first is no longer waited for: its host is down, or somebody has taken it over.

    It may stay so for a week, and the others are healed meanwhile.
    """
    incident = q.memory.incidents.get(act.incident)
    if incident is None:
        return False
    down = incident.condition is Condition.HOST_DOWN and incident.confirmed is not None
    return down or bool(incident.acknowledged_by)


def _earlier_starts(q: Question) -> Verdict:
    """A START that ended again, or never came, stops further ones of the same cause.

    Other voters and members wait only as long as a start must live: one that cannot come back must
    not keep those from coming back that can, or the quorum stays lost.
    """
    for act in q.memory.acts:
        if act.state is not RequestState.FAILED or act.act_class is not ActClass.START:
            continue
        same = act.incident in q.memory.incidents and act.condition is q.request.condition
        if not same or act.node == q.request.node:
            continue
        first = q.view.nodes.get(act.node)
        if first is not None and first.process is Process.RUNNING:
            continue  # it failed in another way: it has not ended
        if ladder_key(act.node, act.condition) not in q.memory.ladders:
            continue  # acknowledged since: its next attempt is awaited as a first one
        text = f"the start of node {act.node} for the same cause ended again"
        lift = f"kafka-self-healing ack {act.incident}, or approval"
        if not q.node.config.is_keeper:
            return refuse(Reason.FIRST_ONE_DIED, text, lifted_by=lift)
        left = q.policy.second_start_min_life_s - q.view.now.since(act.ended or act.proposed)
        if left > 0:
            return refuse(
                Reason.FIRST_ONE_DIED, text, lifted_by=f"time, {lift}", until=q.now + left
            )
    return PASSES


def restart_spacing(q: Question) -> Verdict:
    """Replicas are back and stable for long enough since the last RESTART of this cluster."""
    for act in reversed(q.memory.acts):
        back = act.well_since or act.ended
        if act.act_class is not ActClass.RESTART or back is None:
            continue
        if act.state is RequestState.HEALED or _stopped_and_called_off(act):
            left = q.policy.restart_spacing_s - q.view.now.since(back)
            if left > 0:
                text = f"node {act.node} is back from a restart for {q.view.now.since(back):.0f} s"
                return refuse(Reason.RESTART_SPACING, text, until=q.now + left,
                              lifted_by="time, or approval")  # fmt: skip
    return PASSES


def _stopped_and_called_off(act: RecoveryRequest) -> bool:
    return act.state is RequestState.ABORTED and STEP_STOP in act.steps


def not_latched(q: Question) -> Verdict:
    """No restart has failed to come back since the cluster was last healthy."""
    if not q.memory.latch:
        return PASSES
    text = f"the restart {q.memory.latch} did not come back"
    return refuse(
        Reason.LATCHED, text, lifted_by="a healthy cluster, an acknowledgement, or approval"
    )


def anti_flap(q: Question) -> Verdict:
    """The same node was not restarted for the same class of problem within the window."""
    for act in reversed(q.memory.acts):
        if act.node != q.request.node or act.act_class is not ActClass.RESTART:
            continue
        if problem(act.condition) is not problem(q.request.condition) or act.ended is None:
            continue
        if act.state is RequestState.ABORTED and STEP_STOP not in act.steps:
            continue  # it stopped nothing
        heap = q.request.condition is Condition.HEAP_EXHAUSTED
        window = q.policy.heap_anti_flap_s if heap else q.policy.anti_flap_s
        left = window - q.view.now.since(act.ended)
        if left > 0:
            text = f"restarted for {act.condition} {q.view.now.since(act.ended):.0f} s ago"
            # A heap that is exhausted again leaks: that is for a person, not for time.
            until = None if heap else q.now + left
            return refuse(Reason.ANTI_FLAP, text, lifted_by="time, or approval", until=until)
    return PASSES


def backoff_over(q: Question) -> Verdict:
    """The pause before this attempt is over; a started KRaft node is left alone for a session."""
    waits: list[tuple[float, str]] = []
    last, lost = _last_act(q), _lost_acts(q)
    if lost and lost[-1].ended is not None:
        pause = _retry(q).backoff_s(len(lost), seed=q.policy.seed, node=q.request.node)
        since = q.view.now.since(lost[-1].ended)
        waits.append(
            (pause - since, f"acts that never came to the node, {len(lost)}: {pause:.0f} s")
        )
    if last is not None and last.ended is not None:
        since = q.view.now.since(last.ended)
        retry = _retry(q)
        pause = retry.backoff_s(q.request.attempt - 1, seed=q.policy.seed, node=q.request.node)
        if q.request.attempt > 1:
            waits.append((pause - since, f"attempt {q.request.attempt} waits {pause:.0f} s"))
        cluster = q.view.view.cluster
        if last.act_class is ActClass.START and cluster.mode is ClusterMode.KRAFT:
            alone = cluster.session_timeout_s + q.policy.start_leave_alone_margin_s
            waits.append((alone - since, f"a started node is left alone for {alone:.0f} s"))
    if q.request.condition is Condition.TERMINATED and q.request.node not in q.memory.owed_starts:
        end = q.view.view.ends.get(q.request.node)
        booted = rebooted(q.node, q.view)
        hold = q.policy.boot_hold_s if booted else q.policy.terminated_hold_s
        gone = q.now - end.since if end is not None else 0.0
        why = "its host was booted" if booted else "it was ended by SIGTERM"
        waits.append((hold - gone, f"{why}: {hold:.0f} s for its operator"))
    if q.request.condition is Condition.START_LIMIT_HIT:
        limit, end = _start_limit_s(q), q.view.view.ends.get(q.request.node)
        waits.append((limit - (q.now - end.since if end is not None else 0.0),
                      f"its manager refuses starts for {limit:.0f} s"))  # fmt: skip
    left, why = max(waits, default=(0.0, ""))
    if left <= 0:
        return PASSES
    return refuse(Reason.BACKOFF, f"{why}, {left:.0f} s left", lifted_by="time, or approval",
                  until=q.now + left)  # fmt: skip


def _start_limit_s(q: Question) -> float:
    """How long systemd's start limit lasts: it tells; else its default."""
    service = q.node.service
    told = service.start_limit_s if service is not None else None
    return q.policy.signs.start_limit_s if told is None else told


def _retry(q: Question) -> RetryPolicy:
    ladder = q.policy.ladder(q.node.config, q.request.condition)
    return ladder[q.request.rung].retry if q.request.rung < len(ladder) else RetryPolicy()


def _last_act(q: Question) -> RecoveryRequest | None:
    """Return the node's latest act, but for those that were never carried out."""
    mine = (act for act in q.memory.acts if act.node == q.request.node)
    acts = [act for act in mine if act.state is not RequestState.ABORTED]
    return acts[-1] if acts else None


def _lost_acts(q: Question) -> list[RecoveryRequest]:
    """Return this incident's latest acts that were given and never reached the node."""
    lost: list[RecoveryRequest] = []
    for act in q.memory.acts:
        if act.incident == q.request.incident:
            lost = [*lost, act] if act.undone and act.ended is not None else []
    return lost


def within_budget(q: Question) -> Verdict:
    """Node, cluster and fleet have acts left in their windows.

    The acts of an approved plan have a budget of their own, and take nothing from this one.
    """
    others = (act for act in q.memory.acts if act.id != q.request.id)
    acts = [act for act in others if not act.plan and not act.undone]
    restart = q.request.act_class in NOT_STARTS
    alike = [act for act in acts if (act.act_class in NOT_STARTS) == restart]
    cluster = q.policy.restart_budget if restart else q.policy.start_budget
    checks: list[tuple[Reason, str, Budget, Iterable[RecoveryRequest]]] = [
        (
            Reason.NODE_BUDGET,
            "node",
            q.policy.node_budget,
            [a for a in acts if a.node == q.request.node],
        ),
        (Reason.CLUSTER_BUDGET, "cluster", cluster, alike),
    ]
    if restart:
        checks.append((Reason.FLEET_BUDGET, "fleet", q.policy.fleet_budget, alike))
    for reason, name, budget, spent in checks:
        ages = sorted(
            (q.view.now.since(act.began) for act in spent if act.began is not None), reverse=True
        )
        ages = [age for age in ages if age < budget.window_s]
        if len(ages) >= budget.acts:
            left = budget.window_s - ages[len(ages) - budget.acts]
            text = f"{len(ages)} of {budget.acts} acts of the {name} in {budget.window_s:.0f} s"
            return refuse(reason, text, lifted_by="time, or approval",
                          until=q.now + left)  # fmt: skip
    return PASSES


def attempts_left(q: Question) -> Verdict:
    """The ladder has an attempt left, and a second start has a reason to go better."""
    again = "kafka-self-healing ack " + (q.request.incident or "INCIDENT")
    if q.request.rung >= q.rungs:
        return refuse(Reason.OUT_OF_RUNGS, "all attempts are used", lifted_by=again)
    incident, lost = q.memory.incidents.get(q.request.incident), len(_lost_acts(q))
    if lost >= MOST_LOST and not (incident is not None and incident.acknowledged_by):
        text = f"{lost} acts in a row never came to the node"
        return refuse(Reason.OUT_OF_RUNGS, text, lifted_by=again)
    last = _last_act(q)
    second = q.request.act_class is ActClass.START and q.request.attempt > 1
    if second and last is not None and last.state is RequestState.FAILED and last.ended:
        end = q.view.view.ends.get(q.request.node)
        lived = max(0.0, end.since - last.ended.mono_s) if end is not None else 0.0
        if lived < q.policy.second_start_min_life_s:
            text = f"the last start lived {lived:.0f} s and nothing says why it ended"
            return refuse(Reason.DIED_YOUNG, text, lifted_by=again)
    return _never_answered(q)


def _never_answered(q: Question) -> Verdict:
    """A first start is pointless where somebody's own has just ended by itself, unanswering.

    Led all along: without a leader a KRaft node exits by itself and is right to be tried again.
    """
    service, run = q.node.service, q.view.view.runs.get(q.request.node)
    if service is None or run is None or run.invocation != service.invocation:
        return PASSES
    ours = q.request.attempt > 1 or q.request.node in q.memory.owed_starts
    if ours or service.exit_status in {None, 0} or q.request.condition is Condition.TERMINATED:
        return PASSES
    if run.answered or not run.led or q.view.view.cluster.mode is not ClusterMode.KRAFT:
        return PASSES
    text = f"its last run never answered and ended by itself with exit status {service.exit_status}"
    return refuse(Reason.NEVER_ANSWERED, text, lifted_by="repair of its cause, or approval")
