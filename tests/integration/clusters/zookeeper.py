"""ZooKeeper mode: three brokers of Kafka 3.9.2 and an ensemble of three ZooKeeper 3.8.4.

Member zk1 serves TLS too and an AdminServer; zk2 serves TLS and wants a client certificate; zk3 is
as it comes out of the box: no TLS, and no four-letter word but `srvr`.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.integration.clusters.kraft import BROKERS, PLAIN_JMX, kafka_line
from tests.integration.clusters.pki import KEY_PASSWORD, Pki, make_pki
from tests.integration.clusters.servers import (
    JMX,
    Plan,
    Program,
    RealCluster,
    Server,
    plan_servers,
    write_servers,
)

from kafka_self_healing.clock import boot_seconds, pause
from kafka_self_healing.demo.layout import SMALL_CLUSTER, jmx_flags, write_settings
from kafka_self_healing.demo.supervised import clean_folder
from kafka_self_healing.model.node import Role

MEMBERS: Final = ("zk1", "zk2", "zk3")
JARS: Final = "jars-3.9.2.json"
TICK_MS: Final = 500
SESSION_MS: Final = 6000
_MAIN: Final = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
_BETWEEN: Final = ("QUORUM", "ELECTION")
_LISTENERS: Final = {
    "zk1": ("CLIENT", "TLS", "ADMIN", *_BETWEEN),
    "zk2": ("CLIENT", "TLS", *_BETWEEN),
    "zk3": ("CLIENT", *_BETWEEN),
}


class ZooKeeperCluster(RealCluster):
    """The brokers and their ensemble."""

    def __init__(self, directory: Path, servers: Mapping[str, Server], pki: Pki) -> None:
        super().__init__(directory, servers, look_at="PLAINTEXT")
        self.pki = pki

    @property
    def members(self) -> list[Server]:
        """The members of the ensemble, in order."""
        return [server for server in self.servers.values() if Role.ENSEMBLE in server.roles]

    def wait_led(self, by: Sequence[str], timeout_s: float) -> None:
        """Wait until one of these members leads."""
        end = boot_seconds() + timeout_s
        while not any(_serves(self.servers[name], b"leader") for name in by):
            assert boot_seconds() < end, f"none of {', '.join(by)} leads after {timeout_s:g} s"
            pause(0.1)

    def is_whole(self) -> bool:
        """Return whether the brokers are whole, and every member serves."""
        return all(_serves(member) for member in self.members) and super().is_whole()


def _serves(member: Server, mode: bytes = b"") -> bool:
    """Ask a member whether it serves, in this mode if one is given. Raises OSError."""
    with socket.create_connection(member.address("CLIENT"), timeout=1.0) as connection:
        connection.sendall(b"srvr")
        with connection.makefile("rb") as answer:
            return b"Mode: " + mode in answer.read()


def zookeeper_cluster(
    directory: Path,
    program: Program,
    *,
    brokers: Sequence[str] = BROKERS,
    quorum_tls: bool = False,
) -> ZooKeeperCluster:
    """Lay out ensemble and brokers in `directory`; nothing runs yet.

    `quorum_tls`: the members speak TLS with each other, too.
    """
    directory = clean_folder(directory)
    pki = make_pki(directory / "pki")
    plans = {id_: Plan(frozenset({Role.ENSEMBLE}), _LISTENERS[id_]) for id_ in MEMBERS}
    plans |= {id_: Plan(frozenset({Role.BROKER}), ["PLAINTEXT"]) for id_ in brokers}
    servers = plan_servers(directory, plans)
    made = ZooKeeperCluster(directory, servers, pki)
    lines = {}
    for number, member in enumerate(made.members, 1):
        between = {"sslQuorum": "true", **_stores(pki, "ssl.quorum")} if quorum_tls else {}
        write_settings(member.properties_file, _member(member, made.members, pki) | between)
        member.data_dir.mkdir()
        (member.data_dir / "myid").write_text(f"{number}\n", encoding="utf-8")
        flags = jmx_flags(member.host, member.ports[JMX], PLAIN_JMX)
        lines[member.id] = [*program.command(flags), _MAIN, str(member.properties_file)]
    for broker in made.brokers:
        write_settings(broker.properties_file, _broker(broker, made.members))
        lines[broker.id] = kafka_line(program, broker)
    write_servers(directory, servers, lines)
    return made


def _member(member: Server, members: list[Server], pki: Pki) -> dict[str, str]:
    ports = member.ports
    properties = {
        "tickTime": str(TICK_MS),
        "initLimit": "20",
        "syncLimit": "10",
        "dataDir": str(member.data_dir),
        "clientPort": str(ports["CLIENT"]),
        "clientPortAddress": member.host,
        "admin.enableServer": "false",
    }
    for number, one in enumerate(members, 1):
        addresses = f"{one.ports['QUORUM']}:{one.ports['ELECTION']}"
        properties[f"server.{number}"] = f"{one.host}:{addresses}"
    if "ADMIN" in ports:
        properties |= {
            "admin.enableServer": "true",
            "admin.serverAddress": member.host,
            "admin.serverPort": str(ports["ADMIN"]),
        }
    if "TLS" in ports:
        properties |= {
            "4lw.commands.whitelist": "ruok,srvr,mntr,conf",
            "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
            "secureClientPort": str(ports["TLS"]),
            "secureClientPortAddress": member.host,
            **_stores(pki, "ssl"),
            "ssl.clientAuth": "none" if "ADMIN" in ports else "need",
        }
    return properties


def _stores(pki: Pki, prefix: str) -> dict[str, str]:
    return {
        f"{prefix}.keyStore.location": str(pki.keystore),
        f"{prefix}.keyStore.type": "PKCS12",
        f"{prefix}.keyStore.password": KEY_PASSWORD,
        f"{prefix}.trustStore.location": str(pki.ca),
        f"{prefix}.trustStore.type": "PEM",
        f"{prefix}.hostnameVerification": "false",
    }


def _broker(broker: Server, members: list[Server]) -> dict[str, str]:
    listeners = f"PLAINTEXT://{broker.host}:{broker.ports['PLAINTEXT']}"
    ensemble = ",".join(f"{one.host}:{one.ports['CLIENT']}" for one in members)
    kept = {key: value for key, value in SMALL_CLUSTER.items() if not key.startswith("share.")}
    return {
        "broker.id": broker.id,
        "listeners": listeners,
        "zookeeper.connect": ensemble,
        "zookeeper.session.timeout.ms": str(SESSION_MS),
        "log.dirs": str(broker.data_dir),
        **kept,
    }
