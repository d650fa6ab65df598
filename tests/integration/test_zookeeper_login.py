"""kazoo's login against a real ZooKeeper that knows one user, plain and over mutual TLS."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.clusters.pki import KEY_PASSWORD, Pki, make_pki
from tests.integration.clusters.servers import (
    Plan,
    Program,
    RealCluster,
    Server,
    listed_jars,
    plan_servers,
    write_servers,
)
from tests.integration.clusters.zookeeper import JARS

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.demo.java import Java
from kafka_self_healing.demo.layout import write_settings
from kafka_self_healing.demo.progress import PlainProgress
from kafka_self_healing.demo.supervised import clean_folder
from kafka_self_healing.hosts import LocalHost
from kafka_self_healing.model.access import TlsConfig, ZooKeeperAccess
from kafka_self_healing.model.evidence import Kind, Outcome, ProtocolFact
from kafka_self_healing.model.node import Cluster, NodeConfig, Role
from kafka_self_healing.monitoring import ZookeeperMonitoringPlugin
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.secret import Secret
from kafka_self_healing.wire import zookeeper

pytestmark = [pytest.mark.cluster, pytest.mark.heavy]

USER, PASSWORD = "healer", "healer-S3cret"
UP_LIMIT_S = 60.0
TIMEOUT_S = 4.0
_MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
_SASL = "org.apache.zookeeper.server.auth"


class Guarded(RealCluster):
    """One standalone member that takes a login."""

    def __init__(self, server: Server, pki: Pki) -> None:
        super().__init__(server.folder.parent, {server.id: server}, look_at="CLIENT")
        self.server = server
        self.pki = pki

    def node(self, port: str = "CLIENT", **access: object) -> NodeConfig:
        """Return it as it would be configured."""
        return NodeConfig(
            self.server.id,
            self.server.roles,
            host=self.server.host,
            zookeeper_port=self.server.ports[port],
            zookeeper=ZooKeeperAccess(**access),  # type: ignore[arg-type]
        )


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, java: Java) -> Iterator[Guarded]:
    """The member, with three registered brokers."""
    directory = clean_folder(tmp_path_factory.mktemp("guarded") / "ensemble")
    pki = make_pki(directory / "pki")
    servers = plan_servers(directory, {"zk1": Plan(frozenset({Role.ENSEMBLE}), ("CLIENT", "TLS"))})
    server = servers["zk1"]
    jaas = directory / "jaas.conf"
    user = f'user_{USER}="{PASSWORD}"'
    jaas.write_text(f"Server {{ {_SASL}.DigestLoginModule required {user}; }};\n", encoding="utf-8")
    write_settings(server.properties_file, _settings(server, pki))
    server.data_dir.mkdir()
    program = Program(java, listed_jars(JARS, PlainProgress(io.StringIO())))
    flag = f"-Djava.security.auth.login.config={jaas}"
    write_servers(
        directory,
        servers,
        {"zk1": [*program.command([flag]), _MAIN, str(server.properties_file)]},
    )
    with Guarded(server, pki) as made:
        made.start("zk1")
        made.wait_until(lambda: _registered(made), "brokers registered", timeout_s=UP_LIMIT_S)
        yield made


def _settings(server: Server, pki: Pki) -> dict[str, str]:
    return {
        "dataDir": str(server.data_dir),
        "clientPort": str(server.ports["CLIENT"]),
        "clientPortAddress": server.host,
        "secureClientPort": str(server.ports["TLS"]),
        "secureClientPortAddress": server.host,
        "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
        "authProvider.1": f"{_SASL}.SASLAuthenticationProvider",
        "admin.enableServer": "false",
        "ssl.keyStore.location": str(pki.keystore),
        "ssl.keyStore.type": "PKCS12",
        "ssl.keyStore.password": KEY_PASSWORD,
        "ssl.trustStore.location": str(pki.ca),
        "ssl.trustStore.type": "PEM",
    }


def _registered(made: Guarded) -> bool:
    """Register brokers as Kafka would; whether that was possible."""
    from kazoo.client import KazooClient
    from kazoo.exceptions import KazooException
    from kazoo.handlers.threading import KazooTimeoutError

    client = KazooClient("{}:{}".format(*made.server.address("CLIENT")))
    try:
        client.start(timeout=TIMEOUT_S)
        for number in (1, 2, 10):
            client.ensure_path(f"/brokers/ids/{number}")
    except (KazooException, KazooTimeoutError):
        return False
    else:
        return True
    finally:
        client.stop()
        client.close()


async def see(node: NodeConfig) -> ProtocolFact:
    """Look once at PROTOCOL."""
    clock = SystemClock()
    context = LookContext(
        kind=Kind.PROTOCOL,
        cluster=Cluster("real", nodes={node.id: node}),
        timeout_s=TIMEOUT_S,
        clock=clock,
        logger=logging.getLogger("test"),
        host=LocalHost(clock),
        service=None,
        on_hint=lambda why: None,
    )
    (result,) = await ZookeeperMonitoringPlugin().check(node, context)
    assert result.outcome is Outcome.ANSWERED, result
    assert isinstance(result.fact, ProtocolFact)
    return result.fact


async def test_login_shows_the_registered_brokers(guarded: Guarded) -> None:
    """With the right login the ids are in the fact, plain and over mutual TLS."""
    login: dict[str, Any] = {"username": USER, "password": Secret(PASSWORD)}
    shown = str(guarded.pki.healer)
    tls = TlsConfig(ca_file=str(guarded.pki.ca), cert_file=shown, key_file=shown)
    for node in (guarded.node(**login), guarded.node("TLS", tls=tls, **login)):
        fact = await see(node)
        assert (fact.serving, fact.mode, fact.registered) == (True, "standalone", ("1", "2", "10"))


async def test_refused_login_costs_only_the_ids(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong password is told, and the member counts as well all the same."""
    node = guarded.node(username=USER, password=Secret("wrong-S3cret"))
    fact = await see(node)
    assert (fact.serving, fact.registered) == (True, None)
    assert "the login was refused" in caplog.text
    assert "wrong-S3cret" not in caplog.text


async def test_unknown_user_is_refused_too(guarded: Guarded) -> None:
    """The member does not tell a wrong user from a wrong password, and neither do we."""
    endpoint = zookeeper.Endpoint(*guarded.server.address("CLIENT"))
    with pytest.raises(zookeeper.ZooKeeperAuthenticationError):
        await asyncio.to_thread(
            zookeeper.registered_brokers,
            endpoint,
            timeout_s=TIMEOUT_S,
            username="nobody",
            password=Secret("wrong-S3cret"),  # 3.8 takes any name with the last user's password
        )
