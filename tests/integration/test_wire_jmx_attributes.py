"""Every attribute of every MBean of a real broker: what we read is what Java's own client reads."""

from __future__ import annotations

import json
import math
import struct
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.integration.jmx_agents import compiled

from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.wire.jmx import (
    EnumName,
    JavaObject,
    JmxClient,
    JmxError,
    JmxNotFound,
    JmxValue,
    ObjectName,
)

pytestmark = pytest.mark.cluster

_LIMIT_S = 60.0
_FAILED = "x:"
_ROUNDS = 3

Place = tuple[str, str]
"""An MBean and an attribute."""


def by_java(command: list[str], port: int) -> dict[Place, tuple[str, Any]]:
    """Return the type and the value of all attributes, as `DumpAttributes` writes them."""
    done = subprocess.run(
        [*command, str(port)], check=True, capture_output=True, text=True, timeout=_LIMIT_S
    )
    rows = map(json.loads, done.stdout.splitlines())
    return {(name, attribute): (kind, value) for name, attribute, kind, value in rows}


async def by_us(
    client: JmxClient, places: Iterable[Place]
) -> tuple[dict[Place, JmxValue], dict[Place, JmxError]]:
    """Return what we read, and what we could not read."""
    wanted: dict[str, list[str]] = {}
    for name, attribute in places:
        wanted.setdefault(name, []).append(attribute)
    found: dict[Place, JmxValue] = {}
    failed: dict[Place, JmxError] = {}
    answers = await client.read(list(wanted.items()))
    for (name, attributes), answer in zip(wanted.items(), answers, strict=True):
        if isinstance(answer, JmxError):
            failed |= {(name, attribute): answer for attribute in attributes}
        else:
            found |= {(name, attribute): value for attribute, value in answer.items()}
    return found, failed


def is_same(java: Any, ours: JmxValue) -> bool:
    """Return whether our value is the one that `DumpAttributes` has written."""
    if isinstance(java, list):
        kind, elements = java
        return _is_same_container(kind, elements, ours)
    if not isinstance(java, str):
        return type(ours) is type(java) and ours == java
    text = java[2:]
    match java[:2]:
        case "d:":
            return isinstance(ours, float) and _same_number(text, ours)
        case "n:":
            return isinstance(ours, ObjectName) and ours == text
        case "e:":
            return isinstance(ours, EnumName) and ours == text
        case "?:":
            return isinstance(ours, JavaObject) and ours.class_name == text
        case _:
            return type(ours) is str and ours == text


def _same_number(bits: str, ours: float) -> bool:
    (java,) = struct.unpack(">d", bytes.fromhex(bits.zfill(16)))
    return java == ours or (math.isnan(java) and math.isnan(ours))


def _is_same_container(kind: str, java: list[Any], ours: JmxValue) -> bool:
    if isinstance(ours, bytes):  # Java's bytes are signed
        ours = [byte - 256 if byte > 127 else byte for byte in ours]
    if kind == "map":
        if not isinstance(ours, dict):
            return False
        ours = [[key, value] for key, value in ours.items()]
    if not isinstance(ours, list) or len(ours) != len(java):
        return False
    if kind == "list":
        return all(map(is_same, java, ours))
    left = list(ours)  # sets and maps have no order
    for one in java:
        entry = ["list", one] if kind == "map" else one
        place = next((at for at, other in enumerate(left) if is_same(entry, other)), None)
        if place is None:
            return False
        del left[place]
    return True


def _sort_of(value: object) -> str:
    """Return what sort of value it is, of Java's text or of ours, as far as both can tell."""
    if isinstance(value, str) and value.startswith("d:"):
        return "float"
    return type(value).__name__ if isinstance(value, int | float) else "other"


