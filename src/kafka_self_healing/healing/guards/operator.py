"""Guards about who has the say: pause, maintenance, lease, mode, inventory, foreign work."""

from __future__ import annotations

from kafka_self_healing.healing.assessment import Process, Standing
from kafka_self_healing.healing.diagnosis.process import reason_known
from kafka_self_healing.healing.guards.subject import (
    PASSES,
    SEEN,
    Question,
    refuse,
    report,
    words_of_others,
)
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.decision import Reason, Verdict
from kafka_self_healing.model.policy import Mode
from kafka_self_healing.model.recovery import ActClass

TRACED_STATES = frozenset({"t"})


def not_paused(q: Question) -> Verdict:
    """Nobody has paused the healer."""
    for switch in q.memory.switches:
        if switch.order is Order.PAUSE and switch.holds(q.view.now):
            text = f"paused by {switch.by}" + (f": {switch.reason}" if switch.reason else "")
            return refuse(Reason.PAUSED, text, lifted_by="kafka-self-healing resume")
    return PASSES


def not_in_maintenance(q: Question) -> Verdict:
    """Neither the cluster nor the node is in maintenance."""
    for switch in q.memory.switches:
        if switch.order is not Order.MAINTENANCE or not switch.holds(q.view.now):
            continue
        if switch.target in {"", q.view.view.cluster.name, q.request.node}:
            what = switch.target or "the cluster"
            text = f"{what} is in maintenance by {switch.by}: {switch.reason or 'no reason given'}"
            return refuse(Reason.IN_MAINTENANCE, text, lifted_by="the end of the maintenance")
    return PASSES


def has_lease(q: Question) -> Verdict:
    """This daemon holds the cluster's lease."""
    if q.view.view.lease:
        return PASSES
    return refuse(
        Reason.NO_LEASE, "another daemon acts for this cluster", lifted_by="holding the lease"
    )


def known_node(q: Question) -> Verdict:
    """The node is in the inventory and was seen alive by us or by the cluster."""
    if q.request.node in q.memory.seen:
        return PASSES
    text = f"node {q.request.node} was never seen alive, neither by us nor by the cluster"
    return refuse(Reason.NOT_COMMISSIONED, text, lifted_by="seeing it alive once")


def mode_permits(q: Question) -> Verdict:
    """The mode allows the act, or a person approved it."""
    if q.approval is not None:
        return report(Reason.APPROVED, f"approved by {q.approval.by}")
    what = f"{q.request.action} on node {q.request.node}, attempt {q.request.attempt}"
    if q.policy.mode is Mode.OBSERVE:
        return refuse(Reason.OBSERVE, f"would act: {what}", lifted_by="mode: auto")
    if q.request.act_class is ActClass.START and q.request.node in q.memory.owed_starts:
        return PASSES  # who let us stop it wants it started
    service = q.node.service
    blind = (
        q.request.act_class is ActClass.START and service is not None and not reason_known(service)
    )
    if q.policy.mode is Mode.APPROVE or blind:
        why = "nothing says why the process ended; " if blind else ""
        command = f"kafka-self-healing approve {q.request.incident}"
        return refuse(
            Reason.NEEDS_APPROVAL, f"{why}{what} needs a person's approval", lifted_by=command
        )
    return PASSES


def no_foreign_work(q: Question) -> Verdict:
    """Nobody else is at work on the node: a job, another tool's lock, a debugger, a stop."""
    service = q.node.service
    if service is None:
        return refuse(
            Reason.SERVICE_UNREADABLE, "the service manager's word is missing", lifted_by=SEEN
        )
    if service.job is None or service.host_lock is None:
        what = "a queued job" if service.job is None else "another tool's lock"
        return refuse(
            Reason.WORK_UNREADABLE, f"whether there is {what} cannot be read", lifted_by=SEEN
        )
    if service.job:
        return refuse(
            Reason.UNIT_JOB,
            f"a job is queued for its unit: {service.job}",
            lifted_by="the end of the job",
        )
    if service.host_lock:
        return refuse(
            Reason.HOST_LOCK,
            f"another tool holds the host's lock: {service.host_lock}",
            lifted_by="its release",
        )
    if q.request.node not in q.memory.owed_starts:
        if q.node.process is Process.DEACTIVATING:
            return refuse(Reason.STOPPING, "it is being stopped", lifted_by="its end")
        if service.stop_requested is None:
            return refuse(
                Reason.STOP_UNREADABLE,
                "whether a stop was requested cannot be read",
                lifted_by=SEEN,
            )
        if service.stop_requested:
            return refuse(
                Reason.STOP_REQUESTED,
                "somebody asked it to stop",
                lifted_by="a start by an operator",
            )
    if service.unit_file is None:
        return refuse(
            Reason.UNIT_UNREADABLE, "whether its unit is masked cannot be read", lifted_by=SEEN
        )
    if service.unit_file == "masked":
        return refuse(Reason.MASKED, "its unit is masked", lifted_by="unmasking it")
    return _no_debugger(q) if q.request.act_class is ActClass.START else _left_alone(q)


def _no_debugger(q: Question) -> Verdict:
    service = q.node.service
    assert service is not None
    if service.tracer_pid:
        return refuse(
            Reason.DEBUGGER, f"process {service.tracer_pid} traces it", lifted_by="its detaching"
        )
    return PASSES


def _left_alone(q: Question) -> Verdict:
    service = q.node.service
    assert service is not None
    if service.tracer_pid is None:
        return refuse(
            Reason.TRACER_UNREADABLE,
            "whether a debugger is attached cannot be read",
            lifted_by=SEEN,
        )
    if service.process_state is None:
        return refuse(
            Reason.STATE_UNREADABLE, "the state of its process cannot be read", lifted_by=SEEN
        )
    if service.tracer_pid or service.process_state in TRACED_STATES:
        return refuse(Reason.DEBUGGER, "a debugger is attached to it", lifted_by="its detaching")
    if _out_of_it(q.node):
        return PASSES
    heard = words_of_others(q)
    if not heard:
        text = "whether replicas are being moved cannot be read: no other node can be asked"
        return refuse(Reason.WORK_UNREADABLE, text, lifted_by=SEEN)
    moving = sorted({name for read in heard for name in read.reassigning})
    if moving:
        text = f"replicas are being moved: {', '.join(moving[:5])}"
        return refuse(
            Reason.REASSIGNMENT, text, lifted_by="the end of the reassignment, or approval"
        )
    return PASSES


def _out_of_it(node: Standing) -> bool:
    return node.silent and node.dropped is True
