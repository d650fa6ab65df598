"""Damaged replies, by a seeded chance: only our own errors leave the decoder."""

from __future__ import annotations

import asyncio
import random
import tracemalloc

import pytest
from hypothesis import given, settings, strategies as st
from tests.unit.wire import kafka_oracle as oracle
from tests.unit.wire.kafka_mutation import decode, log_in, mutate, sample, stream

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire import kafka
from kafka_self_healing.wire.kafka.connection import read_reply
from kafka_self_healing.wire.kafka.primitives import Reader

MUTANTS = 6_000


def test_mutants_of_real_replies_raise_nothing_but_our_errors() -> None:
    """A damaged reply is refused by our own error or read as some reply; nothing else happens."""
    rng = random.Random(20)
    taken = 0
    for _ in range(MUTANTS):
        record = sample(rng)
        taken += decode(record, mutate(record.frame, rng))
    assert 0 < taken < 2 * MUTANTS // 3


@pytest.mark.parametrize(("request_", "version"), oracle.PAIRS)
@settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=200))
def test_any_bytes_are_a_reply_or_our_error(
    request_: kafka.Request[object], version: int, body: bytes
) -> None:
    """Whatever follows the correlation id is decoded or refused, in every version."""
    decode(oracle.RecordedFrame("", request_, version, b""), bytes(4) + body)


@settings(max_examples=300, deadline=None)
@given(
    answers=st.lists(
        st.binary(max_size=60)
        | st.text(alphabet="rsive=,0123456789+/", max_size=60).map(str.encode),
        min_size=1,
        max_size=3,
    ),
    mechanism=st.sampled_from(["SCRAM-SHA-256", "SCRAM-SHA-512"]),
)
def test_any_login_message_is_refused(answers: list[bytes], mechanism: str) -> None:
    """No node that does not know the password is believed, whatever it says."""

    async def talk() -> None:
        login = kafka.ScramLogin(mechanism, "user", Secret("secret"))
        conversation = login.converse("node.test")
        await anext(conversation)
        for answer in answers:
            await conversation.asend(answer)

    with pytest.raises(kafka.KafkaWireError):
        asyncio.run(talk())


async def test_damaged_logins_are_refused() -> None:
    """Good messages of a login with damages are never believed, since nobody has the password."""
    rng = random.Random(22)
    login = kafka.ScramLogin("SCRAM-SHA-256", "user", Secret("secret"))
    assert not any([await log_in(rng, login) for _ in range(800)])


async def test_damaged_streams_are_held_in_bounds() -> None:
    """Frames of any size in pieces of any size: our errors only, and never more held than came."""
    rng = random.Random(23)
    for _ in range(1_500):
        fed, most = stream(rng)
        assert most <= fed


def test_a_damaged_reply_makes_no_more_than_a_small_multiple_of_itself() -> None:
    """The memory of decoding is bounded by the reply's size, whatever its counts say."""
    rng = random.Random(24)
    tracemalloc.start()
    try:
        for _ in range(1_000):
            record = sample(rng)
            frame = mutate(record.frame, rng)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            decode(record, frame)
            assert tracemalloc.get_traced_memory()[1] - before < 100 * len(frame) + 200_000
    finally:
        tracemalloc.stop()


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
