"""`Host`: the port through which a node's host is asked. One look at it costs one round trip.

A `Question` says all that one look is to bring; a `Reading` is what came of it. `LocalHost` reads
this machine, `SshHost` has a small script read another one; both pass the same contract suite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kafka_self_healing.hosts.command import CommandResult
from kafka_self_healing.model.evidence import DataDirFact, DiskFact


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that a look runs; it must change nothing.

    `unless`: lines of the first command's output, any of which makes this one needless. `lines`:
    how many of its last lines are wanted; `merged`: its stderr belongs to its output.
    """

    name: str
    argv: tuple[str, ...]
    unless: tuple[str, ...] = ()
    lines: int = 100
    merged: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What one look is to bring.

    `commands` are run one after the other; a line `KEY=NUMBER` of the first one's output, KEY being
    `pid_key`, names the process to be read. `locks`: data directories whose `.lock` is of interest;
    `data_dirs`: directories to be read for real, with their file systems; `log_file`: a file of
    which the last `log_lines` lines are wanted. `doors`: hosts and ports of which it is wanted
    whether a TCP connection from there opens. `address`: whose host this is meant to be; where it
    is another one, nothing but the commands is looked at. `as_user`: as who we log in, whatever
    rights we could have.
    """

    commands: tuple[Asked, ...] = ()
    pid_key: str = ""
    locks: tuple[str, ...] = ()
    data_dirs: tuple[str, ...] = ()
    log_file: str | None = None
    log_lines: int = 50
    doors: tuple[tuple[str, int], ...] = ()
    address: str | None = None
    as_user: bool = False


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


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look brought; None: not asked, not readable, or not in time.

    `here` False: the host is not that of the address asked about. `commands` has the results of
    those that were run. `pid` 0: the first command named no process. `lock_held`: whether any
    process holds the `.lock` of any of the directories. `uptime_s`: seconds since the boot;
    `clock_offset_s`: the host's UTC minus ours. `doors`: for each of the question's whether it
    opens; None where nobody can tell, such as for a name that means nothing there.
    """

    here: bool = True
    commands: Mapping[str, CommandResult] = field(default_factory=dict)
    pid: int | None = None
    process: ProcessReading | None = None
    lock_held: bool | None = None
    data_dirs: tuple[DataDirFact, ...] | None = None
    disks: tuple[DiskFact, ...] | None = None
    log: tuple[str, ...] | None = None
    boot_id: str | None = None
    uptime_s: float | None = None
    clock_offset_s: float | None = None
    doors: tuple[bool | None, ...] | None = None


class Host(Protocol):
    """One host."""

    @property
    def sudo(self) -> bool:
        """Whether privileged commands go through `sudo -n` here."""

    @property
    def ping(self) -> bool | None:
        """Whether it answered a ping when it could last not be asked; None: not tried."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        abandon: bool = False,
    ) -> CommandResult:
        """Run a bounded command; see `hosts.command.run_command`. It raises nothing.

        A host that cannot be asked gives NOT_STARTED; a connection that is lost on the way UNKNOWN.
        """

    async def look(self, question: Question, *, timeout_s: float) -> Reading:
        """Return what `question` asks for. Raises CheckError: the host cannot be asked."""

    async def is_here(self, address: str, *, timeout_s: float) -> bool:
        """Return whether this is the host of `address`: else it would be a stranger's."""

    async def close(self) -> None:
        """Give back connections; nothing is asked any more."""


def last_lines(text: str, number: int) -> tuple[str, ...]:
    """Return the last lines of a text, without the empty end."""
    return tuple(text.rstrip("\n").split("\n")[-number:]) if text.strip() else ()


def pid_named(output: str, key: str) -> int:
    """Return the number in the last line `key=NUMBER` of an output; 0: there is none."""
    pid = 0
    for line in output.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.strip() == key and value.strip().isdecimal():
            pid = int(value)
    return pid
