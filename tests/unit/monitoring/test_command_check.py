"""CommandMonitoringPlugin with real programs, and Nagios' ways of saying things."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from tests.unit.monitoring.fake_eyes import make_cluster

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import CommandOutcome, CommandResult, LocalHost
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.access import CommandProbe
from kafka_self_healing.model.evidence import (
    HEALER,
    CheckResult,
    CustomFact,
    Kind,
    MetricFact,
    Outcome,
    ProbeState,
)
from kafka_self_healing.model.node import NodeConfig, Role
from kafka_self_healing.monitoring.checks.command import CommandMonitoringPlugin
from kafka_self_healing.monitoring.checks.nagios import (
    MOST_METRICS,
    first_line,
    metrics_of,
    state_of,
)
from kafka_self_healing.monitoring.context import LookContext


class SetClock(SystemClock):
    """The time is what the test says."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> Instant:
        """Return it."""
        return Instant(self.at, self.at)


class OtherHost(LocalHost):
    """A host that is not this machine: it keeps what it was asked to run."""

    def __init__(self, answer: CommandResult) -> None:
        super().__init__(SystemClock())
        self.answer = answer
        self.asked: list[tuple[Sequence[str], float]] = []

    async def run(self, argv: Sequence[str], *, timeout_s: float, **_: object) -> CommandResult:
        """Return what it was made with."""
        self.asked.append((argv, timeout_s))
        return self.answer


def node(*probes: CommandProbe) -> NodeConfig:
    """Return a node with these programs."""
    return NodeConfig("1", frozenset({Role.BROKER}), commands=probes)


def shell(text: str, **given: object) -> CommandProbe:
    """Return a program that runs a line of shell."""
    return CommandProbe("probe", ("/bin/sh", "-c", text), **given)  # type: ignore[arg-type]


async def see(
    target: NodeConfig,
    plugin: CommandMonitoringPlugin | None = None,
    *,
    host: LocalHost | None = None,
    clock: SystemClock | None = None,
) -> list[CheckResult]:
    """Look once, with the time limit that the plugin asks for."""
    plugin = plugin or CommandMonitoringPlugin()
    clock = clock or SystemClock()
    context = LookContext(
        kind=Kind.CUSTOM,
        cluster=make_cluster(),
        timeout_s=plugin.timeout_s(target, Kind.CUSTOM) or 0.0,
        clock=clock,
        logger=logging.getLogger("test"),
        host=host or LocalHost(clock),
        service=None,
        on_hint=lambda why: None,
    )
    return list(await plugin.check(target, context))


async def one(probe: CommandProbe, host: LocalHost | None = None) -> CheckResult:
    """Return the only result."""
    (result,) = await see(node(probe), host=host)
    return result


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (0, ProbeState.OK),
        (1, ProbeState.WARNING),
        (2, ProbeState.CRITICAL),
        (3, ProbeState.UNKNOWN),
    ],
)
async def test_exit_codes(code: int, state: ProbeState) -> None:
    """The exit code is the state; the first line its text; the rest performance data."""
    said = "echo \"DISK - 42 % free | '/var'=58%;80;90;0;100 inodes=12\"; "
    result = await one(shell(f"{said} exit {code}", stands_for=Kind.HOST))
    assert (result.observer, result.subject, result.kind) == (HEALER, "1", Kind.CUSTOM)
    assert (result.name, result.outcome, result.error) == ("probe", Outcome.ANSWERED, "")
    assert result.fact == CustomFact(
        state,
        "DISK - 42 % free",
        (MetricFact("/var", 58.0), MetricFact("inodes", 12.0)),
        Kind.HOST,
    )


async def test_other_exit_codes_are_unknown() -> None:
    """A code that Nagios does not have says nothing, and the words name it."""
    result = await one(shell("echo oops >&2; exit 77"))
    assert isinstance(result.fact, CustomFact)
    assert result.fact.state is ProbeState.UNKNOWN
    assert result.fact.text == "exit code 77 is none of Nagios': oops"


@pytest.mark.parametrize(
    ("probe", "outcome", "said"),
    [
        (CommandProbe("probe", ("/no/such/program",)), Outcome.NOT_ASKED, "could not be run"),
        (shell("exec /no/such/program"), Outcome.NOT_ASKED, "could not be run"),
        (shell("kill -SEGV $$"), Outcome.PROTOCOL, "signal 11"),
        (shell("echo begun; sleep 60", timeout_s=0.3), Outcome.TIMED_OUT, "longer than 0.3 s"),
    ],
)
async def test_program_that_says_nothing(probe: CommandProbe, outcome: Outcome, said: str) -> None:
    """Missing, killed, hanging: an outcome with words, and the state is unknown."""
    result = await one(probe)
    assert (result.name, result.outcome) == ("probe", outcome)
    assert isinstance(result.fact, CustomFact)
    assert result.fact.state is ProbeState.UNKNOWN
    assert said in result.error
    assert said in (result.fact.text or "")


