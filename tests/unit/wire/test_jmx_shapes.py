"""A reply of a known shape means exactly what the decoder would say."""

from __future__ import annotations

import random
import struct

import pytest
from tests.unit.wire.jmx_mutation import mutant
from tests.unit.wire.jmx_server import (
    attribute_list,
    boxed,
    class_of,
    collection,
    composite,
    number,
    object_array,
    returned,
)

from kafka_self_healing.wire.jmx import JmxError, JmxValue
from kafka_self_healing.wire.jmx.client import _attributes
from kafka_self_healing.wire.jmx.encoding import NULL, write_object_name, write_string
from kafka_self_healing.wire.jmx.reader import NeedMore
from kafka_self_healing.wire.jmx.serialization import BrokenOff, Decoder
from kafka_self_healing.wire.jmx.shapes import Decoded, ShapeMemory
from kafka_self_healing.wire.jmx.values import Limits

_QUESTION = b"which"
_VALUE_AT = 22
_SKIP = slice(8, _VALUE_AT)


def decoded(raw: bytes) -> Decoded:
    """Return a reply as the decoder understands it."""
    value = Decoder(raw, _VALUE_AT, Limits()).value()
    return Decoded(raw, _SKIP, _attributes, _attributes(value))


def knowing(*replies: bytes) -> ShapeMemory:
    """Return a memory that has met these replies to one question, and one before them."""
    memory = ShapeMemory()
    memory.learn(_QUESTION, decoded(replies[0]), Limits())
    for raw in replies:
        memory.learn(_QUESTION, decoded(raw), Limits())
    return memory


def rich(chance: random.Random) -> bytes:
    """Return a reply with numbers of all kinds, by themselves and within lists and maps."""
    whole = chance.randrange(-(2**31), 2**31)
    real = chance.choice((chance.random(), float("nan"), float("inf"), -0.0))
    used = composite(used=boxed(whole))
    return returned(
        attribute_list(
            {
                "Long": boxed(whole),
                "Double": number("Double", "d", real),
                "Float": number("Float", "f", 0.5 * chance.randrange(9)),
                "Integer": number("Integer", "i", whole),
                "Boolean": number("Boolean", "?", chance.randrange(2)),
                "Byte": number("Byte", "b", chance.randrange(100)),
                "Short": number("Short", "h", chance.randrange(100)),
                "Text": write_string("stays"),
                "Nothing": NULL,
                "Name": write_object_name("a:b=c"),
                "Rows": object_array(2, boxed(whole) + object_array(1, boxed(1 - whole))),
                "Heap": used,
            }
        )
    )


def test_new_numbers_in_a_known_shape() -> None:
    """Two hundred replies with other numbers: shape and decoder agree, and the shape is used."""
    chance = random.Random(3)
    memory = knowing(rich(chance))
    for _ in range(200):
        raw = rich(chance)
        found = memory.find(_QUESTION, b"before" + raw + b"after", len(b"before"))
        assert found is not None
        shape, meant = found
        assert repr(meant) == repr(decoded(raw).meant)
        assert [type(value) for value in meant.values()] == [
            type(value) for value in decoded(raw).meant.values()
        ]
        assert shape.size == len(raw)


def reference(message: bytes, made: JmxValue) -> bytes:
    """Return a reference to the object in `message` that decodes to `made`."""
    decoder = Decoder(message, 0, Limits())
    decoder.value()
    places = [at for at, one in enumerate(decoder._handles) if type(one) is type(made)]
    (handle,) = (at for at in places if decoder._handles[at] == made)
    return b"\x71" + struct.pack(">i", 0x7E0000 + handle)


def test_a_number_that_is_referred_to() -> None:
    """Java writes equal small numbers once: the second attribute is the same number."""
    one = attribute_list({"a": boxed(1), "b": NULL})
    raws = [
        returned(attribute_list({"a": boxed(value), "b": reference(one, 1)})) for value in (1, 2)
    ]
    found = knowing(raws[0]).find(_QUESTION, raws[1], 0)
    assert found is not None
    assert found[1] == {"a": 2, "b": 2}


@pytest.mark.parametrize(
    "other",
    [
        returned(attribute_list({"Value": boxed(1), "Text": write_string("b")})),
        returned(attribute_list({"Value": NULL, "Text": write_string("a")})),
        returned(attribute_list({"Value": boxed(1)})),
        returned(attribute_list({"Value": boxed(1), "Text": write_string("a")}))[:-1],
        returned(attribute_list({"Value": boxed(1), "Text": write_string("a")})).replace(
            b"\x77\x0f\1", b"\x77\x0f\2"
        ),
    ],
)
def test_any_other_byte_is_another_shape(other: bytes) -> None:
    """A text, a missing value or attribute, a part of the reply, an exception: not recognised."""
    memory = knowing(returned(attribute_list({"Value": boxed(1), "Text": write_string("a")})))
    assert memory.find(_QUESTION, other, 0) is None


