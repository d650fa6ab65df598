"""The JMX check against a fake agent: every field of the fact, in one round trip, by role."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import replace
from typing import cast

import pytest
from tests.unit.wire.jmx_server import (
    FakeAgent,
    Request,
    boxed,
    composite,
    exception,
    number,
    thrown,
)

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import Host
from kafka_self_healing.model.access import JmxAccess, TlsConfig
from kafka_self_healing.model.evidence import CheckResult, JvmFact, Kind, Outcome
from kafka_self_healing.model.node import Cluster, ClusterMode, NodeConfig, Role
from kafka_self_healing.monitoring import JMXMonitoringPlugin
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.secret import Secret
from kafka_self_healing.wire.jmx.encoding import write_string
from kafka_self_healing.wire.jmx.operations import GET_ATTRIBUTES, NEW_CLIENT, QUERY_NAMES

_LIMIT_S = 5.0
_CONTROLLER = "kafka.controller:type=KafkaController,name="
_POOL = "kafka.server:type=KafkaRequestHandlerPool,name="
_STATE = "kafka.server:type=KafkaServer,name=BrokerState"
_METADATA = "kafka.server:type=broker-metadata-metrics"
_MACHINE = {
    "java.lang:type=Memory": {
        "HeapMemoryUsage": composite(used=boxed(50), max=boxed(200), init=boxed(1))
    },
    "java.lang:type=OperatingSystem": {
        "OpenFileDescriptorCount": boxed(100),
        "MaxFileDescriptorCount": boxed(20_000),
    },
}


def real(value: float) -> bytes:
    """Return a java.lang.Double."""
    return number("Double", "d", value)


def gauge(value: float | str | bytes) -> dict[str, bytes]:
    """Return an MBean with a Value."""
    if isinstance(value, bytes):
        return {"Value": value}
    if isinstance(value, str):
        return {"Value": write_string(value)}
    return {"Value": number("Integer", "i", value) if isinstance(value, int) else real(value)}


_BROKER = {
    _STATE: gauge(3),
    "kafka.log:type=LogManager,name=OfflineLogDirectoryCount": gauge(0),
    "kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions": gauge(2),
    f"{_POOL}RequestHandlerAvgIdlePercent": {"OneMinuteRate": real(0.9)},
    "kafka.network:type=RequestChannel,name=RequestQueueSize": gauge(7),
}
_KRAFT_BROKER = _BROKER | {
    "kafka.server:type=raft-metrics": {
        "current-state": write_string("observer"),
        "current-leader": boxed(11),
    },
    _METADATA: {
        "last-applied-record-lag-ms": real(61.0),
        "metadata-load-error-count": real(0.0),
        "metadata-apply-error-count": real(1.0),
    },
}
_VOTER = {
    f"{_CONTROLLER}ActiveControllerCount": gauge(1),
    f"{_CONTROLLER}OfflinePartitionsCount": gauge(4),
    f"{_CONTROLLER}MetadataErrorCount": gauge(2),
    f"{_CONTROLLER}LastAppliedRecordLagMs": gauge(99),
}
BROKER, VOTER, MEMBER = (frozenset({role}) for role in Role)


def context(mode: ClusterMode, hints: list[str], *, timeout_s: float = _LIMIT_S) -> LookContext:
    """Return the context of a look at a node."""
    return LookContext(
        kind=Kind.JVM,
        cluster=Cluster("test", mode),
        timeout_s=timeout_s,
        clock=SystemClock(),
        logger=logging.getLogger("test"),
        host=cast("Host", None),  # it is not asked
        service=None,
        on_hint=hints.append,
    )


class Looking:
    """A plugin that looks at one node."""

    def __init__(self, node: NodeConfig, mode: ClusterMode) -> None:
        self.plugin = JMXMonitoringPlugin()
        self.hints: list[str] = []
        self._node, self._mode = node, mode

    async def look(self, *, timeout_s: float = _LIMIT_S) -> CheckResult:
        """Look once."""
        looked = context(self._mode, self.hints, timeout_s=timeout_s)
        (result,) = await self.plugin.check(self._node, looked)
        return result

    async def fact(self) -> JvmFact:
        """Look once, at a node that answers."""
        result = await self.look()
        assert isinstance(result.fact, JvmFact), result
        return result.fact


@asynccontextmanager
async def looking(
    agent: FakeAgent,
    roles: frozenset[Role],
    mode: ClusterMode = ClusterMode.KRAFT,
    access: JmxAccess | None = None,
) -> AsyncIterator[Looking]:
    """Look at the agent as a node of these roles."""
    node = NodeConfig("1", roles, jmx_port=agent.port, jmx=access or JmxAccess())
    made = Looking(node, mode)
    yield made
    await made.plugin.close()


@pytest.fixture
async def agent() -> AsyncIterator[FakeAgent]:
    """A combined node of Kafka 4: all MBeans that there are."""
    idle = {f"{_POOL}BrokerRequestHandlerAvgIdlePercent": {"OneMinuteRate": real(0.25)}}
    async with FakeAgent(mbeans=deepcopy(_MACHINE | _KRAFT_BROKER | _VOTER | idle)) as made:
        yield made


async def test_a_combined_node_fills_every_field_in_one_round_trip(agent: FakeAgent) -> None:
    """Nothing is answered before all is asked; both roles' errors add up, the worse lag counts."""
    held: list[Request] = []

    def hold(request: Request) -> bytes | None:
        if request.operation != GET_ATTRIBUTES:
            return None
        held.append(request)
        if len(held) < 14:
            return b""
        return b"".join(agent._answer(one) for one in held)

    agent.override = hold
    async with looking(agent, BROKER | VOTER) as looks:
        fact = await looks.fact()
    assert fact == JvmFact(
        broker_state=3,
        offline_log_dirs=0,
        raft_state="observer",
        raft_leader="11",
        active_controller=True,
        under_replicated=2,
        offline_partitions=4,
        metadata_errors=3,
        applied_lag_ms=99,
        idle=0.25,
        request_queue=7,
        open_files=100,
        max_files=20_000,
        heap=0.25,
    )
    assert (len(held), agent.count(QUERY_NAMES)) == (14, 0)


