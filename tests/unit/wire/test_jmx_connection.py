"""One JRMP connection: order, segments, bounds on work, and every way to lose it."""

from __future__ import annotations

import asyncio
import struct

import pytest
from tests.unit.wire.jmx_mutation import NullTransport
from tests.unit.wire.jmx_server import (
    GREETING,
    class_of,
    exception,
    object_array,
    recorded_replies,
    returned,
    thrown,
)

from kafka_self_healing.wire.jmx import rmi
from kafka_self_healing.wire.jmx.encoding import NULL, write_string
from kafka_self_healing.wire.jmx.errors import JmxConnectError, JmxProtocolError, JmxRemoteError
from kafka_self_healing.wire.jmx.rmi import Call, Reply, RmiConnection
from kafka_self_healing.wire.jmx.stub import read_stub
from kafka_self_healing.wire.jmx.throwable import describe
from kafka_self_healing.wire.jmx.values import Limits

_CALL = Call(bytes(22), bytes(12))
_VOID = Call(bytes(22), bytes(12), returns_value=False)


def connected(limits: Limits | None = None) -> tuple[RmiConnection, NullTransport]:
    """Return a connection whose server has not spoken yet."""
    connection, transport = RmiConnection("broker", 9999, limits or Limits()), NullTransport()
    connection.connection_made(transport)
    return connection, transport


def with_calls(
    *calls: Call, limits: Limits | None = None
) -> tuple[RmiConnection, list[asyncio.Future[Reply]]]:
    """Return a greeted connection with calls in flight."""
    connection, _ = connected(limits)
    connection.data_received(GREETING)
    return connection, connection.send(calls)


async def test_the_first_call_does_not_wait_for_the_greeting() -> None:
    """Header, our address and the first call are written before the server has said anything."""
    connection, transport = connected()
    connection.send([_CALL])
    hello = bytes.fromhex("4a524d4900024b000000000000")
    assert bytes(transport.written) == hello + b"\x50\xac\xed\0\5\x77\x22" + bytes(34)


@pytest.mark.parametrize("segment", [1, 7, 4096])
async def test_replies_are_matched_in_order(segment: int) -> None:
    """However the stream is cut: value, void, exception and value reach their own callers."""
    missing = recorded_replies()["missing"]
    connection, futures = with_calls(_CALL, _VOID, _CALL, _CALL)
    stream = returned(write_string("a")) + returned() + missing + returned(write_string("b"))
    for start in range(0, len(stream), segment):
        connection.data_received(stream[start : start + segment])
    replies = await asyncio.wait_for(asyncio.gather(*futures), 5)
    assert [reply.threw for reply in replies] == [False, False, True, False]
    assert [replies[at].value for at in (0, 1, 3)] == ["a", None, "b"]
    assert connection.lost is None


async def test_a_cancelled_caller_does_not_shift_the_others() -> None:
    """Its reply is read and thrown away."""
    connection, (first, second) = with_calls(_CALL, _CALL)
    first.cancel()
    connection.data_received(returned(write_string("a")) + returned(write_string("b")))
    assert second.result().value == "b"


async def test_a_dripping_peer_costs_linear_work() -> None:
    """100,000 strings in 16-byte segments: decoding in vain is bounded, the rest waits a while."""
    raw = returned(object_array(100_000, write_string("abcdefg") * 100_000))
    connection, (future,) = with_calls(_CALL)
    for start in range(0, len(raw), 16):
        connection.data_received(raw[start : start + 16])
    assert 0 < connection._work <= rmi._FREE_WORK_BYTES + rmi._WORK_PER_BYTE * len(raw)
    assert connection._retry is not None
    connection._decode()
    value = future.result().value
    assert isinstance(value, list)
    assert len(value) == 100_000


async def test_a_put_off_reply_is_decoded_by_the_clock() -> None:
    """No further byte is needed: the pause alone brings the next try."""
    raw = returned(write_string("late"))
    connection, (future,) = with_calls(_CALL)
    connection._work = 1 << 30
    connection.data_received(raw)
    assert not future.done()
    assert (await asyncio.wait_for(future, 5)).value == "late"


