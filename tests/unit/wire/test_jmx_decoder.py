"""The decoder reads what a JVM writes, and no hostile message costs more than its bounds."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from tests.unit.wire.jmx_server import (
    boxed,
    class_of,
    collection,
    exception,
    object_array,
    recorded_replies,
)

from kafka_self_healing.wire.jmx.conversion import check_written_size
from kafka_self_healing.wire.jmx.encoding import (
    NULL,
    decode_modified_utf8,
    encode_modified_utf8,
    utf,
    write_string,
)
from kafka_self_healing.wire.jmx.errors import JmxProtocolError
from kafka_self_healing.wire.jmx.reader import NeedMore
from kafka_self_healing.wire.jmx.serialization import BrokenOff, Decoder
from kafka_self_healing.wire.jmx.values import EnumName, JavaObject, JmxValue, Limits, ObjectName


def decode(raw: bytes, limits: Limits | None = None) -> JmxValue:
    """Read one value and insist that nothing is left."""
    decoder = Decoder(raw, 0, limits or Limits())
    value = decoder.value()
    assert decoder.position == len(raw)
    return value


def reply_value(raw: bytes) -> JmxValue:
    """Read the value of a recorded reply."""
    decoder = Decoder(raw, 5, Limits())
    decoder.block()
    value = decoder.value()
    assert decoder.position == len(raw)
    return value


def reference(index: int) -> bytes:
    """Refer to the object with the handle `index`."""
    return b"\x71" + struct.pack(">i", 0x7E0000 + index)


def nested_sets(levels: int) -> bytes:
    """Sets of which each holds the next one twice, the second time by reference."""
    head = class_of("java.util.HashSet", flags=3)
    out, tail = b"", b""
    for level in range(levels):
        out += b"\x73" + (reference(0) if level else head)
        tail = (reference(level + 2) if level + 1 < levels else b"") + b"\x78" + tail
    return out + tail


def super_chain(length: int) -> bytes:
    """An object whose class has `length` ancestors, and no end."""
    return b"\x73" + b"".join(
        b"\x72" + utf(f"c{index}") + bytes(8) + b"\2\0\0\x78" for index in range(length)
    )


_OBJECTS = "[Ljava.lang.Object;"
_HOSTILE = {
    "array of 2^31-1": (b"\x75" + class_of("[J") + b"\x7f\xff\xff\xff", "array length"),
    "array of -1": (b"\x75" + class_of("[J") + b"\xff\xff\xff\xff", "array length"),
    "array of no array class": (b"\x75" + class_of("J") + bytes(4), "array class"),
    "string of 2^60": (b"\x7c" + struct.pack(">q", 1 << 60), "string length"),
    "string of -1": (b"\x7c" + struct.pack(">q", -1), "string length"),
    "block of 2^31-1": (
        b"\x73" + class_of("x", flags=3) + b"\x7a\x7f\xff\xff\xff",
        "block length",
    ),
    "nested arrays": (
        object_array(1, (b"\x75" + reference(0) + b"\0\0\0\1") * 10_000),
        "nested too deep",
    ),
    "nested classes": (super_chain(10_000), "nested too deep"),
    "class that inherits from itself": (
        b"\x73\x72" + utf("x") + bytes(8) + b"\2\0\0\x78" + reference(0),
        "not complete",
    ),
    "resets without end": (b"\x79" * 10_000, "reset"),
    "reset inside a value": (object_array(1, b"\x79\x70"), "reset"),
    "65535 fields": (b"\x73\x72" + utf("x") + bytes(8) + b"\2\xff\xff", "fields of a class"),
    "field of unknown type": (
        b"\x73" + class_of("x", fields=b"\0\1Q" + utf("f")),
        "unknown type",
    ),
    "primitive after object field": (
        b"\x73" + class_of("x", fields=b"\0\2L" + utf("a") + write_string("LX;") + b"I" + utf("b")),
        "primitive field after",
    ),
    "reference to nothing": (reference(5), "not sent"),
    "negative reference": (b"\x71\0\0\0\0", "not sent"),
    "reference to a class as a string": (
        b"\x7e" + class_of("E", flags=18) + reference(0),
        "a string was due",
    ),
    "class that is a string": (
        object_array(2, write_string("x") + b"\x73" + reference(1)),
        "not a class",
    ),
    "proxy with 2^31-1 interfaces": (b"\x73\x7d\x7f\xff\xff\xff", "proxy interfaces"),
    "externalizable": (b"\x73" + class_of("x", flags=4) + b"abc", "unsupported type x"),
    "object of no class": (b"\x73\x70", "without a class"),
    "enum without a name": (b"\x7e" + class_of("E", flags=18) + NULL, "a string was due"),
    "Long without a value": (b"\x73" + class_of("java.lang.Long"), "bad data"),
    "Character out of range": (
        b"\x73"
        + class_of("java.lang.Character", fields=b"\0\1J" + utf("value"))
        + struct.pack(">q", 1 << 40),
        "bad data",
    ),
    "map with a key and no value": (collection("java.util.HashMap", write_string("k")), "bad data"),
    "bad text": (b"\x74\0\2\xff\xfe", "modified UTF-8"),
    "unknown code": (b"\x01", "unknown type code"),
    "no value": (b"\x78", "a value was due"),
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_hostile_messages_are_refused(name: str) -> None:
    """Each bound and each rule of the grammar refuses the message that breaks it, by name."""
    raw, text = _HOSTILE[name]
    with pytest.raises(JmxProtocolError, match=text):
        decode(raw)


def test_counts_are_bounded() -> None:
    """Neither values nor objects nor ancestors of a class can be too many in one message."""
    nulls = object_array(1000, NULL * 1000)
    with pytest.raises(JmxProtocolError, match="too many values"):
        decode(nulls, Limits(items=999))
    strings = object_array(1000, write_string("") * 1000)
    with pytest.raises(JmxProtocolError, match="too many objects"):
        decode(strings, Limits(handles=999))
    with pytest.raises(JmxProtocolError, match="too many ancestors"):
        decode(super_chain(42) + NULL, Limits(depth=100))
    assert decode(nulls) == [None] * 1000


@pytest.mark.parametrize("empty", [NULL, b"\x77\0"])
def test_an_endless_annotation_ends(empty: bytes) -> None:
    """An object that never stops writing parts hits the limit of values."""
    raw = b"\x73" + class_of("x", flags=3) + empty * 2000
    with pytest.raises(JmxProtocolError, match="too many values"):
        decode(raw, Limits(items=1000))


def test_shared_children_are_counted_each_time() -> None:
    """700 bytes whose written form has 2^40 nodes are refused; sharing as such is allowed."""
    with pytest.raises(JmxProtocolError, match="too large"):
        check_written_size(decode(nested_sets(40)), 500_000)
    check_written_size(small := decode(nested_sets(4)), 500_000)
    assert small == [[[[], []], [[], []]], [[[], []], [[], []]]]


def test_a_list_that_contains_itself_is_refused() -> None:
    """A cycle of plain containers would hang whoever prints or compares it."""
    decoder = Decoder(object_array(1, reference(1)), 0, Limits())
    value = decoder.value()
    assert decoder.shares
    with pytest.raises(JmxProtocolError, match="contains itself"):
        check_written_size(value, 500_000)


def test_an_exception_may_be_its_own_cause() -> None:
    """Java writes it so; the picture of it is inert and prints without descending."""
    described = class_of(
        "java.lang.Throwable",
        fields=b"\0\1L" + utf("cause") + write_string("Ljava/lang/Throwable;"),
    )
    value = decode(b"\x73" + described + reference(2))
    assert isinstance(value, JavaObject)
    assert value.fields["cause"] is value
    assert repr(value) == "<java java.lang.Throwable>"


def test_keys_with_chosen_hashes_do_not_meet_in_a_dict() -> None:
    """Integers beyond 64 bits and containers stay pairs, so no peer can make a dict quadratic."""
    fields = b"\0\2I" + utf("signum") + b"[" + utf("magnitude") + write_string("[B")
    magnitude = b"\x75" + class_of("[B") + struct.pack(">i", 9) + b"\1" + bytes(8)
    big = b"\x73" + class_of("java.math.BigInteger", fields=fields) + b"\0\0\0\1" + magnitude
    assert decode(collection("java.util.HashMap", big, NULL)) == [(1 << 64, None)]
    assert decode(collection("java.util.HashMap", boxed(7), NULL)) == {7: None}
    inner = collection("java.util.HashSet")
    assert decode(collection("java.util.HashMap", inner, NULL)) == [([], None)]


def test_a_sender_that_gives_up_is_told() -> None:
    """An exception instead of the rest of a value comes out as BrokenOff with its cause."""
    failure = exception("java.io.NotSerializableException", message="java.lang.Thread")
    with pytest.raises(BrokenOff) as caught:
        decode(object_array(2, NULL + b"\x7b" + failure))
    assert isinstance(caught.value.cause, JavaObject)
    assert caught.value.cause.is_a("java.lang.Throwable")


def test_equal_names_with_other_bytes_are_other_classes() -> None:
    """A class is recognised by all its bytes, so nobody can teach us a wrong layout."""
    two = b"\0\2J" + utf("value") + b"J" + utf("x")
    other = b"\x73" + class_of("java.lang.Long", fields=two) + struct.pack(">qq", 5, 6)
    assert [decode(raw) for raw in (boxed(1), other, boxed(2), other, boxed(3))] == [1, 5, 2, 5, 3]


def test_enums_and_literals() -> None:
    """An enum constant is its name; a class literal is shown, never loaded."""
    constant = decode(
        b"\x7e" + class_of("java.util.concurrent.TimeUnit", flags=18) + write_string("DAYS")
    )
    assert (constant, type(constant)) == ("DAYS", EnumName)
    assert repr(decode(b"\x76" + class_of("java.lang.Thread"))) == "<java class java.lang.Thread>"


def test_recorded_values() -> None:
    """What a JVM said about itself comes out as plain Python values."""
    replies = recorded_replies()
    memory: Any = reply_value(replies["memory"])
    collector: Any = reply_value(replies["collector"])
    names: Any = reply_value(replies["names"])
    assert dict(memory)["HeapMemoryUsage"]["max"] == 64880640
    assert dict(memory)["Verbose"] is False
    rows = dict(collector)["LastGcInfo"]["memoryUsageAfterGc"]
    assert {row["key"] for row in rows} >= {"Eden Space", "Tenured Gen"}
    assert ObjectName("java.lang:type=Runtime") in names
    missing = reply_value(replies["missing"])
    assert isinstance(missing, JavaObject)
    assert missing.is_a("javax.management.InstanceNotFoundException")


@pytest.mark.parametrize("name", sorted(recorded_replies().keys() - {"greeting", "close"}))
def test_every_part_of_a_reply_asks_for_more(name: str) -> None:
    """Cut anywhere, a reply is neither an error nor a value, and never asks for too much."""
    raw = recorded_replies()[name]
    for length in range(5, len(raw), 1 + len(raw) // 1000):
        with pytest.raises(NeedMore) as caught:
            reply_value(raw[:length])
        assert length < caught.value.needed <= len(raw)


@pytest.mark.parametrize("text", ["", "abc", "a\0b", "ä€", "𝄞 and 😀"])
def test_text_round_trip(text: str) -> None:
    """Java's UTF-8 differs for NUL and beyond the basic plane; both directions agree."""
    assert decode_modified_utf8(encode_modified_utf8(text)) == text


def test_lone_surrogates_are_replaced() -> None:
    """Text from the wire can be written to any log."""
    assert decode_modified_utf8(b"a\xed\xa0\x80b").encode() == "a\ufffdb".encode()


def test_strings_of_the_classic_kind_are_bounded_when_sent() -> None:
    """A string that does not fit its length field is not sent cut short."""
    with pytest.raises(ValueError, match="65535"):
        write_string("x" * 65536)
