"""Java serialization, written: strings, string arrays and ObjectNames. Nothing else is sent."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from kafka_self_healing.wire.jmx.errors import JmxProtocolError

NULL = b"\x70"
_STRING = b"\x74"
_END_BLOCK = b"\x78"
# RMI writes the code base of each class into its description; ours is null. A server that does not
# find it there loses its place in the stream.
_NO_CODEBASE = NULL + _END_BLOCK
_SERIALIZABLE = 2
_SERIALIZABLE_WITH_WRITE_OBJECT = 3


def decode_modified_utf8(raw: bytes) -> str:
    """Decode Java's UTF-8 (NUL is C0 80, astral characters are surrogate pairs).

    A lone surrogate becomes U+FFFD, so that the text can be written anywhere.
    """
    if raw.isascii():
        return raw.decode("ascii")
    try:
        text = raw.replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise JmxProtocolError("malformed reply: bad modified UTF-8") from None
    return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")


def encode_modified_utf8(text: str) -> bytes:
    """Encode as Java's UTF-8."""
    if text.isascii() and "\0" not in text:
        return text.encode("ascii")
    out = bytearray()
    for (unit,) in struct.iter_unpack(">H", text.encode("utf-16-be", "surrogatepass")):
        if 0 < unit < 0x80:
            out.append(unit)
        elif unit < 0x800:
            out += bytes((0xC0 | unit >> 6, 0x80 | unit & 63))
        else:
            out += bytes((0xE0 | unit >> 12, 0x80 | unit >> 6 & 63, 0x80 | unit & 63))
    return bytes(out)


def utf(text: str) -> bytes:
    """Return the two length bytes and the text; ValueError if it has more than 65,535 bytes."""
    raw = encode_modified_utf8(text)
    if len(raw) > 0xFFFF:
        msg = "a string of more than 65535 bytes cannot be sent"
        raise ValueError(msg)
    return struct.pack(">H", len(raw)) + raw


def write_string(text: str) -> bytes:
    """Return a String object."""
    return _STRING + utf(text)


def _class(name: str, serial_version: int, flags: int) -> bytes:
    no_fields, no_super_class = b"\0\0", NULL
    head = b"\x72" + utf(name) + struct.pack(">QB", serial_version, flags)
    return head + no_fields + _NO_CODEBASE + no_super_class


_STRING_ARRAY = b"\x75" + _class("[Ljava.lang.String;", 0xADD256E7E91D7B47, _SERIALIZABLE)
_OBJECT_NAME = b"\x73" + _class(
    "javax.management.ObjectName", 0x0F03A71BEB6D15CF, _SERIALIZABLE_WITH_WRITE_OBJECT
)


def write_strings(texts: Sequence[str]) -> bytes:
    """Return a String[]."""
    return _STRING_ARRAY + struct.pack(">i", len(texts)) + b"".join(map(write_string, texts))


def write_object_name(name: str) -> bytes:
    """Return an ObjectName; the caller has validated it (see `object_name`)."""
    return _OBJECT_NAME + write_string(name) + _END_BLOCK
