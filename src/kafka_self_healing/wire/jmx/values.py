"""What a reply is made of: plain Python values, and inert pictures of Java objects."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TypeAlias

JmxValue: TypeAlias = (
    "bool | int | float | str | bytes | list[JmxValue] | tuple[JmxValue, ...] "
    "| dict[JmxKey, JmxValue] | JavaObject | ClassDescription | None"
)
"""A decoded value. A float may be NaN or infinite; a `JavaObject` is of a type we do not read."""

JmxKey: TypeAlias = "bool | int | float | str | bytes | None"
"""What may be a key: only values whose hash a hostile server cannot make slow or equal at will."""


class ObjectName(str):
    """The name of an MBean, as the server wrote it."""

    __slots__ = ()


class EnumName(str):
    """The name of an enum constant, such as `SECONDS`."""

    __slots__ = ()


class Block(bytes):
    """Raw bytes that a class wrote between its objects."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one reply may cost at most; anything larger is a `JmxProtocolError`."""

    message_bytes: int = 16 << 20
    depth: int = 48
    handles: int = 200_000
    items: int = 500_000  # values in one message, and nodes of a value written out as a tree
    array_length: int = 1_000_000
    string_bytes: int = 1 << 20
    class_fields: int = 256
    class_chain: int = 40
    proxy_interfaces: int = 64


@dataclass(frozen=True, slots=True)
class ClassLayer:
    """How one class of an inheritance chain lays out its part of an object."""

    flags: int
    primitives: struct.Struct | None
    primitive_names: tuple[str, ...]
    object_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ClassDescription:
    """A class as the peer described it. No class is ever looked up, loaded or run."""

    name: str
    ancestry: tuple[str, ...]  # itself first, the root last
    layers: tuple[ClassLayer, ...]  # the root first, as the data is written
    boxed: struct.Struct | None = None  # its objects are one number and nothing else

    def __repr__(self) -> str:
        return f"<java class {self.name}>"


@dataclass(slots=True, eq=False, repr=False)
class JavaObject:
    """An object that has no plain Python form: exceptions, stubs, types we do not know.

    It compares by identity and its `repr` does not descend, since `fields` and `annotation` may
    refer back to the object itself (a Throwable without a cause is its own cause).
    """

    description: ClassDescription
    fields: dict[str, JmxValue] = field(default_factory=dict)
    annotation: list[JmxValue] = field(default_factory=list)

    @property
    def class_name(self) -> str:
        """The full name of the object's class."""
        return self.description.name

    def is_a(self, class_name: str) -> bool:
        """Return whether the object's class is or extends `class_name`."""
        return class_name in self.description.ancestry

    def __repr__(self) -> str:
        return f"<java {self.class_name}>"
