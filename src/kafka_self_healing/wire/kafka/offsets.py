"""ListOffsets: where the records of partitions begin and end. Ask the leader of each."""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kafka_self_healing.wire.kafka.primitives import (
    Reader,
    none_if_unknown,
    write_array,
    write_string,
)
from kafka_self_healing.wire.kafka.request import Api, Request

_CONSUMER = struct.pack(">i", -1)  # replica_id
_READ_UNCOMMITTED = b"\0"
_NO_EPOCH = struct.pack(">i", -1)
_LEAST_TOPIC, _LEAST_PARTITION = 3, 22


class OffsetPlace(enum.IntEnum):
    """Which offset is asked for; a number of milliseconds since 1970 serves as well."""

    LATEST = -1
    EARLIEST = -2


@dataclass(frozen=True, slots=True)
class PartitionOffset:
    """One partition's offset, or its own `error` (6: the node asked does not lead it)."""

    topic: str
    partition: int
    error: int
    timestamp_ms: int | None  # of the record found; None: not asked by time, or there is none
    offset: int | None  # None: there is none
    leader_epoch: int | None  # None: not said below v4, or not known


@dataclass(frozen=True, slots=True)
class OffsetsReply:
    """One entry for each partition that was asked for."""

    offsets: tuple[PartitionOffset, ...]


@dataclass(frozen=True, slots=True)
class ListOffsets(Request[OffsetsReply]):
    """Ask for one offset of each partition: topic to partition numbers.

    `at`: an `OffsetPlace`, or the first record at or after so many milliseconds since 1970.
    """

    api: ClassVar[Api] = Api(key=2, name="ListOffsets", lowest=1, highest=10, first_flexible=6)

    partitions: Mapping[str, tuple[int, ...]]
    at: int = OffsetPlace.LATEST
    timeout_ms: int = 5_000

    def encode(self, version: int) -> bytes:
        """Return the body: as a consumer that reads uncommitted records."""
        flexible = self.api.is_flexible(version)
        end = b"\0" if flexible else b""
        epoch = _NO_EPOCH if version >= 4 else b""

        def write_partition(number: int) -> bytes:
            return struct.pack(">i", number) + epoch + struct.pack(">q", self.at) + end

        def write_topic(topic: tuple[str, tuple[int, ...]]) -> bytes:
            name = write_string(topic[0], flexible=flexible)
            return name + write_array(topic[1], write_partition, flexible=flexible) + end

        body = _CONSUMER + (_READ_UNCOMMITTED if version >= 2 else b"")
        body += write_array(list(self.partitions.items()), write_topic, flexible=flexible)
        if version >= 10:
            body += struct.pack(">i", self.timeout_ms)
        return body + end

    def decode(self, reader: Reader, version: int) -> OffsetsReply:
        """Read the reply; the errors of single partitions stay in it."""
        if version >= 2:
            reader.int32()  # throttle time
        found: list[PartitionOffset] = []
        for _ in range(reader.count(_LEAST_TOPIC)):
            topic = reader.string()
            number = reader.count(_LEAST_PARTITION)
            found += [_read_partition(reader, topic, version) for _ in range(number)]
            reader.tags()
        reader.tags()
        return OffsetsReply(tuple(found))


def _read_partition(reader: Reader, topic: str, version: int) -> PartitionOffset:
    partition = PartitionOffset(
        topic,
        partition=reader.int32(),
        error=reader.int16(),
        timestamp_ms=none_if_unknown(reader.int64()),
        offset=none_if_unknown(reader.int64()),
        leader_epoch=none_if_unknown(reader.int32()) if version >= 4 else None,
    )
    reader.tags()
    return partition
