"""What a person has approved: single acts, and a plan of starts with an order that must hold."""

from __future__ import annotations

from collections.abc import Callable

from kafka_self_healing.model.plan import ColdStart
from kafka_self_healing.model.recovery import RecoveryRequest
from kafka_self_healing.simulation.record import Record
from kafka_self_healing.simulation.replicas import NOBODY
from kafka_self_healing.simulation.world import World


class Consent:
    """Reads approvals and plans in the journal, and judges a plan's order by the world's truth."""

    def __init__(self, world: World, record: Record, broken: Callable[[str, str], None]) -> None:
        self.world, self.record = world, record
        self.plan: ColdStart | None = None
        self._broken = broken

    def given(self, request: RecoveryRequest) -> bool:
        """Whether a person approved this act, its incident, or the plan of which it is a step."""
        plan = self.plan
        if request.plan and plan is not None and plan.id == request.plan:
            return plan.incident in self.record.approved
        return bool({request.id, request.incident} & self.record.approved)

    def judge(self, request: RecoveryRequest) -> None:
        """Judge the start of a plan's step: a plan has one order, whatever else goes on."""
        plan = self.plan
        if plan is None or request.plan != plan.id:
            return
        if plan.incident not in self.record.approved:
            self._broken("I4", f"{request.id} of {plan.id}, which nobody approved")
        before = [step.node for step in plan.steps if not step.done and step.node != request.node]
        dead = {id_ for id_ in before if not self.world.nodes[id_].alive}
        config = self.world.nodes[request.node].config
        keepers = sorted(id_ for id_ in dead if self.world.nodes[id_].config.is_keeper)
        if keepers and not config.is_keeper:
            self._broken("plan", f"{request.id}: a broker goes before {', '.join(keepers)}")
        for part in self.world.replicas.partitions:
            holders = set(part.isr) & dead
            stale = request.node in part.replicas and request.node not in part.isr
            if part.leader == NOBODY and stale and holders and not config.is_keeper:
                text = f"{request.id}: a stale copy goes before {', '.join(sorted(holders))}"
                self._broken("plan", text)
                return
