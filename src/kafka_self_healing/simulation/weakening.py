"""Takes a protection of the mind away for a while, or makes it weaker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from kafka_self_healing.healing import (
    approvals,
    assessment,
    cold_start,
    diagnosis,
    ensemble,
    guards,
    peers,
    planning,
)
from kafka_self_healing.healing.assessment import ClusterView, Process, Standing
from kafka_self_healing.healing.guards import history, quorum
from kafka_self_healing.healing.guards.subject import Question
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.decision import Verdict
from kafka_self_healing.model.evidence import ProtocolFact
from kafka_self_healing.model.health import Track
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.node import NodeId
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.model.recovery import RecoveryRequest, RequestState


@contextmanager
def _set(owner: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def without(guard: str) -> Any:
    """Take one row out of the guard matrix for a while."""
    if guard not in guards.GUARDS:
        raise ValueError(f"no guard is called {guard}")
    columns = {
        act: tuple(row for row in rows if row.name != guard) for act, rows in guards.ASKED.items()
    }
    return _set(guards, "ASKED", columns)


def _hung_at_once(
    node: Standing, view: ClusterView, memory: Memory, policy: Policy
) -> Diagnosis | None:
    found = _HUNG(node, view, memory, policy)
    if found is None or found.condition is not Condition.PROCESS_HUNG or not node.silent:
        return found
    return replace(found, confirmed=True, waiting="")


def _not_told_apart(*conditions: Condition) -> Any:
    """Let the rules of these conditions say nothing: a guard is the second line behind them."""

    def deaf(rule: Any) -> Any:
        def asked(*args: Any) -> Diagnosis | None:
            found: Diagnosis | None = rule(*args)
            return None if found is not None and found.condition in conditions else found

        return asked

    rules = tuple(deaf(rule) for rule in diagnosis.NODE_RULES)
    return _set(diagnosis, "NODE_RULES", rules)


_HUNG = diagnosis.process.hung


def _hung_rule() -> Any:
    rules = tuple(_hung_at_once if rule is _HUNG else rule for rule in diagnosis.NODE_RULES)
    return _set(diagnosis, "NODE_RULES", rules)


def _half_proven() -> Any:
    """Count a process as gone on the word of its machine alone."""
    own = assessment._own_standing  # noqa: SLF001  a mutant reaches inside

    def standing(*args: Any, **more: Any) -> Standing:
        found = own(*args, **more)
        return replace(found, gone=found.gone or found.process is Process.ENDED)

    return _set(assessment, "_own_standing", standing)


def _ages_ignored() -> Any:
    return _set(assessment, "fresh_bound_s", lambda *_: 1.0e9)


def _open_requests_ignored() -> Any:
    whole = planning._draft  # noqa: SLF001  a mutant reaches inside

    def drafted(turn: Any, cluster: ClusterView, node: NodeId, found: Diagnosis) -> Any:
        known = turn.memory.open_request(node)
        if known is None or known.state.value == "proposed":
            return whole(turn, cluster, node, found)
        incident = turn.memory.incident_of(node)
        return planning.draft(turn, cluster.nodes[node], found, incident)

    return _set(planning, "_draft", drafted)


def _leader_in_line() -> Any:
    rank = quorum.rank
    return _set(planning, "rank", lambda node, **more: rank(node, **(more | {"leads": False})))


_IN_ORDER, _APPROVED, _SLOT = cold_start.in_order, cold_start._approved, history._slot_held  # noqa: SLF001


def _out_of_order(*args: Any) -> Any:
    """Put those first that nobody needs; only the voters keep their place."""
    steps = _IN_ORDER(*args)
    voters = tuple(step for step in steps if "dead voter" in step.why)
    return voters + tuple(reversed(steps[len(voters) :]))


def _begun_by_nobody(turn: Any, plan: Any) -> bool:
    given = OperatorCommand(Order.APPROVE, "nobody", target=plan.incident)
    turn.memory = replace(turn.memory, approvals={plan.incident: given})
    return _APPROVED(turn, plan)


def _unknown_is_over() -> Any:
    def held(question: Question, other: RecoveryRequest) -> Verdict | None:
        ended = other.ended or other.proposed
        if other.state is RequestState.UNKNOWN and question.now > ended.mono_s:
            return None
        return _SLOT(question, other)

    return _set(history, "_slot_held", held)


def _ruok_believed() -> Any:
    """Take a member's imok for a sign that it serves."""
    read = ensemble.own_word

    def believed(protocol: Track | None) -> tuple[bool | None, bool | None] | None:
        fact = protocol.result.fact if protocol is not None else None
        imok = isinstance(fact, ProtocolFact) and fact.ruok is True
        return (True, True) if imok else read(protocol)

    return _set(assessment, "own_word", believed)


def _reach_not_asked() -> Any:
    """Take it for granted that a node's host reaches the quorum."""
    stack = ExitStack()
    for rules in (diagnosis.network, diagnosis.quorum):
        stack.enter_context(_set(rules, "reaches_quorum", lambda *_: True))
    return stack


WEAKENINGS: dict[str, Callable[[], Any]] = {
    "hung before the drop": _hung_rule,
    "gone by one family": _half_proven,
    "ages of facts ignored": _ages_ignored,
    "ruok is believed": _ruok_believed,
    "open requests ignored": _open_requests_ignored,
    "reference hosts are not asked": lambda: _set(
        ClusterView, "viewpoint_lost", property(lambda view: 2 * len(view.dark) > len(view.nodes))
    ),
    "what it reaches is not asked": _reach_not_asked,
    "its own word is not asked": lambda: _set(diagnosis.quorum, "own_word", lambda *_: False),
    "its own fetches are not asked": lambda: _set(
        diagnosis.replication, "follows", lambda *_: True
    ),
    "replicas are not asked": lambda: without("replicas_are_safe"),
    "the leader has no last place": _leader_in_line,
    "no rule names it": lambda: _not_told_apart(
        Condition.NOT_COMMISSIONED, Condition.STORAGE_MISSING
    ),
    "last words are not read": lambda: _not_told_apart(Condition.STORAGE_LOST, Condition.DISK_FULL),
    "one family suffices": lambda: without("two_families"),
    "a registration stands in no way": lambda: without("registration_released"),
    "bystanders are not asked": lambda: without("others_are_well"),
    "the others' list is enough": lambda: _set(quorum, "_shared_by", lambda *_: False),
    "a stopped bystander is well": lambda: _set(peers, "_is_held", lambda _: False),
    "a plan begins unapproved": lambda: _set(cold_start, "_approved", _begun_by_nobody),
    "a plan has no order": lambda: _set(cold_start, "in_order", _out_of_order),
    "a plan goes on after a failure": lambda: _set(cold_start, "_went_wrong", lambda *_: ""),
    "an approval lifts everything": lambda: _set(approvals, "_guards", lambda _: set()),
    "approvals have no end": lambda: _set(
        Question, "approval", property(lambda q: q.memory.approvals.get(q.request.incident))
    ),
    "a restart of unknown end is over": _unknown_is_over,
    "no look after the proposal": lambda: without("still_true"),
}
