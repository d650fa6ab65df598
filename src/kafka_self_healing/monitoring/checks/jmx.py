"""JMXMonitoringPlugin: what the node's JVM says, over JMX."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from kafka_self_healing.model.evidence import CheckResult, JvmFact, Kind
from kafka_self_healing.model.node import ClusterMode, NodeConfig
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.checks.look import look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin
from kafka_self_healing.wire.jmx import (
    JmxClient,
    JmxError,
    JmxNotFound,
    JmxRemoteError,
    JmxSetupError,
    JmxValue,
    Limits,
)
from kafka_self_healing.wire.tls import tls_reason

_VALUE: Final = ("Value",)
_RATES: Final = ("OneMinuteRate", "MeanRate")
_HEAP: Final = "java.lang:type=Memory"
_FILES: Final = "java.lang:type=OperatingSystem"
_STATE: Final = "kafka.server:type=KafkaServer,name=BrokerState"
_OFFLINE_DIRS: Final = "kafka.log:type=LogManager,name=OfflineLogDirectoryCount"
_UNDER_REPLICATED: Final = "kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions"
_POOL: Final = "kafka.server:type=KafkaRequestHandlerPool,name="
_IDLE: Final = f"{_POOL}RequestHandlerAvgIdlePercent"
_BROKER_IDLE: Final = f"{_POOL}BrokerRequestHandlerAvgIdlePercent"
_QUEUE: Final = "kafka.network:type=RequestChannel,name=RequestQueueSize"
_RAFT: Final = "kafka.server:type=raft-metrics"
_METADATA: Final = "kafka.server:type=broker-metadata-metrics"
_CONTROLLER: Final = "kafka.controller:type=KafkaController,name="
_ACTIVE: Final = f"{_CONTROLLER}ActiveControllerCount"
_OFFLINE: Final = f"{_CONTROLLER}OfflinePartitionsCount"
_CONTROLLER_ERRORS: Final = f"{_CONTROLLER}MetadataErrorCount"
_CONTROLLER_LAG: Final = f"{_CONTROLLER}LastAppliedRecordLagMs"
_SESSION: Final = "kafka.server:type=SessionExpireListener,name=SessionState"
_BROKER_ERRORS: Final = ("metadata-load-error-count", "metadata-apply-error-count")
_BROKER_LAG: Final = "last-applied-record-lag-ms"

_RECOVERY: Final = "kafka.log:type=LogManager,name=remaining{}ToRecover"
_MOST_GAUGES: Final = 1024

_RUNNING: Final = 3
_SINCE_1970_MS: Final = 1e12
"""Before the first record is applied, its lag is counted from 1970."""

_OURS: Final = 0.98
"""Of a look's time: whoever waits for an answer can then say what for."""

_LIMITS: Final = Limits(message_bytes=2 << 20, items=50_000, handles=50_000)
"""A look asks for little; what is longer is no answer to it."""

_LARGEST: Final = 2**63

Requests = Sequence[tuple[str, tuple[str, ...]]]


