"""Damage to what a Kafka node says, by a seeded chance: frames, login messages, streams."""

from __future__ import annotations

import asyncio
import base64
import random
from functools import cache
from typing import Any

from tests.unit.wire import kafka_oracle as oracle

from kafka_self_healing.secret import Secret
from kafka_self_healing.wire import kafka
from kafka_self_healing.wire.kafka.connection import KafkaConnection, read_reply
from kafka_self_healing.wire.kafka.sasl import authenticate

_TELLING = (0, 1, 0x7F, 0x80, 0xFF)
_SCRAM_TELLING = (b",", b"=", b"r=", b"i=", b"s=", b"v=", b"e=", b"m=", b"\0", b"\xff", b"9" * 30)
_ROUNDS = 4


def mutate(frame: bytes, rng: random.Random) -> bytes:
    """Return `frame` with one to four damages: a byte set, a bit turned, cut, stretched."""
    data = bytearray(frame)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if len(data) <= 4:
            break
        place = rng.randrange(4, len(data))
        match rng.randrange(5):
            case 0:
                data[place] = rng.choice((*_TELLING, rng.randrange(256)))
            case 1:
                data[place] ^= 1 << rng.randrange(8)
            case 2:
                del data[place:]
            case 3:
                data[place : place + 1] = rng.randbytes(rng.randrange(6))
            case _:
                data[place : place + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"))
    return bytes(data)


def sample(rng: random.Random) -> oracle.RecordedFrame:
    """Return a good reply: one that a real cluster sent, or one of the independent codec's."""
    if rng.random() < 0.5:
        return rng.choice(_recorded())
    request, version = rng.choice(oracle.PAIRS)
    frame = oracle.reply_frame(request, version, oracle.random_reply(request, version, rng))
    return oracle.RecordedFrame("oracle", request, version, frame)


@cache
def _recorded() -> list[oracle.RecordedFrame]:
    return oracle.recorded_frames()


def decode(record: oracle.RecordedFrame, frame: bytes) -> bool:
    """Decode `frame` as the reply of `record`; return whether it was taken."""
    try:
        read_reply(record.request, record.version, frame)
    except kafka.KafkaWireError:
        return False
    return True


class _Node:
    """Answers a login by SCRAM with damaged messages."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._asked = rng, 0

    async def __call__(self, request: kafka.Request[Any]) -> Any:
        if isinstance(request, kafka.SaslHandshake):
            return kafka.HandshakeReply(self._rng.choice((0, 0, 0, 33, 34, 58)), ("PLAIN",))
        assert isinstance(request, kafka.SaslAuthenticate)
        self._asked += 1
        error = self._rng.choice((0, 0, 0, 0, 58, 34, -1))
        lifetime = self._rng.choice((None, -1, 0, 1, 1 << 62))
        message = self._rng.choice((None, "", "no", "x" * 5000))
        return kafka.AuthenticateReply(error, message, self._said(request.data), lifetime)

    def _said(self, theirs: bytes) -> bytes:
        if self._asked > 1:
            good = b"v=" + base64.b64encode(self._rng.randbytes(32))
        else:
            nonce = theirs.partition(b"r=")[2]
            iterations = self._rng.choice((b"4096", b"4095", b"1000001"))
            good = b"r=" + nonce + b"more,s=c2FsdHNhbHQ=,i=" + iterations
        data = bytearray(good)
        for _ in range(self._rng.randrange(3)):
            place = self._rng.randrange(len(data) + 1)
            match self._rng.randrange(3):
                case 0:
                    data[place:place] = self._rng.choice(_SCRAM_TELLING)
                case 1:
                    del data[place : place + self._rng.randrange(1, 9)]
                case _:
                    data[place : place + 1] = self._rng.randbytes(1)
        return bytes(data)


async def log_in(rng: random.Random, login: kafka.SaslLogin | None = None) -> bool:
    """Log in at a node that talks nonsense; return whether it was believed."""
    login = login or kafka.ScramLogin("SCRAM-SHA-256", "user", Secret("secret"))
    try:
        await authenticate(_Node(rng), login, "node.test")
    except kafka.KafkaWireError:
        return False
    return True


class _Wire(asyncio.Transport):
    """A transport that takes everything and remembers whether it was cut."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = False

    def write(self, data: Any) -> None:
        """Take it."""

    def abort(self) -> None:
        """Be cut."""
        self.cut = True


def stream(rng: random.Random) -> tuple[int, int]:
    """Feed a connection with damaged frames in pieces of any size, until it gives up or they end.

    Returns how many bytes came and the most that it held at a time. Needs a running loop.
    """
    connection, wire = KafkaConnection("node:1", tls=False), _Wire()
    connection.connection_made(wire)
    fed = most = 0
    for _ in range(_ROUNDS):
        record = sample(rng)
        connection.apis = {record.request.api.key: (record.version, record.version)}
        try:
            connection.send(record.request)
        except kafka.KafkaWireError:
            break
        number = connection._correlation_id.to_bytes(4, "big")
        frame = number + record.frame[4:]
        if rng.random() < 0.5:
            frame = mutate(frame, rng)
        size = len(frame) if rng.random() < 0.9 else rng.choice((0, 3, 1 << 30, 0xFFFFFFFF))
        data = size.to_bytes(4, "big") + frame
        while data and not wire.cut:
            take = rng.choice((1, 3, 17, 4096, len(data)))
            connection.data_received(data[:take])
            fed, data = fed + len(data[:take]), data[take:]
            most = max(most, len(connection._buffer))
    connection.connection_lost(None)
    assert connection.lost is not None
    return fed, most
