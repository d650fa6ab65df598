"""Kafka's primitive types: a bounded reader over one frame, and the writers.

Every count and length is checked against the bytes that are left, so no reply can make us allocate
more than a small multiple of its own size. Only KafkaProtocolError leaves the reader.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from kafka_self_healing.wire.kafka.errors import KafkaProtocolError

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")

_INT8 = struct.Struct(">b").unpack_from
_INT16 = struct.Struct(">h").unpack_from
_UINT16 = struct.Struct(">H").unpack_from
_INT32 = struct.Struct(">i").unpack_from
_INT64 = struct.Struct(">q").unpack_from
_LAST_SHIFT = 28  # an unsigned varint has at most five bytes
_NO_UUID = bytes(16)
PAST_THE_END = "value runs past the end of the frame"


class Reader:
    """Reads one frame from `position` on. `flexible`: compact lengths and tagged fields."""

    __slots__ = ("data", "end", "flexible", "position")

    def __init__(self, data: bytes, position: int = 0, *, flexible: bool = False) -> None:
        self.data = data
        self.position = position
        self.end = len(data)
        self.flexible = flexible

    def finish(self) -> None:
        """Check that all is read."""
        if self.position != self.end:
            raise KafkaProtocolError(f"{self.end - self.position} bytes are left over")

    def take(self, size: int) -> int:
        """Skip `size` bytes and return where they begin."""
        start = self.position
        if size < 0 or size > self.end - start:
            raise KafkaProtocolError(PAST_THE_END)
        self.position = start + size
        return start

    def int8(self) -> int:
        """Read one signed byte."""
        value: int = _INT8(self.data, self.take(1))[0]
        return value

    def boolean(self) -> bool:
        """Read one byte; all but zero is true."""
        return self.data[self.take(1)] != 0

    def int16(self) -> int:
        """Read two bytes, signed."""
        value: int = _INT16(self.data, self.take(2))[0]
        return value

    def uint16(self) -> int:
        """Read two bytes, unsigned."""
        value: int = _UINT16(self.data, self.take(2))[0]
        return value

    def int32(self) -> int:
        """Read four bytes, signed."""
        value: int = _INT32(self.data, self.take(4))[0]
        return value

    def int64(self) -> int:
        """Read eight bytes, signed."""
        value: int = _INT64(self.data, self.take(8))[0]
        return value

    def optional_uuid(self) -> uuid.UUID | None:
        """Read sixteen bytes; all zero means none."""
        start = self.take(16)
        raw = self.data[start : start + 16]
        return None if raw == _NO_UUID else uuid.UUID(bytes=raw)

    def varint(self) -> int:
        """Read an unsigned varint of at most five bytes."""
        value = shift = 0
        while True:
            byte = self.data[self.take(1)]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            if shift == _LAST_SHIFT:
                raise KafkaProtocolError("varint of more than five bytes")
            shift += 7

    def nullable_string(self) -> str | None:
        """Read a text or null."""
        size = self.varint() - 1 if self.flexible else self.int16()
        if size == -1:
            return None
        start = self.take(size)
        try:
            return str(self.data[start : start + size], "utf-8")
        except UnicodeDecodeError:
            raise KafkaProtocolError("text is not UTF-8") from None

    def string(self) -> str:
        """Read a text that must not be null."""
        text = self.nullable_string()
        if text is None:
            raise KafkaProtocolError("text is null where the protocol wants one")
        return text

    def blob(self) -> bytes:
        """Read bytes that must not be null."""
        size = self.varint() - 1 if self.flexible else self.int32()
        start = self.take(size)
        return self.data[start : start + size]

    def count(self, least: int) -> int:
        """Read the number of elements of an array; each takes at least `least` bytes."""
        number = self.varint() - 1 if self.flexible else self.int32()
        if number < 0:
            raise KafkaProtocolError("array is null where the protocol wants one")
        if number * least > self.end - self.position:
            raise KafkaProtocolError(f"array of {number} elements in a frame of {self.end} bytes")
        return number

    def int32s(self) -> tuple[int, ...]:
        """Read an array of four-byte integers."""
        number = self.count(4)
        return struct.unpack_from(f">{number}i", self.data, self.take(4 * number))

    def nullable_int32s(self) -> tuple[int, ...] | None:
        """Read a compact array of four-byte integers, or null (flexible versions only)."""
        if self.position < self.end and self.data[self.position] == 0:
            self.position += 1
            return None
        return self.int32s()

    def tags(self) -> dict[int, tuple[int, int]]:
        """Read the tagged fields: tag to (start, end). Empty in versions that are not flexible."""
        found: dict[int, tuple[int, int]] = {}
        if self.flexible:
            for _ in range(self.varint()):
                tag, size = self.varint(), self.varint()
                start = self.take(size)
                found[tag] = (start, start + size)
        return found

    def part(self, bounds: tuple[int, int]) -> Reader:
        """Return a reader that sees nothing but the tagged field within `bounds`."""
        return Reader(self.data[bounds[0] : bounds[1]], flexible=True)


class Kept(Generic[_Value]):
    """A part of a reply that was read last, with its bytes: the same bytes are not read again."""

    __slots__ = ("_raw", "_value", "_version")

    def __init__(self) -> None:
        self._raw = b""
        self._version = 0
        self._value: _Value | None = None

    def read(self, reader: Reader, version: int, read: Callable[[Reader], _Value]) -> _Value:
        """Return what begins at the reader's position, by `read` if it is not known.

        The part must say itself where it ends, as an array does by its count.
        """
        start = reader.position
        known = self._value if self._version == version else None
        if known is not None and reader.data.startswith(self._raw, start):
            reader.position = start + len(self._raw)
            return known
        value = read(reader)
        self._raw, self._version = reader.data[start : reader.position], version
        self._value = value
        return value


def none_if_unknown(value: int) -> int | None:
    """Return None for -1, with which Kafka says "not known"."""
    return None if value == -1 else value


def write_varint(value: int) -> bytes:
    """Return the unsigned varint of `value` (not negative)."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_string(text: str | None, *, flexible: bool) -> bytes:
    """Return a text or null."""
    if text is None:
        return b"\0" if flexible else b"\xff\xff"
    raw = text.encode()
    return (write_varint(len(raw) + 1) if flexible else struct.pack(">h", len(raw))) + raw


def write_array(
    items: Sequence[_Item] | None, write: Callable[[_Item], bytes], *, flexible: bool
) -> bytes:
    """Return an array (None: the null array) of items that `write` turns into bytes."""
    number = -1 if items is None else len(items)
    head = write_varint(number + 1) if flexible else struct.pack(">i", number)
    return head + b"".join(map(write, items or ()))
