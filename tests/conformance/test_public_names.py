"""The package's public names: one home each, a written list, and what importing costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import kafka_self_healing

WRITTEN = """
AuditLogger
CheckResult
ClusterConfig
Condition
ConfigurationManager
DeliveryQueue
Diagnosis
EmailNotifier
Event
HealthChecker
Incident
JMXMonitoringPlugin
KafkaMonitoringPlugin
LogRotator
LoggingService
MonitoringPlugin
MonitoringService
NodeConfig
NodeStatus
NotificationConfig
NotificationPlugin
NotificationService
NotificationTemplate
RecoveryAction
RecoveryEngine
RecoveryPlugin
RecoveryRequest
RecoveryResult
RetryPolicy
ServiceMonitoringPlugin
ServiceRestartPlugin
SocketMonitoringPlugin
ZookeeperMonitoringPlugin
"""

FORBIDDEN = {
    "kafka_self_healing": {"pydantic", "sqlalchemy", "asyncio", "click", "rich"},
    "kafka_self_healing.model.event": {"asyncio", "logging", "pydantic", "sqlalchemy", "socket"},
    "kafka_self_healing.healing.healer": {"asyncio", "logging", "pydantic", "sqlalchemy", "socket"},
    "kafka_self_healing.wire.kafka": {"pydantic", "sqlalchemy", "kafka_self_healing.model"},
    "kafka_self_healing.wire.zookeeper": {"kazoo", "pydantic", "kafka_self_healing.model"},
    "kafka_self_healing.monitoring": {"httpx2", "kafka", "kazoo"},
    "kafka_self_healing.wire.jmx": {"pydantic", "sqlalchemy", "kafka_self_healing.model"},
    "kafka_self_healing.cli.status": {"pydantic", "sqlalchemy", "alembic", "asyncio", "yaml"},
}


def test_public_names_are_the_written_list() -> None:
    """The package exports what the documentation promises, no more and no less."""
    assert sorted(kafka_self_healing.HOMES) == WRITTEN.split()


@pytest.mark.parametrize("name", WRITTEN.split())
def test_public_name_is_importable_from_the_root(name: str) -> None:
    """Each public name is the object that lives in its home."""
    module = f"kafka_self_healing.{kafka_self_healing.HOMES[name]}"
    home = __import__(module, fromlist=[name])
    assert getattr(kafka_self_healing, name) is getattr(home, name)


@pytest.mark.parametrize("module", sorted(FORBIDDEN))
def test_importing_loads_no_more_than_it_needs(module: str) -> None:
    """The mind, the words, the wire and `status` do not drag in what they do not use."""
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded & FORBIDDEN[module] == set()
