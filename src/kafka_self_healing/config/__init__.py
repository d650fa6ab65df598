"""What the operator wrote: read whole, checked whole, and turned into the words of the model."""

from kafka_self_healing.config.coverage import unhealable
from kafka_self_healing.config.credentials import secrets_in
from kafka_self_healing.config.loading import load, state_dir_of
from kafka_self_healing.config.manager import ConfigurationManager
from kafka_self_healing.config.schema import ClusterConfig, NotificationConfig
from kafka_self_healing.config.settings import Settings

__all__ = [
    "ClusterConfig",
    "ConfigurationManager",
    "NotificationConfig",
    "Settings",
    "load",
    "secrets_in",
    "state_dir_of",
    "unhealable",
]
