"""Which Java classes become plain Python values, and how large such a value may be."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence

from kafka_self_healing.wire.jmx.errors import JmxProtocolError
from kafka_self_healing.wire.jmx.values import (
    Block,
    ClassLayer,
    JavaObject,
    JmxKey,
    JmxValue,
    ObjectName,
)

_MAX_BIG_INTEGER_BYTES = 512
_KEYED_COLLECTION = 3  # tag of java.util.CollSer: an immutable map
_PLAIN = 2  # flags of a class that is serializable and writes nothing but its fields


def convert(made: JavaObject) -> JmxValue:
    """Return the plain form of a completely read object, or the object itself.

    Raises JmxProtocolError if its data is not what its class writes.
    """
    converter = _CONVERTERS.get(made.class_name)
    if converter is None:
        return made
    try:
        return converter(made)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise JmxProtocolError(f"malformed reply: bad data of {made.class_name}") from None


def boxed_form(name: str, layers: Sequence[ClassLayer]) -> struct.Struct | None:
    """Return how the one number in an object of this class is written, if that is all it has."""
    if name not in _BOXES or any(layer.object_names or layer.flags != _PLAIN for layer in layers):
        return None
    forms = [layer.primitives for layer in layers if layer.primitives is not None]
    names = [name for layer in layers for name in layer.primitive_names]
    return forms[0] if names == ["value"] else None


def check_written_size(value: JmxValue, limit: int) -> None:
    """Raise JmxProtocolError if `value` contains itself or has over `limit` nodes as a tree.

    Parts that are shared by reference count each time. Forty nested sets that hold their child
    twice take 700 bytes on the wire, but writing or comparing the value would never end. An inert
    `JavaObject` counts as one node, since nothing here or in Python descends into it.
    """
    sizes: dict[int, int] = {}
    unfinished: set[int] = set()
    stack = [(value, False)]
    while stack:
        node, children_done = stack.pop()
        identity = id(node)
        children = _children(node)
        if children_done:
            unfinished.discard(identity)
            sizes[identity] = size = 1 + sum(sizes.get(id(child), 1) for child in children)
            if size > limit:
                raise JmxProtocolError("malformed reply: value too large when written out")
        elif children and identity not in sizes:
            if identity in unfinished:
                raise JmxProtocolError("malformed reply: a value contains itself")
            unfinished.add(identity)
            stack.append((node, True))
            stack.extend((child, False) for child in children if _is_container(child))


def _is_container(value: JmxValue) -> bool:
    return type(value) in (list, tuple, dict)


def _children(value: JmxValue) -> Iterable[JmxValue]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _number(made: JavaObject) -> JmxValue:
    value = made.fields["value"]
    if not isinstance(value, int | float):
        raise TypeError
    return value


def _character(made: JavaObject) -> JmxValue:
    value = made.fields["value"]
    if not isinstance(value, int):
        raise TypeError
    return "\ufffd" if 0xD800 <= value <= 0xDFFF else chr(value)


def _big_integer(made: JavaObject) -> JmxValue:
    magnitude, sign = made.fields["magnitude"], made.fields["signum"]
    if not isinstance(magnitude, bytes) or len(magnitude) > _MAX_BIG_INTEGER_BYTES:
        return made
    if not isinstance(sign, int) or sign not in (-1, 0, 1):
        raise ValueError
    return sign * int.from_bytes(magnitude, "big")


def _object_name(made: JavaObject) -> JmxValue:
    (name,) = made.annotation
    if not isinstance(name, str):
        raise TypeError
    return ObjectName(name)


def _fields(*names: str) -> Callable[[JavaObject], JmxValue]:
    return lambda made: tuple(made.fields[name] for name in names)


def _field(name: str) -> Callable[[JavaObject], JmxValue]:
    return lambda made: made.fields[name]


def _items(made: JavaObject) -> list[JmxValue]:
    return [item for item in made.annotation if not isinstance(item, Block)]


def _pairs(made: JavaObject) -> JmxValue:
    """Return a dict, or a list of pairs if a key is a container: those are never hashed."""
    items = _items(made)
    pairs = list(zip(items[0::2], items[1::2], strict=True))
    mapping: dict[JmxKey, JmxValue] = {}
    for key, value in pairs:
        if not _is_key(key):
            return list[JmxValue](pairs)
        mapping[key] = value  # type: ignore[index] # _is_key has made sure
    return mapping


def _is_key(value: JmxValue) -> bool:
    # Larger integers could be chosen to have equal hashes, which makes a dict quadratic.
    if isinstance(value, int):
        return value.bit_length() <= 64
    return value is None or isinstance(value, str | float | bytes)


def _immutable_collection(made: JavaObject) -> JmxValue:
    tag = made.fields["tag"]
    if not isinstance(tag, int):
        raise TypeError
    return _pairs(made) if tag & 0xFF == _KEYED_COLLECTION else _items(made)


def _unmodifiable(made: JavaObject) -> JmxValue:
    return made.fields["c"] if "c" in made.fields else made.fields["list"]


def _composite(made: JavaObject) -> JmxValue:
    contents = made.fields["contents"]
    return contents if isinstance(contents, dict) else made


def _tabular(made: JavaObject) -> JmxValue:
    """Return the rows. Their keys, lists of columns, only repeat what is in them."""
    rows = made.fields["dataMap"]
    if isinstance(rows, dict):
        return list(rows.values())
    if isinstance(rows, list):
        return [row[1] for row in rows if isinstance(row, tuple)]
    return made


_NUMBERS = ("Integer", "Long", "Short", "Byte", "Double", "Float", "Boolean")
_BOXES = frozenset(f"java.lang.{name}" for name in _NUMBERS)
_LISTS = ("ArrayList", "HashSet", "LinkedHashSet", "LinkedList", "Vector")
_MAPS = ("HashMap", "LinkedHashMap", "TreeMap", "Hashtable", "Properties")
_VIEWS = ("Collection", "List", "RandomAccessList", "Set")

_CONVERTERS: Mapping[str, Callable[[JavaObject], JmxValue]] = {
    **dict.fromkeys(_BOXES, _number),
    "java.lang.Character": _character,
    "java.math.BigInteger": _big_integer,
    "java.util.concurrent.atomic.AtomicInteger": _number,
    "java.util.concurrent.atomic.AtomicLong": _number,
    **{f"java.util.{name}": _items for name in _LISTS},
    "java.util.concurrent.CopyOnWriteArrayList": _items,
    "javax.management.AttributeList": _items,
    **{f"java.util.{name}": _pairs for name in _MAPS},
    "java.util.CollSer": _immutable_collection,
    "java.util.Arrays$ArrayList": _field("a"),
    **{f"java.util.Collections$Unmodifiable{name}": _unmodifiable for name in _VIEWS},
    "java.util.Collections$UnmodifiableMap": _field("m"),
    "java.util.Collections$EmptyList": _items,
    "java.util.Collections$EmptySet": _items,
    "java.util.Collections$EmptyMap": _pairs,
    "java.util.Collections$SingletonList": lambda made: [made.fields["element"]],
    "javax.management.Attribute": _fields("name", "value"),
    "javax.management.ObjectInstance": _fields("name", "className"),
    "javax.management.ObjectName": _object_name,
    "javax.management.openmbean.CompositeDataSupport": _composite,
    "javax.management.openmbean.TabularDataSupport": _tabular,
}
