"""Replay: drive the mind with recorded looks, without any I/O, and say what it would have done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from kafka_self_healing.healing.guards import Row, asked, judge
from kafka_self_healing.healing.guards.subject import Question
from kafka_self_healing.healing.healer import Input, Step, step
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.numbers import numbers
from kafka_self_healing.healing.planning import in_order, next_try, stop_style
from kafka_self_healing.healing.view import View
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.codec import to_plain
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.decision import Answer, Decision, Verdict
from kafka_self_healing.model.event import (
    Event,
    IncidentChanged,
    IncidentClosed,
    RequestChanged,
    Told,
)
from kafka_self_healing.model.evidence import CheckResult, Outcome
from kafka_self_healing.model.incident import Condition, IncidentState
from kafka_self_healing.model.notification import NoticeKind
from kafka_self_healing.model.policy import Policy, Rung
from kafka_self_healing.model.recovery import (
    ActClass,
    Disruption,
    RecoveryRequest,
    RecoveryResult,
    RequestState,
)
from kafka_self_healing.simulation.replay_format import (
    AskLine,
    Line,
    OrderLine,
    Recording,
    ResultLine,
)

UTC_OF_ZERO_S = 1_700_000_000.0
"""UTC at the file's second 0: the files have one clock, and it never steps."""

Write = Callable[[dict[str, Any]], None]


