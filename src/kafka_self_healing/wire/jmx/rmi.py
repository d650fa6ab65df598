"""One connection of the JRMP stream protocol: calls go out, answers come back in order."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from kafka_self_healing.wire.jmx.conversion import check_written_size
from kafka_self_healing.wire.jmx.encoding import utf
from kafka_self_healing.wire.jmx.errors import (
    JmxConnectError,
    JmxError,
    JmxProtocolError,
    JmxRemoteError,
)
from kafka_self_healing.wire.jmx.serialization import STREAM_HEADER, BrokenOff, Decoder, NeedMore
from kafka_self_healing.wire.jmx.throwable import describe
from kafka_self_healing.wire.jmx.values import JmxValue, Limits

# Header, then our address, which the server ignores. Nothing waits for the server's greeting, so
# the first call may go out in the same segment.
_HELLO = b"JRMI" + struct.pack(">HB", 2, 0x4B) + utf("") + bytes(4)
_GREETING, _TLS_ALERT, _CALL, _RETURN, _ACK = 0x4E, 0x15, b"\x50", 0x51, b"\x54"
_RETURNED, _THREW = 1, 2
_UID_BYTES = 14

# A message has no length field, so an incomplete one is decoded again from its start when more of
# it is there. At once, as long as that costs no more than four times the message and this much:
_FREE_WORK_BYTES = 256 << 10
_WORK_PER_BYTE = 4
# Beyond it (a peer that drips) after a pause that grows with the message, which holds the work of
# decoding again to about a fifth of a core.
_RETRY_BYTES_PER_S = 2 << 20


@dataclass(frozen=True, slots=True)
class Call:
    """One call: on which object, which operation (number and hash), written arguments."""

    object_id: bytes
    operation: bytes
    arguments: bytes = b""
    returns_value: bool = True

    def written(self) -> bytes:
        """Return the bytes to send."""
        head = self.object_id + self.operation
        return _CALL + STREAM_HEADER + bytes((0x77, len(head))) + head + self.arguments


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one call. `threw`: `value` is an exception. `uid` is for `acknowledge`."""

    threw: bool
    value: JmxValue
    uid: bytes


