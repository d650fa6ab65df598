"""`HostPool`: the host and the service manager of every node of one cluster."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Protocol, assert_never

from kafka_self_healing.clock import Clock
from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts.host import Host
from kafka_self_healing.hosts.local import LocalHost
from kafka_self_healing.hosts.run_dir import RunDirectory
from kafka_self_healing.hosts.service import ServiceManager
from kafka_self_healing.hosts.service_command import CommandServiceManager
from kafka_self_healing.hosts.service_docker import DockerServiceManager
from kafka_self_healing.hosts.service_systemd import SystemdServiceManager
from kafka_self_healing.hosts.ssh import SshHost
from kafka_self_healing.model.access import (
    CommandService,
    DockerService,
    SshAccess,
    SystemdService,
)
from kafka_self_healing.model.evidence import Outcome
from kafka_self_healing.model.node import Cluster, NodeConfig, NodeId


class Hosts(Protocol):
    """Where the hosts and the service managers of nodes come from."""

    def host(self, node: NodeId) -> Host:
        """Return the host of `node`. Raises CheckError: it is not in the inventory."""

    def service(self, node: NodeId) -> ServiceManager | None:
        """Return the service manager of `node`; None: none is configured."""


class Pool(Hosts, Protocol):
    """The hosts of an inventory, which may change."""

    def follow(self, cluster: Cluster) -> list[Host]:
        """Take over another inventory; return the hosts that nobody is on any more."""

    async def close(self) -> None:
        """Give back connections; nothing is asked any more."""


class HostPool:
    """Makes each host and each manager once; nodes on one host share it.

    `run_dir`: where the sockets of ssh connections are; None: a temporary folder of ours.
    """

    def __init__(self, cluster: Cluster, clock: Clock, *, run_dir: Path | None = None) -> None:
        self._clock, self._run_dir = clock, RunDirectory(run_dir)
        self._local: Host = LocalHost(clock)
        self._remote: dict[SshAccess, SshHost] = {}
        self._numbers = 0
        self._nodes: dict[NodeId, NodeConfig] = {}
        self._services: dict[NodeId, ServiceManager | None] = {}
        self.follow(cluster)

    def follow(self, cluster: Cluster) -> list[Host]:
        """Take over another inventory; return the hosts that nobody is on any more, to be closed.

        Hosts and managers of nodes that have not changed stay what they are.
        """
        before, self._nodes = self._nodes, dict(cluster.nodes)
        used = {_access(node) for node in self._nodes.values()}
        gone = {access: host for access, host in self._remote.items() if access not in used}
        self._remote = {
            access: self._remote.get(access) or self._reach(access, node)
            for node in self._nodes.values()
            if (access := _access(node)) is not None
        }
        self._services = {
            id_: self._services[id_] if before.get(id_) == node else self._manager(node)
            for id_, node in self._nodes.items()
        }
        return list(gone.values())

    def host(self, node: NodeId) -> Host:
        """Return the host of `node`. Raises CheckError: it is not in the inventory."""
        if node not in self._nodes:
            raise CheckError(Outcome.NOT_ASKED, f"node {node} is not in the inventory")
        access = _access(self._nodes[node])
        return self._local if access is None else self._remote[access]

    def service(self, node: NodeId) -> ServiceManager | None:
        """Return the service manager of `node`; None: none is configured."""
        return self._services.get(node)

    async def close(self) -> None:
        """Give back connections; nothing is asked any more."""
        await asyncio.gather(*(host.close() for host in self._remote.values()))
        self._run_dir.remove()

    def _reach(self, access: SshAccess, node: NodeConfig) -> SshHost:
        self._numbers += 1
        # Behind a jump host a ping from here says nothing.
        address = node.host if access.jump is None else None
        number = self._numbers
        return SshHost(access, self._clock, self._run_dir, number=number, address=address)

    def _manager(self, node: NodeConfig) -> ServiceManager | None:
        host, dirs, address = self.host(node.id), node.data_dirs, node.host
        match node.service:
            case None:
                return None
            case CommandService() as service:
                return CommandServiceManager(service, host, dirs, address)
            case SystemdService() as service:
                return SystemdServiceManager(service, host, dirs, address)
            case DockerService() as service:
                return DockerServiceManager(service, host, dirs, address, self._clock)
            case _:
                assert_never(node.service)


def _access(node: NodeConfig) -> SshAccess | None:
    """Return how the node's host is reached, with its destination; None: it is this machine."""
    if node.access is None or node.access.destination is not None:
        return node.access
    return replace(node.access, destination=node.host)
