"""A service manager in memory, with a process that can be told to resist."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts import Asked, CommandOutcome, CommandResult
from kafka_self_healing.model.evidence import Outcome, ServiceFact


@dataclass(slots=True)
class FakeServiceManager:
    """`calls` is what it was asked for, in order (without status). Pids count up from 101.

    `answers`: the result of a verb instead of the ordinary one, which then changes nothing;
    `hangs`: verbs that never come back; `lingers`: looks for which a stopped process still runs;
    `blind`: whether `status` says nothing; `respawns`: whether it replaces a process that ends.
    `restarts`: whether it has a restart of its own; `stop_timeout_s`: what its status says of it.
    """

    running: bool = True
    pid: int = 101
    answers: dict[str, CommandResult] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)
    lingers: int = 0
    blind: bool = False
    respawns: bool = False
    restarts: bool = False
    spawns: bool = False
    stop_timeout_s: float | None = None
    calls: list[str] = field(default_factory=list)
    limits: list[tuple[str, float]] = field(default_factory=list)

    async def status(self, *, timeout_s: float) -> ServiceFact:
        """Return active with a pid, or inactive."""
        if self.blind:
            raise CheckError(Outcome.TIMED_OUT, "status did not answer in time")
        if self._ending and self.lingers <= 0:
            self.running = False
            if self.respawns:
                self._run()
        elif self._ending:
            self.lingers -= 1
        if self.running:
            return ServiceFact(
                "active",
                "running",
                pid=self.pid,
                invocation=f"run-{self.pid}",
                stop_timeout_s=self.stop_timeout_s,
            )
        return ServiceFact("inactive", "dead", pid=0, invocation=f"run-{self.pid}")

    async def start(self, *, timeout_s: float) -> CommandResult:
        """Start a process, unless one runs."""
        result = await self._do("start", timeout_s)
        if "start" not in self.answers and not self.running:
            self._run()
        return result

    async def restart(self, *, timeout_s: float) -> CommandResult:
        """Put another process in the place of the one there is."""
        result = await self._do("restart", timeout_s)
        if "restart" not in self.answers:
            self._run()
        return result

    def privileged(self) -> tuple[tuple[str, ...], ...]:
        """It needs no rights."""
        return ()

    def log(self, lines: int) -> Asked | None:
        """It keeps none."""
        return None

    async def on_host(self, paths: Sequence[str], *, timeout_s: float) -> dict[str, str]:
        """All paths are the host's."""
        return {path: path for path in paths}

    async def stop(self, *, timeout_s: float) -> CommandResult:
        """End the process."""
        return await self._do("stop", timeout_s)

    async def kill(self, *, timeout_s: float) -> CommandResult:
        """End the process."""
        return await self._do("kill", timeout_s)

    @property
    def _ending(self) -> bool:
        last = self.calls[-1] if self.calls else ""
        return self.running and last in {"stop", "kill"} and last not in self.answers

    def _run(self) -> None:
        self.running = True
        self.pid += 1
        self.calls.append("(runs)")

    async def _do(self, verb: str, timeout_s: float) -> CommandResult:
        self.calls.append(verb)
        self.limits.append((verb, timeout_s))
        if verb in self.hangs:
            await asyncio.Event().wait()
        return self.answers.get(verb, exited(verb, 0))


def exited(verb: str, code: int, stderr: str = "") -> CommandResult:
    """Return the result of a command that ended with an exit code."""
    return CommandResult((verb,), CommandOutcome.EXITED, 0.0, 0.0, exit_code=code, stderr=stderr)


def ended_as(verb: str, outcome: CommandOutcome) -> CommandResult:
    """Return the result of a command that ended otherwise than by an exit code."""
    return CommandResult((verb,), outcome, 0.0, 0.0)
