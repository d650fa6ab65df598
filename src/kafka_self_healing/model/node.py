"""What is watched: nodes, their roles, and the cluster that they form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kafka_self_healing.model.access import (
    CanaryConfig,
    CommandProbe,
    HttpProbe,
    JmxAccess,
    ListenerAccess,
    LogSource,
    Service,
    SshAccess,
    ZooKeeperAccess,
)
from kafka_self_healing.model.evidence import Kind

NodeId = str


class Role(StrEnum):
    """What a process does in its cluster; a combined KRaft node has two roles."""

    BROKER = "broker"
    CONTROLLER = "controller"
    ENSEMBLE = "zookeeper"


class Duty(StrEnum):
    """What a process is for: each may have ladders of its own."""

    BROKER = "broker"
    CONTROLLER = "controller"
    COMBINED = "combined"
    MEMBER = "zookeeper"


class ClusterMode(StrEnum):
    """Who keeps the cluster's metadata."""

    KRAFT = "kraft"
    ZOOKEEPER = "zookeeper"


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node of the inventory. Ports are TCP; `kinds` are the kinds of evidence configured.

    `access` None: its host is this machine (or cannot be asked). `log` None: its log
    is not read.
    """

    id: NodeId
    roles: frozenset[Role]
    host: str = "127.0.0.1"
    rack: str | None = None
    kafka_port: int | None = None
    controller_port: int | None = None
    zookeeper_port: int | None = None
    jmx_port: int | None = None
    data_dirs: tuple[str, ...] = ()
    service: Service | None = None
    access: SshAccess | None = None
    kafka: ListenerAccess = ListenerAccess()  # noqa: RUF009  frozen, so sharing it is safe
    controller: ListenerAccess = ListenerAccess()  # noqa: RUF009
    jmx: JmxAccess = JmxAccess()  # noqa: RUF009
    zookeeper: ZooKeeperAccess = ZooKeeperAccess()  # noqa: RUF009
    log: LogSource | None = None
    http: tuple[HttpProbe, ...] = ()
    commands: tuple[CommandProbe, ...] = ()
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
    def is_member(self) -> bool:
        """Whether it counts for a ZooKeeper ensemble."""
        return Role.ENSEMBLE in self.roles

    @property
    def is_keeper(self) -> bool:
        """Whether it counts for the quorum that keeps the metadata: a voter, or a member."""
        return self.is_voter or self.is_member

    @property
    def duty(self) -> Duty:
        """What the process is for."""
        if self.is_broker:
            return Duty.COMBINED if self.is_keeper else Duty.BROKER
        return Duty.CONTROLLER if self.is_voter else Duty.MEMBER

    @property
    def port(self) -> int | None:
        """The port on which the node answers for itself: Kafka's, the controller's, ZooKeeper's."""
        if self.is_broker:
            return self.kafka_port
        return self.controller_port if self.is_voter else self.zookeeper_port

    @property
    def listener(self) -> ListenerAccess:
        """How the Kafka listener on `port` is spoken to."""
        return self.kafka if self.is_broker else self.controller


@dataclass(frozen=True, slots=True)
class Cluster:
    """The inventory of one cluster and its session lengths (seconds).

    `session_timeout_s`: the broker session; in ZooKeeper mode that of its ZooKeeper session.
    `tick_s`: ZooKeeper's tickTime. `reference_hosts`: hosts and TCP ports outside of the cluster:
    if none of them is reached, it is we who are cut off. `voters`, `brokers`, `members` (of the
    ensemble) and `keepers` (of the metadata: voters, or members) are in the order of the inventory;
    `place`: a node's place in it.
    """

    name: str
    mode: ClusterMode = ClusterMode.KRAFT
    nodes: Mapping[NodeId, NodeConfig] = field(default_factory=dict)
    session_timeout_s: float = 9.0
    fetch_timeout_s: float = 2.0
    tick_s: float = 2.0
    canary: CanaryConfig | None = None
    reference_hosts: tuple[tuple[str, int], ...] = ()
    voters: tuple[NodeId, ...] = field(init=False, compare=False, repr=False)
    brokers: tuple[NodeId, ...] = field(init=False, compare=False, repr=False)
    members: tuple[NodeId, ...] = field(init=False, compare=False, repr=False)
    keepers: tuple[NodeId, ...] = field(init=False, compare=False, repr=False)
    place: Mapping[NodeId, int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Sort the nodes by what they do, once: every turn of the mind asks for it."""
        nodes = self.nodes.items()
        sorted_by: dict[str, object] = {
            "voters": tuple(id_ for id_, node in nodes if node.is_voter),
            "brokers": tuple(id_ for id_, node in nodes if node.is_broker),
            "members": tuple(id_ for id_, node in nodes if node.is_member),
            "keepers": tuple(id_ for id_, node in nodes if node.is_keeper),
            "place": {id_: place for place, id_ in enumerate(self.nodes)},
        }
        for name, value in sorted_by.items():
            object.__setattr__(self, name, value)
