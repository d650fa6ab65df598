"""`HostPool`: the host and the service manager of every node of one cluster."""

from __future__ import annotations

from kafka_self_healing.clock import Clock
from kafka_self_healing.hosts.host import Host
from kafka_self_healing.hosts.local import LocalHost
from kafka_self_healing.hosts.service import ServiceManager
from kafka_self_healing.hosts.service_command import CommandServiceManager
from kafka_self_healing.model.access import CommandService
from kafka_self_healing.model.node import Cluster, NodeId


class HostPool:
    """Makes each host and each manager once; nodes on one host share it."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._local: Host = LocalHost(clock)
        self._services: dict[NodeId, ServiceManager] = {
            node.id: CommandServiceManager(node.service, self._local)
            for node in cluster.nodes.values()
            if isinstance(node.service, CommandService)
        }

    def host(self, node: NodeId) -> Host:  # noqa: ARG002 - one host so far
        """Return the host of `node`."""
        return self._local

    def service(self, node: NodeId) -> ServiceManager | None:
        """Return the service manager of `node`; None: none is configured."""
        return self._services.get(node)

    async def close(self) -> None:
        """Give back connections; nothing is asked any more."""
