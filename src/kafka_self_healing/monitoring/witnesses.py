"""Whom to ask about the others: living, unsuspected nodes in turn, from other racks if possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kafka_self_healing.model.node import NodeConfig, NodeId
from kafka_self_healing.monitoring.checker import HealthChecker

WITNESSES: Final = 3
"""How many are asked a round: nobody is a witness of itself, so each node still has two."""

WITNESSES_OF_MANY: Final = 2
MANY: Final = 7
"""From so many nodes on two a round are enough: within the time for which their word counts, two
rounds, four of them are heard, and a big cluster's metadata are not cheap to read."""

KEPT_S: Final = 10.0
"""While something is looked at closely, the same witness is asked again for so long at least.

A word that is renewed each second shows a change at once; the words of ever new witnesses would
stand against each other until the old ones have aged out.
"""


class Witnesses:
    """Chooses the witness of each slot of a round. Rounds walk through all candidates."""

    def __init__(self, nodes: Sequence[NodeConfig], checker: HealthChecker) -> None:
        self._nodes = nodes
        self._checker = checker
        self._last: dict[int, tuple[NodeConfig, float]] = {}
        self._turns: dict[NodeId, int] = {}
        self._turn = 0

    @property
    def slots(self) -> int:
        """How many are asked a round."""
        wanted = WITNESSES if len(self._nodes) < MANY else WITNESSES_OF_MANY
        return min(wanted, len(self._nodes))

    def choose(self, slot: int, now: float, *, closely: bool) -> NodeConfig | None:
        """Return the witness of `slot` at the moment `now`; None: there is none left for it.

        The one that was asked longest ago; `closely`: the last one again, for a while.
        """
        candidates = self._candidates()
        kept = self._last.get(slot)
        # Not all slots change at once: an old witness and a new one overlap.
        if closely and kept is not None and now - kept[1] < KEPT_S * (1 + slot / 2):
            same = kept[0]
            if any(node is same for node in candidates):
                return same
        others = [node for other, (node, _) in self._last.items() if other != slot]
        taken = {node.id for node in others}
        racks = {node.rack for node in others} - {None}
        free = [node for node in candidates if node.id not in taken]
        if not free:
            self._last.pop(slot, None)
            return None
        apart = [node for node in free if node.rack not in racks]
        chosen = min(apart or free, key=lambda node: self._turns.get(node.id, 0))
        self._turn += 1
        self._turns[chosen.id] = self._turn
        self._last[slot] = chosen, now
        return chosen

    def _candidates(self) -> list[NodeConfig]:
        """Return those without any trouble; if they do not fill a round, all that answer."""
        checker = self._checker
        answering = [node for node in self._nodes if checker.answers(node.id) is not False]
        untroubled = [node for node in answering if not checker.is_troubled(node.id)]
        return untroubled if len(untroubled) >= self.slots else answering