def differing(
    first: Mapping[Place, tuple[str, Any]],
    second: Mapping[Place, tuple[str, Any]],
    ours: Mapping[Place, JmxValue],
) -> tuple[dict[Place, str], Counter[str]]:
    """Return where we differ from what Java read before and after us, and how much was compared."""
    wrong: dict[Place, str] = {}
    compared: Counter[str] = Counter()
    for place in first.keys() & second.keys():
        (_, before), (_, after) = first[place], second[place]
        unreadable = str(before).startswith(_FAILED) and str(after).startswith(_FAILED)
        if unreadable:
            compared["unreadable for both"] += 1
            right = place not in ours
        elif place not in ours:
            right = str(before).startswith(_FAILED) or str(after).startswith(_FAILED)
        elif before == after:
            compared["stable"] += 1
            right = is_same(before, ours[place])
        else:
            compared["changing"] += 1
            right = _sort_of(ours[place]) in {_sort_of(before), _sort_of(after)}
        if not right:
            wrong[place] = f"{before!r}, {ours.get(place)!r}, {after!r}"[:500]
    return wrong, compared


async def test_every_attribute_is_read_as_java_reads_it(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    """Java before, we, Java after: what stayed is equal, and nothing that Java can read fails.

    A gauge may go up and down again in between; so what differs has to differ three times.
    """
    command = compiled("DumpAttributes", tmp_path)
    port = cluster.nodes[1].jmx_port
    client = JmxClient("127.0.0.1", port, timeout_s=_LIMIT_S)
    before = by_java(command, port)
    wrong: dict[Place, str] = {}
    for round_ in range(_ROUNDS):  # from the second on by the shapes of the first
        ours, failed = await by_us(client, before)
        after = by_java(command, port)
        gone = {place for place, error in failed.items() if type(error) is JmxNotFound}
        assert failed.keys() - gone == set()
        assert gone.isdisjoint(after)
        found, compared = differing(before, after, ours)
        wrong = {at: text for at, text in found.items() if at in wrong or round_ == 0}
        print(f"\n{len({name for name, _ in before})} MBeans, {dict(compared)}")
        assert compared["stable"] > 5000
        assert compared["changing"] > 10
        assert compared["unreadable for both"] > 0
        before = after
    await client.close()
    assert wrong == {}


async def test_every_mbean_describes_itself_as_to_java(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    """The readable attributes and their Java types are those that Java's client lists."""
    port = cluster.nodes[1].jmx_port
    listed: dict[str, dict[str, str]] = {}
    for (name, attribute), (kind, _) in by_java(compiled("DumpAttributes", tmp_path), port).items():
        listed.setdefault(name, {})[attribute] = kind
    client = JmxClient("127.0.0.1", port, timeout_s=_LIMIT_S)
    described = {}
    for name, attributes in listed.items():
        try:
            described[name] = await client.attributes(name)
        except JmxNotFound:
            described[name] = attributes  # it went meanwhile
    await client.close()
    assert described == listed
    assert len(described) > 500


@pytest.mark.parametrize(
    ("java", "ours", "same"),
    [
        (None, None, True),
        (1, True, False),
        (1, 1.0, False),
        ("d:3ff0000000000000", 1.0, True),
        ("d:7ff8000000000000", math.nan, True),
        ("d:0", 1.0, False),
        ("s:a", "a", True),
        ("s:a:b=c", ObjectName("a:b=c"), False),
        ("e:DAYS", EnumName("DAYS"), True),
        (["list", [1, -1]], b"\1\xff", True),
        (["list", [1, 2]], [2, 1], False),
        (["set", [1, 2]], [2, 1], True),
        (["set", [1, 1]], [1, 2], False),
        (["map", [["s:a", 1], ["s:b", ["list", []]]]], {"b": [], "a": 1}, True),
        (["map", [["s:a", 1]]], {"a": 2}, False),
        (["map", []], [], False),
    ],
)
def test_the_comparison_tells_values_apart(java: Any, ours: JmxValue, same: bool) -> None:
    """A comparison that finds all equal would prove nothing."""
    assert is_same(java, ours) is same
