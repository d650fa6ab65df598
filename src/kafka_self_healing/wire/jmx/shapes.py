"""Replies of a shape that was read before.

The same question gets nearly the same bytes each time: classes, names and texts are repeated, and
only numbers differ. So a reply is compared with earlier replies to its question, in one step of
`struct`: if all bytes are the same but those of boxed numbers, its meaning is that of the earlier
reply with the new numbers in it. Whatever has no known shape goes to the decoder.

That is sound because the decoder decides nothing by the value of a boxed number, and it is checked:
a shape that does not give back the meaning of its own reply (numbers as keys of a map) is not kept.
Equal bytes are required, so no peer can change what another peer's reply means.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from kafka_self_healing.wire.jmx.serialization import Decoder
from kafka_self_healing.wire.jmx.values import JavaObject, JmxValue, Limits

Meaning: TypeAlias = Callable[[JmxValue], Any]
"""Turns the value of a reply into what the caller is given; it looks at no number."""

_MAX_BYTES_EACH: Final = 8192
_MAX_BYTES: Final = 8 << 20
_MAX_QUESTIONS: Final = 4096
_SHAPES_EACH: Final = 4  # equal small numbers may share one object, so shapes vary a little
_CREDIT: Final = 32  # a question whose replies never look alike is not worth more attempts


@dataclass(frozen=True, slots=True)
class _Slot:
    """Stands in a value for a number that comes from the reply: part `index` of it."""

    index: int
    offset: int
    form: str


class _SlotDecoder(Decoder):
    """Decodes to a value in which the boxed numbers are slots."""

    __slots__ = ("slots",)

    def __init__(self, data: bytes, position: int, limits: Limits) -> None:
        super().__init__(data, position, limits)
        self.slots: list[_Slot] = []

    def _number_in(self, form: struct.Struct) -> Any:
        slot = _Slot(3 + 2 * len(self.slots), self.position, form.format[1:])
        super()._number_in(form)
        self.slots.append(slot)
        self._handles[-1] = slot  # type: ignore[call-overload] # what refers to it is it
        return slot


class _NoShape(Exception):
    """The value holds an object, whose picture may refer to itself."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A reply, where in it bytes without a meaning stand, how it is read, and what it meant."""

    raw: bytes
    skip: slice
    read: Meaning
    meant: Any


class Shape:
    """The bytes of a reply that stay, and what it means, with slots for the rest."""

    __slots__ = ("_deep", "_direct", "_form", "_meaning", "_still", "items", "size")

    def __init__(self, raw: bytes, skip: slice, decoder: _SlotDecoder, meaning: Any) -> None:
        """Take the shape of `raw`; its bytes in `skip` are of no meaning."""
        form, place = f">{skip.start}s{skip.stop - skip.start}s", skip.stop
        for slot in decoder.slots:
            form += f"{slot.offset - place}s{slot.form}"
            place = slot.offset + struct.calcsize(f">{slot.form}")
        self._form = struct.Struct(f"{form}{len(raw) - place}s")
        self._still = self._form.unpack(raw)[::2]
        self._meaning = meaning
        entries = meaning.items() if type(meaning) is dict else ()
        self._direct = [(key, part.index) for key, part in entries if type(part) is _Slot]
        self._deep = [(key, part) for key, part in entries if type(part) in (list, tuple, dict)]
        self.size = len(raw)
        self.items = decoder.items

    def read(self, data: bytes, start: int) -> tuple[Any] | None:
        """Return what the reply at `start` means, or None if it has another shape."""
        if len(data) - start < self.size:
            return None
        parts = self._form.unpack_from(data, start)
        if parts[::2] != self._still:
            return None
        if type(self._meaning) is not dict:
            return (_filled(self._meaning, parts),)
        out = self._meaning.copy()
        for key, index in self._direct:
            out[key] = parts[index]
        for key, part in self._deep:
            out[key] = _filled(part, parts)
        return (out,)


def _filled(part: Any, parts: tuple[Any, ...]) -> Any:
    """Return a copy of `part` with the numbers in its slots."""
    kind = type(part)
    if kind is _Slot:
        return parts[part.index]
    if kind is dict:
        return {key: _filled(value, parts) for key, value in part.items()}
    if kind is list or kind is tuple:
        return kind([_filled(value, parts) for value in part])
    return part


def _has_object(part: Any) -> bool:
    if isinstance(part, dict):
        part = part.values()
    elif not isinstance(part, list | tuple):
        return isinstance(part, JavaObject)
    return any(map(_has_object, part))


@dataclass(slots=True)
class _Known:
    """The shapes of the replies to one question, the one that was met last in front."""

    credit: int = _CREDIT
    shapes: list[Shape] = field(default_factory=list)


class ShapeMemory:
    """Shapes of replies by question; at most 8 MiB, those that were learnt first are forgotten."""

    __slots__ = ("_bytes", "_known")

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}
        self._bytes = 0

    def find(self, question: bytes, data: bytes, start: int) -> tuple[Shape, Any] | None:
        """Return the shape of the reply at `start` and what the reply means, if it is known."""
        known = self._known.get(question)
        if known is None:
            return None
        for place, shape in enumerate(known.shapes):
            meant = shape.read(data, start)
            if meant is not None:
                if place:
                    known.shapes.insert(0, known.shapes.pop(place))
                known.credit = min(known.credit + 1, _CREDIT)
                return shape, meant[0]
        return None

    def learn(self, question: bytes, reply: Decoded, limits: Limits) -> None:
        """Remember the shape of a reply, from the second one to its question on."""
        known = self._known.get(question)
        if known is None:
            self._known[question] = _Known()
            self._make_room()
            return
        if known.credit <= 0 or len(reply.raw) > _MAX_BYTES_EACH:
            return
        known.credit -= 1
        shape = _shape_of(reply, limits)
        if shape is None:
            return
        self._bytes += shape.size
        known.shapes.insert(0, shape)
        if len(known.shapes) > _SHAPES_EACH:
            self._bytes -= known.shapes.pop().size
        self._make_room()

    def _make_room(self) -> None:
        while self._bytes > _MAX_BYTES or len(self._known) > _MAX_QUESTIONS:
            oldest = self._known.pop(next(iter(self._known)))
            self._bytes -= sum(shape.size for shape in oldest.shapes)


def _shape_of(reply: Decoded, limits: Limits) -> Shape | None:
    decoder = _SlotDecoder(reply.raw, reply.skip.stop, limits)
    value = decoder.value()
    if decoder.shares or _has_object(meaning := reply.read(value)):
        return None
    shape = Shape(reply.raw, reply.skip, decoder, meaning)
    # Written, since a NaN is not equal to itself.
    return shape if repr(shape.read(reply.raw, 0)) == repr((reply.meant,)) else None
