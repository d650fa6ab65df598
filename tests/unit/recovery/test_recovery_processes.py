"""The hands on real processes: who is killed at a limit, who never, and what is kept of outputs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.recovery.hands import BEGUN, ENDED, Hands, node, pool, request
from tests.unit.recovery.shell_service import ShellService, is_alive

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.model.recovery import ActOutcome, StopStyle

HANG = 'sleep 600 &\necho $! >"$dir/child.pid"\necho $$ >"$dir/script.pid"\nwait\n'


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[ShellService]:
    """A service of shell scripts; what they leave is killed by pid."""
    service = ShellService(tmp_path)
    yield service
    await service.clean_up()


async def pid_of(shell: ShellService, name: str) -> int:
    """Wait until a script has written its pid."""
    async with asyncio.timeout(10.0):
        while not shell.pid(name):
            await SystemClock().sleep(0.01)
    return shell.pid(name)


async def test_a_start_and_a_restart_by_kill_of_a_real_process(shell: ShellService) -> None:
    """The process that is started outlives the start; a restart by KILL puts another there."""
    config = node(shell.config)
    hands = Hands(hosts=pool(config))
    first = await hands.engine.execute(request(), config)
    one = shell.pid()
    wanted = request("service:restart", stop_style=StopStyle.KILL, pid_before=one)
    second = await hands.engine.execute(wanted, config)
    assert (first.outcome, second.outcome) == (ActOutcome.DONE, ActOutcome.DONE)
    assert not is_alive(one)
    assert is_alive(shell.pid())
    assert shell.pid() != one


async def test_a_hanging_stop_is_killed_with_its_children(shell: ShellService) -> None:
    """At the limit the stop's whole process group is gone, nothing is started, the end unknown."""
    config = node(shell.config)
    hands = Hands(hosts=pool(config))
    await hands.engine.execute(request(), config)
    shell.rewrite("stop", HANG)
    wanted = request("service:restart", limit_s=0.5)
    result = await hands.engine.execute(wanted, config)
    assert result.outcome is ActOutcome.UNKNOWN
    assert hands.steps[-1] == ("stop", BEGUN)
    assert not is_alive(shell.pid("script.pid"))
    assert not is_alive(shell.pid("child.pid"))
    assert is_alive(shell.pid())


async def test_a_start_at_its_limit_is_left_alone(shell: ShellService) -> None:
    """A start that does not end is unknown; it and what it started live on."""
    shell.rewrite("start", HANG)
    config = node(shell.config)
    hands = Hands(hosts=pool(config))
    result = await hands.engine.execute(request(limit_s=0.5), node(shell.config))
    assert result.outcome is ActOutcome.UNKNOWN
    assert "left running" in result.message
    assert is_alive(shell.pid("script.pid"))
    assert is_alive(shell.pid("child.pid"))
    assert hands.steps == [("start", BEGUN)]


async def settled(pid: int, *, alive: bool) -> None:
    """Wait until a process is what it should be: a killed one needs a moment to die."""
    async with asyncio.timeout(10.0):
        while is_alive(pid) is not alive:
            await SystemClock().sleep(0.01)


@pytest.mark.parametrize(("action", "lives"), [("service:start", True), ("service:restart", False)])
async def test_a_shutdown_kills_a_stop_and_spares_a_start(
    shell: ShellService, action: str, *, lives: bool
) -> None:
    """A cancelled stop is killed with its group, a cancelled start never; both are unknown."""
    config = node(shell.config)
    hands = Hands(hosts=pool(config))
    await hands.engine.execute(request(), config)
    shell.rewrite("stop", HANG)
    shell.rewrite("start", HANG)
    act = asyncio.create_task(hands.engine.execute(request(action), config))
    child = await pid_of(shell, "child.pid")
    script = await pid_of(shell, "script.pid")
    act.cancel()
    result = await act
    assert result.outcome is ActOutcome.UNKNOWN
    assert hands.steps[-1][1] is BEGUN
    for pid in (child, script):
        await settled(pid, alive=lives)


async def test_exit_codes_of_real_programs(shell: ShellService) -> None:
    """0 without a process is done, 1 failed, and a program that does not exist failed."""
    config = node(shell.config)
    hands = Hands(hosts=pool(config))
    shell.rewrite("start", "exit 0\n")
    nothing = await hands.engine.execute(request(), node(shell.config))
    shell.rewrite("start", "echo out of disk >&2; exit 1\n")
    refused = await hands.engine.execute(request(), node(shell.config))
    shell.remove("start")
    missing = await hands.engine.execute(request(), node(shell.config))
    assert [r.outcome for r in (nothing, refused, missing)] == [
        ActOutcome.DONE, ActOutcome.FAILED, ActOutcome.FAILED,
    ]  # fmt: skip
    assert (refused.exit_code, refused.stderr) == (1, "out of disk\n")
    assert "cannot run" in missing.message
    assert hands.steps == [
        ("start", BEGUN), ("start", ENDED), ("start", BEGUN), ("start", BEGUN),
    ]  # fmt: skip


async def test_output_is_capped_and_cannot_act_in_a_terminal(shell: ShellService) -> None:
    """Of 10 MB only the beginning is kept; escapes and bytes that are no text become printable."""
    shell.rewrite(
        "start",
        "head -c 10000000 /dev/zero | tr '\\0' x\nprintf '\\033[31mred\\377\\000' >&2\n",
    )
    result = await Hands(hosts=pool(node(shell.config))).engine.execute(
        request(), node(shell.config)
    )
    assert result.outcome is ActOutcome.DONE
    assert result.stdout == "x" * (64 * 1024)
    assert result.stderr == "\\x1b[31mred\\xff\\x00"
