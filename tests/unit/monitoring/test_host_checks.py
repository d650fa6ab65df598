"""SERVICE, HOST and LOG: what a look at a node's host becomes, also when it cannot be asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.unit.hosts.ssh_server import Lets, ssh_world
from tests.unit.monitoring.fake_eyes import make_cluster
from tests.unit.recovery.fake_service import FakeServiceManager

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts import (
    Asked,
    CommandOutcome,
    CommandResult,
    HostPool,
    LocalHost,
    Question,
    Reading,
    ServiceManager,
    SshHost,
)
from kafka_self_healing.hosts.host import Host
from kafka_self_healing.model.access import (
    CommandService,
    DockerService,
    LogSource,
    Service,
    SshAccess,
    SystemdService,
)
from kafka_self_healing.model.evidence import (
    CheckResult,
    DataDirFact,
    DiskFact,
    HostFact,
    Kind,
    LogFact,
    Outcome,
    ReachFact,
    ServiceFact,
)
from kafka_self_healing.model.node import Cluster, NodeConfig, Role
from kafka_self_healing.monitoring import (
    HostMonitoringPlugin,
    LogMonitoringPlugin,
    ServiceMonitoringPlugin,
)
from kafka_self_healing.monitoring.checks.log import LINE_LIMIT
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.plugins import MonitoringPlugin

LIMIT_S = 5.0
NODE = NodeConfig(
    "1",
    frozenset({Role.BROKER}),
    data_dirs=("/data",),
    service=make_cluster(1).nodes["1"].service,
    log=LogSource(file="/var/log/kafka/server.log", lines=3),
)


QUORUM = Cluster(
    "test",
    nodes={
        "1": replace(NODE, roles=frozenset({Role.BROKER, Role.CONTROLLER}), controller_port=9093),
        "2": NodeConfig("2", frozenset({Role.CONTROLLER}), host="h2", controller_port=9093),
        "3": NodeConfig("3", frozenset({Role.ENSEMBLE}), host="h3", zookeeper_port=2181),
        "4": NodeConfig("4", frozenset({Role.BROKER}), host="h4", kafka_port=9092),
    },
)


@dataclass
class FakeHost:
    """A host that answers one thing, or raises it. `asked` is what it was asked."""

    says: Reading | CheckError
    ping: bool | None = None
    here: bool = True
    sudo: bool = False
    asked: list[Question] = field(default_factory=list)

    async def look(self, question: Question, *, timeout_s: float) -> Reading:
        """Say it."""
        self.asked.append(question)
        if isinstance(self.says, CheckError):
            raise self.says
        return self.says

    async def is_here(self, address: str, *, timeout_s: float) -> bool:
        """Return what it was made with."""
        return self.here

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

    async def close(self) -> None:
        """Nothing is held."""


@dataclass
class Moved(FakeServiceManager):
    """A manager whose node has its paths elsewhere on the host."""

    there: dict[str, str] = field(default_factory=dict)
    shows: Asked | None = None

    async def on_host(self, paths: Sequence[str], *, timeout_s: float) -> dict[str, str]:
        """Return the paths that it knows."""
        return {path: self.there[path] for path in paths if path in self.there}

    def log(self, lines: int) -> Asked | None:
        """Return what it was made with."""
        return self.shows


async def see(
    plugin: MonitoringPlugin,
    host: Host,
    service: ServiceManager | None = None,
    node: NodeConfig = NODE,
    *,
    reach: bool = False,
) -> Sequence[CheckResult]:
    """Look once."""
    (kind,) = plugin.kinds
    context = LookContext(
        kind=kind,
        cluster=make_cluster() if not reach else QUORUM,
        timeout_s=LIMIT_S,
        clock=SystemClock(),
        logger=logging.getLogger("test"),
        host=host,
        service=service,
        on_hint=lambda why: None,
        reach=reach,
    )
    return await plugin.check(node, context)


async def test_service_is_the_managers_word() -> None:
    """The fact is what `status` says; what keeps it from answering is the outcome."""
    (well,) = await see(ServiceMonitoringPlugin(), FakeHost(Reading()), FakeServiceManager())
    blind = FakeServiceManager(blind=True)
    (silent,) = await see(ServiceMonitoringPlugin(), FakeHost(Reading()), blind)
    assert well.outcome is Outcome.ANSWERED
    assert isinstance(well.fact, ServiceFact)
    assert well.fact.pid == 101
    assert (silent.outcome, silent.fact) == (Outcome.TIMED_OUT, None)


async def test_host_shows_directories_disks_and_clocks() -> None:
    """Under the names that the configuration has for the directories."""
    reading = Reading(
        boot_id="boot",
        uptime_s=7.0,
        clock_offset_s=0.5,
        data_dirs=(DataDirFact("/disk", True, True, True),),
        disks=(DiskFact("/disk", 10, 5, False),),
    )
    host = FakeHost(reading)
    (result,) = await see(HostMonitoringPlugin(), host, Moved(there={"/data": "/disk"}))
    assert host.asked == [Question(data_dirs=("/disk",), address=NODE.host)]
    assert result.fact == HostFact(
        reachable=True,
        boot_id="boot",
        uptime_s=7.0,
        clock_offset_s=0.5,
        disks=(DiskFact("/data", 10, 5, False),),
        data_dirs=(DataDirFact("/data", True, True, True),),
    )


async def test_what_the_host_reaches_is_asked_only_of_a_node_in_doubt() -> None:
    """The ports of the other controllers and members; a healthy cluster pays nothing for it."""
    doors = (("h2", 9093), ("h3", 2181))
    host = FakeHost(Reading(doors=(True, None)))
    (asked,) = await see(HostMonitoringPlugin(), host, node=QUORUM.nodes["1"], reach=True)
    (usual,) = await see(HostMonitoringPlugin(), host)
    (mute,) = await see(
        HostMonitoringPlugin(), FakeHost(Reading()), node=QUORUM.nodes["1"], reach=True
    )
    assert [one.doors for one in host.asked] == [doors, ()]
    facts = [one.fact.reaches for one in (asked, usual, mute) if isinstance(one.fact, HostFact)]
    assert facts == [(ReachFact("2", True), ReachFact("3", None)), None, None]


async def test_a_directory_that_nobody_can_find_is_unknown() -> None:
    """It is neither missing nor well."""
    (result,) = await see(HostMonitoringPlugin(), FakeHost(Reading()), Moved())
    assert isinstance(result.fact, HostFact)
    assert result.fact.data_dirs == (DataDirFact("/data"),)
    assert result.fact.disks == (DiskFact("/data"),)


async def test_a_node_without_directories_has_none() -> None:
    """Nothing to look at is not the same as not readable."""
    (result,) = await see(
        HostMonitoringPlugin(), FakeHost(Reading()), node=replace(NODE, data_dirs=())
    )
    assert isinstance(result.fact, HostFact)
    assert (result.fact.data_dirs, result.fact.disks) == ((), ())


@pytest.mark.parametrize(
    ("outcome", "fact"),
    [
        (Outcome.TIMED_OUT, HostFact(reachable=False, ping=True)),
        (Outcome.UNREACHABLE, HostFact(reachable=False, ping=True)),
        (Outcome.REFUSED, None),
        (Outcome.AUTHENTICATION, None),
    ],
)
async def test_a_silent_host_may_still_answer_a_ping(
    outcome: Outcome, fact: HostFact | None
) -> None:
    """Frozen is not down; and whoever refuses us can be reached."""
    host = FakeHost(CheckError(outcome, "why"), ping=True)
    (result,) = await see(HostMonitoringPlugin(), host)
    assert (result.outcome, result.fact, result.error) == (outcome, fact, "why")


@pytest.mark.parametrize("plugin", [HostMonitoringPlugin(), LogMonitoringPlugin()])
async def test_another_machine_brings_nothing(plugin: MonitoringPlugin) -> None:
    """Without a way to it, what could be read would be a stranger's."""
    assert list(await see(plugin, FakeHost(Reading(), here=False))) == []


