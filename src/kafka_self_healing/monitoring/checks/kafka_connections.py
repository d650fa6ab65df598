"""`Connections`: one open connection a node, for one purpose; closed when it proves silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from kafka_self_healing.model.access import ListenerAccess
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.wire.kafka import (
    KafkaAuthenticationError,
    KafkaClosedError,
    KafkaConnection,
    KafkaResetError,
    KafkaWireError,
)

_TELLING_S: Final = 0.1
"""What is kept of a look's time to tell its result."""

LOGIN_PAUSE_S: Final = 10.0
"""How long a login that was refused is not tried again: accounts may be locked after some tries."""


@dataclass(frozen=True, slots=True)
class Door:
    """A listener of a node, and how it is spoken to."""

    host: str
    port: int
    access: ListenerAccess

    @classmethod
    def of_broker(cls, node: NodeConfig) -> Door:
        """Return where a broker answers clients."""
        assert node.kafka_port is not None
        return cls(node.host, node.kafka_port, node.kafka)

    @classmethod
    def of_controller(cls, node: NodeConfig) -> Door:
        """Return where a controller answers."""
        assert node.controller_port is not None
        return cls(node.host, node.controller_port, node.controller)

    @classmethod
    def of(cls, node: NodeConfig) -> Door:
        """Return where a node answers for itself."""
        return cls.of_broker(node) if node.is_broker else cls.of_controller(node)


class Connections:
    """Keeps connections open between looks. At most one user a node at a time."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._open: dict[str, tuple[Door, KafkaConnection]] = {}
        self._refused: dict[str, tuple[Door, float, KafkaAuthenticationError]] = {}

    def known(self, node: str, door: Door) -> KafkaConnection | None:
        """Return the open connection to `node`, if there is one and it leads through `door`."""
        found = self._open.get(node)
        if found is None or found[0] != door or found[1].lost is not None:
            return None
        return found[1]

    async def get(
        self,
        node: str,
        door: Door,
        *,
        timeout_s: float,
        on_lost: Callable[[KafkaWireError], None] | None = None,
        for_pings: bool = False,
    ) -> KafkaConnection:
        """Return the open connection, or make one and log in. Raises KafkaWireError.

        `on_lost` is called when a connection that is made here is lost later on. `for_pings`:
        nobody logs in, and nothing but `ping` can be used.
        """
        connection = self.known(node, door)
        if connection is None:
            await self.drop(node)
            connection = await self._made(node, door, timeout_s, for_pings=for_pings)
            self._open[node] = door, connection
            if on_lost is not None:
                connection.on_lost(on_lost)
        return connection

    @asynccontextmanager
    async def using(
        self, node: str, door: Door, *, timeout_s: float
    ) -> AsyncIterator[KafkaConnection]:
        """Get the connection for some questions, and drop it if one of them fails.

        A listener that cuts us off is asked whether it wanted a login, within `timeout_s` in all.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s - _TELLING_S
        try:
            yield await self.get(node, door, timeout_s=timeout_s)
        except (KafkaClosedError, KafkaResetError) as exc:
            await self.drop(node)
            raise await self._why_cut(door, exc, deadline - loop.time()) from None
        except BaseException:
            await self.drop(node)
            raise

    async def drop(self, node: str) -> None:
        """Close the connection to `node`: what did not answer on it must not answer late."""
        found = self._open.pop(node, None)
        if found is not None:
            await found[1].close()

    async def close(self) -> None:
        """Close all."""
        await asyncio.gather(*(self.drop(node) for node in list(self._open)))

    async def _made(
        self, node: str, door: Door, timeout_s: float, *, for_pings: bool
    ) -> KafkaConnection:
        now = asyncio.get_running_loop().time()
        before = self._refused.get(node)
        if before is not None and not for_pings and before[0] == door and now < before[1]:
            raise before[2].again()
        try:
            return await self._access.wire.connect_kafka(
                door.host,
                door.port,
                **self._tls(door),
                sasl=None if for_pings else self._access.login(door.access.sasl),
                greet=not for_pings,
                timeout_s=timeout_s,
            )
        except KafkaAuthenticationError as exc:
            self._refused[node] = door, now + LOGIN_PAUSE_S, exc
            raise

    async def _why_cut(self, door: Door, exc: KafkaWireError, left_s: float) -> KafkaWireError:
        if door.access.sasl is not None or left_s <= 0:
            return exc
        try:
            async with asyncio.timeout(left_s):
                ask = self._access.wire.login_wanted
                wanted = await ask(door.host, door.port, **self._tls(door), timeout_s=left_s)
                return wanted or exc
        except (TimeoutError, KafkaWireError):
            return exc

    def _tls(self, door: Door) -> dict[str, Any]:
        tls = door.access.tls
        return {
            "tls": self._access.tls_context(tls),
            "server_name": None if tls is None else tls.server_name,
        }
