"""ListPartitionReassignments: which partitions are being moved."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from kafka_self_healing.wire.kafka.errors import raise_for_error
from kafka_self_healing.wire.kafka.primitives import Reader
from kafka_self_healing.wire.kafka.request import Api, Request


@dataclass(frozen=True, slots=True)
class Reassignment:
    """One partition on its way. `replicas` are all present ones, the adding ones included."""

    topic: str
    partition: int
    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReassignmentsReply:
    """All reassignments that are under way."""

    error: int
    message: str | None
    reassignments: tuple[Reassignment, ...]


@dataclass(frozen=True, slots=True)
class ListPartitionReassignments(Request[ReassignmentsReply]):
    """Ask for all reassignments; `timeout_ms` is the broker's own limit."""

    api: ClassVar[Api] = Api(
        key=46, name="ListPartitionReassignments", lowest=0, highest=0, first_flexible=0
    )
    forwarded: ClassVar[bool] = True

    timeout_ms: int = 5_000

    def encode(self, version: int) -> bytes:  # noqa: ARG002 - there is one version
        """Return the body: the time limit and null for all topics."""
        return struct.pack(">i", self.timeout_ms) + b"\0" + b"\0"

    def decode(self, reader: Reader, version: int) -> ReassignmentsReply:  # noqa: ARG002
        """Read the reply."""
        reader.int32()  # throttle time
        error, message = reader.int16(), reader.nullable_string()
        found = []
        for _ in range(reader.count(3)):
            topic = reader.string()
            for _ in range(reader.count(8)):
                partition = reader.int32()
                replicas, adding, removing = reader.int32s(), reader.int32s(), reader.int32s()
                reader.tags()
                found.append(Reassignment(topic, partition, replicas, adding, removing))
            reader.tags()
        reader.tags()
        raise_for_error(self.api.name, error, message)
        return ReassignmentsReply(error, message, tuple(found))
