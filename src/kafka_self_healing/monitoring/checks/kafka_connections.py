"""`Connections`: one open connection a node, for one purpose; closed when it proves silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kafka_self_healing.wire.kafka import KafkaConnection, KafkaWireError, connect


class Connections:
    """Keeps connections open between looks. At most one user a node at a time."""

    def __init__(self) -> None:
        self._open: dict[str, KafkaConnection] = {}

    def known(self, node: str) -> KafkaConnection | None:
        """Return the open connection to `node`, if there is one."""
        connection = self._open.get(node)
        return connection if connection is not None and connection.lost is None else None

    async def get(
        self,
        node: str,
        address: tuple[str, int],
        *,
        timeout_s: float,
        on_lost: Callable[[KafkaWireError], None] | None = None,
    ) -> KafkaConnection:
        """Return the open connection, or make one. Raises KafkaWireError.

        `on_lost` is called when a connection that is made here is lost later on.
        """
        connection = self.known(node)
        if connection is None:
            connection = await connect(*address, timeout_s=timeout_s)
            self._open[node] = connection
            if on_lost is not None:
                connection.on_lost(on_lost)
        return connection

    async def drop(self, node: str) -> None:
        """Close the connection to `node`: what did not answer on it must not answer late."""
        connection = self._open.pop(node, None)
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        """Close all."""
        await asyncio.gather(*(self.drop(node) for node in list(self._open)))
