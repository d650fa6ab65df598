"""DescribeQuorum: the controller quorum, as its leader sees it.

Ask every controller listener, each on a connection of its own. Only the leader answers; the others
say error 6 (not the leader) at once, and what stands beside that error means nothing.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import ClassVar

from kafka_self_healing.wire.kafka.errors import KafkaProtocolError, raise_for_error
from kafka_self_healing.wire.kafka.primitives import Reader, none_if_unknown, write_string
from kafka_self_healing.wire.kafka.request import Api, Request

_TOPIC = "__cluster_metadata"
_ONE = b"\2"  # the length of a compact array with one element
_LEAST_REPLICA = 13


@dataclass(frozen=True, slots=True)
class QuorumReplica:
    """A voter or an observer. Times are milliseconds since 1970 on the leader's clock."""

    id: int
    directory_id: uuid.UUID | None  # None: not said below v2, or not known
    end_offset: int | None  # None: not known
    last_fetch_ms: int | None  # None: not said below v1, or has not fetched from this leader
    last_caught_up_ms: int | None  # None: not said below v1, or has not caught up with this leader


@dataclass(frozen=True, slots=True)
class QuorumEndpoint:
    """One listener of a controller."""

    name: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class QuorumNode:
    """A controller with its listeners."""

    id: int
    endpoints: tuple[QuorumEndpoint, ...]


@dataclass(frozen=True, slots=True)
class QuorumReply:
    """With an `error` (6: not the leader) nothing else is known: all other fields are None."""

    error: int
    message: str | None
    leader_id: int | None = None
    epoch: int | None = None
    high_watermark: int | None = None
    voters: tuple[QuorumReplica, ...] | None = None
    observers: tuple[QuorumReplica, ...] | None = None
    nodes: tuple[QuorumNode, ...] | None = None  # None: not said below v2


@dataclass(frozen=True, slots=True)
class DescribeQuorum(Request[QuorumReply]):
    """Ask a controller for its quorum; never on the connection that serves as a sign of life."""

    api: ClassVar[Api] = Api(key=55, name="DescribeQuorum", lowest=0, highest=2, first_flexible=0)
    forwarded: ClassVar[bool] = True

    def encode(self, version: int) -> bytes:  # noqa: ARG002 - the body is the same in all versions
        """Return the body: partition 0 of the metadata topic."""
        partition = b"\0\0\0\0" + b"\0"
        topic = write_string(_TOPIC, flexible=True) + _ONE + partition + b"\0"
        return _ONE + topic + b"\0"

    def decode(self, reader: Reader, version: int) -> QuorumReply:
        """Read the reply; an error of the partition counts as an error of the whole."""
        error = reader.int16()
        message = reader.nullable_string() if version >= 2 else None
        found: QuorumReply | None = None
        for _ in range(reader.count(3)):
            name = reader.string()
            for _ in range(reader.count(25)):
                index, partition = _read_partition(reader, version)
                if name == _TOPIC and index == 0:
                    found = partition
            reader.tags()
        nodes = _read_nodes(reader) if version >= 2 else None
        reader.tags()
        raise_for_error(self.api.name, error, message)
        if error:
            return QuorumReply(error, message)
        if found is None:
            raise KafkaProtocolError("a quorum without the metadata partition")
        raise_for_error(self.api.name, found.error, found.message)
        if found.error:
            return found
        return QuorumReply(
            error=0,
            message=message,
            leader_id=found.leader_id,
            epoch=found.epoch,
            high_watermark=found.high_watermark,
            voters=found.voters,
            observers=found.observers,
            nodes=nodes,
        )


def _read_partition(reader: Reader, version: int) -> tuple[int, QuorumReply]:
    index = reader.int32()
    error = reader.int16()
    message = reader.nullable_string() if version >= 2 else None
    leader_id, epoch, high_watermark = reader.int32(), reader.int32(), reader.int64()
    voters = _read_replicas(reader, version)
    observers = _read_replicas(reader, version)
    reader.tags()
    if error:
        return index, QuorumReply(error, message)
    return index, QuorumReply(
        error=0,
        message=message,
        leader_id=none_if_unknown(leader_id),
        epoch=epoch,
        high_watermark=none_if_unknown(high_watermark),
        voters=voters,
        observers=observers,
    )


def _read_replicas(reader: Reader, version: int) -> tuple[QuorumReplica, ...]:
    replicas = []
    for _ in range(reader.count(_LEAST_REPLICA)):
        replica = QuorumReplica(
            id=reader.int32(),
            directory_id=reader.optional_uuid() if version >= 2 else None,
            end_offset=none_if_unknown(reader.int64()),
            last_fetch_ms=none_if_unknown(reader.int64()) if version >= 1 else None,
            last_caught_up_ms=none_if_unknown(reader.int64()) if version >= 1 else None,
        )
        reader.tags()
        replicas.append(replica)
    return tuple(replicas)


def _read_nodes(reader: Reader) -> tuple[QuorumNode, ...]:
    nodes = []
    for _ in range(reader.count(6)):
        node_id, endpoints = reader.int32(), []
        for _ in range(reader.count(5)):
            endpoints.append(QuorumEndpoint(reader.string(), reader.string(), reader.uint16()))
            reader.tags()
        reader.tags()
        nodes.append(QuorumNode(node_id, tuple(endpoints)))
    return tuple(nodes)
