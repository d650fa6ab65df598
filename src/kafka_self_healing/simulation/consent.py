"""What a person has approved: single acts, and a plan of starts with an order that must hold."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from kafka_self_healing.model.event import OperatorSaid
from kafka_self_healing.model.plan import ColdStart, PlanState
from kafka_self_healing.model.recovery import RecoveryRequest, RequestState
from kafka_self_healing.simulation.record import Record
from kafka_self_healing.simulation.world import World


class Consent:
    """Reads approvals and plans in the journal, and judges a plan's order by the world's truth."""

    def __init__(self, world: World, record: Record, broken: Callable[[str, str], None]) -> None:
        self.world, self.record = world, record
        self.plan: ColdStart | None = None
        self._until: dict[str, float] = {}
        self._held: list[tuple[frozenset[str], frozenset[str]]] = []
        self._seen: deque[list[frozenset[str]]] = deque(maxlen=2)
        self._broken = broken

    def watch(self) -> None:
        """Remember who is in sync, as long as somebody can write it down, and read it."""
        brokers = (node for node in self.world.nodes.values() if node.config.is_broker)
        if self.world.settled and any(node.serves and not node.dark for node in brokers):
            self._seen.append([frozenset(part.isr) for part in self.world.replicas.partitions])

    def follow(self, plan: ColdStart) -> None:
        """A plan as it stands now. What its nodes held when it was approved is its order.

        Who was in sync last counts where that had stood for a while: what changed just before the
        metadata stopped, nobody has read.
        """
        begins = plan.state is PlanState.RUNNING and (
            self.plan is None or self.plan.state is not PlanState.RUNNING
        )
        self.plan = plan
        if begins:
            dead = {id_ for id_, node in self.world.nodes.items() if not node.alive}
            self._held = [
                (frozenset(part.replicas), frozenset(part.isr))
                for place, part in enumerate(self.world.replicas.partitions)
                if part.isr and set(part.isr) <= dead
                if all(seen[place] == set(part.isr) for seen in self._seen)
            ]

    def hear(self, said: OperatorSaid) -> None:
        """An approval: of an incident, until a moment."""
        until = said.command.until
        end = math.inf if until is None else said.at.mono_s + until - said.at.utc_s
        self._until[said.command.target] = end

    def given(self, request: RecoveryRequest) -> bool:
        """Whether a person approved this act, its incident, or the plan of which it is a step."""
        plan = self.plan
        if request.plan and plan is not None and plan.id == request.plan:
            return plan.incident in self._until
        now = self.world.now
        return any(self._until.get(key, 0.0) > now for key in (request.id, request.incident))

    def judge(self, request: RecoveryRequest) -> None:
        """Judge the start of a plan's step: a plan has one order, whatever else goes on."""
        plan = self.plan
        if plan is None or request.plan != plan.id:
            return
        if plan.incident not in self._until:
            self._broken("I4", f"{request.id} of {plan.id}, which nobody approved")
        mine = [r for r in self.record.requests.values() if r.plan == plan.id]
        if any(r.state is RequestState.FAILED for r in mine):
            self._broken("plan", f"{request.id} of {plan.id}, of which a step has failed")
        before = [step.node for step in plan.steps if not step.done and step.node != request.node]
        dead = {id_ for id_ in before if not self.world.nodes[id_].alive}
        config = self.world.nodes[request.node].config
        keepers = sorted(id_ for id_ in dead if self.world.nodes[id_].config.is_keeper)
        if keepers and not config.is_keeper:
            self._broken("plan", f"{request.id}: a broker goes before {', '.join(keepers)}")
        for replicas, isr in self._held:
            holders = isr & dead
            stale = request.node in replicas - isr and not isr - dead
            if stale and holders and not config.is_keeper:
                text = f"{request.id}: a stale copy goes before {', '.join(sorted(holders))}"
                self._broken("plan", text)
                return
