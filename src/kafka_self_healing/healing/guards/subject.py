"""What a guard is asked about: one request, its diagnosis, and how to answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

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

LIFTED_BY_A_PLAN = (
    "mode_permits",
    "one_at_a_time",
    "backoff_over",
    "within_budget",
    "attempts_left",
)
"""Guards whose refusals the approval of a plan lifts: those that whoever reads the plan can know.

Not what is wrong with one node's disks or registration: that needs an approval of its own.
"""


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
        step, own = self.plan_step, self._own_approval
        if step is None or own is None:
            return step or own
        return replace(step, lifts=own.lifts and (*step.lifts, *own.lifts))

    @property
    def _own_approval(self) -> OperatorCommand | None:
        for key in (self.request.id, self.request.incident):
            given = self.memory.approvals.get(key)
            if given is None or given.action not in {"", self.request.action}:
                continue
            if given.until is None or self.view.now.utc_s < given.until:
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
        if not started or self.view.now.utc_s >= plan.until:
            return None
        by = plan.approved_by
        return OperatorCommand(Order.APPROVE, by, target=plan.id, lifts=LIFTED_BY_A_PLAN)

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
