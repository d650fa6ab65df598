"""The eyes: they look at every node by themselves, and at once when somebody asks."""

from kafka_self_healing.monitoring.checker import HealthChecker
from kafka_self_healing.monitoring.checks.canary import CanaryMonitoringPlugin
from kafka_self_healing.monitoring.checks.certificate import CertificateMonitoringPlugin
from kafka_self_healing.monitoring.checks.command import CommandMonitoringPlugin
from kafka_self_healing.monitoring.checks.host import HostMonitoringPlugin
from kafka_self_healing.monitoring.checks.http import HttpMonitoringPlugin
from kafka_self_healing.monitoring.checks.jmx import JMXMonitoringPlugin
from kafka_self_healing.monitoring.checks.kafka import KafkaMonitoringPlugin
from kafka_self_healing.monitoring.checks.log import LogMonitoringPlugin
from kafka_self_healing.monitoring.checks.reference import ReferenceMonitoringPlugin
from kafka_self_healing.monitoring.checks.service import ServiceMonitoringPlugin
from kafka_self_healing.monitoring.checks.socket import SocketMonitoringPlugin
from kafka_self_healing.monitoring.checks.zookeeper import ZookeeperMonitoringPlugin
from kafka_self_healing.monitoring.service import MonitoringService

__all__ = [
    "CanaryMonitoringPlugin",
    "CertificateMonitoringPlugin",
    "CommandMonitoringPlugin",
    "HealthChecker",
    "HostMonitoringPlugin",
    "HttpMonitoringPlugin",
    "JMXMonitoringPlugin",
    "KafkaMonitoringPlugin",
    "LogMonitoringPlugin",
    "MonitoringService",
    "ReferenceMonitoringPlugin",
    "ServiceMonitoringPlugin",
    "SocketMonitoringPlugin",
    "ZookeeperMonitoringPlugin",
]
