"""KafkaMonitoringPlugin: the node's own answer, the others' metadata, the controllers' quorum."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kafka_self_healing.model.evidence import CheckResult, Kind, ProtocolFact
from kafka_self_healing.model.node import ClusterMode, NodeConfig
from kafka_self_healing.monitoring.checks.kafka_connections import Connections
from kafka_self_healing.monitoring.checks.kafka_peers import PeersReader
from kafka_self_healing.monitoring.checks.kafka_quorum import QuorumReader
from kafka_self_healing.monitoring.checks.look import look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin


class KafkaMonitoringPlugin(MonitoringPlugin):
    """PROTOCOL, PEERS and QUORUM by Kafka's own requests, all of which only read.

    Each kind has connections of its own: a broker forwards some requests to the controller and
    answers nothing else on that connection until it has an answer, so a sign of life must never
    wait behind them.
    """

    def __init__(self) -> None:
        self._warm = Connections()
        self._peers = PeersReader()
        self._quorum = QuorumReader()

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
                return target.port is not None

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Ask for the kind that is wanted."""
        cluster = context.cluster
        match context.kind:
            case Kind.PEERS:
                mode = cluster.mode
                seeing = self._peers.read(
                    target, context.clock, context.timeout_s, kraft=mode is ClusterMode.KRAFT
                )
                return await look(context, cluster.name, seeing, observer=target.id)
            case Kind.QUORUM:
                asking = self._quorum.read(target, context.timeout_s)
                return await look(context, cluster.name, asking, observer=target.id)
            case _:
                return await look(context, target.id, self._answer(target, context))

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(self._warm.close(), self._peers.close(), self._quorum.close())

    async def _answer(self, target: NodeConfig, context: CheckContext) -> ProtocolFact:
        """Ask ApiVersions on the node's warm connection; a new connection has asked it already."""
        assert target.port is not None
        warm = self._warm.known(target.id)
        if warm is None:
            await self._warm.get(
                target.id,
                (target.host, target.port),
                timeout_s=context.timeout_s,
                on_lost=lambda lost: context.hint(f"its warm connection was lost: {lost}"),
            )
            return ProtocolFact()
        answered = False
        try:
            await warm.hello(timeout_s=context.timeout_s)
            answered = True
        finally:
            if not answered:
                await self._warm.drop(target.id)
        return ProtocolFact()
