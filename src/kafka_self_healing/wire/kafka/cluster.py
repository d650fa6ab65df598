"""DescribeCluster: the registered brokers with their fencing, or the controllers."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import ClassVar

from kafka_self_healing.wire.kafka.errors import (
    CLUSTER_AUTHORISATION_FAILED,
    raise_for_error,
    wrong_listener,
)
from kafka_self_healing.wire.kafka.primitives import Kept, Reader, none_if_unknown
from kafka_self_healing.wire.kafka.request import Api, Request

_LEAST_NODE = 11


class EndpointType(enum.IntEnum):
    """Which listeners are asked for, and which kind of listener is being asked."""

    BROKERS = 1
    CONTROLLERS = 2


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """One node. `fenced` is None below v2 and for controllers: not said, never "not fenced"."""

    id: int
    host: str
    port: int
    rack: str | None
    fenced: bool | None


@dataclass(frozen=True, slots=True)
class ClusterReply:
    """The nodes of one kind. Fenced brokers are listed from v2 (Kafka 4.0) on only."""

    error: int
    message: str | None
    endpoint_type: int | None  # None: not said below v1
    cluster_id: str
    controller_id: (
        int | None
    )  # asked of a KRaft broker: a random live one; of a controller: the leader
    nodes: tuple[ClusterNode, ...]


@dataclass(frozen=True, slots=True)
class DescribeCluster(Request[ClusterReply]):
    """Ask for the brokers (of a broker) or the controllers (of a controller, v1 and later).

    `known`: the nodes that the last reply to the same question named, for whoever asks often.
    """

    api: ClassVar[Api] = Api(key=60, name="DescribeCluster", lowest=0, highest=2, first_flexible=0)

    endpoint_type: EndpointType = EndpointType.BROKERS
    known: Kept[tuple[ClusterNode, ...]] | None = field(default=None, compare=False, repr=False)

    @property
    def lowest_version(self) -> int:
        """Controllers cannot be asked for below v1."""
        return 0 if self.endpoint_type is EndpointType.BROKERS else 1

    def encode(self, version: int) -> bytes:
        """Return the body: no rights, the kind of endpoints, fenced brokers too."""
        body = b"\0"  # include_cluster_authorized_operations
        if version >= 1:
            body += bytes((self.endpoint_type,))
        if version >= 2:
            # Only brokers are fenced.
            body += b"\1" if self.endpoint_type is EndpointType.BROKERS else b"\0"
        return body + b"\0"

    def decode(self, reader: Reader, version: int) -> ClusterReply:
        """Read the reply."""
        reader.int32()  # throttle time
        error, message = reader.int16(), reader.nullable_string()
        endpoint_type = reader.int8() if version >= 1 else None
        cluster_id = reader.string()
        controller_id = none_if_unknown(reader.int32())
        fencing = version >= 2 and endpoint_type == EndpointType.BROKERS

        def read_nodes(reader: Reader) -> tuple[ClusterNode, ...]:
            return _read_nodes(reader, version, fencing=fencing)

        nodes = (self.known or Kept()).read(reader, version, read_nodes)
        reader.int32()  # cluster_authorized_operations
        reader.tags()
        if self.endpoint_type is EndpointType.BROKERS and error == CLUSTER_AUTHORISATION_FAILED:
            # A broker asks for no right; a controller wants ALTER before it says that it is none.
            raise wrong_listener(self.api.name, error, message)
        raise_for_error(self.api.name, error, message)
        return ClusterReply(error, message, endpoint_type, cluster_id, controller_id, nodes)


def _read_nodes(reader: Reader, version: int, *, fencing: bool) -> tuple[ClusterNode, ...]:
    nodes = []
    for _ in range(reader.count(_LEAST_NODE)):
        node_id, host, port = reader.int32(), reader.string(), reader.int32()
        rack = reader.nullable_string()
        fenced = reader.boolean() if version >= 2 else None
        reader.tags()
        nodes.append(ClusterNode(node_id, host, port, rack, fenced if fencing else None))
    return tuple(nodes)