def test_numbers_as_keys_have_no_shape() -> None:
    """A map by numbers is not rebuilt from slots; it goes to the decoder each time."""
    keyed = collection("java.util.HashMap", boxed(7), NULL)
    raw = returned(attribute_list({"Map": keyed}))
    assert decoded(raw).meant == {"Map": {7: None}}
    assert knowing(raw, raw).find(_QUESTION, raw, 0) is None


def test_objects_and_shared_containers_have_no_shape() -> None:
    """Inert objects may refer to themselves, and what is shared would be copied without end."""
    inert = returned(attribute_list({"Object": b"\x73" + class_of("x.Unknown")}))
    assert knowing(inert, inert).find(_QUESTION, inert, 0) is None
    row = collection("java.util.HashSet", boxed(5))
    alone = attribute_list({"Rows": object_array(2, row + NULL)})
    rows = object_array(2, row + reference(alone, [5]))
    shared = returned(attribute_list({"Rows": rows}))
    assert decoded(shared).meant == {"Rows": [[5], [5]]}
    assert knowing(shared, shared).find(_QUESTION, shared, 0) is None


def test_results_do_not_share_parts() -> None:
    """Who changes what was read changes nothing for the next one."""
    raw = returned(attribute_list({"Rows": object_array(1, boxed(1)), "Value": boxed(2)}))
    memory = knowing(raw)
    first, second = memory.find(_QUESTION, raw, 0), memory.find(_QUESTION, raw, 0)
    assert first is not None
    assert second is not None
    first[1]["Rows"].append("mine")
    first[1]["Value"] = "mine"
    assert second[1] == {"Rows": [1], "Value": 2}
    third = memory.find(_QUESTION, raw, 0)
    assert third is not None
    assert third[1] == second[1]


def test_a_few_shapes_of_one_question_are_kept() -> None:
    """Four at most, the latest; and a question that always looks new is not learnt for ever."""
    raws = [returned(attribute_list({"Text": write_string("x" * size)})) for size in range(60)]
    memory = knowing(*raws[:6])
    assert [memory.find(_QUESTION, raw, 0) is not None for raw in raws[:6]] == [
        *(False, False, True, True, True, True)
    ]
    tired = knowing(*raws)
    assert tired.find(_QUESTION, raws[-1], 0) is None


def test_the_memory_is_bounded() -> None:
    """Neither questions nor bytes pile up; the oldest questions go."""
    memory = ShapeMemory()
    large = decoded(returned(attribute_list({"Text": write_string("x" * 7000)})))
    for index in range(6000):
        question = b"%d" % index
        memory.learn(question, large, Limits())
        memory.learn(question, large, Limits())
    assert memory._bytes <= 8 << 20
    assert memory._bytes == sum(s.size for known in memory._known.values() for s in known.shapes)
    assert len(memory._known) <= 4096
    assert memory.find(b"5999", large.raw, 0) is not None
    assert memory.find(b"0", large.raw, 0) is None
    too_long = decoded(returned(attribute_list({"Text": write_string("x" * 9000)})))
    memory.learn(b"5999", too_long, Limits())
    assert memory.find(b"5999", too_long.raw, 0) is None


def _by_decoder(raw: bytes) -> object:
    try:
        if raw[:_VALUE_AT] != returned():
            return "another head"
        decoder = Decoder(raw, _VALUE_AT, Limits())
        return _attributes(decoder.value()) if decoder.position <= len(raw) else "more"
    except NeedMore:
        return "more"
    except BrokenOff:
        return "broken off"
    except JmxError as error:
        return error


def test_damaged_replies_mean_what_the_decoder_says() -> None:
    """20,000 mutants of a known reply: whatever is recognised is what the decoder would say."""
    chance = random.Random(5)
    original = rich(chance)
    memory = knowing(original)
    recognised = 0
    for _ in range(20_000):
        raw = mutant([original], chance)
        found = memory.find(_QUESTION, raw, 0)
        if found is not None and raw[: _SKIP.start] == original[: _SKIP.start]:
            recognised += 1
            plain = raw[: _SKIP.start] + original[_SKIP] + raw[_VALUE_AT:]
            assert repr(found[1]) == repr(_by_decoder(plain)), raw.hex()
    assert recognised > 200
