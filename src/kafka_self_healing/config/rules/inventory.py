"""The nodes to each other: roles and mode, ids, ports, directories."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kafka_self_healing.config.document import Document, Place
from kafka_self_healing.config.parts import CLUSTER, Parts, WrittenNode
from kafka_self_healing.config.rules.places import line_of, said_at
from kafka_self_healing.config.scalars import is_loopback
from kafka_self_healing.errors import Problem
from kafka_self_healing.model.evidence import HEALER
from kafka_self_healing.model.node import ClusterMode, Role

_PORTS = (
    (Role.BROKER, "kafka_port", "Kafka's usual one is 9092"),
    (Role.CONTROLLER, "controller_port", "Kafka's usual one is 9093"),
    (Role.ENSEMBLE, "zookeeper_port", "ZooKeeper's usual one is 2181"),
)
_KAFKA_ID = re.compile(r"0|[1-9][0-9]{0,9}")
_STRANGERS = {
    ClusterMode.KRAFT: (
        Role.ENSEMBLE,
        "a kraft cluster has no ZooKeeper; remove the node, or write `mode: zookeeper`",
    ),
    ClusterMode.ZOOKEEPER: (
        Role.CONTROLLER,
        "a cluster in mode zookeeper has no controllers of its own; remove the role",
    ),
}
_OF_THE_OTHER_MODE = {
    ClusterMode.KRAFT: ("tick_s", "is ZooKeeper's tickTime; remove it, or write `mode: zookeeper`"),
    ClusterMode.ZOOKEEPER: ("fetch_timeout_s", "is of KRaft's controllers; remove it"),
}


def roles_and_mode(document: Document, parts: Parts) -> Iterator[Problem]:
    """A cluster has those who keep its metadata, and nobody of the other mode."""
    for node in parts.nodes:
        place: Place = (*node.place, "roles")
        stranger, remedy = _STRANGERS[parts.mode] if parts.mode else (None, "")
        for index, role in enumerate(node.own.roles):
            if role is stranger:
                yield document.problem((*place, index), remedy)
        if {Role.BROKER, Role.ENSEMBLE} <= set(node.own.roles):
            message = "broker and zookeeper are two processes; list them as two nodes"
            yield document.problem(place, message)
    if parts.mode is not None:
        key, remedy = _OF_THE_OTHER_MODE[parts.mode]
        if document.has((*CLUSTER, key)):
            yield document.problem((*CLUSTER, key), remedy, at_key=True)
    led = any(Role.CONTROLLER in node.own.roles for node in parts.nodes)
    if parts.mode is ClusterMode.KRAFT and parts.nodes_complete and parts.nodes and not led:
        message = (
            "no node has the role controller; a kraft cluster has at least one: "
            "list its controllers too"
        )
        yield document.problem((*CLUSTER, "nodes"), message)


def ports(document: Document, parts: Parts) -> Iterator[Problem]:
    """Each role has its port, and a port its role."""
    for node in parts.nodes:
        for role, key, usual in _PORTS:
            place: Place = (*node.place, key)
            has_role = role in node.own.roles
            if has_role and getattr(node.whole, key) is None and key not in parts.unread:
                message = f"is required of a {role.value}; add it ({usual})"
                yield document.problem(place, message)
            elif not has_role and getattr(node.own, key) is not None:
                message = f"is given, but the node is no {role.value}; remove it or add the role"
                yield document.problem(place, message, at_key=True)


def unique_ids(document: Document, parts: Parts) -> Iterator[Problem]:
    """Ids are unique, numbers where Kafka has numbers, and no other word of a look's subject."""
    taken = {HEALER: "the healer itself"}
    cluster = document.at((*CLUSTER, "name"))
    if isinstance(cluster, str):
        taken[cluster] = "the cluster"
    first: dict[str, Place] = {}
    for node in parts.nodes:
        place: Place = (*node.place, "id")
        id_ = node.own.id
        shown = said_at(document, place, id_)
        kafka = {Role.BROKER, Role.CONTROLLER} & set(node.own.roles)
        if kafka and not _KAFKA_ID.fullmatch(id_):
            message = f"must be a whole number, Kafka's own node.id or broker.id, not {shown}"
            yield document.problem(place, message)
        elif id_ in taken:
            message = f"{shown} is the name of {taken[id_]}; give the node another one"
            yield document.problem(place, message)
        elif id_ in first:
            line = line_of(document, first[id_])
            message = (
                f"node id {shown} is already used in line {line}; ids are unique "
                "(a ZooKeeper server may have a name such as zk1 instead of its myid)"
            )
            yield document.problem(place, message)
        first.setdefault(id_, place)


def unique_endpoints(document: Document, parts: Parts) -> Iterator[Problem]:
    """No two listeners have the same address."""
    first: dict[tuple[str, int], Place] = {}
    for node in parts.nodes:
        for place, port in _endpoints(node):
            address = (machine(node), port)
            if address in first:
                line = line_of(document, first[address])
                host = said_at(document, (*node.place, "host"), node.own.host)
                shown = said_at(document, place, port)
                message = f"{host}:{shown} is already used in line {line}; give each its own"
                yield document.problem(place, message)
            first.setdefault(address, place)


def _endpoints(node: WrittenNode) -> Iterator[tuple[Place, int]]:
    whole, security = node.whole, node.whole.security
    for key in ("kafka_port", "controller_port", "zookeeper_port", "jmx_port"):
        port = getattr(whole, key)
        if port is not None:
            yield (*node.place, key), port
    admin, rmi = security.zookeeper.admin_port, security.jmx.rmi_port
    if admin is not None:
        yield (*node.place, "security", "zookeeper", "admin_port"), admin
    if rmi is not None and rmi != whole.jmx_port:  # the JVM may share one port for both
        yield (*node.place, "security", "jmx", "rmi_port"), rmi


def unique_data_dirs(document: Document, parts: Parts) -> Iterator[Problem]:
    """No two processes of one machine keep their data in one directory."""
    first: dict[tuple[str, str], Place] = {}
    for node in parts.nodes:
        for index, path in enumerate(node.whole.data_dirs):
            place: Place = (*node.place, "data_dirs", index)
            key = (machine(node), path.rstrip("/") or "/")
            if key in first:
                line = line_of(document, first[key])
                message = (
                    f"{said_at(document, place, path)} is already the directory of another node "
                    f"on this host (line {line}); give each its own, for example by {{id}}"
                )
                yield document.problem(place, message)
            first.setdefault(key, place)


def machine(node: WrittenNode) -> str:
    """Return a name of the node's machine that two nodes on it share."""
    host = node.own.host.casefold()
    return "127.0.0.1" if is_loopback(host) and not host.startswith("127.") else host