@pytest.mark.parametrize(
    ("roles", "mode", "missing"),
    [
        (BROKER, ClusterMode.KRAFT, {"active_controller", "offline_partitions"}),
        (VOTER, ClusterMode.KRAFT, {"broker_state", "under_replicated", "offline_log_dirs"}),
        (BROKER, ClusterMode.ZOOKEEPER, {"raft_state", "raft_leader", "applied_lag_ms"}),
        (MEMBER, ClusterMode.ZOOKEEPER, {"broker_state", "idle", "request_queue", "session"}),
    ],
)
async def test_a_role_is_asked_for_what_it_has(
    agent: FakeAgent, roles: frozenset[Role], mode: ClusterMode, missing: set[str]
) -> None:
    """The rest stays None, although this agent would tell it, and costs nothing."""
    async with looking(agent, roles, mode) as looks:
        fact = await looks.fact()
    assert all(getattr(fact, name) is None for name in missing)
    assert (fact.heap, fact.open_files, fact.max_files) == (0.25, 100, 20_000)


async def test_a_broker_of_zookeeper_mode() -> None:
    """Kafka 3.9: the session's state as text, the controller's gauges on every broker."""
    mbeans = _MACHINE | _BROKER | _VOTER
    mbeans["kafka.server:type=SessionExpireListener,name=SessionState"] = gauge("CONNECTED")
    zookeeper = ClusterMode.ZOOKEEPER
    async with FakeAgent(mbeans=mbeans) as agent, looking(agent, BROKER, zookeeper) as looks:
        fact = await looks.fact()
    assert (fact.session, fact.active_controller, fact.offline_partitions) == ("CONNECTED", True, 4)
    assert (fact.metadata_errors, fact.idle) == (None, 0.9)


