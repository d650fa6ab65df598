"""What is watched: nodes, their roles, and the cluster that they form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kafka_self_healing.model.evidence import Kind

NodeId = str


class Role(StrEnum):
    """What a process does in its cluster; a combined KRaft node has two roles."""

    BROKER = "broker"
    CONTROLLER = "controller"
    ENSEMBLE = "zookeeper"


class ClusterMode(StrEnum):
    """Who keeps the cluster's metadata."""

    KRAFT = "kraft"
    ZOOKEEPER = "zookeeper"


@dataclass(frozen=True, slots=True)
class CommandService:
    """Service manager `command`: the operator's own programs (argument lists, never a shell).

    `status` prints `key=value` lines (see docs/service-command.md) or only an LSB exit code.
    """

    start: tuple[str, ...]
    stop: tuple[str, ...]
    kill: tuple[str, ...]
    status: tuple[str, ...]
    stop_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node of the inventory. Ports are TCP; `kinds` are the kinds of evidence configured."""

    id: NodeId
    roles: frozenset[Role]
    host: str = "127.0.0.1"
    rack: str | None = None
    kafka_port: int | None = None
    controller_port: int | None = None
    jmx_port: int | None = None
    data_dirs: tuple[str, ...] = ()
    service: CommandService | None = None
    kinds: frozenset[Kind] = frozenset()

    @property
    def is_voter(self) -> bool:
        """Whether it counts for a quorum: a KRaft controller."""
        return Role.CONTROLLER in self.roles

    @property
    def is_broker(self) -> bool:
        """Whether it holds partitions."""
        return Role.BROKER in self.roles

    @property
    def port(self) -> int | None:
        """The port on which the node answers for itself: Kafka's, else the controller's."""
        return self.kafka_port if self.is_broker else self.controller_port


@dataclass(frozen=True, slots=True)
class Cluster:
    """The inventory of one cluster and its session lengths (seconds)."""

    name: str
    mode: ClusterMode = ClusterMode.KRAFT
    nodes: Mapping[NodeId, NodeConfig] = field(default_factory=dict)
    session_timeout_s: float = 9.0
    fetch_timeout_s: float = 2.0

    @property
    def voters(self) -> tuple[NodeId, ...]:
        """The configured voters of the controller quorum, in the order of the inventory."""
        return tuple(id_ for id_, node in self.nodes.items() if node.is_voter)

    @property
    def brokers(self) -> tuple[NodeId, ...]:
        """The configured brokers, in the order of the inventory."""
        return tuple(id_ for id_, node in self.nodes.items() if node.is_broker)