class JMXMonitoringPlugin(MonitoringPlugin):
    """JVM. An MBean that does not exist is a None in the fact, not an error.

    One session a node is kept; only what a node of its roles has is asked for.
    """

    def __init__(self, access: Access | None = None) -> None:
        """Take the TLS contexts of `access`, which all checks may share."""
        self._access = access or Access()
        self._clients: dict[str, JmxClient] = {}

    @property
    def kinds(self) -> frozenset[Kind]:
        """JVM."""
        return frozenset({Kind.JVM})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - one kind
        """Return whether the node has a JMX port."""
        return target.jmx_port is not None

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Read all in one round trip; a broker that does not run yet takes up to two more."""
        return await look(context, target.id, self._read(target, context))

    async def close(self) -> None:
        """Close all sessions."""
        clients, self._clients = list(self._clients.values()), {}
        await asyncio.gather(*(client.close() for client in clients))

    async def _read(self, target: NodeConfig, context: CheckContext) -> JvmFact:
        client = self._clients.get(target.id)
        if client is None:
            client = self._clients[target.id] = self._client(target)
            client.on_lost(lambda lost: context.hint(f"its JMX connection was lost: {lost}"))
        limit_s = context.timeout_s * _OURS
        found = await _read(client, _requests(target, context.cluster.mode), limit_s)
        state = _whole(found, _STATE)
        logs = segments = None
        if target.is_broker and state != _RUNNING:  # its gauges exist only while it lasts
            logs, segments = await _recovery(client, limit_s)
        return _fact(found, state, logs, segments)

    def _client(self, target: NodeConfig) -> JmxClient:
        how = target.jmx
        assert target.jmx_port is not None
        if (how.username is None) != (how.password is None):
            raise JmxSetupError("jmx: username and password belong together; set both or neither")
        return self._access.wire.jmx(
            target.host,
            target.jmx_port,
            user=how.username,
            password=how.password,
            tls=self._access.tls_context(how.tls),
            registry_tls=how.registry_tls,
            server_name=how.tls.server_name if how.tls else None,
            explain=tls_reason,
            rmi_port=how.rmi_port,
            limits=_LIMITS,
        )


def _requests(target: NodeConfig, mode: ClusterMode) -> Requests:
    """Return what a node of these roles has; an MBean that is not there costs the most."""
    kraft = mode is ClusterMode.KRAFT
    asked: list[tuple[str, tuple[str, ...]]] = [
        (_HEAP, ("HeapMemoryUsage",)),
        (_FILES, ("OpenFileDescriptorCount", "MaxFileDescriptorCount")),
    ]
    if target.is_broker or target.is_voter:
        asked += [(_IDLE, _RATES), (_QUEUE, _VALUE)]
    if target.is_broker:
        asked += [(name, _VALUE) for name in (_STATE, _OFFLINE_DIRS, _UNDER_REPLICATED)]
    if target.is_voter or (target.is_broker and not kraft):
        asked += [(_ACTIVE, _VALUE), (_OFFLINE, _VALUE)]
    if target.is_voter:
        asked += [(_CONTROLLER_ERRORS, _VALUE), (_CONTROLLER_LAG, _VALUE)]
    if target.is_broker and target.is_voter:
        asked += [(_BROKER_IDLE, _RATES)]  # the other one is a mean of both pools
    if kraft and (target.is_broker or target.is_voter):
        asked += [(_RAFT, ("current-state", "current-leader"))]
    if kraft and target.is_broker:
        asked += [(_METADATA, (_BROKER_LAG, *_BROKER_ERRORS))]
    if target.is_broker and not kraft:
        asked += [(_SESSION, _VALUE)]
    return asked


Found = Mapping[str, Mapping[str, JmxValue]]


async def _read(client: JmxClient, requests: Requests, limit_s: float) -> Found:
    """Return what was found, by MBean. Raises the JmxError of who could not be asked at all.

    An MBean that is not there, or that fails, is a gap and not the end of the others.
    """
    answers = await client.read(requests, timeout_s=limit_s)
    found: dict[str, Mapping[str, JmxValue]] = {}
    failed: JmxError | None = None
    for (name, _), answer in zip(requests, answers, strict=True):
        if isinstance(answer, dict):
            found[name] = answer
        elif isinstance(answer, JmxRemoteError):
            failed = answer
        elif not isinstance(answer, JmxNotFound):
            raise answer
    if failed is not None and not found:
        raise failed
    return found


async def _recovery(client: JmxClient, limit_s: float) -> tuple[int | None, int | None]:
    """Return how many logs and segments are still to be recovered; None: there are no gauges."""
    names = await client.query(f"{_RECOVERY.format('*')},*", timeout_s=limit_s)
    if not names:
        return None, None
    gauges = [(name, _VALUE) for name in names[:_MOST_GAUGES]]
    found = await _read(client, gauges, limit_s)
    logs, segments = (
        [_whole(found, name) for name in found if name.startswith(_RECOVERY.format(what))]
        for what in ("Logs", "Segments")
    )
    return _sum(logs), _sum(segments)


def _fact(found: Found, state: int | None, logs: int | None, segments: int | None) -> JvmFact:
    raft = found.get(_RAFT, {}).get("current-state")
    leader = _whole(found, _RAFT, "current-leader")
    active = _whole(found, _ACTIVE)
    errors = [_whole(found, _METADATA, name) for name in _BROKER_ERRORS]
    session = found.get(_SESSION, {}).get("Value")
    return JvmFact(
        broker_state=state,
        remaining_logs=logs,
        remaining_segments=segments,
        offline_log_dirs=_whole(found, _OFFLINE_DIRS),
        raft_state=str(raft) if isinstance(raft, str) else None,
        raft_leader=None if leader is None else str(leader),
        active_controller=None if active is None else active == 1,
        under_replicated=_whole(found, _UNDER_REPLICATED),
        offline_partitions=_whole(found, _OFFLINE),
        metadata_errors=_sum([*errors, _whole(found, _CONTROLLER_ERRORS)]),
        applied_lag_ms=_lag(found),
        idle=min(_known(_rate(found, name) for name in (_IDLE, _BROKER_IDLE)), default=None),
        request_queue=_whole(found, _QUEUE),
        open_files=_whole(found, _FILES, "OpenFileDescriptorCount"),
        max_files=_whole(found, _FILES, "MaxFileDescriptorCount"),
        heap=_heap(found.get(_HEAP, {}).get("HeapMemoryUsage")),
        session=str(session) if isinstance(session, str) else None,
    )


def _rate(found: Found, name: str) -> float | None:
    """Return a meter's rate; it is 0.0 for the first five seconds, until the meter ticks."""
    rate, since_start = (_real(found, name, one) for one in _RATES)
    return None if rate == 0.0 and since_start else rate


def _lag(found: Found) -> float | None:
    """Return the lag of the role that is further behind."""
    lags = (_real(found, _METADATA, _BROKER_LAG), _real(found, _CONTROLLER_LAG))
    return max((lag for lag in _known(lags) if lag < _SINCE_1970_MS), default=None)


def _heap(usage: JmxValue) -> float | None:
    if not isinstance(usage, dict):
        return None
    used, most = _number(usage.get("used")), _number(usage.get("max"))
    return used / most if used is not None and most is not None and most > 0 else None


def _real(found: Found, name: str, attribute: str = "Value") -> float | None:
    return _number(found.get(name, {}).get(attribute))


def _whole(found: Found, name: str, attribute: str = "Value") -> int | None:
    number = _real(found, name, attribute)
    return None if number is None else int(number)


def _number(value: JmxValue) -> float | None:
    """Return a gauge; Kafka 3.9 writes counts as doubles, and an average of nothing is NaN."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) <= _LARGEST else None  # neither a NaN nor an endless number is


def _known(numbers: Iterable[float | None]) -> list[float]:
    return [number for number in numbers if number is not None]


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
