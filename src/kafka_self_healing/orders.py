"""What operators order through the local socket: read, checked, and whose acts it stops."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from kafka_self_healing.errors import ControlError
from kafka_self_healing.healing import approvals
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.node import Cluster, NodeId

STOPS = frozenset({Order.PAUSE, Order.MAINTENANCE})


def read(
    order: Order, request: dict[str, Any], by: str, memory: Memory, cluster: Cluster, now: Instant
) -> OperatorCommand:
    """Return the order of a request; raises ControlError with what to ask for instead."""
    target, reason = _text(request, "target", 200), _text(request, "reason", 500)
    until = request.get("until")
    numeric = isinstance(until, int | float) and math.isfinite(until)
    if until is not None and not numeric:
        raise ControlError("until is a moment in UTC seconds, or null")
    if order is Order.APPROVE:
        target, why = approvals.approvable(memory, target, now)
        if why:
            raise ControlError(why)
    if order is Order.ACK and target not in memory.incidents:
        known = ", ".join(memory.incidents) or "none"
        raise ControlError(f"there is no open incident {target!r}; open: {known}")
    if order is Order.MAINTENANCE and target not in {"", cluster.name, *cluster.nodes}:
        there = ", ".join(cluster.nodes)
        raise ControlError(f"there is no node {target!r}; there are: {there}")
    if order is Order.PAUSE and not reason:
        raise ControlError("a pause needs a reason: others will ask")
    return OperatorCommand(order, by, reason, target, None if until is None else float(until))


def stopped_by(command: OperatorCommand, cluster: Cluster) -> Collection[NodeId]:
    """Return the nodes on which no act begins once this was ordered."""
    if command.order not in STOPS:
        return ()
    whole = command.target in {"", cluster.name}
    return cluster.nodes if whole else (command.target,)


def came_first(command: OperatorCommand) -> str:
    """Say why an act was not begun."""
    return f"{command.order.value} by {command.by} came first"


def _text(request: dict[str, Any], key: str, limit: int) -> str:
    """Return a text of a request; what no terminal should be sent is taken out."""
    said = request.get(key)
    if said is not None and not isinstance(said, str):
        raise ControlError(f"{key} is a text")
    return "".join(sign for sign in (said or "")[:limit] if sign.isprintable()).strip()
