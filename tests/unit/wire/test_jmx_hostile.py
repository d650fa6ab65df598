"""An agent that means harm, over a real socket: whatever it sends and when, it ends in time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from tests.unit.wire.jmx_server import (
    GREETING,
    FakeAgent,
    Request,
    attribute_list,
    boxed,
    class_of,
    collection,
    object_array,
    returned,
)

from kafka_self_healing.wire.jmx import JmxClient, JmxError, JmxValue, Limits
from kafka_self_healing.wire.jmx.encoding import NULL, write_string
from kafka_self_healing.wire.jmx.operations import GET_ATTRIBUTES, LOOKUP, NEW_CLIENT, QUERY_NAMES

_LIMIT_S = 0.2
_MARGIN_S = 10.0
_LIMITS = Limits(message_bytes=1 << 20)
_MOST_BYTES = 24 << 20

Harm = Callable[[], Iterator[bytes]]
"""Makes what is sent, part by part; an endless one ends with the connection."""


def _for_ever(head: bytes, part: bytes) -> Iterator[bytes]:
    yield head
    while True:
        yield part * (1 + 16384 // len(part))


def _noise() -> Iterator[bytes]:
    chance = random.Random(23)
    while True:
        yield chance.randbytes(16384)


def _drip(raw: bytes) -> Iterator[bytes]:
    for byte in raw:
        yield bytes((byte,))


_WELL = attribute_list({f"name {at}": boxed(at) for at in range(200)})
_SET = returned(b"\x73" + class_of("java.util.HashSet", flags=3))
_HARMS: dict[str, Harm] = {
    "silence": lambda: iter(()),
    "noise": _noise,
    "zeros": lambda: _for_ever(b"", b"\0"),
    "returns": lambda: _for_ever(b"", returned(NULL)),
    "greetings": lambda: _for_ever(b"", GREETING),
    "a set without end": lambda: _for_ever(_SET, write_string("x" * 200)),
    "a set of nothing": lambda: _for_ever(_SET, NULL),
    "blocks without end": lambda: _for_ever(_SET, b"\x77\xff" + bytes(255)),
    "resets without end": lambda: _for_ever(returned(), b"\x79"),
    "sets within sets": lambda: _for_ever(_SET, b"\x73\x71\0\x7e\0\0"),
    "a class without end": lambda: _for_ever(
        returned(b"\x73\x72\0\1x" + bytes(8) + b"\2\0\xff"), b"J\0\1f"
    ),
    "a text of a gigabyte": lambda: _for_ever(
        returned(b"\x7c" + struct.pack(">q", 1 << 30)), b"abc"
    ),
    "an array of billions": lambda: _for_ever(object_array(0x7FFFFFFF, b""), NULL),
    "numbers by the million": lambda: _for_ever(
        returned(b"\x75" + class_of("[S") + struct.pack(">i", 1_000_000)), b"\x7f\xff"
    ),
    "drip": lambda: _drip(returned(_WELL)),
    "drip of a set": lambda: _drip(_SET + write_string("x") * 100_000),
}


async def _send(writer: asyncio.StreamWriter, harm: Harm, pause_s: float) -> None:
    with contextlib.suppress(ConnectionError):
        for part in harm():
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)


async def _suffer(harm: Harm, *, at: bytes, pause_s: float = 0.0) -> list[object]:
    """Ask at an agent that sends harm instead of its reply to the operation `at`."""
    sending: list[asyncio.Task[None]] = []

    def hostile(request: Request) -> bytes | None:
        if request.operation != at:
            return None
        sending.append(asyncio.create_task(_send(agent._writers[-1], harm, pause_s)))
        return b""

    async with FakeAgent(mbeans={"a:b=c": {"Value": boxed(1)}}, override=hostile) as agent:
        client = JmxClient("127.0.0.1", agent.port, timeout_s=_LIMIT_S, limits=_LIMITS)
        try:
            async with asyncio.timeout(_LIMIT_S + _MARGIN_S):
                if at == QUERY_NAMES:
                    return [await client.query("*:*")]
                return list(await client.read([("a:b=c", ["Value"])] * 3))
        except JmxError as error:
            return [error]
        finally:
            await client.close()
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)


@pytest.mark.parametrize(
    "at",
    [LOOKUP, NEW_CLIENT, GET_ATTRIBUTES, QUERY_NAMES],
    ids=["look-up", "login", "read", "search"],
)
@pytest.mark.parametrize("name", _HARMS)
async def test_harm_ends_in_time_as_an_error(name: str, at: bytes) -> None:
    """At the look-up, at the login, at a read and at a search: one of our errors, in time."""
    answers = await _suffer(_HARMS[name], at=at, pause_s=0.005 if "drip" in name else 0.0)
    assert any(isinstance(answer, JmxError) for answer in answers), answers


@pytest.mark.parametrize("name", [name for name in _HARMS if "drip" not in name])
async def test_harm_takes_a_bounded_memory(name: str) -> None:
    """A server that sends all it can does not make us hold more than some limits' worth."""
    await _suffer(_HARMS["zeros"], at=LOOKUP)  # what the first time costs is not counted
    tracemalloc.start()
    try:
        await _suffer(_HARMS[name], at=GET_ATTRIBUTES)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < _MOST_BYTES


async def test_many_replies_that_are_large_each_are_bounded_together() -> None:
    """Each of 200 replies keeps the limit; together they do not, and the read ends."""
    large = returned(attribute_list({"Value": object_array(20_000, NULL * 20_000)}))
    async with FakeAgent() as agent:
        agent.override = lambda request: large if request.operation == GET_ATTRIBUTES else None
        client = JmxClient("127.0.0.1", agent.port, timeout_s=_MARGIN_S, limits=_LIMITS)
        answers = await client.read([("a:b=c", ["Value"])] * 200)
        await client.close()
    read = [answer for answer in answers if isinstance(answer, dict)]
    assert 0 < len(read) <= _LIMITS.items // 20_000
    assert isinstance(answers[-1], JmxError)


async def test_a_hostile_answer_cannot_be_endless_to_write() -> None:
    """Sets that share their children are refused; what is taken can be written out."""
    written: list[JmxValue] = []
    for levels in (4, 40):
        sets, tail = b"", b""
        for level in range(levels):
            head = b"\x71\0\x7e\0\0" if level else class_of("java.util.HashSet", flags=3)
            sets += b"\x73" + head
            inner = b"\x71" + struct.pack(">i", 0x7E0000 + level + 2)
            tail = (inner if level + 1 < levels else b"") + b"\x78" + tail
        async with FakeAgent() as agent:
            bomb = returned(sets + tail)
            agent.override = lambda request, bomb=bomb: (  # type: ignore[misc]
                bomb if request.operation == QUERY_NAMES else None
            )
            client = JmxClient("127.0.0.1", agent.port, timeout_s=_MARGIN_S)
            with pytest.raises(JmxError) as told:
                await client.query("*:*")
            await client.close()
        written.append(str(told.value))
    assert written == [
        "a set of names was due",
        f"127.0.0.1:{agent.port}: malformed reply: value too large when written out",
    ]


def test_the_harm_is_what_it_says() -> None:
    """A set that ends is no harm at all: else the tests above would prove little."""
    assert next(_HARMS["a set without end"]()) + b"\x78" == returned(
        collection("java.util.HashSet")
    ).replace(b"\x77\4" + bytes(4), b"")
