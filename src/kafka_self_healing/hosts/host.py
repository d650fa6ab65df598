"""`Host`: the port through which a node's host is asked. `LocalHost` is this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kafka_self_healing.hosts.command import CommandResult
from kafka_self_healing.model.evidence import DataDirFact, DiskFact


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """What the kernel says of one process.

    `state`: the letter of /proc/PID/stat; `started_s`: boot-clock second of its start;
    `read_bytes`: bytes fetched from disks so far, None when we may not read it.
    """

    pid: int
    state: str
    started_s: float
    tracer_pid: int | None = None
    read_bytes: int | None = None


class Host(Protocol):
    """One host. Readings return None where nothing could be read; they raise nothing."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        abandon: bool = False,
    ) -> CommandResult:
        """Run a bounded command; see `hosts.command.run_command`."""

    async def is_here(self, address: str, *, timeout_s: float) -> bool:
        """Return whether `address` is one of this host: else readings would be of a stranger."""

    async def process(self, pid: int) -> ProcessReading | None:
        """Return what the kernel says of `pid`; None: no such process."""

    async def lock_held(self, directories: Sequence[str], *, timeout_s: float) -> bool | None:
        """Return whether any process holds the `.lock` of any of these data directories."""

    async def data_dirs(self, paths: Sequence[str], *, timeout_s: float) -> tuple[DataDirFact, ...]:
        """Read each data directory for real: its device, its identity file, its entries."""

    async def disks(self, paths: Sequence[str], *, timeout_s: float) -> tuple[DiskFact, ...]:
        """Return size and free space (bytes) of the file systems that hold `paths`."""

    async def boot_id(self) -> str | None:
        """Return the id that the kernel gave to this boot."""
