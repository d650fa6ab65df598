"""Discovery: what the cluster says of itself, asked of two nodes, against the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kafka_self_healing.doctor.finding import Finding, good, note, problem
from kafka_self_healing.model.node import Cluster, NodeConfig, Role

BOOTSTRAP_NODES = 2
"""So many different nodes are asked: they must tell the same."""


@dataclass(frozen=True, slots=True)
class FoundNode:
    """One node that the cluster names. `port` None: it does not say where it listens."""

    id: str
    role: Role
    host: str | None = None
    port: int | None = None
    rack: str | None = None
    fenced: bool | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """What one node says of the cluster."""

    asked: str
    cluster_id: str
    nodes: tuple[FoundNode, ...]


def findings_of(cluster: Cluster, accounts: Iterable[Account]) -> Iterator[Finding]:
    """Yield every difference between the inventory and the accounts of the nodes asked."""
    told = list(accounts)
    ids = {account.cluster_id: account.asked for account in told}
    if len(ids) > 1:
        said = ", ".join(f"node {node} says {id_}" for id_, node in ids.items())
        yield problem(cluster.name, f"these nodes are of different clusters: {said}",
                      "one configuration is one cluster: correct the addresses")  # fmt: skip
        return
    found = {(one.role, one.id): one for account in told for one in account.nodes}
    missing, unknown = _unknown(cluster, found), 0
    for (role, id_), one in sorted(found.items(), key=str):
        node = cluster.nodes.get(id_)
        if node is None or role not in node.roles:
            unknown += 1
            yield problem(cluster.name, f"{role.value} {id_} is in the cluster, not in the file",
                          _line(one))  # fmt: skip
        else:
            yield from _differences(node, one)
    for node, role in missing:
        yield problem(node.id, f"the cluster knows no {role.value} {node.id}",
                      "start it, correct its id, or take it out of the file")  # fmt: skip
    if told and not missing and not unknown:
        yield good(cluster.name, f"{len(found)} roles of cluster {told[0].cluster_id} are those "
                   "of the file")  # fmt: skip


def _unknown(
    cluster: Cluster, found: Mapping[tuple[Role, str], FoundNode]
) -> list[tuple[NodeConfig, Role]]:
    """Return the configured roles that nobody names; where nobody names any, nothing is known."""
    told = {role for role, _ in found}
    return [
        (node, role)
        for node in cluster.nodes.values()
        for role in sorted(node.roles & told)
        if (role, node.id) not in found
    ]


def _line(one: FoundNode) -> str:
    """Return the lines to add to the inventory."""
    port = {Role.BROKER: "kafka_port", Role.CONTROLLER: "controller_port"}.get(
        one.role, "zookeeper_port"
    )
    where = f", host: {one.host}, {port}: {one.port}" if one.port is not None else ""
    rack = f", rack: {one.rack}" if one.rack else ""
    return f"- {{id: {one.id}, roles: [{one.role.value}]{where}{rack}}}"


def _differences(node: NodeConfig, one: FoundNode) -> Iterator[Finding]:
    port = node.kafka_port if one.role is Role.BROKER else node.controller_port
    if one.port is not None and port is not None and one.port != port:
        yield note(node.id, f"as {one.role.value} it tells its clients port {one.port}; we use "
                   f"{port}")  # fmt: skip
    if one.rack and node.rack != one.rack:
        configured = node.rack or "none"
        yield note(node.id, f"its rack is {one.rack}, the file says {configured}",
                   f"rack: {one.rack}")  # fmt: skip
    if one.fenced:
        yield note(node.id, "the cluster counts it as fenced at the moment")
