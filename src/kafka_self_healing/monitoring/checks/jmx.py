"""JMXMonitoringPlugin: what the node's JVM says, over a plain JMX connection."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from kafka_self_healing.model.evidence import CheckResult, JvmFact, Kind
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.checks.look import look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin
from kafka_self_healing.wire.jmx import JmxClient, JmxError, JmxNotFound, JmxValue

_VALUE = ("Value",)
_BROKER_STATE = ("kafka.server:type=KafkaServer,name=BrokerState", _VALUE)
_OFFLINE = ("kafka.log:type=LogManager,name=OfflineLogDirectoryCount", _VALUE)
_RAFT = ("kafka.server:type=raft-metrics", ("current-state", "current-leader"))
_LOGS = "kafka.log:type=LogManager,name=remainingLogsToRecover,*"
_SEGMENTS = "kafka.log:type=LogManager,name=remainingSegmentsToRecover,*"
_RUNNING = 3
_CLIENT_LIMIT_S = 30.0  # above every time limit of a look, which counts


class JMXMonitoringPlugin(MonitoringPlugin):
    """JVM. An MBean that does not exist is a None in the fact, not an error."""

    def __init__(self) -> None:
        self._clients: dict[str, JmxClient] = {}

    @property
    def kinds(self) -> frozenset[Kind]:
        """JVM."""
        return frozenset({Kind.JVM})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - one kind
        """Return whether the node has a JMX port."""
        return target.jmx_port is not None

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Read the attributes in use in one round trip; a node that recovers logs takes three."""
        assert target.jmx_port is not None
        client = self._clients.get(target.id)
        if client is None:
            client = JmxClient(target.host, target.jmx_port, timeout_s=_CLIENT_LIMIT_S)
            self._clients[target.id] = client
        return await look(context, target.id, _read(client))

    async def close(self) -> None:
        """Close all sessions."""
        clients, self._clients = list(self._clients.values()), {}
        await asyncio.gather(*(client.close() for client in clients))


async def _read(client: JmxClient) -> JvmFact:
    state, offline, raft = await client.read([_BROKER_STATE, _OFFLINE, _RAFT])
    broker_state = _number(_found(state).get("Value"))
    logs: int | None = None
    segments: int | None = None
    if broker_state != _RUNNING:  # the gauges of a recovery exist only while it lasts
        logs, segments = await _sum(client, _LOGS), await _sum(client, _SEGMENTS)
    raft_values = _found(raft)
    raft_state, leader = (
        raft_values.get("current-state"),
        _number(raft_values.get("current-leader")),
    )
    return JvmFact(
        broker_state=broker_state,
        remaining_logs=logs,
        remaining_segments=segments,
        offline_log_dirs=_number(_found(offline).get("Value")),
        raft_state=raft_state if isinstance(raft_state, str) else None,
        raft_leader=None if leader is None else str(leader),
    )


async def _sum(client: JmxClient, pattern: str) -> int | None:
    """Add up the gauges that match `pattern`; None: there are none."""
    answers = await client.read([(name, _VALUE) for name in await client.query(pattern)])
    numbers = [_number(_found(answer).get("Value")) for answer in answers]
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _found(answer: dict[str, JmxValue] | JmxError) -> dict[str, JmxValue]:
    if isinstance(answer, JmxNotFound):
        return {}
    if isinstance(answer, JmxError):
        raise answer
    return answer


def _number(value: JmxValue) -> int | None:
    """Return a gauge as an integer; Kafka 3.9 writes some of them as doubles, NaN included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return int(value)
