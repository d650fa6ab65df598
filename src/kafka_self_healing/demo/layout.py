"""How a node of the embedded cluster is laid out on disk: ports, properties, JVM, storage."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.java import Java
from kafka_self_healing.demo.node_process import NodeDefinition

HOST: Final = "127.0.0.1"
KAFKA_DEFAULT_SESSION_MS: Final = 9000
_FORMAT_TIMEOUT_S: Final = 120.0
# Below the range from which the kernel gives ports to outgoing connections: a port of a dead
# broker must still be free when it is started again.
_LOWEST_PORT: Final = 15000
_HIGHEST_PORT: Final = 32000
_PORT_TRIES: Final = 2000

_JVM_FLAGS: Final = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xss512k",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dlog4j2.loggerContextFactory=org.apache.logging.log4j.simple.SimpleLoggerContextFactory",
    "-Dlog4j2.simplelogLevel=OFF",
    "-Dorg.slf4j.simpleLogger.logFile=System.out",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaConfig=warn",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
)

# Three nodes on one machine: few threads, small internal topics, replicated like the others.
SMALL_CLUSTER: Final = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "transaction.state.log.num.partitions": "3",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    "share.coordinator.state.topic.num.partitions": "3",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "background.threads": "2",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "auto.create.topics.enable": "false",
}


@dataclass(frozen=True, slots=True)
class Node:
    """One combined broker and controller: its addresses and where its files lie."""

    id: int
    host: str
    kafka_port: int
    controller_port: int
    jmx_port: int
    data_dir: Path
    log_file: Path
    properties_file: Path


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """What may be chosen: nodes, session (ms), heap (MiB), and further server properties.

    A session shorter than Kafka's default (9 s) also shortens heartbeat, election and fetch timeout
    (`shortened_properties`); at 9 s or longer all of these are Kafka's own defaults.
    """

    nodes: int = 3
    session_timeout_ms: int = 3000
    heap_mib: int = 160
    extra_properties: Mapping[str, str] = field(default_factory=dict)


def shortened_properties(session_timeout_ms: int) -> dict[str, str]:
    """Return the server properties that follow from the session; none at Kafka's default."""
    if session_timeout_ms == KAFKA_DEFAULT_SESSION_MS:
        return {}
    session = {"broker.session.timeout.ms": str(session_timeout_ms)}
    if session_timeout_ms > KAFKA_DEFAULT_SESSION_MS:
        return session
    return session | {
        "broker.heartbeat.interval.ms": str(session_timeout_ms // 6),
        "controller.quorum.election.timeout.ms": "300",
        "controller.quorum.election.backoff.max.ms": "100",
        "controller.quorum.fetch.timeout.ms": "1000",
    }


def plan_nodes(directory: Path, number: int) -> dict[int, Node]:
    """Choose ports that are free now and name the files of `number` nodes below `directory`."""
    ports = free_ports(3 * number)
    nodes: dict[int, Node] = {}
    for node_id in range(1, number + 1):
        folder = directory / f"node-{node_id}"
        kafka_port, controller_port, jmx_port = ports[3 * node_id - 3 : 3 * node_id]
        nodes[node_id] = Node(
            id=node_id,
            host=HOST,
            kafka_port=kafka_port,
            controller_port=controller_port,
            jmx_port=jmx_port,
            data_dir=folder / "data",
            log_file=folder / "kafka.log",
            properties_file=folder / "server.properties",
        )
    return nodes


def write_properties(nodes: Mapping[int, Node], settings: ClusterSettings) -> None:
    """Write each node's folder and `server.properties`.

    Raises DemoError if such a folder is there: it is not ours to overwrite.
    """
    voters = ",".join(f"{node.id}@{node.host}:{node.controller_port}" for node in nodes.values())
    for node in nodes.values():
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(node.id),
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://{node.host}:{node.kafka_port},"
            f"CONTROLLER://{node.host}:{node.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{node.host}:{node.kafka_port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(node.data_dir),
            **SMALL_CLUSTER,
            **shortened_properties(settings.session_timeout_ms),
            **settings.extra_properties,
        }
        write_settings(node.properties_file, properties)


def write_settings(file: Path, properties: Mapping[str, str]) -> None:
    """Write a properties file and the folder that it is in.

    Raises DemoError if that folder is there: it is not ours to overwrite.
    """
    folder = file.parent
    if folder.exists():
        raise DemoError(f"{folder} is there and not ours: give another folder")
    folder.mkdir(parents=True)
    lines = "".join(f"{key}={value}\n" for key, value in properties.items())
    file.write_text(lines, encoding="utf-8")


