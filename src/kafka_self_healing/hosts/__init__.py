"""What can be done and read on a node's host: bounded commands, service managers, /proc, disks."""

from kafka_self_healing.hosts.command import CommandOutcome, CommandResult, run_command
from kafka_self_healing.hosts.host import Asked, Host, ProcessReading, Question, Reading
from kafka_self_healing.hosts.local import LocalHost
from kafka_self_healing.hosts.pool import HostPool, Hosts, Pool
from kafka_self_healing.hosts.service import ServiceManager
from kafka_self_healing.hosts.service_command import CommandServiceManager
from kafka_self_healing.hosts.service_docker import DockerServiceManager
from kafka_self_healing.hosts.service_systemd import SystemdServiceManager
from kafka_self_healing.hosts.ssh import SshHost
from kafka_self_healing.hosts.ssh_faults import HostUnreachable, SshFault

__all__ = [
    "Asked",
    "CommandOutcome",
    "CommandResult",
    "CommandServiceManager",
    "DockerServiceManager",
    "Host",
    "HostPool",
    "HostUnreachable",
    "Hosts",
    "LocalHost",
    "Pool",
    "ProcessReading",
    "Question",
    "Reading",
    "ServiceManager",
    "SshFault",
    "SshHost",
    "SystemdServiceManager",
    "run_command",
]