def runs(pid: int) -> bool:
    """Whether a process runs; a zombie, left to whoever adopts it, does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


async def test_hanging_program_is_killed_with_its_children(tmp_path: Path) -> None:
    """At its limit the whole process group ends."""
    file = tmp_path / "pid"
    await one(shell(f"sleep 60 & echo $! >{file}; wait", timeout_s=0.5))
    child = int(file.read_text())
    async with asyncio.timeout(5.0):  # it was killed; dying takes it a moment
        while runs(child):
            await asyncio.sleep(0.01)


async def test_flood_of_output_is_cut() -> None:
    """A program that prints without end keeps neither memory nor the loop."""
    result = await one(shell("yes '|a=1' | head -c 3000000"))
    assert isinstance(result.fact, CustomFact)
    assert result.fact.metrics is not None
    assert len(result.fact.metrics) <= MOST_METRICS


async def test_secrets_of_our_environment_stay_with_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program gets a minimal environment."""
    monkeypatch.setenv("SMTP_PASSWORD", "hidden")
    result = await one(
        CommandProbe("probe", (sys.executable, "-c", "import os; print(os.environ)"))
    )
    assert os.environ["SMTP_PASSWORD"] == "hidden"
    assert "hidden" not in repr(result)


async def test_program_on_the_host_goes_through_the_host() -> None:
    """`on_host` runs it where the node is, within its own limit."""
    answer = CommandResult(("x",), CommandOutcome.EXITED, 0.0, 0.0, 1, stdout="LOAD | load=3.5\n")
    host = OtherHost(answer)
    result = await one(CommandProbe("probe", ("check_load",), on_host=True, timeout_s=4.0), host)
    assert result.fact == CustomFact(ProbeState.WARNING, "LOAD", (MetricFact("load", 3.5),))
    assert host.asked == [(("check_load",), 4.0)]


@pytest.mark.parametrize("outcome", [CommandOutcome.NOT_STARTED, CommandOutcome.UNKNOWN])
async def test_host_that_cannot_be_reached(outcome: CommandOutcome) -> None:
    """What could not be given to the host, or whose end was not seen, says nothing of the node."""
    host = OtherHost(CommandResult(("x",), outcome, 0.0, 0.0, stderr="no route"))
    result = await one(CommandProbe("probe", ("check_load",), on_host=True), host)
    wanted = Outcome.NOT_ASKED if outcome is CommandOutcome.NOT_STARTED else Outcome.TIMED_OUT
    assert result.outcome is wanted
    assert "no route" in result.error


async def test_each_program_has_its_own_interval() -> None:
    """Looks come as often as the shortest interval; a slower one is run at its own."""
    fast = CommandProbe("fast", ("true",), interval_s=10.0)
    slow = CommandProbe("slow", ("true",), interval_s=25.0)
    target, plugin, clock = node(fast, slow), CommandMonitoringPlugin(), SetClock()
    assert plugin.interval_s(target, Kind.CUSTOM) == 10.0
    ran = []
    for at in (1000.0, 1010.9, 1020.1, 1029.5, 1040.0, 1050.0):
        clock.at = at
        ran.append([result.name for result in await see(target, plugin, clock=clock)])
    both, alone = ["fast", "slow"], ["fast"]
    assert ran == [both, alone, both, alone, alone, both]


async def test_look_that_was_asked_for_runs_all() -> None:
    """A look before anything is due was wanted now: it is not answered with nothing."""
    target, plugin, clock = (
        node(shell("true", interval_s=60.0)),
        CommandMonitoringPlugin(),
        SetClock(),
    )
    for at in (1000.0, 1001.0):
        clock.at = at
        assert len(await see(target, plugin, clock=clock)) == 1


def test_time_limit_is_that_of_the_slowest() -> None:
    """A look may take what its programs may take; nodes without programs have no look."""
    plugin = CommandMonitoringPlugin()
    target = node(shell("a", timeout_s=3.0), shell("b", timeout_s=30.0))
    assert plugin.timeout_s(target, Kind.CUSTOM) == 31.0
    assert plugin.can_ask(target, Kind.CUSTOM)
    assert not plugin.can_ask(node(), Kind.CUSTOM)
    assert plugin.interval_s(node(), Kind.CUSTOM) is None


@pytest.mark.parametrize(
    ("output", "metrics"),
    [
        ("OK", ()),
        ("OK | time=0.05s;;;0.0 size=12B", (("time", 0.05), ("size", 12.0))),
        ("OK | 'free space'=5GB 'it''s'=1", (("free space", 5.0), ("it's", 1.0))),
        ("OK | load=1,5;2;3", (("load", 1.5),)),
        ("OK | a=U b=-3c c=.5 d=1e3", (("a", None), ("b", -3.0), ("c", 0.5), ("d", 1000.0))),
        ("OK | a=1\nlong text\nmore | b=2\nc=3", (("a", 1.0), ("b", 2.0), ("c", 3.0))),
        ("OK | nonsense =5 'open=1", ()),
        ("OK | a=1 nonsense b=2", (("a", 1.0), ("b", 2.0))),
        ("OK | a=inf b=1e999", (("a", None), ("b", None))),
    ],
)
def test_performance_data(output: str, metrics: tuple[tuple[str, float | None], ...]) -> None:
    """Labels with blanks and quotes, units, thresholds, long text: as the guidelines have it."""
    assert metrics_of(output) == tuple(MetricFact(*one) for one in metrics)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200) | st.text(alphabet="|'=; a1.\n", max_size=200))
def test_any_output_is_read(output: str) -> None:
    """Whatever a program prints gives a line and a bounded list of numbers."""
    assert "\n" not in first_line(output)
    assert len(metrics_of(output)) <= MOST_METRICS


@pytest.mark.parametrize("code", [-1, 4, 255])
def test_codes_out_of_range(code: int) -> None:
    """They are unknown, not an index from the end."""
    assert state_of(code) is ProbeState.UNKNOWN
