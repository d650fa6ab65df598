"""Whatever a member sends: a reply or one of our own errors, and never more memory than allowed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st
from tests.unit.wire.zookeeper_member import ANSWERS, HOST, member, recorded, sending

from kafka_self_healing.wire import zookeeper
from kafka_self_healing.wire.zookeeper.admin import parse_command
from kafka_self_healing.wire.zookeeper.replies import (
    monitor_of,
    parse_conf,
    parse_mntr,
    parse_ruok,
    parse_srvr,
    parse_stat,
)

RECORDED = sorted(path.name for path in ANSWERS.iterdir())
TEXT_PARSERS: tuple[Callable[[str], object], ...] = (
    parse_ruok,
    parse_srvr,
    parse_stat,
    parse_mntr,
    parse_conf,
)


def feed(answer: bytes) -> None:
    """Give `answer` to every parser."""
    said = answer.decode("utf-8", errors="replace")
    for parse in TEXT_PARSERS:
        with contextlib.suppress(zookeeper.ZooKeeperError):
            parse(said)
    with contextlib.suppress(zookeeper.ZooKeeperError):
        found = parse_command("monitor", answer)
        assert found is None or monitor_of(found)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A recorded answer that was cut, spliced or overwritten."""
    answer = bytearray(recorded(draw(st.sampled_from(RECORDED))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(answer)))
        end = draw(st.integers(at, min(len(answer), at + 40)))
        answer[at:end] = draw(st.binary(max_size=40) | st.sampled_from([b"\n", b"\t", b": ", b"{"]))
    return bytes(answer[: draw(st.integers(0, len(answer)))])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | mutated())
def test_parsers_take_anything(answer: bytes) -> None:
    """Random and mutated answers give a reply or a ZooKeeperError, nothing else."""
    feed(answer)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["server_state", "version", "avg_latency", "synced_followers", "x"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none()),
    )
)
def test_any_json_is_taken(values: dict[str, object]) -> None:
    """Values of any type are taken or left out; no number is infinite."""
    reply = monitor_of(values)
    assert all(abs(number) < float("inf") for number in reply.values.values())


@pytest.mark.parametrize("name", RECORDED)
async def test_every_answer_to_every_question(name: str) -> None:
    """A wrong answer over a real socket is one of our errors, whatever was asked."""
    async with member(sending(recorded(name))) as port:
        endpoint = zookeeper.Endpoint(HOST, port)
        for ask in (
            zookeeper.srvr,
            zookeeper.mntr,
            zookeeper.conf,
            zookeeper.stat,
            zookeeper.ruok,
            zookeeper.admin_srvr,
            zookeeper.admin_monitor,
        ):
            with contextlib.suppress(zookeeper.ZooKeeperError):
                assert await ask(endpoint, timeout_s=5.0) is not None
