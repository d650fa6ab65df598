"""DescribeTopicPartitions: partitions with their eligible leader replicas (ELR), page by page."""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from typing import ClassVar

from kafka_self_healing.wire.kafka.errors import KafkaProtocolError
from kafka_self_healing.wire.kafka.primitives import (
    Reader,
    none_if_unknown,
    write_array,
    write_string,
)
from kafka_self_healing.wire.kafka.request import Api, Request

_LEAST_TOPIC, _LEAST_PARTITION = 25, 20
_NONE = b"\xff"  # a null structure


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next page begins."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class ElrPartition:
    """One partition.

    `elr`: replicas that left the ISR while it was too small, and may still lead without loss;
    `last_elr`: those that were so before an unclean stop. None: the cluster keeps no such list.
    """

    id: int
    error: int
    leader_id: int | None  # None: no leader
    leader_epoch: int | None
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    elr: tuple[int, ...] | None
    last_elr: tuple[int, ...] | None
    offline: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ElrTopic:
    """One topic with the partitions of this page; a topic may go on in the next page."""

    name: str | None
    error: int
    id: uuid.UUID | None
    internal: bool
    partitions: tuple[ElrPartition, ...]


@dataclass(frozen=True, slots=True)
class TopicPartitionsReply:
    """One page. `next` None: it is the last; else ask again with this cursor."""

    topics: tuple[ElrTopic, ...]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class DescribeTopicPartitions(Request[TopicPartitionsReply]):
    """Ask for the partitions of `topics` (empty: all), `limit` of them at most, from `cursor` on.

    The broker has a limit of its own (2000). Offered by KRaft brokers since Kafka 3.7.
    """

    api: ClassVar[Api] = Api(
        key=75, name="DescribeTopicPartitions", lowest=0, highest=0, first_flexible=0
    )

    topics: tuple[str, ...] = ()
    limit: int = 2_000
    cursor: Cursor | None = None

    def encode(self, version: int) -> bytes:  # noqa: ARG002 - there is one version
        """Return the body."""

        def write_topic(name: str) -> bytes:
            return write_string(name, flexible=True) + b"\0"

        body = write_array(self.topics, write_topic, flexible=True)
        body += struct.pack(">i", self.limit)
        if self.cursor is None:
            return body + _NONE + b"\0"
        name = write_string(self.cursor.topic, flexible=True)
        return body + b"\1" + name + struct.pack(">i", self.cursor.partition) + b"\0" + b"\0"

    def decode(self, reader: Reader, version: int) -> TopicPartitionsReply:  # noqa: ARG002
        """Read the reply."""
        reader.int32()  # throttle time
        topics = tuple([_read_topic(reader) for _ in range(reader.count(_LEAST_TOPIC))])
        cursor = None
        if reader.int8() >= 0:
            cursor = Cursor(reader.string(), reader.int32())
            reader.tags()
        reader.tags()
        return TopicPartitionsReply(topics, cursor)

    def after(self, reply: TopicPartitionsReply) -> DescribeTopicPartitions | None:
        """Return the request for the page behind `reply`; None: that was the last.

        Raises KafkaProtocolError if the node would have us read the same page for ever.
        """
        if reply.next is None:
            return None
        if self.cursor is not None and _place(reply.next) <= _place(self.cursor):
            raise KafkaProtocolError(
                f"{self.api.name}: the next page begins before this one; look at the node's log"
            )
        return DescribeTopicPartitions(self.topics, self.limit, reply.next)


def _place(cursor: Cursor) -> tuple[str, int]:
    return cursor.topic, cursor.partition


def _read_topic(reader: Reader) -> ElrTopic:
    error, name = reader.int16(), reader.nullable_string()
    topic_id, internal = reader.optional_uuid(), reader.boolean()
    partitions = tuple([_read_partition(reader) for _ in range(reader.count(_LEAST_PARTITION))])
    reader.int32()  # topic_authorized_operations
    reader.tags()
    return ElrTopic(name, error, topic_id, internal, partitions)


def _read_partition(reader: Reader) -> ElrPartition:
    error, index = reader.int16(), reader.int32()
    partition = ElrPartition(
        index,
        error,
        leader_id=none_if_unknown(reader.int32()),
        leader_epoch=none_if_unknown(reader.int32()),
        replicas=reader.int32s(),
        isr=reader.int32s(),
        elr=reader.nullable_int32s(),
        last_elr=reader.nullable_int32s(),
        offline=reader.int32s(),
    )
    reader.tags()
    return partition
