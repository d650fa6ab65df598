"""KafkaMonitoringPlugin: the node's own answer, the others' metadata, the controllers' quorum."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from kafka_self_healing.model.evidence import CheckResult, Kind, ProtocolFact
from kafka_self_healing.model.node import ClusterMode, NodeConfig
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.checks.kafka_connections import Connections, Door
from kafka_self_healing.monitoring.checks.kafka_peers import PeersReader
from kafka_self_healing.monitoring.checks.kafka_quorum import QuorumReader
from kafka_self_healing.monitoring.checks.look import look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin
from kafka_self_healing.wire.kafka import KafkaClosedError, KafkaResetError, KafkaWireError

_OURS: Final = 0.98
"""Of a look's time: whoever waits for an answer can then say what for."""


class KafkaMonitoringPlugin(MonitoringPlugin):
    """PROTOCOL, PEERS and QUORUM by Kafka's own requests, all of which only read.

    Each kind has connections of its own: a broker forwards some requests to the controller and
    answers nothing else on that connection until it has an answer, so a sign of life must never
    wait behind them. A sign of life needs TLS where TLS is, and no login: an expired password must
    not look like death.
    """

    def __init__(self, access: Access | None = None) -> None:
        """Take the contexts and logins of `access`, which all checks may share."""
        access = access or Access()
        self._warm = Connections(access)
        self._pinged: set[Door] = set()
        self._peers = PeersReader(access)
        self._quorum = QuorumReader(access)

    @property
    def kinds(self) -> frozenset[Kind]:
        """PROTOCOL, PEERS and QUORUM."""
        return frozenset({Kind.PROTOCOL, Kind.PEERS, Kind.QUORUM})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:
        """Return whether the node has the port on which this kind is asked."""
        match kind:
            case Kind.PEERS:
                return target.is_broker and target.kafka_port is not None
            case Kind.QUORUM:
                return target.is_voter and target.controller_port is not None
            case _:
                return (target.is_broker or target.is_voter) and target.port is not None

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Ask for the kind that is wanted."""
        cluster, limit_s = context.cluster, context.timeout_s * _OURS
        match context.kind:
            case Kind.PEERS:
                mode = cluster.mode
                seeing = self._peers.read(
                    target, context.clock, limit_s, kraft=mode is ClusterMode.KRAFT
                )
                return await look(context, cluster.name, seeing, observer=target.id)
            case Kind.QUORUM:
                asking = self._quorum.read(target, limit_s)
                return await look(context, cluster.name, asking, observer=target.id)
            case _:
                return await look(context, target.id, self._answer(target, context, limit_s))

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(self._warm.close(), self._peers.close(), self._quorum.close())

    async def _answer(
        self, target: NodeConfig, context: CheckContext, limit_s: float
    ) -> ProtocolFact:
        """Ask ApiVersions on the node's warm connection; a new connection has asked it already."""
        door = Door.of(target)
        if door.access.sasl is not None or door in self._pinged:
            await self._ping(target, door, context, limit_s)
            return ProtocolFact()
        warm = self._warm.known(target.id, door)
        if warm is None:
            await self._warm.get(target.id, door, timeout_s=limit_s, on_lost=_hinting(context))
            return ProtocolFact()
        answered = False
        try:
            await warm.hello(timeout_s=limit_s)
            answered = True
        except (KafkaClosedError, KafkaResetError):
            # A listener with SASL, of which nobody told us, takes one ApiVersions a connection.
            await self._ping(target, door, context, limit_s)
            self._pinged.add(door)
        finally:
            if not answered and door not in self._pinged:
                await self._warm.drop(target.id)
        return ProtocolFact()

    async def _ping(
        self, target: NodeConfig, door: Door, context: CheckContext, limit_s: float
    ) -> None:
        answered = False
        try:
            connection = await self._warm.get(
                target.id,
                door,
                timeout_s=limit_s,
                on_lost=_hinting(context),
                for_pings=True,
            )
            await connection.ping(timeout_s=limit_s)
            answered = True
        finally:
            if not answered:
                await self._warm.drop(target.id)


def _hinting(context: CheckContext) -> Callable[[KafkaWireError], None]:
    return lambda lost: context.hint(f"its warm connection was lost: {lost}")
