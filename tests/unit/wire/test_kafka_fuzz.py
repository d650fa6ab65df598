"""Damaged replies, by a seeded chance: only our own errors leave the decoder."""

from __future__ import annotations

import random

import pytest
from tests.unit.wire import kafka_oracle as oracle
from tests.unit.wire.kafka_mutation import mutate

from kafka_self_healing.wire import kafka
from kafka_self_healing.wire.kafka.connection import read_reply
from kafka_self_healing.wire.kafka.primitives import Reader

MUTANTS = 6_000


def test_mutants_of_real_replies_raise_nothing_but_our_errors() -> None:
    """A damaged reply is refused by our own error or read as some reply; nothing else happens."""
    rng = random.Random(20)
    records = oracle.recorded_frames()
    refused = 0
    for _ in range(MUTANTS):
        record = rng.choice(records)
        try:
            read_reply(record.request, record.version, mutate(record.frame, rng))
        except kafka.KafkaWireError:
            refused += 1
    assert MUTANTS // 3 < refused < MUTANTS


def test_every_truncation_of_a_real_reply_is_refused() -> None:
    """A reply that ends early, wherever, is never taken for a whole one."""
    whole = {}
    for record in oracle.recorded_frames():
        whole[record.request.api.key, record.version] = record
    accepted = []
    for record in whole.values():
        for size in range(4, len(record.frame)):
            try:
                read_reply(record.request, record.version, record.frame[:size])
            except kafka.KafkaProtocolError:
                continue
            accepted.append((record.request, record.version, size))
    assert accepted == []


@pytest.mark.parametrize(
    ("flexible", "data"),
    [(True, b"\xff\xff\xff\xff\x0f"), (False, b"\x7f\xff\xff\xff"), (True, b"\0")],
    ids=["compact", "classic", "null"],
)
def test_an_array_that_cannot_fit_is_refused_before_it_is_made(
    flexible: bool,
    data: bytes,
) -> None:
    """The count of an array is checked against the bytes that are left."""
    with pytest.raises(kafka.KafkaProtocolError, match="array"):
        Reader(data, flexible=flexible).count(1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xff\xff\xff\xff\x01", "varint of more than five bytes"),
        (b"\x05ab", "past the end"),
        (b"\x03\xff\xfe", "not UTF-8"),
        (b"\0", "null"),
        (b"", "past the end"),
    ],
)
def test_a_broken_text_is_refused(data: bytes, message: str) -> None:
    """Texts are bounded, UTF-8, and not null where the protocol wants one."""
    with pytest.raises(kafka.KafkaProtocolError, match=message):
        Reader(data, flexible=True).string()
