"""`ServiceManager`: the port to whatever keeps a node's process: status, start, stop, kill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts.command import CommandOutcome, CommandResult
from kafka_self_healing.hosts.host import Asked, Reading
from kafka_self_healing.model.evidence import Outcome, ServiceFact

NOT_FOUND: Final = "not-found"
"""`unit_file` of a unit or container that is not there."""

_SAID: Final = 200


class ServiceManager(Protocol):
    """Keeps the process of one node. Every call is bounded by `timeout_s` seconds.

    An exit code proves nothing: only a later `status` says what became of an act.
    """

    @property
    def spawns(self) -> bool:
        """Whether what it starts descends from us, so that it may have to end with our unit."""

    @property
    def restarts(self) -> bool:
        """Whether `restart` is right after a kill, without having seen the end of the process."""

    async def status(self, *, timeout_s: float) -> ServiceFact:
        """Return the manager's word, in systemd's terms, with what the host says of the process.

        One round trip. Raises CheckError when host or manager cannot be asked or understood.
        """

    async def start(self, *, timeout_s: float) -> CommandResult:
        """Ask for a start. At its time limit it is left alone: its end is unknown then."""

    async def stop(self, *, timeout_s: float) -> CommandResult:
        """Ask for an orderly stop."""

    async def kill(self, *, timeout_s: float) -> CommandResult:
        """Ask for the process to be killed at once."""

    async def restart(self, *, timeout_s: float) -> CommandResult:
        """Ask for a start of a process that was killed, also if its end was not yet noticed."""

    def privileged(self) -> tuple[tuple[str, ...], ...]:
        """Return the commands of the acts, as sudo must permit them where it is asked."""

    def log(self, lines: int) -> Asked | None:
        """Return the command that shows the last log lines; None: the manager keeps no log."""

    async def on_host(self, paths: Sequence[str], *, timeout_s: float) -> dict[str, str]:
        """Return where paths of the node are on its host, by path; what nobody knows is left out.

        Raises CheckError.
        """


def with_reading(fact: ServiceFact, reading: Reading) -> ServiceFact:
    """Return what the manager says joined with what the kernel says of its process."""
    if not reading.here:
        return fact  # its pid and its directories are those of another machine
    fact = replace(fact, lock_held=reading.lock_held, boot_id=reading.boot_id)
    process = reading.process
    if process is None:
        return fact if fact.pid else replace(fact, tracer_pid=fact.pid)
    return replace(
        fact,
        process_state=process.state,
        tracer_pid=process.tracer_pid,
        started_s=process.started_s,
        read_bytes=process.read_bytes,
    )


def said(result: CommandResult) -> str:
    """Return the end of what a command said, for a message."""
    return (result.stderr or result.stdout).strip()[-_SAID:]


def require_exit(reading: Reading, name: str, what: str) -> CommandResult:
    """Return the result of a command that ran to its end. Raises CheckError: it did not."""
    result = reading.commands.get(name)
    match None if result is None else result.outcome:
        case CommandOutcome.EXITED:
            assert result is not None
            return result
        case None | CommandOutcome.TIMED_OUT | CommandOutcome.UNKNOWN:
            raise CheckError(Outcome.TIMED_OUT, f"{what} did not answer in time")
        case _:
            assert result is not None
            words = said(result)
            text = f"{what} did not run to its end" + (f": {words}" if words else "")
            raise CheckError(Outcome.PROTOCOL, text)


def elsewhere(address: str, what: str) -> CheckError:
    """Return the error of a node on another machine to which no way is configured."""
    return CheckError(
        Outcome.NOT_ASKED,
        f"{what} is on {address}, which is not this machine, and no ssh access is configured",
    )
