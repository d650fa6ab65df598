"""One connection of the JRMP stream protocol: calls go out, answers come back in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from kafka_self_healing.wire.jmx.connecting import (
    GREETING,
    HELLO,
    Endpoint,
    Opening,
    Waiting,
    lost_error,
)
from kafka_self_healing.wire.jmx.conversion import check_written_size
from kafka_self_healing.wire.jmx.errors import (
    JmxError,
    JmxProtocolError,
    JmxRemoteError,
    JmxTlsError,
)
from kafka_self_healing.wire.jmx.reader import NeedMore
from kafka_self_healing.wire.jmx.serialization import STREAM_HEADER, BrokenOff, Decoder
from kafka_self_healing.wire.jmx.shapes import Decoded, Meaning, ShapeMemory
from kafka_self_healing.wire.jmx.throwable import describe
from kafka_self_healing.wire.jmx.values import Limits

_TLS_ALERT, _CALL, _RETURN, _ACK = 0x15, b"\x50", 0x51, b"\x54"
_RETURNED, _THREW = 1, 2
_UID_BYTES: Final = 14
_HEAD_BYTES: Final = 1 + _UID_BYTES
_UID: Final = slice(8, 8 + _UID_BYTES)  # where it stands in a reply

# A message has no length field, so an incomplete one is decoded again from its start when more of
# it is there. At once, as long as that costs no more than four times the message and this much:
_FREE_WORK_BYTES: Final = 256 << 10
_WORK_PER_BYTE: Final = 4
# Beyond it (a peer that drips) after a pause that grows with the message, which holds the work of
# decoding again to about a fifth of a core.
_RETRY_BYTES_PER_S: Final = 2 << 20


@dataclass(frozen=True, slots=True)
class Call:
    """One call: on which object, which operation (number and hash), written arguments.

    `read` turns the value that is returned into what the caller gets; such calls are frequent ones,
    of whose replies the shapes are remembered.
    """

    object_id: bytes
    operation: bytes
    arguments: bytes = b""
    returns_value: bool = True
    read: Meaning | None = None

    def written(self) -> bytes:
        """Return the bytes to send."""
        head = self.object_id + self.operation
        return b"".join((_CALL, STREAM_HEADER, b"\x77", bytes((len(head),)), head, self.arguments))


@dataclass(slots=True)
class Reply:
    """The answer to one call. `threw`: `value` is an exception. `uid` is for `acknowledge`."""

    threw: bool
    value: Any
    uid: bytes = b""


Answers: TypeAlias = "list[Reply | JmxError]"


class RmiConnection(asyncio.Protocol):
    """A connection on which several calls may be asked in one go. Once `lost` it stays so.

    `on_lost` is called when the connection is lost while nothing is asked, and not by `drop`.
    """

    def __init__(self, endpoint: Endpoint, limits: Limits) -> None:
        self.endpoint = endpoint
        self.lost: JmxError | None = None
        self.greeted = False
        self.on_lost: Callable[[JmxError], None] | None = None
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._closed = self._loop.create_future()
        self._calls: Sequence[Call] = ()
        self._answers: Answers = []
        self._asked: asyncio.Future[Answers] | None = None
        self._hello = HELLO
        self._heard = 0  # bytes and values of the replies to all calls that were asked together
        self._items = 0
        self._buffer = bytearray()  # begins with the first message that is not complete
        self._needed = 0  # least length of the buffer that makes another try worth while
        self._work = 0  # bytes looked at in vain for the message at the buffer's start
        self._retry: asyncio.TimerHandle | None = None

    @classmethod
    async def open(
        cls, endpoint: Endpoint, limits: Limits, waiting: Waiting, *, limit_s: float
    ) -> RmiConnection:
        """Connect to `endpoint`. Raises JmxConnectError, JmxTlsError or JmxTimeout."""
        opening = Opening(endpoint, lambda: cls(endpoint, limits), waiting)
        connection = await opening.connect(limit_s=limit_s)
        assert isinstance(connection, cls)
        return connection

    def ask(self, calls: Sequence[Call]) -> asyncio.Future[Answers]:
        """Send all calls in one write; the future ends with all answers, in order.

        An answer is a Reply, or the JmxError for which there is none. The next calls may be asked
        when these are answered. Raises JmxError if the connection is lost already.
        """
        if self.lost is not None:
            raise self.lost.again()
        assert self._transport is not None, "ask() before the connection was made"
        assert self._asked is None, "ask() before the last calls were answered"
        self._asked = self._loop.create_future()
        self._calls, self._answers = calls, []
        self._heard = self._items = 0
        hello, self._hello = self._hello, b""
        self._transport.write(hello + b"".join([call.written() for call in calls]))
        return self._asked

    def acknowledge(self, uid: bytes) -> None:
        """Tell the server that the stub of that reply has arrived. There is no answer."""
        if self.lost is None and self._transport is not None:
            self._transport.write(_ACK + uid)

    def drop(self, reason: JmxError) -> None:
        """Give the connection up; all calls that are not answered end with `reason`."""
        if self.lost is not None:
            return
        self.lost = reason
        if self._retry is not None:
            self._retry.cancel()
        self._buffer.clear()
        left = len(self._calls) - len(self._answers)
        self._answers += [reason.again() for _ in range(left)]
        self._deliver()
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed (after `drop`, the next turn of the loop)."""
        await asyncio.shield(self._closed)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer the calls whose replies are complete. Called by the event loop."""
        if self.lost is not None:
            return
        if not self._buffer:
            self._decode(data)
            return
        self._buffer += data
        size = len(self._buffer)
        if size < self._needed:
            return
        # A buffer beyond the limit is not left to grow through a pause.
        at_once = size > self._limits.message_bytes
        if at_once or self._work + size <= _FREE_WORK_BYTES + _WORK_PER_BYTE * size:
            self._decode(bytes(self._buffer))
        elif self._retry is None:
            self._retry = self._loop.call_later(
                size / _RETRY_BYTES_PER_S, lambda: self._decode(bytes(self._buffer))
            )

    def eof_received(self) -> None:
        """Give up: no more answers will come. Called by the event loop."""
        self._decode(bytes(self._buffer))
        self._lose(lost_error(self.endpoint, None, greeted=self.greeted))

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up. Called by the event loop."""
        self._lose(lost_error(self.endpoint, exc, greeted=self.greeted))
        if not self._closed.done():
            self._closed.set_result(None)

    def _lose(self, reason: JmxError) -> None:
        if self.lost is not None:
            return
        idle = self._asked is None
        self.drop(reason)
        if idle and self.on_lost is not None:
            self.on_lost(reason)

    def _deliver(self) -> None:
        asked, self._asked = self._asked, None
        if asked is not None and not asked.done():  # done: its caller has given up
            asked.set_result(self._answers)

    def _decode(self, data: bytes) -> None:
        """Take all complete messages from `data`, which begins with one, and keep the rest."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        position, size = 0, len(data)
        try:
            while position < size and self.lost is None:
                position = self._message(data, position)
                self._needed = self._work = 0
        except NeedMore as more:
            self._needed = more.needed - position
            self._work += size - position
            if self._heard + max(self._needed, size - position) > self._limits.message_bytes:
                self._broken(self._too_long())
        except BrokenOff as broken:  # the server now hangs up or has lost its place
            text = f"{self.endpoint} could not write the value: {describe(broken.cause)}"
            self._lose(JmxRemoteError(text))
        except JmxTlsError as error:
            self._lose(error)
        except JmxProtocolError as error:
            self._broken(str(error))
        self._buffer[:] = data[position:] if self.lost is None else b""

    def _message(self, data: bytes, start: int) -> int:
        """Read one message and return where the next begins."""
        if not self.greeted:
            return self._greeting(data, start)
        if data[start] != _RETURN or self._asked is None:
            raise JmxProtocolError(f"unexpected message 0x{data[start]:02x}")
        call = self._calls[len(self._answers)]
        known = None if call.read is None else _SHAPES.find(call.arguments, data, start)
        if known is not None:
            shape, value = known
            reply, end = Reply(threw=False, value=value), start + shape.size
            self._items += shape.items
        else:
            reply, end = self._reply(data, start, call)
        self._heard += end - start
        if self._heard > self._limits.message_bytes:
            raise JmxProtocolError(self._too_long())
        self._answers.append(reply)
        if len(self._answers) == len(self._calls):
            self._deliver()
        return end

    def _greeting(self, data: bytes, start: int) -> int:
        decoder = Decoder(data, start, self._limits)
        code = decoder.take(1)
        if code[0] == _TLS_ALERT:
            raise JmxTlsError(
                f"{self.endpoint} speaks TLS, and plain RMI is configured for it here; configure "
                "tls (or registry_tls) for its JMX"
            )
        if code != GREETING:
            text = f"its first byte, 0x{code.hex()}, is not RMI's; is this the JMX port?"
            raise JmxProtocolError(text)
        decoder.utf()  # our address as the server sees it, and our port
        decoder.take(4)
        self.greeted = True
        return decoder.position

    def _reply(self, data: bytes, start: int, call: Call) -> tuple[Reply, int]:
        """Decode one reply and return it, and where the next begins."""
        decoder = Decoder(data, start + 1, self._limits, items=self._items)
        if decoder.take(len(STREAM_HEADER)) != STREAM_HEADER:
            raise JmxProtocolError("bad stream header")
        head = decoder.block()
        if len(head) < _HEAD_BYTES or head[0] not in (_RETURNED, _THREW):
            raise JmxProtocolError("bad head of a reply")
        threw = head[0] == _THREW
        value: Any = decoder.value() if threw or call.returns_value else None
        if decoder.shares:
            check_written_size(value, self._limits.items)
        self._items = decoder.items
        if call.read is not None and not threw:
            value = call.read(value)
            if len(head) == _HEAD_BYTES and not isinstance(value, JmxError):
                known = Decoded(data[start : decoder.position], _UID, call.read, value)
                _SHAPES.learn(call.arguments, known, self._limits)
        return Reply(threw, value, bytes(head[1:_HEAD_BYTES])), decoder.position

    def _too_long(self) -> str:
        return f"replies of over {self._limits.message_bytes} bytes"

    def _broken(self, text: str) -> None:
        self._lose(JmxProtocolError(f"{self.endpoint}: {text}"))


_SHAPES = ShapeMemory()  # of the whole process: brokers of one version answer in the same shapes
