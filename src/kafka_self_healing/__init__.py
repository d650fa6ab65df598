"""Watches self-managed Kafka clusters, heals what can safely be healed, and explains itself.

The public names are exported here and imported when they are first used: `status` must not pay
for what `run` needs. `__init__.pyi` beside this file says the same to type checkers.
"""

from importlib import import_module

__version__ = "0.1.0"

HOMES = {
    "AuditLogger": "observability",
    "CheckResult": "model.evidence",
    "ClusterConfig": "config",
    "Condition": "model.incident",
    "ConfigurationManager": "config",
    "DeliveryQueue": "notification",
    "Diagnosis": "model.incident",
    "EmailNotifier": "notification",
    "Event": "model.event",
    "HealthChecker": "monitoring",
    "Incident": "model.incident",
    "JMXMonitoringPlugin": "monitoring",
    "KafkaMonitoringPlugin": "monitoring",
    "LogRotator": "observability",
    "LoggingService": "observability",
    "MonitoringPlugin": "plugins.contract",
    "MonitoringService": "monitoring",
    "NodeConfig": "model.node",
    "NodeStatus": "model.health",
    "NotificationConfig": "config",
    "NotificationPlugin": "plugins.contract",
    "NotificationService": "notification",
    "NotificationTemplate": "notification",
    "RecoveryAction": "plugins.contract",
    "RecoveryEngine": "recovery",
    "RecoveryPlugin": "plugins.contract",
    "RecoveryRequest": "model.recovery",
    "RecoveryResult": "model.recovery",
    "RetryPolicy": "model.recovery",
    "ServiceMonitoringPlugin": "monitoring",
    "ServiceRestartPlugin": "recovery",
    "SocketMonitoringPlugin": "monitoring",
    "ZookeeperMonitoringPlugin": "monitoring",
}
"""Each public name and the module that is its one home."""

__all__ = ["HOMES", "__version__", *HOMES]  # noqa: PLE0604  all are texts


def __getattr__(name: str) -> object:
    """Import a public name from its home (PEP 562)."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
