"""An ordered cold start: after a mass failure, who is started, in what order, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kafka_self_healing.instant import Instant


class PlanState(StrEnum):
    """Where a plan stands. It is open while it is proposed or running."""

    PROPOSED = "proposed"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class PlanStep:
    """The start of one node. `why`: its place in the order; `done`: how it was seen to go well."""

    node: str
    why: str
    done: str = ""


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Starts one after the other, which one person approves as a whole.

    `until`: UTC seconds until which it may be approved, and once it is, until which a step may
    begin. `reason`: why it ended.
    """

    id: str
    incident: str
    steps: tuple[PlanStep, ...]
    state: PlanState
    proposed: Instant
    until: float
    approved_by: str = ""
    reason: str = ""

    @property
    def open(self) -> bool:
        """Whether it may still be approved, or goes on."""
        return self.state in {PlanState.PROPOSED, PlanState.RUNNING}

    @property
    def current(self) -> PlanStep | None:
        """The step that may be taken now; None while it does not run."""
        if self.state is not PlanState.RUNNING:
            return None
        return next((step for step in self.steps if not step.done), None)

    def waits(self, node: str) -> bool:
        """Whether it runs, and the turn of this node has not yet come."""
        current = self.current
        later = any(step.node == node and not step.done for step in self.steps)
        return current is not None and later and current.node != node
