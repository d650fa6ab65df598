"""What all plugins are written against: the contract."""

from kafka_self_healing.plugins.contract import (
    ActionContext,
    CheckContext,
    MonitoringPlugin,
    NotificationPlugin,
    RecoveryAction,
    RecoveryPlugin,
    Scope,
)

__all__ = [
    "ActionContext",
    "CheckContext",
    "MonitoringPlugin",
    "NotificationPlugin",
    "RecoveryAction",
    "RecoveryPlugin",
    "Scope",
]
