"""`Watch`: one thing to look at, and where its looks stand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from kafka_self_healing.model.evidence import CLUSTER_KINDS, Kind
from kafka_self_healing.model.node import NodeConfig, NodeId
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.monitoring.witnesses import Witnesses
from kafka_self_healing.plugins import MonitoringPlugin

NEVER: Final = float("inf")


@dataclass(slots=True, eq=False)
class Watch:
    """A kind of evidence at one node, or one of the witnesses of a round.

    `phase`: where its beats lie; `looks`: how many have ended; `due`: when the next one begins by
    itself; `queued`: it waits for its turn to begin; `began`: of the look that runs; `wanted`:
    whether somebody asked for that one; `again`: another one follows it at once; `soon`: one
    follows not later than that; `deadline`: its time limit; `cut`: that was brought forward;
    `slow`: the last one did not end in time; `context`: of the last one, and whom it was about.
    Times: boot-clock seconds.
    """

    plugin: MonitoringPlugin
    kind: Kind
    node: NodeConfig | None
    slot: int = 0
    witnesses: Witnesses | None = None
    phase: float = 0.0
    looks: int = 0
    due: float = 0.0
    queued: bool = False
    wanted: bool = False
    again: bool = False
    soon: float = NEVER
    began: float | None = None
    deadline: asyncio.Timeout | None = None
    cut: bool = False
    slow: bool = False
    called: bool = False
    gate: asyncio.Future[None] | None = None
    context: tuple[NodeConfig, LookContext] | None = None
    key: str = field(init=False)
    """Its name in the hash that makes the jitter."""

    about_cluster: bool = field(init=False)
    """Whether it speaks of the whole cluster, whoever is asked."""

    alone_at: NodeId | None = field(init=False)
    """The node at which no other such look may run; see Lanes."""

    def __post_init__(self) -> None:
        self.key = f"{self.node.id if self.node else f'witness {self.slot}'}/{self.kind}"
        self.about_cluster = self.node is None or self.kind in CLUSTER_KINDS
        self.alone_at = self.node.id if self.node and self.kind is not Kind.SERVICE else None

    async def turn(self) -> None:
        """Wait until the next look is to begin."""
        while not self.called:
            self.gate = asyncio.get_running_loop().create_future()
            await self.gate
        self.called = False

    def call(self) -> None:
        """Let the next look begin."""
        self.called = True
        if self.gate is not None and not self.gate.done():
            self.gate.set_result(None)
