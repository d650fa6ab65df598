"""Replies that no server would send: recorded and built ones, damaged by a seeded chance."""

from __future__ import annotations

import asyncio
import random
import struct

from tests.unit.wire.jmx_grammar import invented
from tests.unit.wire.jmx_server import (
    GREETING,
    FakeAgent,
    Request,
    attribute_list,
    boxed,
    collection,
    exception,
    object_array,
    recorded_replies,
    returned,
    stub,
    thrown,
)

from kafka_self_healing.wire.jmx import JmxClient
from kafka_self_healing.wire.jmx.client import _attributes
from kafka_self_healing.wire.jmx.connecting import Endpoint
from kafka_self_healing.wire.jmx.errors import JmxError
from kafka_self_healing.wire.jmx.rmi import Call, Reply, RmiConnection
from kafka_self_healing.wire.jmx.stub import read_stub
from kafka_self_healing.wire.jmx.throwable import to_error
from kafka_self_healing.wire.jmx.values import Limits

_VISIT_LIMIT_S = 0.2
_TELLING_BYTES = bytes(range(0x70, 0x80)) + b"\0\xff"
_TELLING_NUMBERS = (-1, 0, 0x7FFFFFFF, -0x80000000)


class NullTransport(asyncio.Transport):
    """A transport without a peer; it remembers what was written and whether it was aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep the bytes."""
        self.written += data

    def abort(self) -> None:
        """Note that the connection was given up."""
        self.aborted = True


def samples() -> list[bytes]:
    """Return well-formed replies of all kinds to begin with."""
    recorded = recorded_replies()
    recorded.pop("greeting")
    factory = "javax.rmi.ssl.SslRMIClientSocketFactory"
    built = [
        returned(attribute_list({"Value": boxed(3), "Rows": object_array(2, boxed(1) + b"\x70")})),
        returned(collection("java.util.HashMap", boxed(1), boxed(2))),
        returned(stub(bytes(22), host="broker", port=9999, kind="UnicastRef")),
        returned(stub(bytes(22), host="broker", port=9999, factory=factory)),
        thrown(exception("java.rmi.NoSuchObjectException", message="no such object in table")),
        returned(object_array(2, b"\x70\x7b" + exception("java.io.IOException", message="x"))),
    ]
    return [*recorded.values(), *built]


def mutant(originals: list[bytes], chance: random.Random) -> bytes:
    """Return one of `originals` with one to eight damages."""
    raw = bytearray(chance.choice(originals))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        place = chance.randrange(len(raw))
        match chance.choices(range(6), (50, 15, 10, 10, 10, 5))[0]:
            case 0:
                raw[place] = chance.randrange(256)
            case 1:
                raw[place] = chance.choice(_TELLING_BYTES)
            case 2:
                del raw[place : place + chance.randrange(1, 30)]
            case 3:
                start = chance.randrange(len(raw))
                raw[place:place] = raw[start : start + chance.randrange(1, 60)]
            case 4:
                number = chance.choice((*_TELLING_NUMBERS, 0x7E0000 + chance.randrange(60)))
                raw[place : place + 4] = struct.pack(">i", number)
            case _:
                del raw[place + 1 :]
        raw = raw or bytearray(1)
    return bytes(raw)


def hear(raw: bytes, segment: int) -> str:
    """Let a connection read `raw` in segments, and a client look at what came out.

    Returns the name of what it ended with. Anything but our own errors is raised. A connection that
    knows shapes must understand the same.
    """
    plain = _listen(raw, segment, Call(bytes(22), bytes(12)))
    shaped = _listen(raw, segment, Call(bytes(22), bytes(12), b"fuzz", read=_attributes))
    _compare(plain, shaped)
    return type(plain).__name__ if isinstance(plain, JmxError) else _judge(plain)


def _listen(raw: bytes, segment: int, call: Call) -> Reply | JmxError:
    connection = RmiConnection(Endpoint("broker", 9999), Limits())
    connection.connection_made(NullTransport())
    connection.data_received(GREETING)
    asked = connection.ask([call])
    for start in range(0, len(raw), segment):
        connection.data_received(raw[start : start + segment])
    connection.eof_received()
    (answer,) = asked.result()
    return answer


def _compare(plain: Reply | JmxError, shaped: Reply | JmxError) -> None:
    if isinstance(plain, JmxError) or isinstance(shaped, JmxError):
        assert repr(plain) == repr(shaped)
    elif not plain.threw:
        assert repr(_attributes(plain.value)) == repr(shaped.value)


def _judge(reply: Reply) -> str:
    if reply.threw:
        return type(to_error(reply.value, logging_in=False)).__name__
    repr(reply.value)  # whoever logs it must not wait for ever
    attributes = _attributes(reply.value)
    try:
        read_stub(reply.value)
    except JmxError:
        return "value" if isinstance(attributes, JmxError) else "attributes"
    return "stub"


async def visit(chance: random.Random) -> str:
    """Let a client log in and read at an agent that damages some of its replies on the way.

    Returns what the client ended with: `read`, or the name of its error.
    """
    damages = chance.choice((0.1, 0.5))

    def damaged(request: Request) -> bytes | None:
        if chance.random() > damages:
            return None
        if chance.random() < 0.2:
            return invented(chance)
        return mutant([agent._answer(request)], chance)

    async with FakeAgent(mbeans={"a:b=c": {"Value": boxed(1)}}, override=damaged) as agent:
        client = JmxClient("127.0.0.1", agent.port, timeout_s=_VISIT_LIMIT_S)
        try:
            await client.read([("a:b=c", ["Value"]), ("a:b=d", ["Value"])])
            await client.query("*:*")
        except JmxError as error:
            return type(error).__name__
        finally:
            await client.close()
    return "read"
