"""`Memory`: what must survive a restart. It is exactly the fold of the journal's events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from kafka_self_healing.healing import told
from kafka_self_healing.healing.digest import Day, after_decision, after_end
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.control import ApprovalRequest, OperatorCommand, Order, Switch
from kafka_self_healing.model.event import (
    ApprovalAsked,
    DaemonStarted,
    Decided,
    Event,
    IncidentChanged,
    IncidentClosed,
    InSyncChanged,
    LatchLifted,
    NodesSeen,
    OperatorSaid,
    PlanChanged,
    RequestChanged,
    StormChanged,
    Told,
)
from kafka_self_healing.model.incident import (
    CLUSTER_WIDE,
    HEALABLE,
    Condition,
    Incident,
    IncidentState,
    problem,
)
from kafka_self_healing.model.notification import Notice, NoticeKind
from kafka_self_healing.model.plan import ColdStart, PlanState
from kafka_self_healing.model.recovery import (
    ACTS_KEPT_S,
    ActClass,
    RecoveryRequest,
    RequestState,
)

V = TypeVar("V")

OPEN = frozenset(
    {
        RequestState.PROPOSED,
        RequestState.EXECUTING,
        RequestState.UNKNOWN,
        RequestState.VERIFYING,
    }
)
STEP_STOP = "stop"
STEP_START = "start"


@dataclass(frozen=True, slots=True)
class Ladder:
    """How far up its ladder a node's trouble went: attempts on the rung; `healed`: well since."""

    rung: int
    attempts: int
    healed: Instant | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """Incidents, requests, budgets, latches and switches. Maps are never changed in place.

    `told`: when a notice of each key was put out last. `unconfirmed`: what is over and has to be
    told; `confirmed`: when that was done last. `digested`: when the latest digest was, or when a
    daemon first began; `day`: what the next one will tell.
    """

    counter: int = 0
    incidents: Mapping[str, Incident] = field(default_factory=dict)
    requests: Mapping[str, RecoveryRequest] = field(default_factory=dict)
    acts: tuple[RecoveryRequest, ...] = ()
    ladders: Mapping[str, Ladder] = field(default_factory=dict)
    owed_starts: Mapping[str, str] = field(default_factory=dict)
    switches: tuple[Switch, ...] = ()
    approvals: Mapping[str, OperatorCommand] = field(default_factory=dict)
    asked: Mapping[str, ApprovalRequest] = field(default_factory=dict)
    plan: ColdStart | None = None
    seen: frozenset[str] = frozenset()
    not_whole: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unclean: frozenset[str] = frozenset()
    in_sync_known: bool = False
    latch: str = ""
    storm: bool = False
    decisions: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, Instant] = field(default_factory=dict)
    unconfirmed: Mapping[str, Incident] = field(default_factory=dict)
    confirmed: Instant | None = None
    digested: Instant | None = None
    day: Day = field(default_factory=Day)

    def open_request(self, node: str) -> RecoveryRequest | None:
        """Return the node's request that is proposed, executing, unknown or being verified."""
        return next((r for r in self.requests.values() if r.node == node), None)

    def incident_of(self, subject: str) -> Incident | None:
        """Return the open incident of a subject: a node, or what stands beside (`beside`)."""
        return next((i for i in self.incidents.values() if i.subject == subject), None)


def fold(memory: Memory, events: Iterable[Event]) -> Memory:
    """Return the memory after these events."""
    for event in events:
        memory = fold_one(memory, event)
    return memory


def fold_one(memory: Memory, event: Event) -> Memory:
    """Return the memory after one event. Events that only tell (deliveries …) change nothing."""
    match event:
        case IncidentChanged(incident=incident):
            owed = memory.owed_starts
            return replace(
                memory,
                incidents={**memory.incidents, incident.id: incident},
                owed_starts=_paid(owed, incident.subject) if incident.serving else owed,
                counter=max(memory.counter, _number(incident.id)),
            )
        case IncidentClosed():
            return _closed(memory, event)
        case RequestChanged(request=request, at=at):
            return _request_changed(memory, request, at)
        case DaemonStarted(at=at):
            return _started(memory, at)
        case NodesSeen(nodes=nodes):
            return replace(memory, seen=memory.seen | frozenset(nodes))
        case InSyncChanged():
            return _in_sync(memory, event)
        case OperatorSaid(command=command, at=at):
            return _operator(memory, command, at)
        case StormChanged(active=active):
            return replace(memory, storm=active)
        case ApprovalAsked(request=asked):
            return replace(
                memory,
                asked={**memory.asked, asked.incident: asked},
                counter=max(memory.counter, _number(asked.id)),
            )
        case PlanChanged(plan=plan):
            return _plan_changed(memory, plan)
        case LatchLifted():
            return replace(memory, latch="")
        case Decided():
            key = decision_key(event.incident, event.node)
            decisions = {**memory.decisions, key: decision_text(event)}
            return replace(memory, decisions=decisions, day=after_decision(memory.day, event))
        case Told(notice=notice, at=at):
            return _told(memory, notice, at)
        case _:
            return memory


