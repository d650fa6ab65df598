"""The built-in checks against fakes and loopback sockets; real Kafka is in test_eyes."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import replace

import pytest
from tests.unit.monitoring.fake_eyes import make_cluster

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import LocalHost
from kafka_self_healing.model.evidence import (
    HEALER,
    CheckResult,
    Kind,
    Outcome,
)
from kafka_self_healing.model.node import NodeConfig, Role
from kafka_self_healing.monitoring import (
    HealthChecker,
    JMXMonitoringPlugin,
    KafkaMonitoringPlugin,
    ReferenceMonitoringPlugin,
    SocketMonitoringPlugin,
)
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.context import LookContext


def context(kind: Kind) -> LookContext:
    """Return a context of one look."""
    return LookContext(
        kind=kind,
        cluster=make_cluster(),
        timeout_s=2.0,
        clock=SystemClock(),
        logger=logging.getLogger("test"),
        host=LocalHost(SystemClock()),
        service=None,
        on_hint=lambda why: None,
    )


async def test_listener_accepts_or_refuses() -> None:
    """A port on which somebody listens is answered, a free one refused."""
    accepting = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = accepting.sockets[0].getsockname()[1]
    node = NodeConfig("1", frozenset({Role.BROKER}), kafka_port=port)
    (answered,) = await SocketMonitoringPlugin().check(node, context(Kind.LISTENER))
    accepting.close()
    await accepting.wait_closed()
    (refused,) = await SocketMonitoringPlugin().check(node, context(Kind.LISTENER))
    assert (answered.outcome, answered.subject) == (Outcome.ANSWERED, "1")
    assert refused.outcome is Outcome.REFUSED
    assert str(port) in refused.error


async def test_unknown_name_is_unreachable() -> None:
    """A host name that does not resolve is unreachable, with the name in the words."""
    node = NodeConfig("1", frozenset({Role.BROKER}), host="no.such.invalid", kafka_port=1)
    (result,) = await SocketMonitoringPlugin().check(node, context(Kind.LISTENER))
    assert result.outcome is Outcome.UNREACHABLE
    assert "no.such.invalid" in result.error


async def test_one_reference_host_that_is_reached_is_enough() -> None:
    """One that refuses is reached; where none is, all are named, under the cluster's name."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    lost = (("no.such.invalid", 22), ("gone.invalid", 443))
    looked, node = context(Kind.LISTENER), NodeConfig("1", frozenset({Role.BROKER}))
    plugin = ReferenceMonitoringPlugin(Access(), (*lost, ("127.0.0.1", port)))
    (answered,) = await plugin.check(node, looked)
    (cut_off,) = await ReferenceMonitoringPlugin(Access(), lost).check(node, looked)
    assert (answered.outcome, answered.subject) == (Outcome.ANSWERED, looked.cluster.name)
    assert cut_off.outcome is Outcome.UNREACHABLE
    assert "no.such.invalid:22" in cut_off.error
    assert "gone.invalid:443" in cut_off.error
    assert not ReferenceMonitoringPlugin(Access(), ()).can_ask(node, Kind.LISTENER)


@pytest.mark.parametrize("kind", [Kind.PROTOCOL, Kind.PEERS, Kind.QUORUM, Kind.JVM])
async def test_listener_that_never_answers_times_out(kind: Kind) -> None:
    """Whoever accepts and says nothing is timed out within the limit, for every protocol."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        roles = frozenset({Role.BROKER, Role.CONTROLLER})
        node = NodeConfig("1", roles, kafka_port=port, controller_port=port, jmx_port=port)
        plugin = JMXMonitoringPlugin() if kind is Kind.JVM else KafkaMonitoringPlugin()
        looked = replace(context(kind), timeout_s=0.3)
        began = SystemClock().now().mono_s
        (result,) = await plugin.check(node, looked)
        await plugin.close()
    assert result.outcome is Outcome.TIMED_OUT
    assert SystemClock().now().mono_s - began < looked.timeout_s + 1.0
    expected = (HEALER, "1") if kind in {Kind.PROTOCOL, Kind.JVM} else ("1", "test")
    assert (result.observer, result.subject) == expected


def heard(checker: HealthChecker, outcome: Outcome, at: float) -> bool:
    """Let the checker hear of node 1's protocol; return whether its status changed."""
    result = CheckResult(HEALER, "1", Kind.PROTOCOL, outcome, at, at)
    return checker.hear(result) is not None


def test_checker_knows_troubled_and_silent() -> None:
    """One bad look is trouble, three unanswered ones are silence, one answer ends both."""
    checker = HealthChecker(["1", "2"], silent_looks=3)
    assert checker.answers("1") is None
    for at in (1.0, 2.0, 3.0):
        assert not checker.is_silent("1")
        assert heard(checker, Outcome.TIMED_OUT, at)
        assert checker.is_troubled("1")
    assert checker.is_silent("1")
    assert checker.any_troubled
    assert not checker.is_troubled("2")
    assert not heard(checker, Outcome.ANSWERED, 2.5)
    assert heard(checker, Outcome.ANSWERED, 4.0)
    assert not checker.is_troubled("1")
    assert not checker.is_silent("1")
    assert not checker.any_troubled


def test_refused_port_is_not_silence() -> None:
    """A refusing node is asked on at the close interval, so that its start is seen at once."""
    checker = HealthChecker(["1"], silent_looks=3)
    for at in (1.0, 2.0, 3.0, 4.0):
        heard(checker, Outcome.REFUSED, at)
    assert checker.is_troubled("1")
    assert not checker.is_silent("1")


def test_what_others_say_is_no_status_of_a_node() -> None:
    """Results about the cluster, from witnesses or of unknown nodes change no NodeStatus."""
    checker = HealthChecker(["1"], silent_looks=3)
    for observer, subject in (("1", "test"), ("2", "1"), (HEALER, "9")):
        result = CheckResult(observer, subject, Kind.PEERS, Outcome.TIMED_OUT, 1.0, 1.0)
        assert checker.hear(result) is None
    assert not checker.any_troubled
