"""`Reach`: by what eyes and hands reach the nodes, and how that follows a changed inventory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from kafka_self_healing.clock import Clock
from kafka_self_healing.hosts import Host
from kafka_self_healing.model.node import Cluster
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.ports import Ports

LOOK_APART_S: Final = 0.5
"""How often a host that nobody is on any more is asked whether an act still needs it (seconds)."""


class Reach:
    """One pool of hosts for looks and acts, and the TLS contexts and logins of all checks.

    `busy` says whether an act is under way: it may still need a host that left the inventory.
    """

    def __init__(self, cluster: Cluster, clock: Clock, ports: Ports | None = None) -> None:
        ports = ports or Ports()
        self._wire = ports.wire
        self.hosts = ports.hosts(cluster, clock)
        self.access = Access(clock, self._wire)
        self.clock = clock
        self.busy: Callable[[], bool] = lambda: False
        self._cluster = cluster
        self._leaving: set[asyncio.Task[None]] = set()

    def follow(self, cluster: Cluster) -> None:
        """Reach the nodes of another inventory from now on.

        Logins and certificates are read anew; hosts that have not changed keep their connections,
        and those that nobody is on any more are closed once no act is under way.
        """
        if cluster == self._cluster:
            return
        self._cluster = cluster
        self.access = Access(self.clock, self._wire)
        gone = self.hosts.follow(cluster)
        if gone:
            task = asyncio.create_task(self._let_go(gone), name="leave hosts")
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Close every connection to a host, also of those that are being left."""
        self.busy = lambda: False
        await asyncio.gather(*self._leaving)
        await self.hosts.close()

    async def _let_go(self, hosts: Sequence[Host]) -> None:
        while self.busy():
            await self.clock.sleep(LOOK_APART_S)
        await asyncio.gather(*(host.close() for host in hosts))
