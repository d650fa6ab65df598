"""Asks the cluster's own nodes: who is in it, and whether each is the one we take it for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kafka_self_healing.doctor.discovery import Account, FoundNode
from kafka_self_healing.doctor.finding import Finding, problem
from kafka_self_healing.model.access import ListenerAccess
from kafka_self_healing.model.node import NodeConfig, Role
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.wire.kafka import (
    BrokerMetadata,
    ClusterNode,
    DescribeCluster,
    DescribeConfigs,
    DescribeQuorum,
    KafkaConnection,
    KafkaUnsupportedError,
    KafkaWireError,
    Metadata,
    connect,
)

_ANY_SETTING: Final = ("node.id", "broker.id")
_INVALID_REQUEST: Final = 42


class Asking:
    """Opens connections as the configuration says; each is closed again at once."""

    def __init__(self, access: Access, timeout_s: float) -> None:
        self._access, self._timeout_s = access, timeout_s

    async def account(self, broker: NodeConfig) -> Account:
        """Return what `broker` says of its cluster. Raises KafkaWireError."""
        connection = await self._open(broker, broker.kafka_port, broker.kafka)
        try:
            metadata = await connection.call(Metadata(), timeout_s=self._timeout_s)
            listed = [_broker(node, fenced=None) for node in metadata.brokers]
            cluster_id = metadata.cluster_id or ""
            try:
                cluster = await connection.call(DescribeCluster(), timeout_s=self._timeout_s)
            except KafkaUnsupportedError:  # Kafka before 2.8
                return Account(broker.id, cluster_id, tuple(listed))
        finally:
            await connection.close()
        found = [_broker(node, fenced=node.fenced) for node in cluster.nodes]
        return Account(broker.id, cluster.cluster_id, tuple(found))

    async def voters(self, controller: NodeConfig) -> tuple[FoundNode, ...]:
        """Return the voters by the word of `controller`; none: it does not lead, or cannot say.

        Raises KafkaWireError.
        """
        connection = await self._open(controller, controller.controller_port, controller.controller)
        try:
            reply = await connection.call(DescribeQuorum(), timeout_s=self._timeout_s)
        finally:
            await connection.close()
        where = {node.id: node.endpoints for node in reply.nodes or ()}
        found = []
        for voter in reply.voters or ():
            endpoint = next(iter(where.get(voter.id, ())), None)
            host, port = (endpoint.host, endpoint.port) if endpoint else (None, None)
            found.append(FoundNode(str(voter.id), Role.CONTROLLER, host, port))
        return tuple(found)

    async def identity(self, broker: NodeConfig) -> Iterator[Finding]:
        """Return a problem if another broker than `broker` answers at its address.

        A broker that is asked for the settings of another one says which it is.
        """
        if not broker.id.isdecimal():
            return iter(())
        try:
            connection = await self._open(broker, broker.kafka_port, broker.kafka)
        except KafkaWireError:
            return iter(())  # the looks have told
        try:
            request = DescribeConfigs.of_broker(int(broker.id), _ANY_SETTING)
            reply = await connection.call(request, timeout_s=self._timeout_s)
        except KafkaWireError:
            return iter(())
        finally:
            await connection.close()
        wrong = [one for one in reply.results if one.error == _INVALID_REQUEST]
        text = f"another broker answers at {broker.host}:{broker.kafka_port}"
        return (problem(broker.id, f"{text}: {one.message}", "correct id or address")
                for one in wrong)  # fmt: skip

    async def _open(
        self, node: NodeConfig, port: int | None, listener: ListenerAccess
    ) -> KafkaConnection:
        assert port is not None
        return await connect(
            node.host,
            port,
            tls=self._access.tls_context(listener.tls),
            server_name=listener.tls.server_name if listener.tls is not None else None,
            sasl=self._access.login(listener.sasl),
            timeout_s=self._timeout_s,
        )


def _broker(node: BrokerMetadata | ClusterNode, *, fenced: bool | None) -> FoundNode:
    return FoundNode(str(node.id), Role.BROKER, node.host, node.port, node.rack, fenced)
