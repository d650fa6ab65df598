"""KRaft clusters: what every node's properties have in common, and separate controllers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.integration.clusters.servers import (
    CONTROLLER,
    JMX,
    Plan,
    Program,
    RealCluster,
    Server,
    plan_servers,
    write_servers,
)

from kafka_self_healing.demo.layout import (
    SMALL_CLUSTER,
    format_data,
    jmx_flags,
    shortened_properties,
    write_settings,
)
from kafka_self_healing.demo.supervised import clean_folder
from kafka_self_healing.model.node import Role

SESSION_MS: Final = 3000
PLAIN_JMX: Final = {"authenticate": "false", "ssl": "false"}
BROKERS: Final = ("1", "2", "3")
CONTROLLERS: Final = ("11", "12", "13")


def kraft_properties(
    server: Server, servers: Mapping[str, Server], protocols: Mapping[str, str]
) -> dict[str, str]:
    """Return a node's properties. `protocols` by listener; the first is the brokers' own."""
    voters = [
        f"{one.id}@{one.host}:{one.ports[CONTROLLER]}" for one in servers.values() if one.is_voter
    ]
    listeners = [
        f"{name}://{server.host}:{port}" for name, port in server.ports.items() if name != JMX
    ]
    roles = [role.value for role in (Role.BROKER, Role.CONTROLLER) if role in server.roles]
    properties = {
        "process.roles": ",".join(roles),
        "node.id": server.id,
        "controller.quorum.voters": ",".join(voters),
        "listeners": ",".join(listeners),
        "controller.listener.names": CONTROLLER,
        "listener.security.protocol.map": ",".join(f"{k}:{v}" for k, v in protocols.items()),
        "log.dirs": str(server.data_dir),
        **SMALL_CLUSTER,
        **shortened_properties(SESSION_MS),
    }
    if server.is_broker:
        properties["inter.broker.listener.name"] = next(iter(protocols))
    return properties


def separate_cluster(directory: Path, program: Program) -> RealCluster:
    """Lay out three brokers (1-3) and three controllers (11-13), all plain."""
    directory = clean_folder(directory)
    plans = {id_: Plan(frozenset({Role.CONTROLLER}), [CONTROLLER]) for id_ in CONTROLLERS}
    plans |= {id_: Plan(frozenset({Role.BROKER}), ["PLAINTEXT"]) for id_ in BROKERS}
    servers = plan_servers(directory, plans)
    protocols = {"PLAINTEXT": "PLAINTEXT", CONTROLLER: "PLAINTEXT"}
    for server in servers.values():
        write_settings(server.properties_file, kraft_properties(server, servers, protocols))
    format_servers(program, servers)
    lines = {id_: kafka_line(program, server) for id_, server in servers.items()}
    write_servers(directory, servers, lines)
    return RealCluster(directory, servers, look_at="PLAINTEXT")


def kafka_line(
    program: Program,
    server: Server,
    *,
    agent: Mapping[str, str] | None = None,
    flags: tuple[str, ...] = (),
) -> list[str]:
    """Return how a Kafka node is started. `agent`: its JMX agent; None: plain."""
    jmx = jmx_flags(server.host, server.ports[JMX], PLAIN_JMX if agent is None else agent)
    return [*program.command([*jmx, *flags]), "kafka.Kafka", str(server.properties_file)]


def format_servers(
    program: Program, servers: Mapping[str, Server], options: tuple[str, ...] = ()
) -> str:
    """Format the data of all; the first must be a controller. Return the cluster's id."""
    first = next(iter(servers.values()))
    data_dirs = {int(server.id): server.data_dir for server in servers.values()}
    return format_data(program.command(), first.properties_file, data_dirs, options)
