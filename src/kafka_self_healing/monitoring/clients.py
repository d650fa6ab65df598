"""`WireClients`: what speaks to the nodes over the network. All checks get it through `Access`."""

from __future__ import annotations

from typing import Any

from kafka_self_healing.monitoring.checks.handshake import Handshake, shake_hands_at
from kafka_self_healing.monitoring.checks.knock import knock
from kafka_self_healing.wire import kafka, zookeeper
from kafka_self_healing.wire.jmx import JmxClient
from kafka_self_healing.wire.tls import TlsContext


class WireClients:
    """The clients of `wire`, and nothing more: a port, of which the simulation has its own kind.

    The names of options are the clients' own, and so are the errors. What asks URLs, runs programs
    or produces records is not among them: such checks are made only where they are configured.
    """

    async def knock(
        self, host: str, port: int, *, tls: TlsContext | None, server_name: str, timeout_s: float
    ) -> None:
        """Connect once and close again. Raises CheckError."""
        await knock(host, port, tls=tls, server_name=server_name, timeout_s=timeout_s)

    async def shake_hands(
        self, host: str, port: int, *, tls: TlsContext, server_name: str, timeout_s: float
    ) -> Handshake:
        """Do one TLS handshake. Raises OSError when there is no connection."""
        return await shake_hands_at(
            host, port, tls=tls, server_name=server_name, timeout_s=timeout_s
        )

    async def connect_kafka(self, host: str, port: int, **how: Any) -> kafka.KafkaConnection:
        """Open a connection to a Kafka listener. Raises KafkaWireError."""
        return await kafka.connect(host, port, **how)

    async def login_wanted(
        self, host: str, port: int, **how: Any
    ) -> kafka.KafkaAuthenticationError | None:
        """Ask a listener that cut us off whether it wanted a login. Raises KafkaWireError."""
        return await kafka.login_wanted(host, port, **how)

    def jmx(self, host: str, port: int, **how: Any) -> JmxClient:
        """Return the client of one JVM; it connects when it is first asked."""
        return JmxClient(host, port, **how)

    async def srvr(self, member: zookeeper.Endpoint, *, timeout_s: float) -> zookeeper.ServerReply:
        """Return mode, version and last transaction. Raises ZooKeeperError."""
        return await zookeeper.srvr(member, timeout_s=timeout_s)

    async def mntr(self, member: zookeeper.Endpoint, *, timeout_s: float) -> zookeeper.MonitorReply:
        """Return the member's numbers. Raises ZooKeeperError."""
        return await zookeeper.mntr(member, timeout_s=timeout_s)

    async def ruok(self, member: zookeeper.Endpoint, *, timeout_s: float) -> bool:
        """Return whether it says `imok`. Raises ZooKeeperError."""
        return await zookeeper.ruok(member, timeout_s=timeout_s)

    async def admin_srvr(
        self, member: zookeeper.Endpoint, *, timeout_s: float
    ) -> zookeeper.ServerReply:
        """Ask its AdminServer what `srvr` tells. Raises ZooKeeperError."""
        return await zookeeper.admin_srvr(member, timeout_s=timeout_s)

    async def admin_monitor(
        self, member: zookeeper.Endpoint, *, timeout_s: float
    ) -> zookeeper.MonitorReply:
        """Ask its AdminServer what `mntr` tells. Raises ZooKeeperError."""
        return await zookeeper.admin_monitor(member, timeout_s=timeout_s)

    def registered_brokers(self, member: zookeeper.Endpoint, **how: Any) -> tuple[str, ...]:
        """Log in by kazoo and list the registered brokers; it blocks. Raises ZooKeeperError."""
        return zookeeper.registered_brokers(member, **how)
