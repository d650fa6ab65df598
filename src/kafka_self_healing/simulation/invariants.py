"""The judge: invariants of safety and of liveness, on the world's truth and the journal's events.

It knows the world, the events and some numbers of the policy; it never asks the mind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from kafka_self_healing.model.control import Order, Switch
from kafka_self_healing.model.decision import Answer
from kafka_self_healing.model.event import (
    ActFinished,
    DaemonStarted,
    Decided,
    Event,
    IncidentChanged,
    IncidentClosed,
    LatchLifted,
    OperatorSaid,
    PlanChanged,
    RequestChanged,
    Told,
)
from kafka_self_healing.model.incident import EXPECTED, Condition
from kafka_self_healing.model.notification import NoticeKind
from kafka_self_healing.model.policy import Mode, Policy
from kafka_self_healing.model.recovery import ActClass, RecoveryRequest, RequestState
from kafka_self_healing.simulation.consent import Consent
from kafka_self_healing.simulation.eyes import Eyes
from kafka_self_healing.simulation.frequency import Frequency
from kafka_self_healing.simulation.harm import BAD_WEATHER, Harm, Tally
from kafka_self_healing.simulation.record import Record, Violation
from kafka_self_healing.simulation.world import World

ENDED = frozenset({RequestState.HEALED, RequestState.FAILED, RequestState.ABORTED})
CALLS = (NoticeKind.ESCALATION, NoticeKind.REFUSAL, NoticeKind.GAVE_UP)
OPEN_INCIDENT_S = 60.0
"""I8: after confirmation; before it, looks, confirmation and grouping take their time."""

BEFORE_I8_S = 60.0
FRESH_S = 5.0
"""I1: whether the quorum is lost may just have changed; then the shorter slot is right."""

SETTLED_S = 200.0
"""Liveness: how long after the last change of a node its incident may still be open."""


class Judge:
    """Hears events, acts and turns, and looks at the truth."""

    def __init__(self, world: World, policy: Policy) -> None:
        self.world, self.policy = world, policy
        self.eyes: Eyes
        self.record = Record()
        self.violations: list[Violation] = []
        self.harm = Harm(world, policy, self._broken, self._sees)
        self.consent = Consent(world, self.record, self._broken)
        self.frequency = Frequency(world, policy, self.record, self._broken)
        self.acts: list[RecoveryRequest] = []
        self.lease = True
        self.blind_since = 0.0
        self._stepped_at, self._rounds_before = 0.0, dict[str, int]()
        self.stepped_back = False
        self.largest_inbox = 0
        self.last_change = 0.0
        self.failing: dict[str, float] = {}

    @property
    def tally(self) -> Tally:
        """The harm metrics so far."""
        return self.harm.tally

    def _sees(self) -> bool:
        """Whether so few looks are lost, or too late, that what is there is seen."""
        return self.eyes.weather.missed(self.policy.suspect_timeout_s) < BAD_WEATHER

    def _broken(self, code: str, text: str) -> None:
        if len(self.violations) < 40:
            self.violations.append(Violation(code, round(self.world.now, 3), text))

    # --- what the journal says ---

    def on_events(self, events: Sequence[Event]) -> None:
        """Read new journal entries."""
        record = self.record
        for event in events:
            match event:
                case RequestChanged(request=request):
                    self._request(request)
                case IncidentChanged(incident=incident):
                    record.incidents[incident.id] = incident
                case IncidentClosed(incident=incident):
                    record.incidents.pop(incident.id, None)
                case Decided():
                    self._decided(event)
                case Told(notice=notice):
                    self._told(notice.key)
                case OperatorSaid(command=command):
                    self._operator(command.order, command.target, event)
                case ActFinished(result=result):
                    record.results[result.request] += 1
                    if record.results[result.request] > 1:
                        self._broken("I6", f"{result.request} has two results")
                case DaemonStarted():
                    self.blind_since = self.world.now
                    self._restarted()
                case LatchLifted():
                    record.latch = ""
                case PlanChanged(plan=plan):
                    self.consent.follow(plan)
                case _:
                    pass

    def _request(self, request: RecoveryRequest) -> None:
        known = self.record.requests.get(request.id)
        if known is not None and known.state in ENDED:
            self._broken("I6", f"{request.id} goes on after its end ({known.state.value})")
        if known is None or known.state is not request.state:
            self.record.state_seen[request.id] = self.world.now
        self.record.requests[request.id] = request
        if request.state in ENDED:
            self.record.ended[request.id] += 1
        stopped = request.act_class is ActClass.RESTART and "stop" in request.begun_steps
        if request.state is RequestState.FAILED and stopped:
            self.record.latch = request.id

    def _restarted(self) -> None:
        """Proposals are forgotten at a start, and an act under way has an unknown end."""
        for id_, request in list(self.record.requests.items()):
            if request.state is RequestState.PROPOSED:
                del self.record.requests[id_]
            elif request.state is RequestState.EXECUTING:
                lost = replace(request, state=RequestState.UNKNOWN)
                self.record.requests[id_], self.record.state_seen[id_] = lost, self.world.now

    def _decided(self, event: Decided) -> None:
        self.record.answers[event.node] = event
        if event.answer is Answer.ACT:
            return
        reasons = [verdict for verdict in event.reasons if verdict.blocking]
        if not reasons or not all(v.text and v.guard for v in reasons):
            self._broken("I7", f"{event.answer.value} of {event.action} without a reason")

    def _told(self, key: str) -> None:
        times = self.record.told.setdefault(key, [])
        if times and self.world.now - times[-1] < self.policy.notice_repeat_s:
            self._broken("I9", f"{key} told twice within the repeat interval")
        times.append(self.world.now)

    def _operator(self, order: Order, target: str, event: OperatorSaid) -> None:
        record, command = self.record, event.command
        match order:
            case Order.PAUSE | Order.MAINTENANCE:
                record.switches.append(
                    Switch(order, command.by, command.reason, target, event.at, command.until)
                )
            case Order.RESUME:
                record.switches = [s for s in record.switches if s.order is not Order.PAUSE]
                self.blind_since = self.world.now
            case Order.MAINTENANCE_END:
                record.switches = [s for s in record.switches if s.target != target]
            case Order.ACK:
                incident = record.incidents.get(target)
                for node in incident.nodes if incident else ():
                    record.acknowledged[node] = self.world.now
                record.latch = ""
            case Order.APPROVE:
                self.consent.hear(event)

    # --- an act touches the world ---

    def on_act(self, request: RecoveryRequest) -> None:
        """Judge an act at the moment at which it begins."""
        approved = self.consent.given(request)
        self._permitted(request, approved=approved)
        self._seen(request)
        self._alone(request)
        self.frequency.judge(request, self.acts, approved=approved)
        self.consent.judge(request)
        self.harm.judge(request, self.record.latch, approved=approved)
        self.acts.append(request)

    def _permitted(self, request: RecoveryRequest, *, approved: bool) -> None:
        now = self.world.now
        if not self.lease:
            self._broken("I4", f"{request.id} without the lease")
        for switch in self.record.switches:
            mine = switch.target in {"", self.world.cluster.name, request.node}
            if switch.order is Order.PAUSE:
                self._broken("I4", f"{request.id} while paused")
            elif mine:
                self._broken("I4", f"{request.id} on a node in maintenance")
        if self.policy.mode is not Mode.AUTO and not approved:
            self._broken("I4", f"{request.id} in mode {self.policy.mode.value}, not approved")
        if now - self.blind_since < self.policy.warm_floor_s - 0.1:
            text = f"{request.id} only {now - self.blind_since:.1f} s after looking began"
            self._broken("I4", text)
        decided = request.began.mono_s if request.began else now
        sights, before = self.eyes.sights, self._rounds_before.items()
        rounds = min((sights[id_].rounds - count for id_, count in before), default=0)
        # A look that came just before it may be heard after it.
        if before and decided >= self._stepped_at and rounds < self.policy.warm_rounds - 1:
            self._broken("I4", f"{request.id} {rounds} rounds after the clock was set")
        known = self.record.requests.get(request.id)
        if known is None or known.state is not RequestState.EXECUTING:
            self._broken("I6", f"{request.id} has no intent in the journal")

    def clock_is_set(self) -> None:
        """From now on, every node must have been asked anew for some rounds before an act."""
        self._stepped_at = self.world.now
        self._rounds_before = {id_: sight.rounds for id_, sight in self.eyes.sights.items()}

    def _seen(self, request: RecoveryRequest) -> None:
        """A look at the machine that began after the proposal must have come back."""
        look = self.eyes.sights[request.node].service_look
        if look <= request.proposed.mono_s:
            self._broken("I4", f"{request.id} without a look after its proposal")
        if self.world.now - look > 2 * self.policy.interval_s + self.policy.timeout_s:
            self._broken("I4-stale", f"{request.id} on a look of {self.world.now - look:.1f} s ago")

    def _alone(self, request: RecoveryRequest) -> None:
        """I1: one act executing; a START holds the slot for a while, a RESTART much longer."""
        restart = request.act_class is not ActClass.START
        for other in self.record.requests.values():
            if other.id == request.id or other.began is None:
                continue
            if other.node == request.node:
                if other.state not in ENDED:
                    self._broken("I1", f"{request.id} while {other.id} on the same node is open")
                continue
            if other.state is RequestState.EXECUTING:
                self._broken("I1", f"{request.id} while {other.id} is executing")
            elif other.state is RequestState.UNKNOWN and restart:
                self._broken("I1", f"{request.id} while the end of {other.id} is unknown")
            elif other.state is RequestState.VERIFYING and other.ended is not None:
                age = self.world.now - other.ended.mono_s
                lost = self.world.leader is None
                slot = self.policy.slot_quorum_lost_s if lost else self.policy.slot_s
                if other.act_class is not ActClass.START and not lost:
                    session = self.world.cluster.session_timeout_s
                    slot = session + self.policy.stable_window_s(session)
                if restart:
                    self._broken("I1", f"{request.id} while {other.id} is unverified")
                elif age < (min(slot, FRESH_S) if self._just_changed() else slot) - 0.05:
                    self._broken("I1", f"{request.id} {age:.1f} s after {other.id}")

    def _just_changed(self) -> bool:
        return self.world.now - self.world.changed_at <= FRESH_S

    # --- as time goes by ---

    def on_step(self, size: int, memory: object) -> None:  # noqa: ARG002
        """A turn is over: its inbox was bounded."""
        self.largest_inbox = max(self.largest_inbox, size)

    def watch(self) -> None:
        """I8: what has failed for long enough has an open incident, and somebody knows."""
        self.consent.watch()
        now = self.world.now
        for node in self.world.nodes.values():
            failed = node.commissioned and not node.serves and node.lie is None
            failed = failed and not (node.dark or node.no_shell)
            if not failed or now - self.blind_since < BEFORE_I8_S:
                self.failing.pop(node.id, None)
                continue
            since = self.failing.setdefault(node.id, now)
            if now - since >= OPEN_INCIDENT_S + BEFORE_I8_S and self.eyes.open:
                self._incident_open(node.id)

    def _incident_open(self, node: str) -> None:
        about = [i for i in self.record.incidents.values() if node in i.nodes]
        if not about:
            self._broken("I8", f"node {node} has failed for long and no incident is open")
        elif not any(i.told or i.condition in EXPECTED for i in about):
            self._broken("I8", f"node {node} has failed for long and nobody was told")

    def finish(self, journal: Sequence[Event], memory: object, fold: Callable[..., object]) -> None:
        """The end: bounds, the fold, exactly one end an act, and liveness."""
        self._bounded(memory)
        if fold(journal) != memory:
            self._broken("I11", "folding the journal gives another memory")
        for id_, count in self.record.ended.items():
            if count > 1:
                self._broken("I6", f"{id_} has {count} ends")
        self._alive()

    def _bounded(self, memory: object) -> None:
        nodes = len(self.world.nodes)
        for name, most in (("incidents", 2 * nodes + 6), ("requests", nodes), ("decisions", 99)):
            size = len(getattr(memory, name))
            if size > most:
                self._broken("I10", f"{size} {name} in memory")
        if self.largest_inbox > 5000:
            self._broken("I10", f"an inbox of {self.largest_inbox}")
        if any(len(i.story) > 60 for i in self.record.incidents.values()):
            self._broken("I10", "a story without an end")

    def _alive(self) -> None:
        """Liveness: every node is healthy or somebody's; no act is left open."""
        now = self.world.now
        if now - self.blind_since < SETTLED_S or now - self.last_change < SETTLED_S:
            return
        for node in self.world.nodes.values():
            if not node.commissioned or node.dark or node.no_shell or 0.0 < node.choked < 1.0:
                continue  # one that answers now and then is well now and then, to whoever asks it
            if self.world.leader is None and node.serves:
                continue  # a survivor of a lost quorum is not what has to be healed
            if node.serves and not self._has_witness(node.id) and not self.world.healthy(node):
                continue  # whether it is counted in, nobody is left to say
            if self.world.healthy(node):
                if not node.by_hand and not node.disk:  # of a lost directory replicas stay away
                    self._closed(node.id)
            elif not self._cared_for(node.id):
                self.harm.tally.missed += 1
                self._broken("liveness", f"node {node.id} is sick and nobody's")
        for request in self.record.requests.values():
            age = now - self.record.state_seen[request.id]
            if request.state is RequestState.EXECUTING and age > request.limit_s:
                self._broken("liveness", f"{request.id} still executes")
            if request.state is RequestState.PROPOSED and age > 60.0:
                self._broken("liveness", f"{request.id} is proposed for {age:.0f} s")

    def _closed(self, node: str) -> None:
        now = self.world.now
        since = now - self.world.nodes[node].snapshots[-1].at
        if since <= self.policy.stall_s and not self._has_witness(node):
            return  # nobody can say that it is counted in; a person is told after the stall
        for incident in self.record.incidents.values():
            mine = incident.subject == node and incident.condition is not Condition.FLAPPING
            old = now - incident.opened.mono_s > OPEN_INCIDENT_S  # a lost look may have opened it
            loop = incident.condition is Condition.CRASH_LOOP
            if mine and old and since > SETTLED_S + loop * self.policy.signs.restarts_window_s:
                text = f"{incident.condition} of {node} is still open, {since:.0f} s after all"
                self._broken("liveness", text)

    def _has_witness(self, node: str) -> bool:
        """Whether another broker that has been counted in for long can be asked about a broker."""
        world, nodes = self.world, self.world.nodes
        others = [other for id_, other in nodes.items() if id_ != node and other.config.is_broker]
        able = (
            other.serves
            and not other.choked
            and world.counted(other)
            and world.now - other.snapshots[-1].at > SETTLED_S
            for other in others
        )
        return not nodes[node].config.is_broker or any(able)

    def _cared_for(self, node: str) -> bool:
        about = [i for i in self.record.incidents.values() if node in i.nodes or i.subject == node]
        if any(i.escalation or i.acknowledged_by or self._called(i.id) for i in about):
            return True
        # What waits for a quorum waits with it: whose loss is told, and whose voters are judged.
        hands_off = {Condition.STOPPED_BY_OPERATOR, Condition.NO_QUORUM_YET, *EXPECTED}
        if self.world.leader is not None:
            hands_off.discard(Condition.NO_QUORUM_YET)
        if any(i.condition in hands_off for i in about):
            return True
        if about and (self.record.switches or not self.lease or self.policy.mode is not Mode.AUTO):
            return True
        mine = [r for r in self.record.requests.values() if r.node == node]
        if any(r.state is RequestState.UNKNOWN for r in mine):
            return True  # looked at for 10 minutes, longer than a run, then a person is told
        answer = self.record.answers.get(node)
        if answer is not None and answer.answer is Answer.WAIT:
            # A clock set back lengthens every wait by as much, and never shortens one.
            late = self.stepped_back or answer.until is None
            return late or (answer.until or 0.0) > self.world.now - 30.0
        if answer is not None and self._behind(answer):
            return True
        # Young troubles: the settling time counts from the node's own last change.
        return self.world.now - self.world.nodes[node].snapshots[-1].at < SETTLED_S

    def _called(self, incident: str) -> bool:
        """Whether a person has been called for it: a flicker of its condition is no news."""
        calls = tuple(f"{incident}/{kind.value}" for kind in CALLS)
        return any(key.startswith(calls) for key in self.record.told)

    def _behind(self, answer: Decided) -> bool:
        """Whether it waits for an act that stands still: a person is told of that after the stall.

        Nobody can say that its node is counted in, or the node froze on its way up.
        """
        reasons = {verdict.reason for verdict in answer.reasons if verdict.blocking}
        if not reasons or not reasons <= {"verifying", "first_one_first"}:
            return False
        acts = [r for r in self.record.requests.values() if r.state is RequestState.VERIFYING]
        nodes = self.world.nodes
        if any(r.state is RequestState.UNKNOWN for r in self.record.requests.values()):
            return True  # it is looked at for longer than a run
        return any(not self._has_witness(r.node) or nodes[r.node].frozen for r in acts)
