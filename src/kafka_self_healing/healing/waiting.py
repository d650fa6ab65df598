"""What waits for a person: approvals asked for, a plan, and circuits that are open."""

from __future__ import annotations

from typing import Any

from kafka_self_healing.healing.healer import Step
from kafka_self_healing.healing.planning import next_try
from kafka_self_healing.healing.turn import stamp
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.incident import HEALABLE, problem
from kafka_self_healing.model.plan import ColdStart
from kafka_self_healing.model.policy import Policy

Answer = dict[str, Any]


def waiting(step: Step, policy: Policy, now: Instant) -> Answer:
    """Return `approvals`, `circuits_open` and `plan`, as `status` shows them."""
    memory = step.memory
    asked = [one for one in memory.asked.values() if now.utc_s < one.until]
    return {
        "approvals": [
            {
                "id": one.id,
                "incident": one.incident,
                "node": one.node,
                "action": one.action,
                "lifts": list(one.lifts),
                "until": _time(one.until),
                "left_s": round(one.until - now.utc_s, 1),
                "approve": one.id if one.renews else one.incident,
            }
            for one in asked
        ],
        "circuits_open": [
            found for id_ in step.cluster.nodes if (found := circuit(step, policy, id_)) is not None
        ],
        "plan": plan_words(memory.plan, now),
    }


def circuit(step: Step, policy: Policy, node: str) -> Answer | None:
    """Return the open circuit of a node: its attempts are used up, until somebody acknowledges."""
    diagnosis, incident = dict(step.diagnoses).get(node), step.memory.incident_of(node)
    if diagnosis is None or incident is None or diagnosis.condition not in HEALABLE:
        return None
    config = step.cluster.nodes[node].config
    ladder = policy.ladder(config, diagnosis.condition)
    rung, _ = next_try(step.memory, policy, config, diagnosis.condition, incident.opened)
    if rung < len(ladder) or step.memory.open_request(node) is not None:
        return None
    return {
        "node": node,
        "condition": diagnosis.condition.value,
        "problem": problem(diagnosis.condition).value,
        "attempts": sum(rung.retry.attempts for rung in ladder),
        "lifted_by": f"kafka-self-healing ack {incident.id}",
    }


def plan_words(plan: ColdStart | None, now: Instant) -> Answer | None:
    """Return the plan with its steps; None: there is none."""
    if plan is None:
        return None
    current = plan.current
    return {
        "id": plan.id,
        "incident": plan.incident,
        "state": plan.state.value,
        "approved_by": plan.approved_by,
        "until": _time(plan.until),
        "left_s": round(max(0.0, plan.until - now.utc_s), 1) if plan.open else 0.0,
        "reason": plan.reason,
        "steps": [
            {
                "node": one.node,
                "why": one.why,
                "done": one.done,
                "now": current is not None and one.node == current.node,
            }
            for one in plan.steps
        ],
    }


def _time(utc_s: float) -> str:
    return stamp(Instant(0.0, utc_s))
