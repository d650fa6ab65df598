"""The built-in checks against fakes and loopback sockets; real Kafka is in test_eyes."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from tests.unit.monitoring.fake_eyes import make_cluster

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts import CommandResult, ProcessReading, ServiceManager
from kafka_self_healing.model.evidence import (
    HEALER,
    CheckResult,
    DataDirFact,
    DiskFact,
    HostFact,
    Kind,
    Outcome,
    ServiceFact,
)
from kafka_self_healing.model.node import NodeConfig, Role
from kafka_self_healing.monitoring import (
    HealthChecker,
    JMXMonitoringPlugin,
    KafkaMonitoringPlugin,
    ServiceMonitoringPlugin,
    SocketMonitoringPlugin,
)
from kafka_self_healing.monitoring.context import LookContext

RUNNING = ServiceFact(active="active", sub="running", pid=42)
NODE = NodeConfig(
    "1",
    frozenset({Role.BROKER}),
    data_dirs=("/data",),
    service=make_cluster(1).nodes["1"].service,
)


@dataclass
class FakeHost:
    """A host of which everything is known."""

    here: bool = True
    state: str = "S"
    held: bool | None = True
    processes: dict[int, ProcessReading] = field(default_factory=dict)

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        abandon: bool = False,
    ) -> CommandResult:
        """Is not expected."""
        raise AssertionError(f"run: {argv}")

    async def is_here(self, address: str, *, timeout_s: float) -> bool:
        """Return what it was made with."""
        return self.here

    async def process(self, pid: int) -> ProcessReading | None:
        """Return what is known of `pid`."""
        return self.processes.get(pid)

    async def lock_held(self, directories: Sequence[str], *, timeout_s: float) -> bool | None:
        """Return what it was made with."""
        return self.held

    async def data_dirs(self, paths: Sequence[str], *, timeout_s: float) -> tuple[DataDirFact, ...]:
        """All are well."""
        return tuple(DataDirFact(path, True, True, True) for path in paths)

    async def disks(self, paths: Sequence[str], *, timeout_s: float) -> tuple[DiskFact, ...]:
        """All are empty."""
        return tuple(DiskFact(path, 10, 10, False) for path in paths)

    async def boot_id(self) -> str | None:
        """Return a name."""
        return "boot"


@dataclass
class FakeService:
    """A service manager that says one thing."""

    says: ServiceFact | CheckError

    async def status(self, *, timeout_s: float) -> ServiceFact:
        """Say it."""
        if isinstance(self.says, CheckError):
            raise self.says
        return self.says

    async def start(self, *, timeout_s: float) -> CommandResult:
        """Is not expected."""
        raise AssertionError("start")

    stop = kill = start


def context(
    kind: Kind, *, host: FakeHost | None = None, service: ServiceManager | None = None
) -> LookContext:
    """Return a context of one look."""
    return LookContext(
        kind=kind,
        cluster=make_cluster(),
        timeout_s=2.0,
        clock=SystemClock(),
        logger=logging.getLogger("test"),
        host=host or FakeHost(),
        service=service,
        on_hint=lambda why: None,
    )


async def see_service(host: FakeHost, says: ServiceFact | CheckError) -> CheckResult:
    """Return the result of one look at SERVICE."""
    looked = context(Kind.SERVICE, host=host, service=FakeService(says))
    (result,) = await ServiceMonitoringPlugin().check(NODE, looked)
    return result


async def test_service_adds_what_the_kernel_says() -> None:
    """The manager's word is joined with process state, tracer and the lock."""
    host = FakeHost(processes={42: ProcessReading(42, "T", 1.0, tracer_pid=7)})
    fact = (await see_service(host, RUNNING)).fact
    assert isinstance(fact, ServiceFact)
    assert (fact.active, fact.process_state, fact.tracer_pid, fact.lock_held) == (
        "active",
        "T",
        7,
        True,
    )


async def test_ended_process_has_no_state() -> None:
    """Without a process there is no state and no tracer, and the lock still counts."""
    ended = ServiceFact(active="failed", pid=0)
    fact = (await see_service(FakeHost(held=False), ended)).fact
    assert fact == ServiceFact(active="failed", pid=0, tracer_pid=0, lock_held=False)


async def test_readings_of_another_machine_are_not_made() -> None:
    """A pid and a directory of another machine are not looked up on this one."""
    away = FakeHost(here=False, processes={42: ProcessReading(42, "T", 1.0, tracer_pid=0)})
    assert (await see_service(away, RUNNING)).fact == RUNNING
    looked = context(Kind.HOST, host=away)
    assert list(await ServiceMonitoringPlugin().check(NODE, looked)) == []