class Replay:
    """One run over one recording. Equal inputs give equal output, to the byte."""

    def __init__(self, recording: Recording, policy: Policy, write: Write) -> None:
        self._recording = recording
        self._policy = policy
        self._write = write
        cluster = recording.cluster
        self._view = View.warm(cluster) if recording.header.warm else View.cold(cluster)
        self._memory = Memory()
        self._last: Step | None = None
        self._states: dict[str, tuple[str, str]] = {}
        self.turns = 0
        self.acts = 0

    def run(self) -> None:
        """Replay the file to its last line."""
        end = 0.0
        for at, lines in _batches(self._recording.lines):
            self._sleep_until(at)
            self._hear(at, lines)
            end = at
        self._say(end, "end", {"turns": self.turns, "acts": self.acts})

    def _sleep_until(self, at: float) -> None:
        """Wake the mind at each moment at which it asked to be woken."""
        while self._last is not None and self._last.wake_s < at:
            self._turn(self._last.wake_s, [])

    def _hear(self, at: float, lines: Sequence[Line]) -> None:
        inputs: list[Input] = []
        for line in lines:
            match line:
                case CheckResult():
                    if line.outcome is not Outcome.NOT_ASKED:
                        inputs.append(line)
                case ResultLine():
                    inputs += self._result(at, line)
                case OperatorCommand():
                    if line.order in {Order.ACK, Order.APPROVE} and inputs:
                        self._turn(at, inputs)
                        inputs = []
                    inputs.append(_on_utc(self._meant(line)))
                case AskLine() | OrderLine():
                    self._turn(at, inputs)
                    inputs = []
                    if isinstance(line, AskLine):
                        self._answer(at, line)
                    else:
                        self._order(at, line)
        if inputs:
            self._turn(at, inputs)

    def _meant(self, command: OperatorCommand) -> OperatorCommand:
        """An acknowledgement or approval of a node is one of its open incident, if it has any."""
        incident = self._memory.incident_of(command.target)
        named = command.order in {Order.ACK, Order.APPROVE} and incident is not None
        return replace(command, target=incident.id) if incident is not None and named else command

    def _result(self, at: float, line: ResultLine) -> list[Input]:
        for request in self._memory.requests.values():
            if request.node == line.node and request.state is RequestState.EXECUTING:
                began = request.began.mono_s if request.began else at
                result = RecoveryResult(
                    request.id,
                    line.node,
                    request.action,
                    line.outcome,
                    exit_code=line.exit_code,
                    started=began,
                    ended=at,
                )
                return [result]
        return []

    def _turn(self, at: float, inputs: Sequence[Input]) -> None:
        now = Instant(at, UTC_OF_ZERO_S + at)
        done = step(self._memory, self._view, inputs, self._policy, now)
        self._memory, self._view, self._last = done.memory, done.view, done
        self.turns += 1
        for event in done.events:
            self._event(at, event)
        for decision in done.decisions:
            self._decision(at, decision)
        for look in done.looks:
            kinds = sorted(kind.value for kind in look.kinds)
            self._say(at, "look", {"nodes": self._ids(look.nodes), "kinds": kinds, "why": look.why})

    def _event(self, at: float, event: Event) -> None:
        match event:
            case IncidentChanged(incident=incident):
                state = "confirmed" if incident.confirmed is not None else "suspected"
                news = (incident.condition.value, state)
                if self._states.get(incident.id) != news:
                    self._states[incident.id] = news
                    self._diagnosis(at, incident.condition, state, incident)
                if incident.state is not IncidentState.ESCALATED:
                    self._states.pop(f"{incident.id}/page", None)
            case IncidentClosed(incident=incident, how=how):
                self._states.pop(incident.id, None)
                self._diagnosis(at, incident.cause or incident.condition, "cleared", incident)
                if how == "healed":
                    body = {"incident": incident.id, "nodes": self._ids(incident.nodes),
                            "acts": list(incident.acts)}  # fmt: skip
                    self._say(at, "healed", body)
            case Told(notice=notice):
                if notice.kind is not NoticeKind.RECOVERY:
                    body = {
                        "incident": notice.incident,
                        "kind": notice.kind.value,
                        "condition": notice.condition,
                        "nodes": self._ids(notice.nodes),
                        "text": notice.summary,
                    }
                    self._say(at, "page", body)
            case RequestChanged(request=request):
                if request.state is RequestState.EXECUTING and not request.begun_steps:
                    self.acts += 1

    def _diagnosis(self, at: float, condition: Condition, state: str, incident: Any) -> None:
        body = {
            "condition": condition.value,
            "state": state,
            "nodes": self._ids(incident.nodes),
            "evidence": list(incident.evidence),
            "incident": incident.id,
        }
        self._say(at, "diagnosis", body)

    def _decision(self, at: float, decision: Decision) -> None:
        request = decision.request
        body = {
            "verdict": decision.answer.value,
            "action": request.action,
            "class": request.act_class.value,
            "node": self._recording.ids[request.node],
            "condition": request.condition.value,
            "rung": request.rung,
            "attempt": request.attempt,
            "until": decision.until,
            "reasons": [_reason(verdict) for verdict in decision.reasons],
        }
        self._say(at, "decision", body)

    def _answer(self, at: float, line: AskLine) -> None:
        question = self._question(at, line.node, line.action)
        rows = asked(question.request.act_class, line.guards)
        verdicts = judge(question, rows)
        blocking = [verdict for verdict in verdicts if verdict.blocking]
        untils = [verdict.until for verdict in blocking]
        waits = bool(blocking) and None not in untils
        answer = Answer.WAIT if waits else Answer.REFUSE if blocking else Answer.ACT
        assert self._last is not None
        body = {
            "id": line.id,
            "allowed": not blocking,
            "verdict": answer.value,
            "until": max(until for until in untils if until is not None) if waits else None,
            "looks_again": self._last.wake_s,
            "would": self._would(question, answer, whole=line.guards is None),
            "diagnosis": self._found(question),
            "reasons": [_reason(verdict) for verdict in verdicts],
            "guards": [_row(question, row) for row in rows],
        }
        self._say(at, "answer", body)

    def _would(self, question: Question, answer: Answer, *, whole: bool) -> str:
        """Say what would be done, and what the mind itself would do of the node's condition."""
        request = question.request
        how = f", by {request.stop_style.value}" if request.act_class is ActClass.RESTART else ""
        act = f"{request.action} on node {request.node} ({request.act_class.value}{how})"
        found = question.diagnosis
        rungs = () if found is None else self._ladder(request.node, found.condition)
        if found is None:
            own = "nothing is wrong with it"
        elif not rungs:
            own = f"{found.condition} is answered by no act"
        else:
            own = f"{found.condition} is answered by {' then '.join(one.action for one in rungs)}"
            own += "" if found.confirmed else f", once confirmed ({found.waiting})"
        said = {Answer.ACT: "yes", Answer.WAIT: "not yet", Answer.REFUSE: "no"}[answer]
        which = "" if whole else "of these guards alone: "
        return f"{which}{said}: {act}; {own}"

    def _found(self, question: Question) -> dict[str, Any] | None:
        found = question.diagnosis
        if found is None:
            return None
        body: dict[str, Any] = to_plain(found)
        return {**body, "nodes": self._ids(found.nodes)}

    def _ladder(self, node: str, condition: Condition) -> tuple[Rung, ...]:
        return self._policy.ladder(self._recording.cluster.nodes[node], condition)

    def _order(self, at: float, line: OrderLine) -> None:
        questions = {node: self._question(at, node, line.action) for node in line.nodes}
        assert self._last is not None
        nodes = in_order(questions, self._last.cluster)
        why = "voters or members, holders of offline partitions, brokers; active controller last"
        self._say(at, "order", {"id": line.id, "order": self._ids(nodes), "why": why})

    def _question(self, at: float, node: str, action: str) -> Question:
        """Ask as if this act were the next one on the node."""
        last = self._last
        assert last is not None
        diagnoses = dict(last.diagnoses)
        found, incident = diagnoses.get(node), self._memory.incident_of(node)
        condition = found.condition if found else Condition.UNDIAGNOSED
        ladder, config = self._ladder(node, condition), self._recording.cluster.nodes[node]
        rung, attempt = 0, 1
        if incident is not None and any(one.action == action for one in ladder):
            rung, attempt = next_try(self._memory, self._policy, config, condition, incident.opened)
        known = self._memory.open_request(node)
        proposed = known is not None and known.state is RequestState.PROPOSED
        service = last.cluster.nodes[node].service
        request = RecoveryRequest(
            id=known.id if known is not None and proposed and known.action == action else "asked",
            incident=incident.id if incident is not None else "",
            node=node,
            action=action,
            condition=condition,
            rung=rung,
            attempt=attempt,
            state=RequestState.PROPOSED,
            proposed=Instant(at, UTC_OF_ZERO_S + at),
            stop_style=stop_style(last.cluster.nodes[node], self._policy),
            pid_before=service.pid if service else None,
            disruptive=self._declared(action),
        )
        others = frozenset(n for n, d in diagnoses.items() if d.confirmed and n != node)
        restart = request.act_class is ActClass.RESTART
        ready = others & frozenset(last.cluster.nodes) if restart else last.cluster.ready
        cluster = replace(last.cluster, ready=ready)
        rungs = max(1, len(ladder))
        return Question(request, cluster, self._memory, self._policy, found, rungs=rungs)

    def _declared(self, action: str) -> Disruption | None:
        """What the ladders say that an action does; one of no ladder counts as a RESTART."""
        ladders = (*self._policy.ladders.values(), *self._policy.role_ladders.values())
        rungs = (rung for ladder in ladders for rung in ladder if rung.action == action)
        return next((rung.disruptive for rung in rungs), None)

    def _ids(self, nodes: Sequence[str]) -> list[Any]:
        return [self._recording.ids.get(node, node) for node in nodes]

    def _say(self, at: float, name: str, body: dict[str, Any]) -> None:
        self._write({"at": round(at, 6), name: body})


