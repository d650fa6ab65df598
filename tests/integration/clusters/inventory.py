"""The configuration that describes each real cluster: what an operator would have written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tests.integration.clusters import kraft, zookeeper
from tests.integration.clusters.pki import Pki
from tests.integration.clusters.secured import HEALER, MONITOR, SecuredCluster
from tests.integration.clusters.servers import CONTROLLER, JMX, RealCluster, Server

from kafka_self_healing.model.access import (
    CommandService,
    JmxAccess,
    ListenerAccess,
    SaslConfig,
    SaslMechanism,
    TlsConfig,
    ZooKeeperAccess,
)
from kafka_self_healing.model.node import Cluster, ClusterMode, NodeConfig, Role
from kafka_self_healing.secret import Secret

NAME = "real"
"""The name of every cluster here."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How the nodes of a cluster are reached: the brokers' listener, and the access to each."""

    listener: str
    kafka: ListenerAccess = ListenerAccess()  # noqa: RUF009 - frozen, so sharing it is safe
    controller: ListenerAccess = ListenerAccess()  # noqa: RUF009
    jmx: JmxAccess = JmxAccess()  # noqa: RUF009


def kraft_inventory(cluster: RealCluster, reach: Reach) -> Cluster:
    """Describe a KRaft cluster."""
    nodes = {id_: _node(cluster, server, reach) for id_, server in cluster.servers.items()}
    return Cluster(NAME, nodes=nodes, session_timeout_s=kraft.SESSION_MS / 1000)


def zookeeper_inventory(cluster: RealCluster) -> Cluster:
    """Describe the cluster in ZooKeeper mode: plain ports, and the AdminServer of zk1."""
    nodes = {
        id_: _node(cluster, server, Reach("PLAINTEXT")) for id_, server in cluster.servers.items()
    }
    return Cluster(
        NAME,
        mode=ClusterMode.ZOOKEEPER,
        nodes=nodes,
        session_timeout_s=zookeeper.SESSION_MS / 1000,
        tick_s=zookeeper.TICK_MS / 1000,
    )


def secured_inventory(cluster: SecuredCluster, reach: Reach | None = None) -> Cluster:
    """Describe the secured cluster; the healer logs in by SCRAM unless `reach` says otherwise."""
    return kraft_inventory(cluster, reach or by_scram(cluster.pki))


def by_scram(pki: Pki, user: tuple[str, str] = HEALER) -> Reach:
    """Reach brokers by SCRAM as `user`, controllers by certificate, JMX by password; all in TLS."""
    login = SaslConfig(SaslMechanism.SCRAM_SHA_512, user[0], Secret(user[1]))
    return replace(by_certificate(pki), listener="SCRAM", kafka=ListenerAccess(tls_of(pki), login))


def by_certificate(pki: Pki, identity: Path | None = None) -> Reach:
    """Reach brokers and controllers by certificate (the healer's), JMX by password; all in TLS."""
    shown = ListenerAccess(tls_of(pki, identity or pki.healer))
    return Reach("MTLS", shown, shown, JmxAccess(MONITOR[0], Secret(MONITOR[1]), tls_of(pki)))


def by_token(pki: Pki, login: SaslConfig) -> Reach:
    """Reach brokers by OAUTHBEARER with this login, the rest as `by_certificate`."""
    return replace(by_certificate(pki), listener="OAUTH", kafka=ListenerAccess(tls_of(pki), login))


def by_plain(user: tuple[str, str] = HEALER) -> Reach:
    """Reach brokers and controllers of the large cluster by PLAIN without TLS."""
    access = ListenerAccess(sasl=SaslConfig(SaslMechanism.PLAIN, user[0], Secret(user[1])))
    return Reach("CLIENTS", access, access)


def tls_of(pki: Pki, identity: Path | None = None) -> TlsConfig:
    """Trust the authority, and show a certificate if one is given."""
    shown = None if identity is None else str(identity)
    return TlsConfig(ca_file=str(pki.ca), cert_file=shown, key_file=shown)


def with_node(inventory: Cluster, node: NodeConfig) -> Cluster:
    """Return the inventory with another configuration of one node."""
    return replace(inventory, nodes={**inventory.nodes, node.id: node})


def _node(cluster: RealCluster, server: Server, reach: Reach) -> NodeConfig:
    command = tuple(cluster.control_command(by="healer"))
    service = CommandService(
        start=(*command, "start", server.id),
        stop=(*command, "stop", server.id),
        kill=(*command, "kill", server.id),
        status=(*command, "status", server.id),
    )
    is_member = Role.ENSEMBLE in server.roles
    return NodeConfig(
        id=server.id,
        roles=server.roles,
        host=server.host,
        kafka_port=server.ports.get(reach.listener),
        controller_port=server.ports.get(CONTROLLER),
        zookeeper_port=server.ports["CLIENT"] if is_member else None,
        jmx_port=server.ports[JMX],
        data_dirs=(str(server.data_dir),),
        service=service,
        kafka=reach.kafka,
        controller=reach.controller,
        jmx=reach.jmx,
        zookeeper=ZooKeeperAccess(admin_port=server.ports.get("ADMIN")),
    )