class RmiConnection(asyncio.Protocol):
    """A connection that may hold several calls in flight. Once `lost` it stays so."""

    def __init__(self, host: str, port: int, limits: Limits) -> None:
        self.port = port
        self.lost: JmxError | None = None
        self._peer = f"{host}:{port}"
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._closed = self._loop.create_future()
        self._waiting: deque[tuple[Call, asyncio.Future[Reply]]] = deque()
        self._greeted = False
        self._buffer = bytearray()  # begins with the first message that is not complete
        self._needed = 0  # least length of the buffer that makes another try worth while
        self._work = 0  # bytes looked at in vain for the message at the buffer's start
        self._retry: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, host: str, port: int, limits: Limits) -> RmiConnection:
        """Connect to `host`:`port`, its addresses in order. Raises JmxConnectError."""
        loop = asyncio.get_running_loop()
        peer = f"{host}:{port}"
        failures: list[OSError] = []
        try:
            addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise _connect_error(peer, error) from None
        for family, _, _, _, address in addresses:
            try:
                _, connection = await loop.create_connection(
                    lambda: cls(host, port, limits), str(address[0]), port, family=family
                )
            except OSError as error:
                failures.append(error)
            else:
                return connection
        raise _connect_error(peer, failures[-1])

    def send(self, calls: Sequence[Call]) -> list[asyncio.Future[Reply]]:
        """Send all calls in one write; the futures end in order, with a Reply or a JmxError."""
        if self.lost is not None:
            raise self.lost.again()
        assert self._transport is not None, "send() before the connection was made"
        futures: list[asyncio.Future[Reply]] = [self._loop.create_future() for _ in calls]
        self._waiting.extend(zip(calls, futures, strict=True))
        self._transport.write(b"".join(call.written() for call in calls))
        return futures

    def acknowledge(self, uid: bytes) -> None:
        """Tell the server that the stub of that reply has arrived. There is no answer."""
        if self.lost is None and self._transport is not None:
            self._transport.write(_ACK + uid)

    def drop(self, reason: JmxError) -> None:
        """Give the connection up; all waiting calls end with `reason`."""
        if self.lost is not None:
            return
        self.lost = reason
        if self._retry is not None:
            self._retry.cancel()
        self._buffer.clear()
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(reason.again())
                future.exception()  # a caller that was cancelled does not fetch it: no complaint
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed (after `drop`, the next turn of the loop)."""
        await asyncio.shield(self._closed)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet. Called by the event loop."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_HELLO)

    def data_received(self, data: bytes) -> None:
        """Answer the calls whose replies are complete. Called by the event loop."""
        if self.lost is not None:
            return
        self._buffer += data
        size = len(self._buffer)
        if size < self._needed:
            return
        # A buffer beyond the limit is not left to grow through a pause.
        at_once = size > self._limits.message_bytes
        if at_once or self._work + size <= _FREE_WORK_BYTES + _WORK_PER_BYTE * size:
            self._decode()
        elif self._retry is None:
            self._retry = self._loop.call_later(size / _RETRY_BYTES_PER_S, self._decode)

    def eof_received(self) -> None:
        """Give up: no more answers will come. Called by the event loop."""
        self._decode()
        self.drop(JmxConnectError(f"{self._peer} closed the connection", outcome="closed"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up. Called by the event loop."""
        if isinstance(exc, ConnectionResetError | BrokenPipeError):
            self.drop(JmxConnectError(f"{self._peer} reset the connection", outcome="reset"))
        else:
            self.drop(JmxConnectError(f"{self._peer}: connection lost", outcome="closed"))
        if not self._closed.done():
            self._closed.set_result(None)

    def _decode(self) -> None:
        """Take all complete messages from the buffer."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        data, position = bytes(self._buffer), 0
        try:
            while position < len(data) and self.lost is None:
                position = self._message(data, position)
                self._needed = self._work = 0
        except NeedMore as more:
            self._needed = more.needed - position
            self._work += len(data) - position
            if max(self._needed, len(data) - position) > self._limits.message_bytes:
                self.drop(self._broken(f"a reply of over {self._limits.message_bytes} bytes"))
        except BrokenOff as broken:  # the server now hangs up or has lost its place
            text = f"{self._peer} could not write the value: {describe(broken.cause)}"
            self.drop(JmxRemoteError(text))
        except JmxProtocolError as error:
            self.drop(self._broken(str(error)))
        del self._buffer[:position]

    def _message(self, data: bytes, start: int) -> int:
        """Read one message and return where the next begins."""
        decoder = Decoder(data, start, self._limits)
        code = decoder.byte()
        if not self._greeted:
            if code != _GREETING:
                hint = "; does it want TLS?" if code == _TLS_ALERT else ""
                raise JmxProtocolError(f"not an RMI endpoint: its first byte is 0x{code:02x}{hint}")
            decoder.utf()  # our address as the server sees it, and our port
            decoder.take(4)
            self._greeted = True
            return decoder.position
        if code != _RETURN or not self._waiting:
            raise JmxProtocolError(f"unexpected message 0x{code:02x}")
        call, future = self._waiting[0]
        reply = _read_reply(decoder, call, self._limits)
        self._waiting.popleft()
        if not future.done():
            future.set_result(reply)
        return decoder.position

    def _broken(self, text: str) -> JmxProtocolError:
        return JmxProtocolError(f"{self._peer}: {text}")


def _read_reply(decoder: Decoder, call: Call, limits: Limits) -> Reply:
    if decoder.take(len(STREAM_HEADER)) != STREAM_HEADER:
        raise JmxProtocolError("bad stream header")
    head = decoder.block()
    if len(head) < 1 + _UID_BYTES or head[0] not in (_RETURNED, _THREW):
        raise JmxProtocolError("bad head of a reply")
    threw = head[0] == _THREW
    value = decoder.value() if threw or call.returns_value else None
    if decoder.shares:
        check_written_size(value, limits.items)
    return Reply(threw, value, bytes(head[1 : 1 + _UID_BYTES]))


def _connect_error(peer: str, error: OSError) -> JmxConnectError:
    outcome = "unreachable"
    if isinstance(error, ConnectionRefusedError):
        outcome = "refused"
    elif isinstance(error, ConnectionResetError):
        outcome = "reset"
    elif isinstance(error, TimeoutError):
        outcome = "timed_out"
    code = error.errno or 0  # that of name resolution is negative and has no text here
    text = os.strerror(code) if code > 0 else error.strerror or str(error)
    return JmxConnectError(f"{peer}: {text}", outcome=outcome)
