"""The hands over ssh: the system's client, a real shell, real processes, and a cut connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.hosts.ssh_server import World, ssh_world
from tests.unit.recovery.hands import BEGUN, ENDED, Hands, node, pool, request
from tests.unit.recovery.shell_service import ShellService, is_alive

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import HostPool
from kafka_self_healing.model.evidence import ServiceFact
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.model.recovery import ActOutcome, StopStyle

LIMIT_S = 20.0
HANG = 'sleep 60 &\necho $! >"$dir/child.pid"\necho $$ >"$dir/script.pid"\nwait\n'
STOP = [("stop", BEGUN), ("stop", ENDED)]
START = [("start", BEGUN), ("start", ENDED)]


class Scene:
    """A node behind ssh whose service manager are shell scripts on its host."""

    def __init__(self, world: World, shell: ShellService) -> None:
        self.world, self.shell = world, shell
        self.node: NodeConfig = replace(node(shell.config), host="192.0.2.1", access=world.access)
        self.pool: HostPool = pool(self.node)
        self.hands = Hands(hosts=self.pool)

    async def act(self, action: str = "service:start", **more: object) -> ActOutcome:
        """Carry out an act and return its outcome."""
        wanted = request(action, **{"limit_s": LIMIT_S, **more})  # type: ignore[arg-type]
        return (await self.hands.engine.execute(wanted, self.node)).outcome

    async def status(self) -> ServiceFact:
        """Look once."""
        manager = self.pool.service("1")
        assert manager is not None
        return await manager.status(timeout_s=LIMIT_S)

    async def written(self, name: str) -> int:
        """Wait until a script has written its pid."""
        async with asyncio.timeout(LIMIT_S):
            while not self.shell.pid(name):
                await SystemClock().sleep(0.02)
        return self.shell.pid(name)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """A node that is down."""
    (tmp_path / "service").mkdir()
    async with ssh_world(tmp_path / "ssh") as world:
        shell = ShellService(tmp_path / "service")
        made = Scene(world, shell)
        yield made
        await made.pool.close()
        await shell.clean_up()


@pytest.mark.parametrize("style", list(StopStyle))
async def test_a_start_and_a_restart(scene: Scene, style: StopStyle) -> None:
    """What was started outlives the session, and a restart puts another process there."""
    first = await scene.act()
    one = scene.shell.pid()
    assert (await scene.status()).pid == one
    second = await scene.act("service:restart", stop_style=style, pid_before=one)
    assert (first, second) == (ActOutcome.DONE, ActOutcome.DONE)
    assert not is_alive(one)
    assert is_alive(scene.shell.pid())
    assert scene.hands.steps == [*START, *STOP, *START]
    assert scene.world.logins == 1


async def test_a_start_whose_connection_is_cut_is_unknown_and_was_given_once(scene: Scene) -> None:
    """It goes on there; a look shows what it came to, and nobody has started it twice."""
    begun = scene.world.folder / "starts"
    scene.shell.rewrite("start", f'echo x >>{begun}\nsleep 1\nsleep 600 &\necho $! >"$dir/pid"\n')
    acting = asyncio.create_task(scene.act())
    async with asyncio.timeout(LIMIT_S):
        while not begun.exists():
            await SystemClock().sleep(0.02)
    scene.world.gate.cut()
    assert await acting is ActOutcome.UNKNOWN
    pid = await scene.written("pid")
    seen = await scene.status()
    assert (seen.active, seen.pid) == ("active", pid)
    assert begun.read_text() == "x\n"
    assert scene.hands.steps == [("start", BEGUN)]


async def test_a_start_at_its_limit_is_left_alone(scene: Scene) -> None:
    """Unknown, and both the program and what it started live on."""
    scene.shell.rewrite("start", HANG)
    assert await scene.act(limit_s=1.0) is ActOutcome.UNKNOWN
    assert is_alive(scene.shell.pid("script.pid"))
    assert is_alive(scene.shell.pid("child.pid"))


async def test_a_stop_at_its_limit_is_killed_there(scene: Scene) -> None:
    """With its children; nothing is started beside the process that still runs."""
    await scene.act()
    scene.shell.rewrite("stop", HANG)
    assert await scene.act("service:restart", limit_s=1.0) is ActOutcome.UNKNOWN
    async with asyncio.timeout(LIMIT_S):
        while is_alive(scene.shell.pid("child.pid")):
            await SystemClock().sleep(0.02)
    assert not is_alive(scene.shell.pid("script.pid"))
    assert is_alive(scene.shell.pid())
    assert scene.hands.steps[-1] == ("stop", BEGUN)


async def test_a_host_that_refuses_has_changed_nothing(scene: Scene) -> None:
    """An act that could not be given failed, and can be told from one of unknown end."""
    await scene.world.gate.close()
    assert await scene.act() is ActOutcome.FAILED
    assert scene.shell.pid() == 0
