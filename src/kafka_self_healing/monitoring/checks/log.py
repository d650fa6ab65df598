"""LogMonitoringPlugin: the node's last log lines, from a file or from its service manager."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts import Asked, CommandOutcome, Question
from kafka_self_healing.model.access import CommandService, LogSource
from kafka_self_healing.model.evidence import CheckResult, Kind, LogFact, Outcome
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.checks.look import HOST_SHARE, look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin

LINE_LIMIT: Final = 1000
"""How much of a line is kept (characters)."""

LINES_LIMIT: Final = 500
"""How many lines are kept at most, whatever the configuration says."""

_SAID: Final = 200


class LogMonitoringPlugin(MonitoringPlugin):
    """LOG. `redact` takes credentials out of each line before anybody else sees it."""

    def __init__(self, redact: Callable[[str], str] = str) -> None:
        self._redact = redact

    @property
    def kinds(self) -> frozenset[Kind]:
        """LOG."""
        return frozenset({Kind.LOG})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - one kind
        """Return whether a log is configured that somebody keeps."""
        if target.log is None:
            return False
        kept = target.service is not None and not isinstance(target.service, CommandService)
        return target.log.file is not None or kept

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Read the last lines once. A node on another machine, without a way, brings nothing."""
        assert target.log is not None
        limit_s = context.timeout_s * HOST_SHARE
        if not await context.host.is_here(target.host, timeout_s=limit_s / 2):
            return ()
        return await look(context, target.id, self._read(target, target.log, context, limit_s))

    async def _read(
        self, target: NodeConfig, source: LogSource, context: CheckContext, limit_s: float
    ) -> LogFact:
        number = min(source.lines, LINES_LIMIT)
        if source.file is not None:
            lines = await _of_file(target, source.file, number, context, limit_s)
        else:
            assert context.service is not None
            asked = context.service.log(number)
            assert asked is not None, "can_ask has made sure of it"
            lines = await _of_manager(asked, context, limit_s)
        return LogFact(tuple(self._redact(line[: 2 * LINE_LIMIT])[:LINE_LIMIT] for line in lines))


async def _of_file(
    target: NodeConfig, file: str, lines: int, context: CheckContext, limit_s: float
) -> Sequence[str]:
    there: str | None = file
    if context.service is not None:
        there = (await context.service.on_host((file,), timeout_s=limit_s)).get(file)
    if there is None:
        raise CheckError(Outcome.NOT_ASKED, f"nobody knows where {file} is on {target.host}")
    question = Question(log_file=there, log_lines=lines, address=target.host)
    reading = await context.host.look(question, timeout_s=limit_s)
    if reading.log is None:
        text = f"log {there} cannot be read: it is not there, not permitted, or its disk is silent"
        raise CheckError(Outcome.PROTOCOL, text)
    return reading.log


async def _of_manager(asked: Asked, context: CheckContext, limit_s: float) -> Sequence[str]:
    reading = await context.host.look(Question(commands=(asked,)), timeout_s=limit_s)
    result = reading.commands.get(asked.name)
    program = asked.argv[0]
    if result is None or result.outcome is CommandOutcome.TIMED_OUT:
        raise CheckError(Outcome.TIMED_OUT, f"{program} did not answer in time")
    text = result.stdout + (result.stderr if asked.merged else "")
    if not result.ok:
        words = (result.stderr or text).strip()[-_SAID:]
        denied = "permission" in words.lower()
        outcome = Outcome.AUTHORISATION if denied else Outcome.PROTOCOL
        advice = "; put the user into the group systemd-journal" if denied else ""
        raise CheckError(outcome, f"{program}: exit code {result.exit_code}: {words}{advice}")
    return text.rstrip("\n").split("\n")[-asked.lines :] if text.strip() else ()
