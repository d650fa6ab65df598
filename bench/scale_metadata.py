"""What a broker of a big cluster answers: replies as bytes, in the versions that we ask.

A cluster of 1,000 brokers cannot be recorded here, so its metadata are written with our codec's own
writers, from the shape of a reply of a real 4.3.1 broker; `kio` reads them in the tests.
Everything else is what that broker sent.
"""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kafka_self_healing.wire.kafka import (
    ApiVersions,
    DescribeCluster,
    DescribeConfigs,
    ListPartitionReassignments,
    Metadata,
)
from kafka_self_healing.wire.kafka.configs import TOPIC_SAFETY_KEYS
from kafka_self_healing.wire.kafka.primitives import write_array, write_string

Replies = dict[tuple[int, int], bytes]
"""(API key, version) to all that follows the correlation id."""

METADATA: Final = (Metadata.api.key, 13)
CLUSTER: Final = (DescribeCluster.api.key, 2)
CONFIGS: Final = (DescribeConfigs.api.key, 4)
_RECORDED: Final = Path(__file__).parents[1] / "tests/unit/wire/data/kafka_frames.json"
_CORRELATION_ID = 4
_NO_TAGS = b"\0"
_NO_RIGHTS = struct.pack(">i", -(1 << 31))
_CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"
_REPLICAS = 3


@dataclass(frozen=True, slots=True)
class BigCluster:
    """Node ids 1 … `brokers`, each at an address of its own; partitions of three replicas."""

    addresses: tuple[tuple[str, int], ...]
    topics: int
    partitions: int

    @property
    def brokers(self) -> int:
        """How many there are."""
        return len(self.addresses)

    def replicas(self, topic: int, partition: int) -> tuple[int, ...]:
        """Return the node ids that hold a partition; the first one leads it."""
        first = topic * self.partitions + partition
        return tuple((first + turn) % self.brokers + 1 for turn in range(_REPLICAS))

    def replies(self) -> Replies:
        """Return what any broker of this cluster answers."""
        return recorded() | {
            METADATA: _NO_TAGS + self._metadata(),
            CLUSTER: _NO_TAGS + self._cluster(),
            CONFIGS: _NO_TAGS + self._configs(),
        }

    def _metadata(self) -> bytes:
        brokers = b"".join(_broker(id_, *at) + _NO_TAGS for id_, at in self._nodes())
        return b"".join(
            (
                struct.pack(">i", 0),
                _count(self.brokers) + brokers,
                _text(_CLUSTER_ID),
                struct.pack(">i", 1),
                write_array(range(self.topics), self._topic, flexible=True),
                struct.pack(">h", 0),
                _NO_TAGS,
            )
        )

    def _topic(self, number: int) -> bytes:
        def partition(index: int) -> bytes:
            nodes = self.replicas(number, index)
            listed = _ids(nodes)
            head = struct.pack(">hiii", 0, index, nodes[0], 5)
            return head + listed + listed + _ids(()) + _NO_TAGS

        id_ = uuid.uuid5(uuid.NAMESPACE_OID, str(number)).bytes
        head = struct.pack(">h", 0) + _text(topic_name(number)) + id_ + b"\0"
        partitions = write_array(range(self.partitions), partition, flexible=True)
        return head + partitions + _NO_RIGHTS + _NO_TAGS

    def _cluster(self) -> bytes:
        not_fenced = b"\0"
        nodes = b"".join(_broker(id_, *at) + not_fenced + _NO_TAGS for id_, at in self._nodes())
        head = struct.pack(">ih", 0, 0) + write_string(None, flexible=True) + b"\1"
        ids = _text(_CLUSTER_ID) + struct.pack(">i", 1)
        return head + ids + _count(self.brokers) + nodes + _NO_RIGHTS + _NO_TAGS

    def _configs(self) -> bytes:
        """Two settings of every topic; all are asked for in one request."""
        values = dict(zip(TOPIC_SAFETY_KEYS, ("2", "false"), strict=True))
        settings = _count(len(values)) + b"".join(
            _text(key) + _text(value) + b"\0\5\0" + _count(0) + b"\3\0" + _NO_TAGS
            for key, value in values.items()
        )

        def topic(number: int) -> bytes:
            head = struct.pack(">h", 0) + write_string(None, flexible=True) + b"\2"
            return head + _text(topic_name(number)) + settings + _NO_TAGS

        return (
            struct.pack(">i", 0) + write_array(range(self.topics), topic, flexible=True) + _NO_TAGS
        )

    def _nodes(self) -> Iterable[tuple[int, tuple[str, int]]]:
        return enumerate(self.addresses, start=1)


def topic_name(number: int) -> str:
    """Return the name of a topic; as long as names are in practice."""
    return f"team-{number % 40}.orders-{number}.events"


def recorded() -> Replies:
    """Return what a real 4.3.1 broker answered to what we ask, by API and version."""
    replies: Replies = {}
    wanted = {api.api.key for api in (ApiVersions, Metadata, DescribeCluster, DescribeConfigs)}
    wanted.add(ListPartitionReassignments.api.key)
    for one in json.loads(_RECORDED.read_text(encoding="utf-8")):
        if one["from"] == "broker" and one["api"] in wanted:
            frame = bytes.fromhex(one["frame"])
            replies.setdefault((one["api"], one["version"]), frame[_CORRELATION_ID:])
    return replies


def _broker(id_: int, host: str, port: int) -> bytes:
    head = struct.pack(">i", id_) + _text(host) + struct.pack(">i", port)
    return head + _text(f"rack-{id_ % 3}")


def _text(text: str) -> bytes:
    return write_string(text, flexible=True)


def _count(number: int) -> bytes:
    return write_array((None,) * number, lambda _: b"", flexible=True)


def _ids(nodes: tuple[int, ...]) -> bytes:
    return _count(len(nodes)) + struct.pack(f">{len(nodes)}i", *nodes)