def ladder_key(node: str, condition: Condition) -> str:
    """Return the key under which a node's attempts against one class of problem are counted."""
    return f"{node}/{problem(condition).value}"


def decision_key(incident: str, node: str) -> str:
    """Return the key under which the latest decision about a node is remembered."""
    return f"{incident}/{node}"


def decision_text(event: Decided) -> str:
    """Return what makes two decisions the same: the answer, the act, and the set of reasons."""
    reasons = ",".join(sorted({f"{v.guard}:{v.reason}" for v in event.reasons}))
    return f"{event.answer}|{event.action}|{event.rung}.{event.attempt}|{reasons}"


def _number(id_: str) -> int:
    digits = id_.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def _told(memory: Memory, notice: Notice, at: Instant) -> Memory:
    match notice.kind:
        case NoticeKind.RECOVERY:
            left = told.after_recovery(memory.unconfirmed, notice)
            return replace(memory, unconfirmed=left, confirmed=at)
        case NoticeKind.DIGEST:
            return replace(memory, digested=at, day=Day())
        case (
            NoticeKind.FAILURE
            | NoticeKind.ESCALATION
            | NoticeKind.REFUSAL
            | NoticeKind.GAVE_UP
            | NoticeKind.REMINDER
        ):
            keys = told.keys(notice, memory.incidents)
            return replace(memory, told={**memory.told, **dict.fromkeys(keys, at)})


def _closed(memory: Memory, event: IncidentClosed) -> Memory:
    incident, at = event.incident, event.at
    keep = {id_: known for id_, known in memory.incidents.items() if id_ != incident.id}
    left = {key: at for key, at in memory.told.items() if not key.startswith(f"{incident.id}/")}
    decisions = {
        key: text for key, text in memory.decisions.items() if not key.startswith(f"{incident.id}/")
    }
    approvals = _without(memory.approvals, incident.id)
    mine = f"{incident.subject}/"
    ladders = {
        key: replace(ladder, healed=at) if key.startswith(mine) else ladder
        for key, ladder in memory.ladders.items()
    }
    return replace(
        memory,
        incidents=keep,
        told=left,
        decisions=decisions,
        approvals=approvals,
        asked=_without(memory.asked, incident.id),
        ladders=ladders,
        owed_starts=_paid(memory.owed_starts, incident.subject),
        day=after_end(memory.day, event),
        unconfirmed=told.after_end(memory.unconfirmed, memory.incidents, event),
    )


def _request_changed(memory: Memory, request: RecoveryRequest, at: Instant) -> Memory:
    requests = {id_: r for id_, r in memory.requests.items() if id_ != request.id}
    if request.state in OPEN:
        requests[request.id] = request
    acts = memory.acts
    if request.began is not None:
        kept = (a for a in acts if a.id != request.id)
        recent = [a for a in kept if a.began and at.since(a.began) <= ACTS_KEPT_S]
        acts = (*recent, request)
    approvals = memory.approvals
    if request.state is RequestState.EXECUTING and {request.id, request.incident} & set(approvals):
        # One approval is one act: what lifts attempts and budgets must not lift them for good.
        used = {request.id, request.incident}
        approvals = {key: by for key, by in approvals.items() if key not in used}
    begins = request.state is RequestState.EXECUTING
    latch = memory.latch
    failed = request.state is RequestState.FAILED and request.act_class is ActClass.RESTART
    if failed and (STEP_STOP in request.begun_steps or not request.action.startswith("service:")):
        latch = request.id  # what was stopped did not come back; what was refused stopped nothing
    return replace(
        memory,
        requests=requests,
        acts=acts,
        approvals=approvals,
        asked=_without(memory.asked, request.incident) if begins else memory.asked,
        latch=latch,
        ladders=_climbed(memory, request, at),
        owed_starts=_owed(memory, request),
        counter=max(memory.counter, _number(request.id)),
    )


def _climbed(memory: Memory, request: RecoveryRequest, at: Instant) -> Mapping[str, Ladder]:
    key = ladder_key(request.node, request.condition)
    known = memory.ladders.get(key)
    match request.state:
        case RequestState.EXECUTING:
            now = Ladder(request.rung, request.attempt)
        case RequestState.HEALED if known is not None:
            now = replace(known, healed=at)
        case RequestState.ABORTED if request.began is not None and known is not None:
            now = replace(known, attempts=known.attempts - 1)
        case _:
            return memory.ladders
    return {**memory.ladders, key: now}


def _owed(memory: Memory, request: RecoveryRequest) -> Mapping[str, str]:
    """A stop that may be ours is ours: a start is owed until the node is seen serving again."""
    owed = memory.owed_starts
    restart = request.act_class is ActClass.RESTART and request.state is RequestState.EXECUTING
    if restart and STEP_STOP in request.begun_steps and request.node not in owed:
        return {**owed, request.node: request.id}
    if request.state is RequestState.HEALED:
        return _paid(owed, request.node)
    if STEP_STOP not in request.begun_steps and owed.get(request.node) == request.id:
        return _paid(owed, request.node)  # the stop was proven not to have been carried out
    return owed


