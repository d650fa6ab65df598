"""What can be done and read on a node's host: bounded commands, service managers, /proc, disks."""

from kafka_self_healing.hosts.command import CommandOutcome, CommandResult, run_command
from kafka_self_healing.hosts.host import Host, ProcessReading
from kafka_self_healing.hosts.local import LocalHost
from kafka_self_healing.hosts.pool import HostPool
from kafka_self_healing.hosts.service import ServiceManager
from kafka_self_healing.hosts.service_command import CommandServiceManager

__all__ = [
    "CommandOutcome",
    "CommandResult",
    "CommandServiceManager",
    "Host",
    "HostPool",
    "LocalHost",
    "ProcessReading",
    "ServiceManager",
    "run_command",
]
