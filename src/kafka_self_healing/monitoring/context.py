"""`LookContext`: what one look may use, as `plugins.CheckContext` promises it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kafka_self_healing.clock import Clock
from kafka_self_healing.hosts import CommandResult, Host, ServiceManager
from kafka_self_healing.model.evidence import Kind
from kafka_self_healing.model.node import Cluster


@dataclass(frozen=True, slots=True)
class LookContext:
    """The `CheckContext` of one look. `on_hint` is told why the node is to be looked at at once."""

    kind: Kind
    cluster: Cluster
    timeout_s: float
    clock: Clock
    logger: logging.Logger
    host: Host
    service: ServiceManager | None
    on_hint: Callable[[str], None]
    reach: bool = False

    async def run(self, argv: Sequence[str], *, timeout_s: float) -> CommandResult:
        """Run a bounded command on the node's host, within the time limit of the look."""
        return await self.host.run(argv, timeout_s=min(timeout_s, self.timeout_s))

    def hint(self, why: str) -> None:
        """Have all kinds of the node looked at at once."""
        self.on_hint(why)
