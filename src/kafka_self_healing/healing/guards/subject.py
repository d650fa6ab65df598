"""What a guard is asked about: one request, its diagnosis, and how to answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kafka_self_healing.healing.assessment import ClusterView, Standing
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.replicas import Digest
from kafka_self_healing.healing.view import speaker
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.decision import NEVER, Reason, Verdict
from kafka_self_healing.model.incident import Diagnosis
from kafka_self_healing.model.policy import Mode, Policy
from kafka_self_healing.model.recovery import ActClass, RecoveryRequest

PASSES = Verdict("", allowed=True)
SEEN = "a look that can read it"


@dataclass(frozen=True, slots=True)
class Question:
    """May this request go on? With all that a guard may look at."""

    request: RecoveryRequest
    view: ClusterView
    memory: Memory
    policy: Policy
    diagnosis: Diagnosis | None
    rungs: int = 1
    proposed_at: float | None = None

    @property
    def node(self) -> Standing:
        """The standing of the target; a node outside the inventory never gets here."""
        return self.view.nodes[self.request.node]

    @property
    def approval(self) -> OperatorCommand | None:
        """A person's approval of this request, its incident, or the plan whose turn it is.

        None once it has expired.
        """
        step = self.plan_step
        if step is not None:
            return step
        for key in (self.request.id, self.request.incident):
            given = self.memory.approvals.get(key)
            if given is not None and (given.until is None or self.view.now.utc_s < given.until):
                return given
        return None

    @property
    def plan_step(self) -> OperatorCommand | None:
        """The approval of the plan of which this START is the present step."""
        plan = self.memory.plan
        if plan is None or plan.current is None or plan.current.node != self.request.node:
            return None
        # In mode observe, and while the healer shuts down, nothing of a plan begins.
        started = self.request.act_class is ActClass.START and self.policy.mode is not Mode.OBSERVE
        valid = started and self.view.now.utc_s < plan.until
        return OperatorCommand(Order.APPROVE, plan.approved_by, target=plan.id) if valid else None

    @property
    def now(self) -> float:
        """Boot-clock seconds."""
        return self.view.now.mono_s


def words_of_others(q: Question) -> tuple[Digest, ...]:
    """Return the fresh metadata of every witness but the node itself and those that are suspected.

    A node that the others have dropped shows a photograph, and nobody is a witness of himself.
    """
    heard = []
    for look in q.view.witness_looks:
        who = speaker(look, q.view.view.cluster)
        witness, standing = q.view.view.witnesses.get(who), q.view.nodes.get(who)
        if who == q.request.node or witness is None or standing is None:
            continue
        if standing.counted is not False and witness.digest.readable:
            heard.append(witness.digest)
    return tuple(heard)


Guard = Callable[[Question], Verdict]


def refuse(
    reason: Reason, text: str, *, lifted_by: str = NEVER, until: float | None = None
) -> Verdict:
    """Refuse for a reason; with `until` it is a wait. The table fills in the guard's name."""
    return Verdict("", False, reason, text, lifted_by=lifted_by, until=until)


def report(reason: Reason, text: str) -> Verdict:
    """Permit, but tell."""
    return Verdict("", True, reason, text, reported=True)
