"""Metadata: the brokers, topics and partitions as one broker sees them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from kafka_self_healing.wire.kafka.errors import KafkaProtocolError, raise_for_error
from kafka_self_healing.wire.kafka.primitives import (
    PAST_THE_END,
    Kept,
    Reader,
    none_if_unknown,
    write_array,
    write_string,
)
from kafka_self_healing.wire.kafka.request import Api, Request

_LEAST_BROKER, _LEAST_TOPIC, _LEAST_PARTITION = 11, 9, 18
_HEAD = struct.Struct(">hii")  # error, index, leader
_HEAD_WITH_EPOCH = struct.Struct(">hiii")  # v7 and later
_NODES = [struct.Struct(f">{number}i") for number in range(16)]
_NULL_TOPIC_ID = bytes(16)


class PartitionMetadata(NamedTuple):
    """One partition of a topic.

    A named tuple, not a dataclass: a big cluster has 100,000 of them, and a frozen dataclass takes
    several times as long to make.
    """

    id: int
    error: int
    leader_id: int | None  # None: no leader
    leader_epoch: int | None  # None: not said below v7
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    offline: tuple[int, ...] | None  # None: not said below v5


@dataclass(frozen=True, slots=True)
class TopicMetadata:
    """One topic with its partitions."""

    name: str
    error: int
    internal: bool
    partitions: tuple[PartitionMetadata, ...]


@dataclass(frozen=True, slots=True)
class BrokerMetadata:
    """One broker that is registered and not fenced, with the address that clients get."""

    id: int
    host: str
    port: int
    rack: str | None


@dataclass(frozen=True, slots=True)
class MetadataReply:
    """The cluster as this broker sees it. Topics that we may not DESCRIBE are missing silently."""

    error: int | None  # None: not said below v13
    cluster_id: str | None  # None: not said below v2
    controller_id: int | None  # in KRaft mode a random live broker; right in ZooKeeper mode
    brokers: tuple[BrokerMetadata, ...]
    topics: tuple[TopicMetadata, ...]


class KnownMetadata:
    """What was read last, with the bytes that it was read from: the same bytes are not read again.

    Of a big cluster's metadata hardly anything changes from one reply to the next, whoever sends
    it, and comparing costs a hundredth of decoding. A topic says itself where it ends, so bytes
    that begin like a known one are that one.
    """

    __slots__ = ("_all_topics", "_topics", "_version", "brokers")

    def __init__(self) -> None:
        self.brokers: Kept[tuple[BrokerMetadata, ...]] = Kept()
        self._all_topics: Kept[tuple[TopicMetadata, ...]] = Kept()
        self._topics: dict[bytes, tuple[bytes, TopicMetadata]] = {}
        self._version = 0

    def read_topics(self, reader: Reader, version: int) -> tuple[TopicMetadata, ...]:
        """Read all topics of a reply; the same object if there is nothing new."""
        return self._all_topics.read(reader, version, lambda _: self._read_each(reader, version))

    def _read_each(self, reader: Reader, version: int) -> tuple[TopicMetadata, ...]:
        data, number = reader.data, reader.count(_LEAST_TOPIC)
        known = self._topics if version == self._version and reader.flexible else {}
        seen: dict[bytes, tuple[bytes, TopicMetadata]] = {}
        topics = []
        for _ in range(number):
            start = reader.position
            # After the error code: the name, whose length plus one is a byte if it is below 127.
            name = data[start + 3 : start + 2 + data[start + 2]] if start + 2 < reader.end else b""
            entry = known.get(name)
            if entry is not None and data.startswith(entry[0], start):
                reader.position = start + len(entry[0])
            else:
                topic = _read_topic(reader, version)
                entry = data[start : reader.position], topic
            seen[name] = entry
            topics.append(entry[1])
        self._topics, self._version = seen, version
        return tuple(topics)


@dataclass(frozen=True, slots=True)
class Metadata(Request[MetadataReply]):
    """Ask for the brokers and for all topics (`topics` None), none (empty) or the named ones.

    `known`: what earlier replies said, for whoever asks the same again and again.
    """

    api: ClassVar[Api] = Api(key=3, name="Metadata", lowest=1, highest=13, first_flexible=9)

    topics: tuple[str, ...] | None = None
    known: KnownMetadata | None = field(default=None, compare=False, repr=False)

    def encode(self, version: int) -> bytes:
        """Return the body; topics are never created by it."""
        flexible = self.api.is_flexible(version)

        def write_topic(name: str) -> bytes:
            topic_id = _NULL_TOPIC_ID if version >= 10 else b""
            return topic_id + write_string(name, flexible=flexible) + (b"\0" if flexible else b"")

        body = write_array(self.topics, write_topic, flexible=flexible)
        if version >= 4:
            body += b"\0"  # allow_auto_topic_creation
        if 8 <= version <= 10:
            body += b"\0"  # include_cluster_authorized_operations
        if version >= 8:
            body += b"\0"  # include_topic_authorized_operations
        return body + (b"\0" if flexible else b"")

    def decode(self, reader: Reader, version: int) -> MetadataReply:
        """Read the reply."""
        if version >= 3:
            reader.int32()  # throttle time
        known = self.known or KnownMetadata()
        brokers = known.brokers.read(reader, version, _read_brokers)
        cluster_id = reader.nullable_string() if version >= 2 else None
        controller_id = none_if_unknown(reader.int32())
        topics = known.read_topics(reader, version)
        if 8 <= version <= 10:
            reader.int32()  # cluster_authorized_operations
        error = reader.int16() if version >= 13 else None
        reader.tags()
        raise_for_error(self.api.name, error or 0, None)
        return MetadataReply(error, cluster_id, controller_id, brokers, topics)


def _read_brokers(reader: Reader) -> tuple[BrokerMetadata, ...]:
    return tuple([_read_broker(reader) for _ in range(reader.count(_LEAST_BROKER))])


def _read_broker(reader: Reader) -> BrokerMetadata:
    broker = BrokerMetadata(
        id=reader.int32(),
        host=reader.string(),
        port=reader.int32(),
        rack=reader.nullable_string(),
    )
    reader.tags()
    return broker


def _read_topic(reader: Reader, version: int) -> TopicMetadata:
    error = reader.int16()
    name = reader.string()
    if version >= 10:
        reader.take(16)  # topic id
    internal = reader.boolean()
    try:
        partitions = _read_partitions(reader, version)
    except (struct.error, IndexError):
        raise KafkaProtocolError(PAST_THE_END) from None
    if version >= 8:
        reader.int32()  # topic_authorized_operations
    reader.tags()
    return TopicMetadata(name, error, internal, partitions)


def _read_partitions(reader: Reader, version: int) -> tuple[PartitionMetadata, ...]:
    # Inlined on purpose: this loop is the whole cost of a big cluster. Whatever is not the usual
    # case (an array of 127 nodes or more, a tagged field) goes through the reader.
    # Reading past the end raises IndexError or struct.error, which the caller translates.
    number = reader.count(_LEAST_PARTITION)
    data, position, flexible = reader.data, reader.position, reader.flexible
    has_epoch = version >= 7
    head = _HEAD_WITH_EPOCH if has_epoch else _HEAD
    unpack_head, head_size, layouts = head.unpack_from, head.size, _NODES
    arrays, absent = ((4, 5, 6), ()) if version >= 5 else ((4, 5), None)
    make, partitions, epoch = PartitionMetadata._make, [], None
    for _ in range(number):
        if has_epoch:
            error, index, leader, epoch = unpack_head(data, position)
        else:
            error, index, leader = unpack_head(data, position)
        position += head_size
        leader_id = None if leader == -1 else leader
        # In the order of the fields; the three arrays are filled in below.
        fields = [index, error, leader_id, epoch, (), (), absent]
        for array in arrays:
            if flexible and 0 < (size := data[position]) < 128:
                size -= 1
                position += 1
            else:
                reader.position = position
                size = reader.count(4)
                position = reader.position
            if size:
                layout = layouts[size] if size < 16 else struct.Struct(f">{size}i")
                fields[array] = layout.unpack_from(data, position)
                position += 4 * size
        partitions.append(make(fields))
        if flexible:
            if data[position]:
                reader.position = position
                reader.tags()
                position = reader.position
            else:
                position += 1
    reader.position = position
    return tuple(partitions)
