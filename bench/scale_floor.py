"""The floor that the eyes are measured against: what the questions alone cost, in bare asyncio.

Each target gets ApiVersions every interval, two of them Metadata too, on connections that stay
open. Nothing is decoded but the frame's size, nothing is judged, no deadline is kept; a timer of
the event loop is the whole schedule.
"""

from __future__ import annotations

import asyncio

from kafka_self_healing.wire.kafka import ApiVersions, Metadata
from kafka_self_healing.wire.kafka.connection import encode_request

HELLO = encode_request(ApiVersions(), 3, 1)
ALL_TOPICS = encode_request(Metadata(), 13, 1)


class Asking(asyncio.Protocol):
    """One connection on which the same question is asked again and again."""

    def __init__(self, question: bytes, interval_s: float) -> None:
        self._frame = len(question).to_bytes(4, "big") + question
        self._interval_s = interval_s
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        self._loop.call_later(self._interval_s, self._ask)
        self._transport.write(self._frame)

    def data_received(self, data: bytes) -> None:
        """Count whole frames."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 4:
            end = 4 + int.from_bytes(buffer[:4], "big")
            if len(buffer) < end:
                return
            del buffer[:end]
            self.answers += 1


class Floor:
    """All targets; `looks` counts the answers to ApiVersions."""

    def __init__(self, targets: tuple[tuple[str, int], ...], interval_s: float) -> None:
        self._targets = targets
        self._interval_s = interval_s
        self._asking: list[Asking] = []

    @property
    def looks(self) -> int:
        """How many answers there were."""
        return sum(one.answers for one in self._asking)

    async def run(self) -> None:
        """Connect to all, spread over one interval, and ask until cancelled."""
        loop = asyncio.get_running_loop()
        apart_s = self._interval_s / len(self._targets)
        for number, (host, port) in enumerate(self._targets):
            hello = Asking(HELLO, self._interval_s)
            self._asking.append(hello)
            await loop.create_connection(lambda one=hello: one, host, port)  # type: ignore[misc]
            if number < 2:
                await loop.create_connection(
                    lambda: Asking(ALL_TOPICS, self._interval_s), host, port
                )
            await asyncio.sleep(apart_s)
        await loop.create_future()
