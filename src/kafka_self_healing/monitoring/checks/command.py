"""CommandMonitoringPlugin: any program with Nagios' exit codes is a check."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts import CommandOutcome, CommandResult, run_command
from kafka_self_healing.model.access import CommandProbe
from kafka_self_healing.model.evidence import CheckResult, CustomFact, Kind, Outcome, ProbeState
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.checks.look import look
from kafka_self_healing.monitoring.checks.nagios import MOST_TEXT, first_line, metrics_of, state_of
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin

GRACE_S: Final = 1.0
"""How much longer than its programs' limits a look may take: killing one takes a moment."""

NOT_RUN: Final = frozenset({126, 127})
"""Exit codes of a shell (so of ssh) that cannot run a program, or does not find it."""


class CommandMonitoringPlugin(MonitoringPlugin):
    """CUSTOM, a result for each program that was due, by its name.

    Each has its own interval, and the node is looked at as often as the shortest asks. A look that
    comes before any of them is due was asked for: then all are run.
    """

    def __init__(self) -> None:
        self._begun: dict[tuple[str, str], float] = {}

    @property
    def kinds(self) -> frozenset[Kind]:
        """CUSTOM."""
        return frozenset({Kind.CUSTOM})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - one kind
        """Return whether the node has any program."""
        return bool(target.commands)

    def interval_s(self, target: NodeConfig, kind: Kind) -> float | None:  # noqa: ARG002
        """The shortest of its programs' intervals."""
        return min((probe.interval_s for probe in target.commands), default=None)

    def timeout_s(self, target: NodeConfig, kind: Kind) -> float | None:  # noqa: ARG002
        """The longest of its programs' time limits, and a moment to kill one."""
        longest = max((probe.timeout_s for probe in target.commands), default=None)
        return None if longest is None else longest + GRACE_S

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Run the programs that are due, at the same time."""
        now_s = context.clock.now().mono_s
        return await asyncio.gather(
            *(self._one(probe, target, context) for probe in self._due(target, now_s))
        )

    def _due(self, target: NodeConfig, now_s: float) -> list[CommandProbe]:
        # Looks come about as often as the shortest interval says: whichever look is nearest to the
        # end of a program's interval runs it.
        slack_s = (self.interval_s(target, Kind.CUSTOM) or 0.0) / 2
        due = [
            probe
            for probe in target.commands
            if now_s - self._begun.get((target.id, probe.name), -1e9) >= probe.interval_s - slack_s
        ] or list(target.commands)
        self._begun |= {(target.id, probe.name): now_s for probe in due}
        return due

    async def _one(
        self, probe: CommandProbe, target: NodeConfig, context: CheckContext
    ) -> CheckResult:
        def unknown(wrong: CheckError) -> CustomFact:
            return CustomFact(ProbeState.UNKNOWN, str(wrong), stands_for=probe.stands_for)

        (result,) = await look(context, target.id, _run(probe, context), or_else=unknown)
        if result.fact is None:
            result = replace(result, fact=unknown(CheckError(result.outcome, result.error)))
        return replace(result, name=probe.name)


async def _run(probe: CommandProbe, context: CheckContext) -> CustomFact:
    """Run one program and return what it says. Raises CheckError: it said nothing."""
    limit_s = min(probe.timeout_s, context.timeout_s - GRACE_S / 2)
    if probe.on_host:
        done = await context.run(probe.argv, timeout_s=limit_s)
    else:
        done = await run_command(probe.argv, timeout_s=limit_s, clock=context.clock)
    match done.outcome:
        case CommandOutcome.EXITED if done.exit_code not in NOT_RUN:
            return _said(probe, done)
        case CommandOutcome.EXITED | CommandOutcome.NOT_STARTED:
            raise _error(Outcome.NOT_ASKED, done, f"{probe.argv[0]} could not be run")
        case CommandOutcome.TIMED_OUT | CommandOutcome.UNKNOWN:
            raise _error(Outcome.TIMED_OUT, done, f"{probe.argv[0]} took longer than {limit_s:g} s")
        case CommandOutcome.SIGNALLED:
            raise _error(Outcome.PROTOCOL, done, f"{probe.argv[0]} ended by signal {done.signal}")


def _said(probe: CommandProbe, done: CommandResult) -> CustomFact:
    code = done.exit_code or 0
    state = state_of(code)
    text = first_line(done.stdout) or first_line(done.stderr)
    if state is ProbeState.UNKNOWN and code != 3:
        text = f"exit code {code} is none of Nagios': {text}"[:MOST_TEXT]
    return CustomFact(state, text, metrics_of(done.stdout), probe.stands_for)


def _error(outcome: Outcome, done: CommandResult, what: str) -> CheckError:
    said = first_line(done.stderr.strip() or done.stdout.strip())
    return CheckError(outcome, f"{what}: {said}" if said else what)
