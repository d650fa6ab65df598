"""What a guard is asked about: one request, its diagnosis, and how to answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kafka_self_healing.healing.assessment import ClusterView, Standing
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.model.control import OperatorCommand
from kafka_self_healing.model.decision import NEVER, Reason, Verdict
from kafka_self_healing.model.incident import Diagnosis
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.model.recovery import RecoveryRequest

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
        """A person's approval of this request or its incident, unless it has expired."""
        for key in (self.request.id, self.request.incident):
            given = self.memory.approvals.get(key)
            if given is not None and (given.until is None or self.view.now.utc_s < given.until):
                return given
        return None

    @property
    def now(self) -> float:
        """Boot-clock seconds."""
        return self.view.now.mono_s


Guard = Callable[[Question], Verdict]


def refuse(
    reason: Reason, text: str, *, lifted_by: str = NEVER, until: float | None = None
) -> Verdict:
    """Refuse for a reason; with `until` it is a wait. The table fills in the guard's name."""
    return Verdict("", False, reason, text, lifted_by=lifted_by, until=until)


def report(reason: Reason, text: str) -> Verdict:
    """Permit, but tell."""
    return Verdict("", True, reason, text, reported=True)
