"""Java serialization, read: a bounded decoder that builds values and never looks up a class.

The stream has no length field, so only decoding finds the end of a message. The decoder therefore
works on what is there and raises `NeedMore` when it is not enough; the caller starts anew with more
bytes. (`rmi` decides when that is worth while, so that a dripping peer cannot make it quadratic.)
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from enum import Enum
from typing import ClassVar, Final

from kafka_self_healing.wire.jmx.class_memory import ClassMemory
from kafka_self_healing.wire.jmx.conversion import boxed_form, convert
from kafka_self_healing.wire.jmx.encoding import decode_modified_utf8
from kafka_self_healing.wire.jmx.errors import JmxProtocolError
from kafka_self_healing.wire.jmx.reader import I32, I64, U16, NeedMore, Reader, malformed
from kafka_self_healing.wire.jmx.values import (
    Block,
    ClassDescription,
    ClassLayer,
    EnumName,
    JavaObject,
    JmxValue,
    Limits,
)

STREAM_HEADER = b"\xac\xed\0\5"

_NULL, _REFERENCE, _CLASS_DESCRIPTION, _OBJECT, _STRING, _ARRAY, _CLASS, _BLOCK = range(0x70, 0x78)
_END_BLOCK, _RESET, _LONG_BLOCK, _EXCEPTION, _LONG_STRING, _PROXY, _ENUM = range(0x78, 0x7F)
_WRITE_OBJECT, _SERIALIZABLE, _EXTERNALIZABLE, _BLOCK_MODE = 1, 2, 4, 8
_FIRST_HANDLE = 0x7E0000
_RESETS_AT_MOST = 8
_PRIMITIVES: Final = {  # Java's type code -> struct's
    "B": "b", "C": "H", "D": "d", "F": "f", "I": "i", "J": "q", "S": "h", "Z": "?",
}  # fmt: skip


class BrokenOff(Exception):
    """The sender failed while it wrote a value; `cause` is the exception that it sent instead."""

    def __init__(self, cause: JmxValue) -> None:
        super().__init__("the server failed while it wrote the value")
        self.cause = cause


class _Mark(Enum):
    """What can stand in a stream and is no value."""

    END = "end of an annotation"
    PENDING = "a handle whose object is not complete"


class Decoder(Reader):
    """Reads one message of `data` from `position` on; `position` moves behind what was read.

    `items` counts what was read, from the given number on, towards the limit. Every method raises
    NeedMore if data is missing, BrokenOff if the sender gave up, and JmxProtocolError if the data
    is malformed or beyond `limits`.
    """

    __slots__ = (
        "_handles",
        "_limits",
        "_references",
        "_resets",
        "items",
        "shares",
    )

    def __init__(self, data: bytes, position: int, limits: Limits, *, items: int = 0) -> None:
        super().__init__(data, position)
        self._limits = limits
        self._handles: list[JmxValue | _Mark] = []
        self._references = 0
        self._resets = 0
        self.items = items
        self.shares = False  # whether some container was referred to again

    def value(self) -> JmxValue:
        """Read one value."""
        return self._value(0)

    def block(self) -> Block:
        """Read one block of raw bytes."""
        block = self._content(0)
        if not isinstance(block, Block):
            raise malformed("raw bytes were due")
        return block

    def _add(self, made: JmxValue | _Mark) -> int:
        """Give `made` the next handle; later parts of the message may refer to it."""
        handle = len(self._handles)
        if handle >= self._limits.handles:
            raise malformed("too many objects")
        self._handles.append(made)
        return handle

    def _count_items(self, count: int) -> None:
        self.items += count
        if self.items > self._limits.items:
            raise malformed("too many values")

    def _content(self, depth: int) -> JmxValue | _Mark:
        """Read whatever comes next. The frequent cases stand here, the rare ones in a table."""
        if depth > self._limits.depth:
            raise malformed("nested too deep")
        self.items += 1
        if self.items > self._limits.items:
            raise malformed("too many values")
        position = self.position
        if position >= self._end:
            raise NeedMore(position + 1)
        self.position = position + 1
        code = self._data[position]
        if code == _OBJECT:
            return self._object(depth)
        if code == _STRING:
            text = self.utf()
            self._add(text)
            return text
        if code == _NULL:
            return None
        if code == _REFERENCE:
            return self._reference()
        if code == _BLOCK:
            return Block(self.take(self.byte()))
        if code == _END_BLOCK:
            return _Mark.END
        reader = self._RARE.get(code)
        if reader is None:
            raise malformed(f"unknown type code 0x{code:02x}")
        return reader(self, depth)

    def _value(self, depth: int) -> JmxValue:
        content = self._content(depth)
        if content is _Mark.END or isinstance(content, Block):
            raise malformed("a value was due")
        return content  # type: ignore[return-value] # no other mark leaves _content

    def _text(self, depth: int) -> str:
        text = self._value(depth)
        if type(text) is not str:
            raise malformed("a string was due")
        return text

    def _reference(self) -> JmxValue:
        self._references += 1
        index = self.number(I32) - _FIRST_HANDLE
        if not 0 <= index < len(self._handles):
            raise malformed("reference to an object that was not sent")
        referent = self._handles[index]
        if isinstance(referent, _Mark):
            raise malformed("reference to an object that is not complete")
        if type(referent) in (list, tuple, dict):
            self.shares = True
        return referent

    def _annotation(self, depth: int) -> list[JmxValue]:
        out: list[JmxValue] = []
        while (content := self._content(depth + 1)) is not _Mark.END:
            out.append(content)  # type: ignore[arg-type] # no other mark leaves _content
        return out

    def _object(self, depth: int) -> JmxValue:
        description = self._class(depth + 1)
        if description is None:
            raise malformed("object without a class")
        if description.boxed is not None:
            return self._number_in(description.boxed)
        made = JavaObject(description)
        handle = self._add(made)  # before its parts: they may refer to it
        for layer in description.layers:
            if layer.flags & _EXTERNALIZABLE:
                if not layer.flags & _BLOCK_MODE:
                    raise JmxProtocolError(
                        f"unsupported type {description.name}: its data has no visible end"
                    )
                made.annotation += self._annotation(depth)
            elif layer.flags & _SERIALIZABLE:
                self._layer(made, layer, depth)
        value = convert(made)
        self._handles[handle] = value
        return value

    def _number_in(self, form: struct.Struct) -> JmxValue:
        """Read what the object of a boxed number writes: one primitive value."""
        position = self.position
        if position + form.size > self._end:
            raise NeedMore(position + form.size)
        self.position = position + form.size
        (number,) = form.unpack_from(self._data, position)
        self._add(number)
        return number  # type: ignore[no-any-return] # struct's results have no types

    def _layer(self, made: JavaObject, layer: ClassLayer, depth: int) -> None:
        fields, form = made.fields, layer.primitives
        if form is not None:
            position = self.position
            if position + form.size > self._end:
                raise NeedMore(position + form.size)
            self.position = position + form.size
            values = form.unpack_from(self._data, position)
            fields.update(zip(layer.primitive_names, values, strict=True))
        for name in layer.object_names:
            fields[name] = self._value(depth + 1)
        if layer.flags & _WRITE_OBJECT:
            made.annotation += self._annotation(depth)

    def _array(self, depth: int) -> JmxValue:
        description = self._class(depth + 1)
        if description is None or len(description.name) < 2 or description.name[0] != "[":
            raise malformed("array without an array class")
        handle = self._add(_Mark.PENDING)
        length = self.length(I32, self._limits.array_length, "array length")
        element = description.name[1]
        if element in _PRIMITIVES:
            if element != "B":  # bytes stay as they are; other elements become objects of ours
                self._count_items(length)
            form = struct.Struct(f">{length}{_PRIMITIVES[element]}")
            raw = self.take(form.size)
            primitives: JmxValue = raw if element == "B" else list(form.unpack(raw))
            self._handles[handle] = primitives
            return primitives
        if self.position + length > self._end:  # an element has at least one byte
            raise NeedMore(self.position + length)
        elements: list[JmxValue] = []
        self._handles[handle] = elements
        for _ in range(length):
            elements.append(self._value(depth + 1))  # noqa: PERF401 # elements refer to the array
        return elements

    def _enum(self, depth: int) -> JmxValue:
        if self._class(depth + 1) is None:
            raise malformed("enum constant without a class")
        handle = self._add(_Mark.PENDING)
        constant = EnumName(self._text(depth + 1))
        self._handles[handle] = constant
        return constant

    def _class_literal(self, depth: int) -> JmxValue:
        description = self._class(depth + 1)
        self._add(description)
        return description

    def _bare_class(self, depth: int) -> JmxValue:
        self.position -= 1
        return self._class(depth + 1)

    def _long_string(self, _depth: int) -> JmxValue:
        text = decode_modified_utf8(
            self.take(self.length(I64, self._limits.string_bytes, "string length"))
        )
        self._add(text)
        return text

    def _long_block(self, _depth: int) -> JmxValue:
        return Block(self.take(self.length(I32, self._limits.string_bytes, "block length")))

    def _reset(self, depth: int) -> JmxValue | _Mark:
        self._resets += 1
        if depth or self._resets > _RESETS_AT_MOST:
            raise malformed("reset inside a value")
        self._handles.clear()
        return self._content(depth)

    def _exception(self, depth: int) -> JmxValue:
        self._handles.clear()
        raise BrokenOff(self._value(depth + 1))

    def _class(self, depth: int) -> ClassDescription | None:
        """Read a class description, a reference to one, or null."""
        if depth > self._limits.depth:
            raise malformed("classes nested too deep")
        code = self.byte()
        if code == _NULL:
            return None
        if code == _REFERENCE:
            known = self._reference()
            if not isinstance(known, ClassDescription):
                raise malformed("reference to something that is not a class")
            return known
        if code == _PROXY:
            return self._proxy_class(depth)
        if code != _CLASS_DESCRIPTION:
            raise malformed(f"type code 0x{code:02x} where a class was due")
        return self._known_class() or self._new_class(depth)

    def _known_class(self) -> ClassDescription | None:
        """Skip a description that was read before."""
        known = _MEMORY.find(self._data, self.position)
        if known is None:
            return None
        if len(self._handles) + len(known.handles) > self._limits.handles:
            raise malformed("too many objects")
        self._count_items(known.items)
        self.position += len(known.raw)
        self._handles += known.handles
        return known.description

    def _new_class(self, depth: int) -> ClassDescription:
        start, items, references = self.position, self.items, self._references
        name = self.utf()
        self.take(8)  # the serialVersionUID: we read by field names, so any version will do
        handle = self._add(_Mark.PENDING)
        layer = self._fields(self.byte(), depth)
        description = self._complete_class(name, layer, handle, depth)
        if self._references == references:
            raw = self._data[start : self.position]
            _MEMORY.keep(raw, description, self._handles[handle:], self.items - items)
        return description

    def _proxy_class(self, depth: int) -> ClassDescription:
        handle = self._add(_Mark.PENDING)
        for _ in range(self.length(I32, self._limits.proxy_interfaces, "proxy interfaces")):
            self.utf()
        layer = ClassLayer(_SERIALIZABLE, None, (), ())
        return self._complete_class("$Proxy", layer, handle, depth)

    def _complete_class(
        self, name: str, layer: ClassLayer, handle: int, depth: int
    ) -> ClassDescription:
        self._annotation(depth)
        above = self._class(depth + 1)
        ancestry = (name, *above.ancestry) if above else (name,)
        if len(ancestry) > self._limits.class_chain:
            raise malformed("class with too many ancestors")
        layers = (*above.layers, layer) if above else (layer,)
        description = ClassDescription(name, ancestry, layers, boxed_form(name, layers))
        self._handles[handle] = description
        return description

    def _fields(self, flags: int, depth: int) -> ClassLayer:
        form = ">"
        primitives: list[str] = []
        objects: list[str] = []
        for _ in range(self.length(U16, self._limits.class_fields, "fields of a class")):
            kind = chr(self.byte())
            name = self.utf()
            if kind in _PRIMITIVES:
                if objects:
                    raise malformed("primitive field after an object field")
                form += _PRIMITIVES[kind]
                primitives.append(name)
            elif kind in "[L":
                self._text(depth + 1)  # the field's type
                objects.append(name)
            else:
                raise malformed("field of an unknown type")
        packed = struct.Struct(form) if primitives else None
        return ClassLayer(flags, packed, tuple(primitives), tuple(objects))

    _RARE: ClassVar[Mapping[int, Callable[[Decoder, int], JmxValue | _Mark]]] = {
        _ARRAY: _array,
        _CLASS: _class_literal,
        _CLASS_DESCRIPTION: _bare_class,
        _ENUM: _enum,
        _EXCEPTION: _exception,
        _LONG_BLOCK: _long_block,
        _LONG_STRING: _long_string,
        _PROXY: _bare_class,
        _RESET: _reset,
    }


_MEMORY = ClassMemory()  # of the whole process: brokers of one version describe the same classes
