"""One bounded command: an argument list, never a shell; a time limit, an output limit, a session.

The process leads a session and a process group of its own. At the time limit the whole group is
killed, except for a START (`abandon=True`): what it started may be the broker, and a broker dies
with its starter's group. It is left alone then, and the result says that its end is unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kafka_self_healing.clock import Clock
from kafka_self_healing.hosts.child import Child, minimal_environment
from kafka_self_healing.hosts.outputs import OUTPUT_LIMIT_BYTES, File, Pipe, printable

__all__ = [
    "OUTPUT_LIMIT_BYTES", "CommandOutcome", "CommandResult",
    "minimal_environment", "not_started", "printable", "run_command",
]  # fmt: skip

_DRAIN_S: Final = 0.25  # a child that inherited our pipe must not keep us from the exit code


class CommandOutcome(StrEnum):
    """How a command ended."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    """By a signal. Over ssh an exit code above 128 counts as one: a shell tells no difference."""
    TIMED_OUT = "timed_out"
    """The time limit passed and its process group was killed."""
    UNKNOWN = "unknown"
    """Given, but its end was not seen: left running at its limit (also because it could not be
    killed), or the connection was cut."""
    NOT_STARTED = "not_started"
    """The program does not exist, may not be run, or could not be given; nothing happened."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What came of one command. Times: boot-clock seconds; outputs: printable and capped."""

    argv: tuple[str, ...]
    outcome: CommandOutcome
    started: float
    ended: float
    exit_code: int | None = None
    signal: int | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False

    @property
    def ok(self) -> bool:
        """Whether it exited with code 0 within its time limit."""
        return self.outcome is CommandOutcome.EXITED and self.exit_code == 0


def not_started(argv: Sequence[str], why: str, started: float, ended: float) -> CommandResult:
    """Return the result of a command that was not given, with the reason as its stderr."""
    return CommandResult(
        tuple(argv), CommandOutcome.NOT_STARTED, started, ended, stderr=printable(why.encode())
    )


async def run_command(
    argv: Sequence[str],
    *,
    timeout_s: float,
    clock: Clock,
    env: Mapping[str, str] | None = None,
    abandon: bool = False,
) -> CommandResult:
    """Run `argv` for at most `timeout_s` seconds and return how it ended; it raises nothing.

    `env` is added to a minimal environment. `abandon`: at the time limit, or when this call is
    cancelled, leave the process running instead of killing its group.
    """
    assert argv, "a command has at least a program"
    started = clock.now().mono_s
    outputs: tuple[Pipe | File, Pipe | File] = (File(), File()) if abandon else (Pipe(), Pipe())
    try:
        try:
            child = _spawn(argv, outputs, env)
        except (OSError, ValueError) as wrong:
            why = f"cannot run {argv[0]}: {wrong}"
            return not_started(argv, why, started, clock.now().mono_s)
        outcome, code = await _await_end(child, timeout_s, abandon=abandon)
        if outcome is not CommandOutcome.UNKNOWN:
            await drain(outputs)
        return _result(argv, outcome, code, outputs, (started, clock.now().mono_s))
    finally:
        for output in outputs:
            output.close()


async def drain(outputs: Sequence[Pipe | File]) -> None:
    """Wait a moment for what an ended child has still written."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            await asyncio.gather(*(output.ended.wait() for output in outputs))


def _spawn(
    argv: Sequence[str],
    outputs: tuple[Pipe | File, Pipe | File],
    env: Mapping[str, str] | None,
) -> Child:
    try:
        return Child(
            argv,
            stdout=outputs[0].write_end,
            stderr=outputs[1].write_end,
            env=minimal_environment(env),
        )
    finally:
        for output in outputs:
            os.close(output.write_end)


async def _await_end(
    child: Child, timeout_s: float, *, abandon: bool
) -> tuple[CommandOutcome, int | None]:
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(child.ended)
    except TimeoutError:
        if abandon:
            child.abandon()
            return CommandOutcome.UNKNOWN, None
        dead = await child.kill() is not None
        return CommandOutcome.TIMED_OUT if dead else CommandOutcome.UNKNOWN, None
    except asyncio.CancelledError:
        if abandon:
            child.abandon()
        else:
            await child.kill()
        raise
    code = child.reap()
    return (CommandOutcome.EXITED if code >= 0 else CommandOutcome.SIGNALLED), code


def _result(
    argv: Sequence[str],
    outcome: CommandOutcome,
    code: int | None,
    outputs: tuple[Pipe | File, Pipe | File],
    span: tuple[float, float],
) -> CommandResult:
    return CommandResult(
        argv=tuple(argv),
        outcome=outcome,
        started=span[0],
        ended=span[1],
        exit_code=code if outcome is CommandOutcome.EXITED else None,
        signal=-code if outcome is CommandOutcome.SIGNALLED and code is not None else None,
        stdout=printable(bytes(outputs[0].data)),
        stderr=printable(bytes(outputs[1].data)),
        truncated=any(output.truncated for output in outputs),
    )
