"""Eyes and hands reach the nodes by one pool, and follow a reload together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.unit.config.config_files import ENVIRON, changed, read
from tests.unit.daemon.daemon_house import virtual
from tests.unit.monitoring.virtual_time import LoopClock

from kafka_self_healing import app
from kafka_self_healing.clock import SystemClock
from kafka_self_healing.config import ConfigurationManager
from kafka_self_healing.hosts import Host, LocalHost, SshHost
from kafka_self_healing.model.evidence import HEALER, CheckResult, CustomFact, Kind, Outcome
from kafka_self_healing.model.node import Cluster, NodeConfig
from kafka_self_healing.observability import Redactor
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin
from kafka_self_healing.reach import Reach
from kafka_self_healing.secret import Secret

SSH = {"cluster.access": {"ssh": {"user": "kafka"}}}
LOGIN = {"mechanism": "SCRAM-SHA-512", "username": "u", "password": "k"}
LIMIT_S = 20.0


class Looker(MonitoringPlugin):
    """Remembers by which host it was to look at node 1, and whether it was closed."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        self.closed = False
        self.looked = asyncio.Event()

    @property
    def kinds(self) -> frozenset[Kind]:
        """LISTENER."""
        return frozenset({Kind.LISTENER})

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Bring nothing."""
        if target.id == "1":
            self.hosts.append(context.host)
            self.looked.set()
        return ()

    async def close(self) -> None:
        """Remember it."""
        self.closed = True


class Talker(MonitoringPlugin):
    """Repeats a password wherever it can."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """LISTENER, which every node has."""
        return frozenset({Kind.LISTENER})

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Say it in a text and in an error."""
        now, fact = context.clock.now().mono_s, CustomFact(text="said correct-horse")
        error, outcome = "refused correct-horse", Outcome.ANSWERED
        return [CheckResult(HEALER, target.id, Kind.LISTENER, outcome, now, now, fact, error)]


def _looking(made: list[Looker]) -> Callable[[], list[MonitoringPlugin]]:
    def look_with() -> list[MonitoringPlugin]:
        made.append(Looker())
        return [made[-1]]

    return look_with


def _cluster(folder: Path, **changes: Any) -> Cluster:
    return read(folder, changed(changes)).cluster


async def test_a_reload_exchanges_the_eyes_and_what_they_reach_with(tmp_path: Path) -> None:
    """The old checks are closed; the new ones look by the hosts of the new file."""
    path, made = tmp_path / "healer.yaml", list[Looker]()
    path.write_text(changed({"state_dir": "state"}))
    manager = ConfigurationManager(path, ENVIRON)
    building = app.daemon_of(manager.current, SystemClock(), redact=str, look_with=_looking(made))
    async with building as daemon, asyncio.timeout(LIMIT_S):
        running = asyncio.create_task(daemon.run())
        while not made:
            await asyncio.sleep(0.01)
        await made[0].looked.wait()
        path.write_text(changed({"state_dir": "state", **SSH}))
        fresh = manager.reload()
        await daemon.reload(fresh.cluster, fresh.policy, "healer.yaml")
        while len(made) < 2:
            await asyncio.sleep(0.01)
        await made[1].looked.wait()
        daemon.stop()
        await running

    assert all(isinstance(host, LocalHost) for host in made[0].hosts)
    assert all(isinstance(host, SshHost) for host in made[1].hosts)
    assert [looker.closed for looker in made] == [True, True]


async def test_what_a_check_says_is_without_secrets(tmp_path: Path) -> None:
    """A program's output or a server's message may repeat a password: nobody is told it."""
    reach = Reach(_cluster(tmp_path), SystemClock())
    heard = asyncio.Queue[CheckResult]()
    talker = Talker()
    seen = app.eyes(
        _cluster(tmp_path),
        read(tmp_path, changed({})).policy,
        heard.put_nowait,
        reach=reach,
        redact=Redactor([Secret("correct-horse")]).text,
        look_with=lambda: [talker],
    )
    looking = asyncio.create_task(seen.run())
    async with asyncio.timeout(LIMIT_S):
        result = await heard.get()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await reach.close()

    assert isinstance(result.fact, CustomFact)
    assert (result.error, result.fact.text) == ("refused ***", "said ***")


async def test_eyes_and_hands_have_one_pool(tmp_path: Path) -> None:
    """A node on ssh is logged in at once for looks and for acts."""
    reach = Reach(_cluster(tmp_path), SystemClock())
    pool = reach.hosts

    async def report(_step: object) -> None:
        """Nothing is done here."""

    seen = app.eyes(
        _cluster(tmp_path, **SSH),
        read(tmp_path, changed({})).policy,
        lambda _result: None,
        reach=reach,
        redact=str,
    )
    engine = app.hands(report, reach=reach, redact=str, unsafe=str)

    assert seen._hosts is engine._hosts is reach.hosts is pool
    assert isinstance(pool.host("1"), SshHost)
    await reach.close()


async def test_the_same_inventory_changes_nothing(tmp_path: Path) -> None:
    """A reload of the policy alone keeps logins, so that nobody logs in again for it."""
    reach = Reach(_cluster(tmp_path, **SSH), SystemClock())
    access, host = reach.access, reach.hosts.host("1")

    reach.follow(_cluster(tmp_path, **SSH))

    assert (reach.access, reach.hosts.host("1")) == (access, host)
    await reach.close()


async def test_a_changed_password_makes_new_logins_and_keeps_hosts(tmp_path: Path) -> None:
    """What a check remembers of a login belongs to the old password."""
    reach = Reach(_cluster(tmp_path, **SSH), SystemClock())
    access, host = reach.access, reach.hosts.host("1")

    reach.follow(_cluster(tmp_path, **SSH, **{"cluster.security.kafka.sasl": LOGIN}))

    assert reach.access is not access
    assert reach.hosts.host("1") is host
    await reach.close()


@virtual
async def test_a_host_that_is_left_is_closed_when_no_act_needs_it(tmp_path: Path) -> None:
    """An act that is under way keeps its connection although its node left the inventory."""
    before = _cluster(tmp_path, **SSH)
    reach = Reach(before, LoopClock())
    acting = True
    reach.busy = lambda: acting

    reach.follow(_cluster(tmp_path))
    await asyncio.sleep(30)
    waiting = [task for task in asyncio.all_tasks() if task.get_name() == "leave hosts"]
    acting = False
    await asyncio.sleep(2)

    assert [task.done() for task in waiting] == [True]
    await reach.close()


@virtual
async def test_closing_waits_for_no_act(tmp_path: Path) -> None:
    """At the end every connection is given back, whatever is still busy."""
    reach = Reach(_cluster(tmp_path, **SSH), LoopClock())
    reach.busy = lambda: True
    reach.follow(_cluster(tmp_path))

    async with asyncio.timeout(5):
        await reach.close()


def test_every_kind_that_can_be_configured_has_a_check() -> None:
    """A kind without eyes would be promised and never looked at."""
    seen = frozenset[Kind]().union(*(plugin.kinds for plugin in app.checks()))

    assert seen == frozenset(Kind)
