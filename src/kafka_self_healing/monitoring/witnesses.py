"""Whom to ask about the others: living, unsuspected nodes in turn, from other racks if possible."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.checker import HealthChecker

WITNESSES = 3
"""How many are asked a round: nobody is a witness of itself, so each node still has two."""


class Witnesses:
    """Chooses the witness of each slot of a round. Rounds walk through all candidates."""

    def __init__(self, nodes: Sequence[NodeConfig], checker: HealthChecker) -> None:
        self._nodes = nodes
        self._checker = checker
        self._last: dict[int, NodeConfig] = {}

    def choose(self, slot: int, number: int) -> NodeConfig | None:
        """Return the witness of `slot` in round `number`; None: there is none left for it."""
        taken = {node.id for other, node in self._last.items() if other != slot}
        racks = {node.rack for other, node in self._last.items() if other != slot} - {None}
        free = [node for node in self._candidates() if node.id not in taken]
        if not free:
            self._last.pop(slot, None)
            return None
        apart = [node for node in free if node.rack not in racks]
        choice = apart or free
        chosen = self._last[slot] = choice[number % len(choice)]
        return chosen

    def _candidates(self) -> list[NodeConfig]:
        """Return those without any trouble; if there are none, those that answer."""
        checker = self._checker
        answering = [node for node in self._nodes if checker.answers(node.id) is not False]
        return [node for node in answering if not checker.is_troubled(node.id)] or answering
