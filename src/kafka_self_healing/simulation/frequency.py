"""I5: how often acts are done: budgets, attempts, anti-flap, spacing, counted on what was done."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kafka_self_healing.model.incident import problem
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.model.recovery import ActClass, RecoveryRequest, RequestState
from kafka_self_healing.simulation.record import Record
from kafka_self_healing.simulation.world import World

SLACK_S = 10.0
"""How much earlier than its healing, less the stable window, a node may have been well again."""


class Frequency:
    """Judges each act by those before it. What a person approved is not counted against it."""

    def __init__(
        self, world: World, policy: Policy, record: Record, broken: Callable[[str, str], None]
    ) -> None:
        self.world, self.policy, self.record = world, policy, record
        self._broken = broken

    def judge(
        self, request: RecoveryRequest, acts: Sequence[RecoveryRequest], *, approved: bool
    ) -> None:
        """Judge an act that begins now."""
        if approved:
            return
        restart = request.act_class is not ActClass.START
        spent = [a for a in acts if not self._undone(a) and not a.plan]
        alike = [a for a in spent if (a.act_class is not ActClass.START) is restart]
        budget = self.policy.restart_budget if restart else self.policy.start_budget
        self._within("cluster", [*alike, request], budget.acts, budget.window_s)
        node = self.policy.node_budget
        mine = [a for a in acts if a.node == request.node]
        counted = [*(a for a in mine if a in spent), request]
        self._within("node", counted, node.acts, node.window_s)
        self._attempts(request, mine)
        if request.act_class is ActClass.RESTART:
            self._restarts(request, acts)

    def _attempts(self, request: RecoveryRequest, mine: Sequence[RecoveryRequest]) -> None:
        since = self.record.acknowledged.get(request.node, -1.0)
        kind = problem(request.condition)
        tries = [a for a in mine if problem(a.condition) is kind and _began(a) > since]
        ladder = self.policy.ladder(self.world.nodes[request.node].config, request.condition)
        allowed = max((rung.retry.attempts for rung in ladder), default=0)
        if len(tries) + 1 > allowed + self._reprieves(tries):
            self._broken("I5", f"{request.id} is attempt {len(tries) + 1} of {allowed}")

    def _undone(self, act: RecoveryRequest) -> bool:
        """Whether an act was called off before anything was done to its node."""
        latest = self.record.requests[act.id]
        return latest.state is RequestState.ABORTED and not latest.begun_steps

    def _reprieves(self, tries: Sequence[RecoveryRequest]) -> int:
        """Attempts that cost nothing: proven never carried out, or a start that was owed."""
        return sum(self.record.requests[a.id].state is RequestState.ABORTED for a in tries)

    def _within(
        self, what: str, acts: Sequence[RecoveryRequest], most: int, window_s: float
    ) -> None:
        recent = [a for a in acts if self.world.now - _began(a) < window_s]
        if len(recent) > most:
            self._broken("I5", f"{len(recent)} acts of the {what} in {window_s:.0f} s, not {most}")

    def _restarts(self, request: RecoveryRequest, acts: Sequence[RecoveryRequest]) -> None:
        now, session = self.world.now, self.world.cluster.session_timeout_s
        for act in acts:
            if act.act_class is not ActClass.RESTART:
                continue
            latest = self.record.requests[act.id]
            never_stopped = latest.state is RequestState.ABORTED and not latest.steps
            if latest.ended is None or never_stopped:
                continue
            age = now - latest.ended.mono_s
            same = problem(latest.condition) is problem(request.condition)
            if act.node == request.node and same:
                if age < self.policy.anti_flap_s:
                    self._broken("I5", f"{request.id}: the same restart {age:.0f} s ago")
            elif latest.state is RequestState.HEALED:
                # Proven healed a stable window after its replicas were back; one that slept
                # meanwhile proves it later, of a node that nothing has happened to since.
                back = self.record.state_seen[act.id] - self.policy.stable_window_s(session)
                said = latest.well_since
                if said and self.world.nodes[act.node].snapshots[-1].at <= said.mono_s:
                    back = said.mono_s
                if now - back < self.policy.restart_spacing_s - SLACK_S:
                    self._broken("I5", f"{request.id}: another restart {now - back:.0f} s ago")


def _began(act: RecoveryRequest) -> float:
    return act.began.mono_s if act.began is not None else 0.0
