"""The MBeans of a simulated JVM: what the real check would read its fact from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kafka_self_healing.model.evidence import JvmFact
from kafka_self_healing.wire.jmx import JmxValue

MBeans = Mapping[str, Mapping[str, JmxValue]]
_RECOVERY: Final = "kafka.log:type=LogManager,name=remaining{}ToRecover,dir=x"
_METADATA: Final = "kafka.server:type=broker-metadata-metrics"
_CONTROLLER: Final = "kafka.controller:type=KafkaController,name="


def mbeans(fact: JvmFact) -> MBeans:
    """Return the MBeans that there are, with their attributes; what is None does not exist."""
    heap: JmxValue = None
    if fact.heap is not None:
        heap = {"used": int(fact.heap * 1e9), "max": 1_000_000_000}
    found: dict[str, dict[str, JmxValue]] = {
        "java.lang:type=Memory": {"HeapMemoryUsage": heap},
        "kafka.server:type=KafkaServer,name=BrokerState": {"Value": fact.broker_state},
        "kafka.log:type=LogManager,name=OfflineLogDirectoryCount": {"Value": fact.offline_log_dirs},
        "kafka.server:type=raft-metrics": {"current-state": fact.raft_state},
        _METADATA: {"last-applied-record-lag-ms": fact.applied_lag_ms},
        f"{_CONTROLLER}LastAppliedRecordLagMs": {"Value": fact.applied_lag_ms},
        "kafka.server:type=SessionExpireListener,name=SessionState": {"Value": fact.session},
    }
    return {
        name: there
        for name, values in found.items()
        if (there := {key: value for key, value in values.items() if value is not None})
    }


def gauges(fact: JvmFact) -> MBeans:
    """Return the gauges of a recovery that is under way; they exist only while it lasts."""
    left = {"Logs": fact.remaining_logs, "Segments": fact.remaining_segments}
    return {
        _RECOVERY.format(what): {"Value": number}
        for what, number in left.items()
        if number is not None
    }
