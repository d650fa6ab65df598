"""Raw numbers and text out of the bytes that have come so far."""

from __future__ import annotations

import struct

from kafka_self_healing.wire.jmx.encoding import decode_modified_utf8
from kafka_self_healing.wire.jmx.errors import JmxProtocolError

U16, I32, I64 = struct.Struct(">H"), struct.Struct(">i"), struct.Struct(">q")


class NeedMore(Exception):
    """The message goes on. `needed` is the least length the data must have for another try."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed


class Reader:
    """Reads `data` from `position` on; raises NeedMore where it ends too early."""

    __slots__ = ("_data", "_end", "position")

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._end = len(data)
        self.position = position

    def take(self, count: int) -> bytes:
        """Read `count` raw bytes."""
        position = self.position
        if position + count > self._end:
            raise NeedMore(position + count)
        self.position = position + count
        return self._data[position : position + count]

    def byte(self) -> int:
        """Read one raw byte."""
        position = self.position
        if position >= self._end:
            raise NeedMore(position + 1)
        self.position = position + 1
        return self._data[position]

    def utf(self) -> str:
        """Read two length bytes and that many bytes of text."""
        return decode_modified_utf8(self.take(self.number(U16)))

    def number(self, form: struct.Struct) -> int:
        """Read one integer."""
        position = self.position
        if position + form.size > self._end:
            raise NeedMore(position + form.size)
        self.position = position + form.size
        number: int = form.unpack_from(self._data, position)[0]
        return number

    def length(self, form: struct.Struct, limit: int, what: str) -> int:
        """Read a length of at most `limit`; JmxProtocolError if it is none."""
        length = self.number(form)
        if not 0 <= length <= limit:
            raise malformed(f"{what}: {length}, and 0 to {limit} may be")
        return length


def malformed(what: str) -> JmxProtocolError:
    """Return the error to raise for bytes that no server would send."""
    return JmxProtocolError(f"malformed reply: {what}")