async def test_numbers_of_any_kind(agent: FakeAgent) -> None:
    """3.9 writes counts as doubles; averages of nothing, no maximum and no record are None."""
    agent.mbeans["kafka.server:type=raft-metrics"]["current-leader"] = real(-1.0)
    agent.mbeans[f"{_CONTROLLER}ActiveControllerCount"] = gauge(0.0)
    agent.mbeans[f"{_CONTROLLER}LastAppliedRecordLagMs"] = gauge(1.8e12)
    agent.mbeans[_METADATA]["last-applied-record-lag-ms"] = real(float("nan"))
    agent.mbeans[f"{_POOL}BrokerRequestHandlerAvgIdlePercent"] = {"OneMinuteRate": real(1.84)}
    agent.mbeans[f"{_POOL}RequestHandlerAvgIdlePercent"] = {"OneMinuteRate": real(float("nan"))}
    agent.mbeans["kafka.network:type=RequestChannel,name=RequestQueueSize"] = gauge(1e300)
    agent.mbeans["java.lang:type=Memory"] = {
        "HeapMemoryUsage": composite(used=boxed(50), max=boxed(-1))
    }
    agent.mbeans[_STATE] = gauge("3")
    async with looking(agent, BROKER | VOTER) as looks:
        fact = await looks.fact()
    assert (fact.raft_leader, fact.active_controller, fact.applied_lag_ms) == ("-1", False, None)
    assert (fact.idle, fact.request_queue, fact.heap, fact.broker_state) == (1.84, None, None, None)


@pytest.mark.parametrize(
    ("rate", "since_start", "idle"),
    [(0.0, 0.7, None), (0.0, 0.0, 0.0), (0.02, 0.7, 0.02), (0.9, 0.0, 0.9)],
)
async def test_a_meter_that_has_not_ticked_yet_is_no_overload(
    agent: FakeAgent, rate: float, since_start: float, idle: float | None
) -> None:
    """Right after a start the rate is 0.0 although the threads are idle: that is not known."""
    agent.mbeans[f"{_POOL}RequestHandlerAvgIdlePercent"] = {
        "OneMinuteRate": real(rate),
        "MeanRate": real(since_start),
    }
    async with looking(agent, BROKER) as looks:
        fact = await looks.fact()
    assert fact.idle == idle


async def test_a_start_is_followed_by_its_gauges(agent: FakeAgent) -> None:
    """One more question finds the gauges of a recovery, whatever directories and threads."""
    logs = "kafka.log:type=LogManager,name=remainingLogsToRecover,dir=/data/{}"
    segments = "kafka.log:type=LogManager,name=remainingSegmentsToRecover,dir=/data/1,threadNum={}"
    agent.mbeans = {
        _STATE: gauge(2),
        logs.format(1): gauge(5),
        logs.format(2): gauge(6),
        segments.format(0): gauge(100),
        segments.format(1): {},
    }
    async with looking(agent, BROKER) as looks:
        fact = await looks.fact()
        assert (fact.broker_state, fact.remaining_logs, fact.remaining_segments) == (2, 11, 100)
        agent.mbeans = {_STATE: gauge(1)}
        agent.override = lambda request: (
            thrown(exception("javax.management.InstanceNotFoundException", message="gone"))
            if request.operation == GET_ATTRIBUTES and _STATE not in str(request.arguments)
            else None
        )
        fact = await looks.fact()
        assert (fact.broker_state, fact.remaining_logs, fact.remaining_segments) == (1, None, None)


async def test_an_early_or_dying_process_has_an_empty_fact() -> None:
    """JMX answers and no MBean of Kafka is there: answered, and all of it None."""
    async with FakeAgent() as agent, looking(agent, BROKER | VOTER) as looks:
        assert await looks.fact() == JvmFact()