def broker_definition(
    node: Node, java: Java, jars: Sequence[Path], settings: ClusterSettings
) -> NodeDefinition:
    """Return how the supervisor starts a node: JMX plain on loopback, output into its log file."""
    flags = jmx_flags(node.host, node.jmx_port, {"authenticate": "false", "ssl": "false"})
    command = [*java_command(java, jars, settings.heap_mib, flags), "kafka.Kafka"]
    return NodeDefinition(
        argv=(*command, str(node.properties_file)),
        cwd=str(node.properties_file.parent),
        log_file=str(node.log_file),
    )


def jmx_flags(host: str, port: int, agent: Mapping[str, str]) -> list[str]:
    """Return the JVM flags of a JMX agent on one port; `agent` says how it is guarded."""
    where = {"port": str(port), "rmi.port": str(port), "host": host}
    flags = [f"-Dcom.sun.management.jmxremote.{key}={value}" for key, value in where.items()]
    flags += [f"-Dcom.sun.management.jmxremote.{key}={value}" for key, value in agent.items()]
    return [*flags, f"-Djava.rmi.server.hostname={host}"]


def format_storage(
    nodes: Mapping[int, Node], java: Java, jars: Sequence[Path], settings: ClusterSettings
) -> str:
    """Format the storage of all nodes and return the new cluster's id.

    Raises DemoError with the tool's words if it fails.
    """
    first = next(iter(nodes.values()))
    return format_data(
        java_command(java, jars, settings.heap_mib, []),
        first.properties_file,
        {node.id: node.data_dir for node in nodes.values()},
    )


def format_data(
    java: Sequence[str],
    properties_file: Path,
    data_dirs: Mapping[int, Path],
    options: Sequence[str] = (),
) -> str:
    """Format the first of `data_dirs` (by node id), copy it to the others, return the cluster's id.

    One JVM start instead of one a node: the copies differ by node id and directory id only.
    `properties_file` is the first node's; `options` are further ones of the tool. Raises DemoError
    with the tool's words if it fails.
    """
    cluster_id = _new_id()
    command = [*java, "kafka.tools.StorageTool", "format", "-t", cluster_id]
    done = subprocess.run(
        [*command, "-c", str(properties_file), *options],
        capture_output=True,
        text=True,
        timeout=_FORMAT_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise DemoError(f"storage cannot be formatted: {done.stdout}{done.stderr}".strip())
    first, *others = data_dirs.values()
    identity = _read_meta(first)
    for node_id, data_dir in zip(list(data_dirs)[1:], others, strict=True):
        shutil.copytree(first, data_dir)
        mine = identity | {"node.id": str(node_id), "directory.id": _new_id()}
        text = "#\n" + "".join(f"{key}={value}\n" for key, value in mine.items())
        (data_dir / "meta.properties").write_text(text, encoding="utf-8")
    return cluster_id


def java_command(
    java: Java, jars: Sequence[Path], heap_mib: int, flags: Sequence[str]
) -> list[str]:
    """Return how a small JVM with these jars is started; the main class is to be added."""
    class_path = os.pathsep.join(sorted(str(jar) for jar in jars))
    return [str(java.program), *_JVM_FLAGS, f"-Xmx{heap_mib}m", *flags, "-cp", class_path]


def _read_meta(data_dir: Path) -> dict[str, str]:
    lines = (data_dir / "meta.properties").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {key: value for key, _, value in pairs}


def _new_id() -> str:
    return base64.urlsafe_b64encode(_uuid_bytes()).decode().rstrip("=")


def _uuid_bytes() -> bytes:
    while True:
        number = secrets.token_bytes(16)
        # Kafka's tools would take a leading dash for an option.
        if not base64.urlsafe_b64encode(number).startswith(b"-"):
            return number


def free_ports(number: int) -> list[int]:
    """Return ports that are free on `HOST` now. Raises DemoError if there are not so many."""
    free: list[int] = []
    for _ in range(_PORT_TRIES):
        port = _LOWEST_PORT + secrets.randbelow(_HIGHEST_PORT - _LOWEST_PORT)
        if port not in free and _can_bind(port):
            free.append(port)
        if len(free) == number:
            return free
    raise DemoError(f"no {number} free ports between {_LOWEST_PORT} and {_HIGHEST_PORT} on {HOST}")


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
