"""One JRMP connection: order, segments, bounds on work, and every way to lose it."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

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
from kafka_self_healing.wire.jmx.connecting import Endpoint
from kafka_self_healing.wire.jmx.encoding import NULL, write_string
from kafka_self_healing.wire.jmx.errors import (
    JmxConnectError,
    JmxError,
    JmxProtocolError,
    JmxRemoteError,
    JmxTlsError,
)
from kafka_self_healing.wire.jmx.rmi import Answers, Call, Reply, RmiConnection
from kafka_self_healing.wire.jmx.stub import read_stub
from kafka_self_healing.wire.jmx.throwable import describe
from kafka_self_healing.wire.jmx.values import Limits

_CALL = Call(bytes(22), bytes(12))
_VOID = Call(bytes(22), bytes(12), returns_value=False)


def connected(limits: Limits | None = None) -> tuple[RmiConnection, NullTransport]:
    """Return a connection whose server has not spoken yet."""
    endpoint = Endpoint("broker", 9999)
    connection, transport = RmiConnection(endpoint, limits or Limits()), NullTransport()
    connection.connection_made(transport)
    return connection, transport


def with_calls(
    *calls: Call, limits: Limits | None = None
) -> tuple[RmiConnection, asyncio.Future[Answers]]:
    """Return a greeted connection with calls in flight."""
    connection, _ = connected(limits)
    connection.data_received(GREETING)
    return connection, connection.ask(calls)


def value(asked: asyncio.Future[Answers], place: int = 0) -> Any:
    """Return what a call that was answered returned or threw."""
    reply = asked.result()[place]
    assert isinstance(reply, Reply), reply
    return reply.value


def failure(asked: asyncio.Future[Answers], place: int = 0) -> JmxError:
    """Return why a call was not answered."""
    error = asked.result()[place]
    assert isinstance(error, JmxError), error
    return error


async def test_the_first_call_does_not_wait_for_the_greeting() -> None:
    """Header, our address and the first call go out at once, before the server has spoken."""
    connection, transport = connected()
    connection.ask([_CALL])
    hello = bytes.fromhex("4a524d4900024b000000000000")
    assert bytes(transport.written) == hello + b"\x50\xac\xed\0\5\x77\x22" + bytes(34)


@pytest.mark.parametrize("segment", [1, 7, 4096])
async def test_replies_are_matched_in_order(segment: int) -> None:
    """However the stream is cut: value, void, exception and value reach their own callers."""
    missing = recorded_replies()["missing"]
    connection, asked = with_calls(_CALL, _VOID, _CALL, _CALL)
    stream = returned(write_string("a")) + returned() + missing + returned(write_string("b"))
    for start in range(0, len(stream), segment):
        connection.data_received(stream[start : start + segment])
    replies = await asyncio.wait_for(asked, 5)
    assert [isinstance(one, Reply) and one.threw for one in replies] == [False, False, True, False]
    assert [value(asked, at) for at in (0, 1, 3)] == ["a", None, "b"]
    assert connection.lost is None


async def test_a_caller_that_has_gone_does_no_harm() -> None:
    """Its replies are read and thrown away; the next question gets its own answer."""
    connection, gone = with_calls(_CALL, _CALL)
    gone.cancel()
    connection.data_received(returned(write_string("a")) + returned(write_string("b")))
    asked = connection.ask([_CALL])
    connection.data_received(returned(write_string("c")))
    assert value(asked) == "c"


async def test_a_dripping_peer_costs_linear_work() -> None:
    """100,000 strings in 16-byte segments: decoding in vain is bounded, the rest waits a while."""
    raw = returned(object_array(100_000, write_string("abcdefg") * 100_000))
    connection, asked = with_calls(_CALL)
    for start in range(0, len(raw), 16):
        connection.data_received(raw[start : start + 16])
    assert 0 < connection._work <= rmi._FREE_WORK_BYTES + rmi._WORK_PER_BYTE * len(raw)
    assert connection._retry is not None
    connection._decode(bytes(connection._buffer))
    assert value(asked) == ["abcdefg"] * 100_000


async def test_a_put_off_reply_is_decoded_by_the_clock() -> None:
    """No further byte is needed: the pause alone brings the next try."""
    raw = returned(write_string("late"))
    connection, asked = with_calls(_CALL)
    connection.data_received(raw[:8])
    connection._work = 1 << 30
    connection.data_received(raw[8:])
    assert not asked.done()
    await asyncio.wait_for(asked, 5)
    assert value(asked) == "late"


async def test_a_put_off_reply_is_not_lost_at_the_end() -> None:
    """A server that answers and hangs up has answered."""
    raw = returned(write_string("late"))
    connection, asked = with_calls(_CALL)
    connection.data_received(raw[:8])
    connection._work = 1 << 30
    connection.data_received(raw[8:])
    connection.eof_received()
    assert value(asked) == "late"
    assert isinstance(connection.lost, JmxConnectError)


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"HTTP/1.1 400 Bad Request", "is this the JMX port"),
        (GREETING + b"\x53", "unexpected message"),
        (GREETING + b"\x51\xac\xed\0\6", "stream header"),
        (GREETING + b"\x51\xac\xed\0\5\x77\x01\1", "head of a reply"),
        (GREETING + returned(NULL).replace(b"\x0f\1", b"\x0f\3"), "head of a reply"),
        (GREETING + returned(b"\x78"), "a value was due"),
        (GREETING + returned(NULL) + returned(NULL), "unexpected message"),
        (GREETING + returned(b"\x75" + class_of("[B") + struct.pack(">i", 900_000)), "over 4096"),
        (GREETING + returned(object_array(1, b"\x71\0\x7e\0\1")), "contains itself"),
    ],
)
async def test_what_is_not_jrmp_ends_the_connection(stream: bytes, text: str) -> None:
    """Each deviation drops the connection at once and names itself and the peer."""
    connection, transport = connected(Limits(message_bytes=4096))
    connection.ask([_CALL])
    connection.data_received(stream)
    assert isinstance(connection.lost, JmxProtocolError)
    assert text in str(connection.lost)
    assert str(connection.lost).startswith("broker:9999: ")
    assert transport.aborted


async def test_a_tls_alert_says_what_is_configured_wrong() -> None:
    """A TLS port answers plain RMI with an alert: it lives, and tls is to be configured."""
    connection, _ = connected()
    asked = connection.ask([_CALL])
    connection.data_received(b"\x15\x03\x03\0\2\2\x0a")
    error = failure(asked)
    assert isinstance(error, JmxTlsError)
    assert "broker:9999 speaks TLS" in str(error)
    assert "configure tls" in str(error)


async def test_an_endless_reply_is_cut_at_the_limit() -> None:
    """A reply that always needs a little more is refused once it is too long to be one."""
    endless = returned(b"\x73" + class_of("x", flags=3)) + (b"\x77\xff" + bytes(255)) * 40
    connection, asked = with_calls(_CALL, limits=Limits(message_bytes=8192))
    connection.data_received(endless)
    assert isinstance(failure(asked), JmxProtocolError)
    assert "over 8192 bytes" in str(failure(asked))
    assert not connection._buffer


async def test_what_is_asked_together_is_bounded_together() -> None:
    """Replies that are small one by one may not add up to more than one may be."""
    reply = returned(write_string("x" * 1000))
    connection, asked = with_calls(*[_CALL] * 10, limits=Limits(message_bytes=8192))
    connection.data_received(reply * 10)
    assert "over 8192 bytes" in str(failure(asked, -1))
    assert value(asked, 0) == "x" * 1000
    many = returned(object_array(100, NULL * 100))
    connection, asked = with_calls(*[_CALL] * 10, limits=Limits(items=500))
    connection.data_received(many * 10)
    assert "too many values" in str(failure(asked, 4))
    connection, asked = with_calls(_CALL, limits=Limits(items=500))
    for _ in range(10):  # one after the other they may
        connection.data_received(many)
        assert value(asked) == [None] * 100
        asked = connection.ask([_CALL])


async def test_a_value_that_cannot_be_written_ends_the_connection() -> None:
    """The server lost its place in the stream, so all calls in flight end with its reason."""
    thrower = exception("java.io.NotSerializableException", message="java.lang.Thread")
    connection, asked = with_calls(_CALL, _CALL)
    connection.data_received(returned(object_array(1, b"\x7b" + thrower)))
    for place in (0, 1):
        assert isinstance(failure(asked, place), JmxRemoteError)
        assert "NotSerializableException: java.lang.Thread" in str(failure(asked, place))


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [(ConnectionResetError(), "reset"), (BrokenPipeError(), "reset"), (None, "closed")],
)
async def test_a_lost_connection_says_how(cause: Exception | None, outcome: str) -> None:
    """Reset and orderly close differ, and later calls are told the same."""
    connection, asked = with_calls(_CALL)
    connection.connection_lost(cause)
    assert isinstance(failure(asked), JmxConnectError)
    assert failure(asked).outcome == outcome
    with pytest.raises(JmxConnectError) as later:
        connection.ask([_CALL])
    assert (later.value.outcome, later.value is connection.lost) == (outcome, False)


async def test_only_an_idle_connection_tells_that_it_is_lost() -> None:
    """Who asks hears it from the answer; who drops the connection knows it already."""
    told: list[JmxError] = []
    (idle, _), (dropped, _) = connected(), connected()
    busy, asked = with_calls(_CALL)
    for connection in (idle, busy, dropped):
        connection.on_lost = told.append
    idle.data_received(GREETING)
    idle.data_received(returned())
    assert told == [idle.lost]
    busy.connection_lost(None)
    dropped.drop(JmxConnectError("by us"))
    dropped.connection_lost(None)
    assert len(told) == 1
    assert isinstance(failure(asked), JmxConnectError)


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
    ("written", "text"),
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
async def test_bad_stubs_are_refused(written: bytes, text: str) -> None:
    """A registry entry that is no stub, or names no possible address, is a protocol error."""
    connection, asked = with_calls(_CALL)
    connection.data_received(returned(written))
    with pytest.raises(JmxProtocolError, match=text):
        read_stub(value(asked))


async def test_recorded_stub() -> None:
    """A JVM's stub: it believes to live on 127.0.0.2, and wants an acknowledgement."""
    connection, asked = with_calls(_CALL)
    connection.data_received(recorded_replies()["lookup"])
    reference = read_stub(value(asked))
    assert (reference.host, reference.port) == ("127.0.0.2", 39471)
    assert (reference.socket_factory, reference.needs_ack) == (None, True)
    assert len(reference.object_id) == 22


async def test_exceptions_are_described_within_bounds() -> None:
    """A message of the server is cut and made printable before it reaches a log."""
    connection, asked = with_calls(_CALL)
    connection.data_received(thrown(exception("x.Y", message="a\nb\x1b[2J" + "c" * 5000)))
    text = describe(value(asked))
    assert text.startswith("x.Y: a?b?[2Jccc")
    assert len(text) < 500