def _paid(owed: Mapping[str, str], node: str) -> Mapping[str, str]:
    if node not in owed:
        return owed
    return {other: id_ for other, id_ in owed.items() if other != node}


def _started(memory: Memory, at: Instant) -> Memory:
    """An act without an end becomes unknown; a proposal is forgotten and made anew if needed."""
    for request in list(memory.requests.values()):
        if request.state is RequestState.EXECUTING:
            lost = replace(
                request,
                state=RequestState.UNKNOWN,
                ended=at,
                reason="the healer ended while the act was executing",
            )
            memory = _request_changed(memory, lost, at)
        elif request.state is RequestState.PROPOSED:
            gone = replace(request, state=RequestState.ABORTED, reason="the healer was restarted")
            memory = _request_changed(memory, gone, at)
    return memory if memory.digested is not None else replace(memory, digested=at)


def _in_sync(memory: Memory, event: InSyncChanged) -> Memory:
    not_whole = dict(memory.not_whole)
    unclean = set(memory.unclean)
    for change in event.changes:
        key = f"{change.topic}-{change.partition}"
        if change.isr is None:
            not_whole.pop(key, None)
        else:
            not_whole[key] = change.isr
        if change.unclean_election is not None:
            (unclean.add if change.unclean_election else unclean.discard)(change.topic)
    return replace(memory, not_whole=not_whole, unclean=frozenset(unclean), in_sync_known=True)


def _operator(memory: Memory, command: OperatorCommand, at: Instant) -> Memory:
    match command.order:
        case Order.PAUSE | Order.MAINTENANCE:
            switch = Switch(
                command.order, command.by, command.reason, command.target, at, command.until
            )
            kept = tuple(s for s in _still(memory, at) if not _repeats(command, s))
            return replace(memory, switches=(*kept, switch))
        case Order.RESUME:
            kept = tuple(s for s in _still(memory, at) if s.order is not Order.PAUSE)
            return replace(memory, switches=kept)
        case Order.MAINTENANCE_END:
            kept = tuple(
                s
                for s in _still(memory, at)
                if s.order is not Order.MAINTENANCE or s.target != command.target
            )
            return replace(memory, switches=kept)
        case Order.ACK:
            return _acknowledged(memory, command)
        case Order.APPROVE:
            given = {**memory.approvals, command.target: command}
            return replace(memory, approvals=given, asked=_without(memory.asked, command.target))


def _plan_changed(memory: Memory, plan: ColdStart) -> Memory:
    """A plan's approval is used up when it begins; what it asked for ends with it.

    What was approved before it was proposed was not this plan.
    """
    approvals, asked = memory.approvals, memory.asked
    new = memory.plan is None or memory.plan.id != plan.id
    if new or plan.state is PlanState.RUNNING:
        approvals = _without(approvals, plan.incident)
    if plan.incident in asked and asked[plan.incident].id == plan.id and not plan.open:
        asked = _without(asked, plan.incident)
    counter = max(memory.counter, _number(plan.id))
    return replace(memory, plan=plan, approvals=approvals, asked=asked, counter=counter)


def _without(known: Mapping[str, V], key: str) -> Mapping[str, V]:
    return {other: value for other, value in known.items() if other != key}


def _repeats(command: OperatorCommand, switch: Switch) -> bool:
    """Whether a command says again what its giver has said before; the later word counts."""
    said = (command.order, command.by, command.target)
    return said == (switch.order, switch.by, switch.target)


def _still(memory: Memory, at: Instant) -> tuple[Switch, ...]:
    return tuple(switch for switch in memory.switches if switch.holds(at))


def _acknowledged(memory: Memory, command: OperatorCommand) -> Memory:
    """An acknowledgement takes the incident over, unlatches, and grants one more cycle.

    The last two only by that of a node's own incident, or of the one that explains it: whoever
    takes over a full disk has not said that the node may be restarted once more.
    """
    incident = memory.incidents.get(command.target)
    if incident is None:
        return memory
    taken = replace(incident, acknowledged_by=command.by)
    if incident.subject not in incident.nodes and incident.condition not in CLUSTER_WIDE:
        return replace(memory, incidents={**memory.incidents, incident.id: taken})
    stuck = next((act.node for act in memory.acts if act.id == memory.latch), None)
    of_these = tuple(f"{node}/" for node in incident.nodes)
    ladders = {key: at for key, at in memory.ladders.items() if not key.startswith(of_these)}
    before = memory.told
    if len(ladders) < len(memory.ladders) and incident.condition in HEALABLE:
        # What the new cycle comes to is news.
        taken = replace(taken, state=IncidentState.CONFIRMED, escalation="")
        to_tell = told.again(incident)
        before = {key: at for key, at in before.items() if not key.startswith(to_tell)}
    return replace(
        memory,
        incidents={**memory.incidents, incident.id: taken},
        ladders=ladders,
        told=before,
        latch="" if stuck is None or stuck in incident.nodes else memory.latch,
    )