async def test_an_mbean_that_fails_is_a_gap(agent: FakeAgent) -> None:
    """One that throws does not take the others away; if all throw, that is the answer."""
    failure = thrown(exception("java.lang.OutOfMemoryError", message="Java heap space"))
    agent.override = lambda request: failure if "ReplicaManager" in str(request.arguments) else None
    async with looking(agent, BROKER) as looks:
        fact = await looks.fact()
        assert (fact.broker_state, fact.under_replicated) == (3, None)
        agent.override = lambda request: failure if request.operation == GET_ATTRIBUTES else None
        result = await looks.look()
    assert (result.outcome, result.fact) == (Outcome.PROTOCOL, None)
    assert "Java heap space" in result.error


async def test_a_login_is_used_and_kept(agent: FakeAgent) -> None:
    """User and password of the node; one session for all looks, closed with the plugin."""
    agent.credentials = ("monitor", "right")
    right = JmxAccess("monitor", Secret("right"))
    async with looking(agent, BROKER, access=right) as looks:
        assert [(await looks.fact()).broker_state for _ in range(3)] == [3, 3, 3]
        assert (agent.count(NEW_CLIENT), agent.connections) == (1, 1)
    assert agent.sessions == set()
    async with looking(agent, BROKER, access=replace(right, password=Secret("S3cret"))) as looks:
        result = await looks.look()
    assert result.outcome is Outcome.AUTHENTICATION
    assert "password.file" in result.error
    assert "S3cret" not in repr(result)


@pytest.mark.parametrize(
    ("access", "outcome", "words"),
    [
        (JmxAccess("monitor"), Outcome.PROTOCOL, "set both or neither"),
        (JmxAccess(tls=TlsConfig(ca_file="/no/such/file")), Outcome.PROTOCOL, "tls.ca_file"),
        (JmxAccess(tls=TlsConfig()), Outcome.TLS, "speaks plain RMI"),
        (JmxAccess(tls=TlsConfig(), registry_tls=False), Outcome.TLS, "no login was sent"),
        (JmxAccess(rmi_port=1), Outcome.REFUSED, "rmi.port"),
    ],
)
async def test_a_wrong_access_is_an_outcome(
    agent: FakeAgent, access: JmxAccess, outcome: Outcome, words: str
) -> None:
    """What is set wrongly is told in words, and no exception of another kind escapes."""
    async with looking(agent, BROKER, access=access) as looks:
        result = await looks.look()
    assert (result.outcome, words in result.error) == (outcome, True), result.error


async def test_a_right_that_is_missing_is_told(agent: FakeAgent) -> None:
    """Refused after the login: authorisation, which is an answer of a living node."""
    denied = thrown(exception("java.lang.SecurityException", message="Access denied!"))
    agent.override = lambda request: denied if request.operation == GET_ATTRIBUTES else None
    async with looking(agent, BROKER) as looks:
        result = await looks.look()
    assert (result.outcome, "access.file" in result.error) == (Outcome.AUTHORISATION, True)


async def test_a_lost_connection_is_a_hint(agent: FakeAgent) -> None:
    """The agent hangs up between two looks: the node is looked at at once."""
    async with looking(agent, BROKER) as looks:
        await looks.fact()
        await agent.hang_up()
        async with asyncio.timeout(_LIMIT_S):
            while not looks.hints:
                await asyncio.sleep(0.005)
        assert "its JMX connection was lost" in looks.hints[0]
        assert (await looks.fact()).broker_state == 3
    assert len(looks.hints) == 1


async def test_a_hang_says_where_it_hangs(agent: FakeAgent) -> None:
    """Timed out within the look's limit, in the words of the client."""
    async with looking(agent, BROKER) as looks:
        await looks.fact()
        agent.override = lambda _: b""
        result = await looks.look(timeout_s=0.2)
    assert (result.outcome, "may hang" in result.error) == (Outcome.TIMED_OUT, True), result.error
