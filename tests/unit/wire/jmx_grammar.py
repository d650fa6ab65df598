"""Replies that keep to the grammar of Java serialization, and otherwise say what they like."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.unit.wire.jmx_server import (
    attribute_list,
    boxed,
    class_of,
    collection,
    composite,
    exception,
    number,
    object_array,
    returned,
    stub,
    thrown,
)

from kafka_self_healing.wire.jmx.conversion import _CONVERTERS
from kafka_self_healing.wire.jmx.encoding import NULL, utf, write_object_name, write_string

_CLASSES = (*sorted(_CONVERTERS), "x.Unknown", "[I", "")
_FIELDS = ("value", "contents", "dataMap", "tag", "signum", "magnitude", "a", "c", "m", "element")
_PRIMITIVES = {"B": "b", "C": "H", "D": "d", "F": "f", "I": "i", "J": "q", "S": "h", "Z": "?"}
_DEEPEST = 7


def invented(chance: random.Random) -> bytes:
    """Return a whole reply: a value, an exception or a stub with parts of every kind."""
    match chance.randrange(6):
        case 0:
            return thrown(exception("java.rmi.RemoteException", message="x") + _value(chance, 0))
        case 1:
            factory = chance.choice(("", "javax.rmi.ssl.SslRMIClientSocketFactory", "x.Y"))
            port = chance.choice((0, 1, 9999, 65535, 65536, -1))
            host = "h" * chance.choice((1, 200))
            return returned(stub(chance.randbytes(22), host=host, port=port, factory=factory))
        case 2 | 3:
            names = [chance.choice(("Value", "Count", "é", "")) + str(at) for at in range(5)]
            return returned(attribute_list({name: _value(chance, 1) for name in names}))
        case _:
            return returned(_value(chance, 0))


def _value(chance: random.Random, depth: int) -> bytes:
    makers: tuple[Callable[[random.Random, int], bytes], ...] = _LEAVES
    if depth < _DEEPEST and chance.random() < 0.6:
        makers = _BRANCHES
    return chance.choice(makers)(chance, depth)


def _some(chance: random.Random, depth: int) -> list[bytes]:
    return [_value(chance, depth + 1) for _ in range(chance.choice((0, 1, 2, 2, 3, 4)))]


def _text(chance: random.Random) -> str:
    return "".join(chance.choice("ab\0é𝄞\n:=") for _ in range(chance.randrange(9)))


def _reference(chance: random.Random, _: int) -> bytes:
    return b"\x71" + struct.pack(
        ">i", 0x7E0000 + chance.choice((chance.randrange(40), -1, 1 << 20))
    )


def _long_string(chance: random.Random, _: int) -> bytes:
    raw = utf(_text(chance))[2:]
    return b"\x7c" + struct.pack(">q", chance.choice((len(raw), len(raw), -1, 1 << 40))) + raw


def _number(chance: random.Random, _: int) -> bytes:
    if chance.random() < 0.5:
        return boxed(chance.choice((0, 1, -1, 2**63 - 1)))
    java, form, value = chance.choice(
        (("Integer", "i", 7), ("Double", "d", float("nan")), ("Boolean", "?", 1))
    )
    return number(str(java), str(form), float(value) if form == "d" else int(value))


def _array(chance: random.Random, depth: int) -> bytes:
    parts = _some(chance, depth)
    lie = chance.choice((0, 0, 0, 0, 1, -1, 1 << 30))
    return object_array(min(len(parts) + lie, 0x7FFFFFFF), b"".join(parts))


def _primitives(chance: random.Random, _: int) -> bytes:
    code, form = chance.choice(tuple(_PRIMITIVES.items()))
    count = chance.choice((0, 1, 3, 100))
    raw = bytes(struct.calcsize(f">{form}") * count)
    return b"\x75" + class_of(f"[{code}") + struct.pack(">i", count) + raw


def _collection(chance: random.Random, depth: int) -> bytes:
    return collection(chance.choice(_CLASSES), *_some(chance, depth))


def _object(chance: random.Random, depth: int) -> bytes:
    """An object of a known class with fields that it may or may not have."""
    primitive = [chance.choice(_FIELDS) for _ in range(chance.randrange(3))]
    objects = [chance.choice(_FIELDS) for _ in range(chance.randrange(3))]
    described, data = struct.pack(">H", len(primitive) + len(objects)), b""
    for name in primitive:
        code, form = chance.choice(tuple(_PRIMITIVES.items()))
        described += code.encode() + utf(name)
        data += bytes(struct.calcsize(f">{form}"))
    for name in objects:
        described += chance.choice((b"L", b"[")) + utf(name) + write_string("Ljava/lang/Object;")
        data += _value(chance, depth + 1)
    flags = chance.choice((2, 2, 2, 3, 4, 12, 0))
    end = b"\x78" if flags in (3, 12) else b""
    return b"\x73" + class_of(chance.choice(_CLASSES), flags=flags, fields=described) + data + end


def _enum(chance: random.Random, depth: int) -> bytes:
    return b"\x7e" + class_of("java.util.concurrent.TimeUnit", flags=18) + _value(chance, depth + 5)


_LEAVES: tuple[Callable[[random.Random, int], bytes], ...] = (
    lambda chance, _: NULL,
    lambda chance, _: write_string(_text(chance)),
    lambda chance, _: write_object_name(_text(chance)),
    _number,
    _number,
    _reference,
    _long_string,
    _primitives,
    lambda chance, _: chance.choice((b"\x79", b"\x78", b"\x77\1x", b"\x7b", b"\x7d\0\0\0\1\0\0")),
)
_BRANCHES: tuple[Callable[[random.Random, int], bytes], ...] = (
    _array,
    _collection,
    _collection,
    _object,
    _enum,
    lambda chance, depth: composite(used=_value(chance, depth + 1), max=_value(chance, depth + 1)),
    lambda chance, depth: b"\x76" + class_of(chance.choice(_CLASSES)),
)
