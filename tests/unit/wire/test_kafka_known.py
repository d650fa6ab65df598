"""What a reply repeats is not read again, and what it changes is."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from bench.scale_metadata import CLUSTER, CONFIGS, METADATA, BigCluster, recorded
from tests.unit.wire.kafka_mutation import mutate
from tests.unit.wire.kafka_oracle import read, recorded_frames, written

from kafka_self_healing.wire.kafka import (
    ApiVersions,
    DescribeCluster,
    DescribeConfigs,
    KafkaWireError,
    Kept,
    KnownMetadata,
    Metadata,
    MetadataReply,
    Request,
)
from kafka_self_healing.wire.kafka.connection import read_reply

ADDRESSES = tuple((f"127.1.0.{i}", 9092) for i in range(1, 8))
HEAD = struct.pack(">i", 1)
VERSION = METADATA[1]


def frame_of(topics: int, partitions: int = 4) -> bytes:
    """Return a reply of a cluster of seven brokers."""
    return HEAD + BigCluster(ADDRESSES, topics, partitions).replies()[METADATA]


def decode(frame: bytes, known: KnownMetadata | None = None) -> MetadataReply:
    """Decode a frame, with or without what is known."""
    return read_reply(Metadata(known=known), VERSION, frame)


@pytest.mark.parametrize("key", [METADATA, CLUSTER, CONFIGS])
def test_the_benchmarks_replies_are_those_of_kafka(key: tuple[int, int]) -> None:
    """An independent codec reads them and writes the same bytes again."""
    asked: tuple[Request[Any], ...] = (Metadata(), DescribeCluster(), DescribeConfigs(()))
    request = next(one for one in asked if one.api.key == key[0])
    body = BigCluster(ADDRESSES, 5, 4).replies()[key]
    entity = read(request, key[1], HEAD + body)
    assert b"\0" + written(entity) == body
    assert body[:5] == recorded()[key][:5]


def test_a_reply_that_is_repeated_is_the_same_object() -> None:
    """Brokers and topics of equal bytes are not made anew, and are what decoding would make."""
    known, frame = KnownMetadata(), frame_of(6)
    first, second = decode(frame, known), decode(frame, known)
    assert second == decode(frame)
    assert second.brokers is first.brokers
    assert second.topics is first.topics


def test_only_what_changed_is_read_anew() -> None:
    """A topic with another ISR, one more and one less are seen; the others stay."""
    known = KnownMetadata()
    before = decode(frame_of(6), known)
    frame = bytearray(frame_of(7))
    spot = frame.index(b"orders-3.events")
    isr = struct.pack(">3i", *before.topics[3].partitions[0].isr)
    place = frame.index(isr, frame.index(isr, spot) + 1)
    frame[place : place + 12] = struct.pack(">3i", 7, 7, 7)
    after = decode(bytes(frame), known)
    assert after == decode(bytes(frame))
    assert after.topics[3].partitions[0].isr == (7, 7, 7)
    kept = [i for i in range(6) if after.topics[i] is before.topics[i]]
    assert kept == [0, 1, 2, 4, 5]
    assert [topic.name for topic in decode(frame_of(5), known).topics] == [
        topic.name for topic in before.topics[:5]
    ]


def test_another_order_of_the_topics_is_no_matter() -> None:
    """Topics are found by their names: brokers may list them in any order."""
    known, frame = KnownMetadata(), frame_of(3)
    first = decode(frame, known)
    starts = [frame.index(f"orders-{i}.events".encode()) for i in range(3)]
    size = starts[1] - starts[0]
    begin = starts[0] - len("team-0.") - 3
    parts = [frame[begin + i * size : begin + (i + 1) * size] for i in range(3)]
    turned = frame[:begin] + b"".join(reversed(parts)) + frame[begin + 3 * size :]
    second = decode(turned, known)
    assert second == decode(turned)
    assert all(a is b for a, b in zip(reversed(first.topics), second.topics, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_damaged_replies_are_read_as_if_nothing_were_known(seed: int) -> None:
    """With or without a memory, a mutant gives the same reply or is refused."""
    rng = random.Random(seed)
    frames = [frame_of(3, 2), frame_of(4, 2), frame_of(4, 3)]
    known = KnownMetadata()
    for _ in range(100):
        frame = rng.choice(frames)
        frame = mutate(frame, rng) if rng.random() < 0.7 else frame
        outcomes = []
        for memory in (known, None):
            try:
                outcomes.append(repr(decode(frame, memory)))
            except KafkaWireError as error:
                outcomes.append(type(error).__name__)
        assert outcomes[0] == outcomes[1]


def test_nodes_of_another_version_are_read_anew() -> None:
    """What is known holds for the version in which it was read."""
    frames = {
        one.version: one.frame
        for one in recorded_frames()
        if one.source == "broker" and one.request.api is DescribeCluster.api
    }
    request = DescribeCluster(known=Kept())
    for version in (1, 2, 2, 1):
        reply = read_reply(request, version, frames[version])
        assert reply == read_reply(DescribeCluster(), version, frames[version])


def test_equal_greetings_are_read_once() -> None:
    """All nodes of a cluster offer the same; a broken greeting is refused each time."""
    frame = HEAD + recorded()[ApiVersions.api.key, 3]
    first, second = (read_reply(ApiVersions(), 3, frame) for _ in range(2))
    assert first is second
    for _ in range(2):
        with pytest.raises(KafkaWireError):
            read_reply(ApiVersions(), 3, frame + b"\0")