async def test_log_lines_are_redacted_and_cut() -> None:
    """Credentials are gone before anybody sees the line; a long line is cut."""
    lines = ("well", "password=geheim", "x" * 5000)
    host = FakeHost(Reading(log=lines))
    plugin = LogMonitoringPlugin(lambda text: text.replace("geheim", "***"))
    (result,) = await see(plugin, host)
    assert result.fact == LogFact(("well", "password=***", "x" * LINE_LIMIT))
    (question,) = host.asked
    assert (question.log_file, question.log_lines) == ("/var/log/kafka/server.log", 3)


async def test_a_log_that_cannot_be_read_is_said_so() -> None:
    """No fact, and the file's name."""
    (result,) = await see(LogMonitoringPlugin(), FakeHost(Reading(log=None)))
    assert (result.outcome, result.fact) == (Outcome.PROTOCOL, None)
    assert "/var/log/kafka/server.log" in result.error


JOURNAL = replace(NODE, log=LogSource(lines=2), service=SystemdService("kafka"))
SHOWS = Asked("log", ("journalctl",), lines=2)


def journal(outcome: CommandOutcome, code: int | None, stdout: str, stderr: str = "") -> FakeHost:
    """Return a host on which the journal says this."""
    result = CommandResult(SHOWS.argv, outcome, 0.0, 0.0, code, None, stdout, stderr)
    return FakeHost(Reading(commands={"log": result}))


async def test_the_managers_log_is_read() -> None:
    """Its last lines; none is an answer, too."""
    said = journal(CommandOutcome.EXITED, 0, "a\nb\nc\n")
    nothing = journal(CommandOutcome.EXITED, 0, "")
    manager = Moved(shows=SHOWS)
    (some,) = await see(LogMonitoringPlugin(), said, manager, JOURNAL)
    (none,) = await see(LogMonitoringPlugin(), nothing, manager, JOURNAL)
    assert (some.fact, none.fact) == (LogFact(("b", "c")), LogFact(()))