async def test_manager_that_cannot_be_asked_is_an_outcome() -> None:
    """An error of the manager is the look's outcome with its words, and no fact."""
    result = await see_service(FakeHost(), CheckError("timed_out", "no supervisor"))
    assert (result.outcome, result.fact, result.error) == (
        Outcome.TIMED_OUT,
        None,
        "no supervisor",
    )


async def test_host_shows_disks_and_directories() -> None:
    """HOST of this machine is reachable and brings each data directory and its disk."""
    (result,) = await ServiceMonitoringPlugin().check(NODE, context(Kind.HOST))
    assert result.fact == HostFact(
        reachable=True,
        disks=(DiskFact("/data", 10, 10, False),),
        data_dirs=(DataDirFact("/data", True, True, True),),
    )


async def test_listener_accepts_or_refuses() -> None:
    """A port on which somebody listens is answered, a free one refused."""
    accepting = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = accepting.sockets[0].getsockname()[1]
    node = NodeConfig("1", frozenset({Role.BROKER}), kafka_port=port)
    (answered,) = await SocketMonitoringPlugin().check(node, context(Kind.LISTENER))
    accepting.close()
    await accepting.wait_closed()
    (refused,) = await SocketMonitoringPlugin().check(node, context(Kind.LISTENER))
    assert (answered.outcome, answered.subject) == (Outcome.ANSWERED, "1")
    assert refused.outcome is Outcome.REFUSED
    assert str(port) in refused.error


async def test_unknown_name_is_unreachable() -> None:
    """A host name that does not resolve is unreachable, with the name in the words."""
    node = NodeConfig("1", frozenset({Role.BROKER}), host="no.such.invalid", kafka_port=1)
    (result,) = await SocketMonitoringPlugin().check(node, context(Kind.LISTENER))
    assert result.outcome is Outcome.UNREACHABLE
    assert "no.such.invalid" in result.error


@pytest.mark.parametrize("kind", [Kind.PROTOCOL, Kind.PEERS, Kind.QUORUM, Kind.JVM])
async def test_listener_that_never_answers_times_out(kind: Kind) -> None:
    """Whoever accepts and says nothing is timed out within the limit, for every protocol."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        roles = frozenset({Role.BROKER, Role.CONTROLLER})
        node = NodeConfig("1", roles, kafka_port=port, controller_port=port, jmx_port=port)
        plugin = JMXMonitoringPlugin() if kind is Kind.JVM else KafkaMonitoringPlugin()
        looked = replace(context(kind), timeout_s=0.3)
        began = SystemClock().now().mono_s
        (result,) = await plugin.check(node, looked)
        await plugin.close()
    assert result.outcome is Outcome.TIMED_OUT
    assert SystemClock().now().mono_s - began < looked.timeout_s + 1.0
    expected = (HEALER, "1") if kind in {Kind.PROTOCOL, Kind.JVM} else ("1", "test")
    assert (result.observer, result.subject) == expected


def heard(checker: HealthChecker, outcome: Outcome, at: float) -> bool:
    """Let the checker hear of node 1's protocol; return whether its status changed."""
    result = CheckResult(HEALER, "1", Kind.PROTOCOL, outcome, at, at)
    return checker.hear(result) is not None


def test_checker_knows_troubled_and_silent() -> None:
    """One bad look is trouble, three unanswered ones are silence, one answer ends both."""
    checker = HealthChecker(["1", "2"], silent_looks=3)
    assert checker.answers("1") is None
    for at in (1.0, 2.0, 3.0):
        assert not checker.is_silent("1")
        assert heard(checker, Outcome.TIMED_OUT, at)
        assert checker.is_troubled("1")
    assert checker.is_silent("1")
    assert checker.any_troubled
    assert not checker.is_troubled("2")
    assert not heard(checker, Outcome.ANSWERED, 2.5)
    assert heard(checker, Outcome.ANSWERED, 4.0)
    assert not checker.is_troubled("1")
    assert not checker.is_silent("1")
    assert not checker.any_troubled


def test_refused_port_is_not_silence() -> None:
    """A refusing node is asked on at the close interval, so that its start is seen at once."""
    checker = HealthChecker(["1"], silent_looks=3)
    for at in (1.0, 2.0, 3.0, 4.0):
        heard(checker, Outcome.REFUSED, at)
    assert checker.is_troubled("1")
    assert not checker.is_silent("1")


def test_what_others_say_is_no_status_of_a_node() -> None:
    """Results about the cluster, from witnesses or of unknown nodes change no NodeStatus."""
    checker = HealthChecker(["1"], silent_looks=3)
    for observer, subject in (("1", "test"), ("2", "1"), (HEALER, "9")):
        result = CheckResult(observer, subject, Kind.PEERS, Outcome.TIMED_OUT, 1.0, 1.0)
        assert checker.hear(result) is None
    assert not checker.any_troubled