def _row(question: Question, row: Row) -> dict[str, Any]:
    """Return what one guard says, with its numbers, what lifts it and when it may change."""
    said = next(iter(judge(question, (row,))), None)
    refuses = said is not None and said.blocking
    return {
        "guard": row.name,
        "says": "refuses" if refuses else "permits" if said is None else "reports",
        "reason": said.reason.value if said is not None else None,
        "text": said.text if said is not None else numbers(question, row.name),
        "lifted_by": said.lifted_by if said is not None and refuses else None,
        "until": said.until if said is not None else None,
    }


def _on_utc(command: OperatorCommand) -> OperatorCommand:
    if command.until is None:
        return command
    return replace(command, until=command.until + UTC_OF_ZERO_S)


def _reason(verdict: Verdict) -> dict[str, Any]:
    body: dict[str, Any] = to_plain(verdict)
    del body["allowed"], body["until"]
    return {**body, "blocking": verdict.blocking}


def _batches(
    lines: Iterable[tuple[float, Line]],
) -> Iterator[tuple[float, list[Line]]]:
    """Give the lines of one moment together, as the daemon drains its inputs."""
    batch: list[Line] = []
    moment = 0.0
    for at, line in lines:
        if batch and at != moment:
            yield moment, batch
            batch = []
        moment = at
        batch.append(line)
    if batch:
        yield moment, batch