@pytest.mark.parametrize(
    ("host", "outcome"),
    [
        (journal(CommandOutcome.TIMED_OUT, None, ""), Outcome.TIMED_OUT),
        (FakeHost(Reading()), Outcome.TIMED_OUT),
        (journal(CommandOutcome.EXITED, 1, "", "insufficient permissions"), Outcome.AUTHORISATION),
        (journal(CommandOutcome.EXITED, 3, "", "what?"), Outcome.PROTOCOL),
    ],
)
async def test_a_journal_that_does_not_answer(host: FakeHost, outcome: Outcome) -> None:
    """Late, not permitted and failed are told apart."""
    (result,) = await see(LogMonitoringPlugin(), host, Moved(shows=SHOWS), JOURNAL)
    assert (result.outcome, result.fact) == (outcome, None)
    assert ("systemd-journal" in result.error) is (outcome is Outcome.AUTHORISATION)


COMMAND = CommandService(("start",), ("stop",), ("kill",), ("status",))


@pytest.mark.parametrize(
    ("source", "service", "able"),
    [
        (None, SystemdService("kafka"), False),
        (LogSource(), SystemdService("kafka"), True),
        (LogSource(), DockerService("kafka"), True),
        (LogSource(), COMMAND, False),
        (LogSource(file="/log"), COMMAND, True),
        (LogSource(), None, False),
    ],
)
def test_a_log_needs_somebody_who_keeps_it(
    source: LogSource | None, service: Service | None, *, able: bool
) -> None:
    """A file, or a manager with a log."""
    node = replace(NODE, log=source, service=service)
    assert LogMonitoringPlugin().can_ask(node, Kind.LOG) is able


async def test_all_three_over_ssh(tmp_path: Path) -> None:
    """A real client, a real shell, real files; and a refused login is the outcome of all three."""
    async with ssh_world(tmp_path / "ssh") as world:
        data, log = tmp_path / "data", tmp_path / "server.log"
        data.mkdir()
        (data / "meta.properties").write_text("node.id=1\n")
        log.write_text("first\nsecond\nlast\n")
        status = world.program("status", "echo state=running; echo pid=$$")
        programs = CommandService((str(status),), (str(status),), (str(status),), (str(status),))
        node = replace(
            NODE,
            access=world.access,
            data_dirs=(str(data),),
            service=programs,
            log=LogSource(file=str(log), lines=2),
            host="192.0.2.1",
        )
        plugins = (ServiceMonitoringPlugin(), HostMonitoringPlugin(), LogMonitoringPlugin())

        async def all_of(pool: HostPool) -> list[CheckResult]:
            host, service = pool.host("1"), pool.service("1")
            seen = await asyncio.gather(*(see(one, host, service, node) for one in plugins))
            return [result for results in seen for result in results]

        cluster = Cluster("test", nodes={"1": node})
        pool = HostPool(cluster, SystemClock())
        service, host, lines = [result.fact for result in await all_of(pool)]
        await pool.close()
        world.lets = Lets.NOBODY
        stranger = HostPool(cluster, SystemClock())
        refused = await all_of(stranger)
        await stranger.close()
    assert isinstance(service, ServiceFact)
    assert (service.active, service.lock_held) == ("active", False)
    assert isinstance(host, HostFact)
    assert host.data_dirs == (DataDirFact(str(data), True, True, True),)
    assert host.clock_offset_s is not None
    assert abs(host.clock_offset_s) < 1.0
    assert lines == LogFact(("second", "last"))
    assert [result.outcome for result in refused] == [Outcome.AUTHENTICATION] * 3
    assert world.logins == 1


def test_nodes_of_one_host_share_it() -> None:
    """By where the access leads, not by the node; without one it is this machine."""

    def node(name: str, host: str, access: SshAccess | None) -> NodeConfig:
        return NodeConfig(name, frozenset({Role.BROKER}), host=host, access=access)

    plain = SshAccess()
    nodes = {
        "1": node("1", "a", plain),
        "2": node("2", "a", plain),
        "3": node("3", "b", plain),
        "4": node("4", "c", None),
        "5": node("5", "c", replace(plain, destination="a")),
    }
    pool = HostPool(Cluster("test", nodes=nodes), SystemClock())
    hosts = {name: pool.host(name) for name in nodes}
    assert hosts["1"] is hosts["2"] is hosts["5"]
    assert hosts["1"] is not hosts["3"]
    assert isinstance(hosts["4"], LocalHost)
    assert isinstance(hosts["3"], SshHost)
    changed = {"1": nodes["1"], "4": replace(nodes["4"], service=SystemdService("kafka"))}
    gone = pool.follow(Cluster("test", nodes=changed))
    assert gone == [hosts["3"]]
    assert pool.host("1") is hosts["1"]
    assert pool.service("4") is not None
    with pytest.raises(CheckError, match="not in the inventory"):
        pool.host("3")
