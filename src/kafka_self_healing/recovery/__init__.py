"""The hands: they carry out one act at a time on a node, within hard limits, and decide nothing."""

from kafka_self_healing.recovery.actions.service_restart import ServiceRestartPlugin
from kafka_self_healing.recovery.engine import RecoveryEngine

__all__ = ["RecoveryEngine", "ServiceRestartPlugin"]
