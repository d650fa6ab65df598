"""`ServiceManager`: the port to whatever keeps a node's process: status, start, stop, kill."""

from __future__ import annotations

from typing import Protocol

from kafka_self_healing.hosts.command import CommandResult
from kafka_self_healing.model.evidence import ServiceFact


class ServiceManager(Protocol):
    """Keeps the process of one node. Every call is bounded by `timeout_s` seconds.

    An exit code proves nothing: only a later `status` says what became of an act.
    """

    async def status(self, *, timeout_s: float) -> ServiceFact:
        """Return the manager's word, in systemd's terms, without readings of /proc.

        Raises CheckError when the manager cannot be asked or is not understood.
        """

    async def start(self, *, timeout_s: float) -> CommandResult:
        """Ask for a start. At its time limit it is left alone: its end is unknown then."""

    async def stop(self, *, timeout_s: float) -> CommandResult:
        """Ask for an orderly stop."""

    async def kill(self, *, timeout_s: float) -> CommandResult:
        """Ask for the process to be killed at once."""