async def test_a_put_off_reply_is_not_lost_at_the_end() -> None:
    """A server that answers and hangs up has answered."""
    connection, (future,) = with_calls(_CALL)
    connection._work = 1 << 30
    connection.data_received(returned(write_string("late")))
    connection.eof_received()
    assert future.result().value == "late"
    assert isinstance(connection.lost, JmxConnectError)


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"HTTP/1.1 400 Bad Request", "not an RMI endpoint"),
        (b"\x15\x03\x03\0\2\2\x28", "does it want TLS"),
        (GREETING + b"\x53", "unexpected message"),
        (GREETING + b"\x51\xac\xed\0\6", "stream header"),
        (GREETING + b"\x51\xac\xed\0\5\x77\x01\1", "head of a reply"),
        (GREETING + returned(NULL).replace(b"\x0f\1", b"\x0f\3"), "head of a reply"),
        (GREETING + returned(b"\x78"), "a value was due"),
        (GREETING + returned(NULL) + returned(NULL), "unexpected message"),
        (GREETING + returned(b"\x75" + class_of("[J") + struct.pack(">i", 900_000)), "over 4096"),
        (GREETING + returned(object_array(1, b"\x71\0\x7e\0\1")), "contains itself"),
    ],
)
async def test_what_is_not_jrmp_ends_the_connection(stream: bytes, text: str) -> None:
    """Each deviation drops the connection at once and names itself and the peer."""
    connection, transport = connected(Limits(message_bytes=4096))
    connection.send([_CALL])
    connection.data_received(stream)
    assert isinstance(connection.lost, JmxProtocolError)
    assert text in str(connection.lost)
    assert str(connection.lost).startswith("broker:9999: ")
    assert transport.aborted


async def test_an_endless_reply_is_cut_at_the_limit() -> None:
    """A reply that always needs a little more is refused once it is too long to be one."""
    endless = returned(b"\x73" + class_of("x", flags=3)) + (b"\x77\xff" + bytes(255)) * 40
    connection, (future,) = with_calls(_CALL, limits=Limits(message_bytes=8192))
    connection.data_received(endless)
    with pytest.raises(JmxProtocolError, match="over 8192 bytes"):
        future.result()
    assert not connection._buffer


async def test_a_value_that_cannot_be_written_ends_the_connection() -> None:
    """The server lost its place in the stream, so all calls in flight end with its reason."""
    failure = exception("java.io.NotSerializableException", message="java.lang.Thread")
    connection, futures = with_calls(_CALL, _CALL)
    connection.data_received(returned(object_array(1, b"\x7b" + failure)))
    for future in futures:
        with pytest.raises(JmxRemoteError, match=r"NotSerializableException: java\.lang\.Thread"):
            future.result()


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [(ConnectionResetError(), "reset"), (BrokenPipeError(), "reset"), (None, "closed")],
)
async def test_a_lost_connection_says_how(cause: Exception | None, outcome: str) -> None:
    """Reset and orderly close differ, and later calls are told the same."""
    connection, (future,) = with_calls(_CALL)
    connection.connection_lost(cause)
    with pytest.raises(JmxConnectError) as caught:
        future.result()
    assert caught.value.outcome == outcome
    with pytest.raises(JmxConnectError) as later:
        connection.send([_CALL])
    assert (later.value.outcome, later.value is connection.lost) == (outcome, False)


async def test_late_bytes_of_a_dropped_connection_are_ignored() -> None:
    """After the drop nothing is read any more, and a second drop changes nothing."""
    connection, _ = with_calls(_CALL)
    connection.drop(reason := JmxConnectError("first"))
    connection.data_received(returned(NULL))
    connection.drop(JmxConnectError("second"))
    assert connection.lost is reason
    assert not connection._buffer


_REMOTE = class_of("java.rmi.server.RemoteObject", flags=3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (NULL, "not a remote object"),
        (write_string("x"), "not a remote object"),
        (b"\x73" + class_of("x"), "not a remote object"),
        (b"\x73" + _REMOTE + b"\x78", "malformed"),
        (b"\x73" + _REMOTE + b"\x77\4\0\2XX\x78", "unknown kind"),
        (b"\x73" + _REMOTE + b"\x77\x0d\0\x0bUnicastRef2\x78", "malformed"),
        (b"\x73" + _REMOTE + b"\x77\x10\0\x0aUnicastRef\xff\xff\0\0\x78", "malformed"),
        (b"\x73" + _REMOTE + b"\x77\x29\0\x0aUnicastRef" + bytes(29) + b"\x78", "impossible"),
    ],
)
async def test_bad_stubs_are_refused(value: bytes, text: str) -> None:
    """A registry entry that is no stub, or names no possible address, is a protocol error."""
    connection, (future,) = with_calls(_CALL)
    connection.data_received(returned(value))
    with pytest.raises(JmxProtocolError, match=text):
        read_stub(future.result().value)


async def test_recorded_stub() -> None:
    """A JVM's stub: it believes to live on 127.0.0.2, and wants an acknowledgement."""
    connection, (future,) = with_calls(_CALL)
    connection.data_received(recorded_replies()["lookup"])
    reference = read_stub(future.result().value)
    assert (reference.host, reference.port) == ("127.0.0.2", 39471)
    assert (reference.socket_factory, reference.needs_ack) == (None, True)
    assert len(reference.object_id) == 22


async def test_exceptions_are_described_within_bounds() -> None:
    """A message of the server is cut and made printable before it reaches a log."""
    connection, (future,) = with_calls(_CALL)
    connection.data_received(thrown(exception("x.Y", message="a\nb\x1b[2J" + "c" * 5000)))
    text = describe(future.result().value)
    assert text.startswith("x.Y: a?b?[2Jccc")
    assert len(text) < 500
