"""What every `ServiceManager` keeps: the fake, the operator's programs, docker, systemd in the lab.

Each row is a coroutine function of a manager whose node is down, and may be left in any state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import ServiceManager
from kafka_self_healing.model.evidence import ServiceFact

LIMIT_S = 20.0
Row = Callable[[ServiceManager], Awaitable[None]]
_DOWN = frozenset({"inactive", "failed"})


async def look_until(manager: ServiceManager, *, runs: bool) -> ServiceFact:
    """Look until a process runs, or until none is left."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            seen = await manager.status(timeout_s=LIMIT_S)
            if (seen.active == "active" and bool(seen.pid)) if runs else seen.active in _DOWN:
                return seen
            await SystemClock().sleep(0.05)


async def a_node_that_is_down_has_no_process(manager: ServiceManager) -> None:
    """The status of a node that is down shows the pid 0."""
    seen = await manager.status(timeout_s=LIMIT_S)
    assert (seen.active in _DOWN, seen.pid) == (True, 0)


async def a_start_brings_a_process_and_a_second_one_changes_nothing(
    manager: ServiceManager,
) -> None:
    """A start of what runs succeeds and leaves the process as it is."""
    first = await manager.start(timeout_s=LIMIT_S)
    one = await look_until(manager, runs=True)
    second = await manager.start(timeout_s=LIMIT_S)
    other = await manager.status(timeout_s=LIMIT_S)
    assert first.ok
    assert second.ok
    assert (other.active, other.pid, other.invocation) == (one.active, one.pid, one.invocation)


async def after_a_stop_a_start_brings_another_process(manager: ServiceManager) -> None:
    """A stop ends the process, and the next start has a pid and a run of its own."""
    await manager.start(timeout_s=LIMIT_S)
    one = await look_until(manager, runs=True)
    result = await manager.stop(timeout_s=LIMIT_S)
    between = await look_until(manager, runs=False)
    await manager.start(timeout_s=LIMIT_S)
    other = await look_until(manager, runs=True)
    assert result.ok
    assert between.pid == 0
    assert other.pid != one.pid
    assert one.invocation is None or other.invocation != one.invocation


async def after_a_kill_the_right_verb_brings_another_process(manager: ServiceManager) -> None:
    """At once by a restart where there is one; else by a start, once the end has been seen."""
    await manager.start(timeout_s=LIMIT_S)
    one = await look_until(manager, runs=True)
    result = await manager.kill(timeout_s=LIMIT_S)
    if not manager.restarts:
        await look_until(manager, runs=False)
    again = await (manager.restart if manager.restarts else manager.start)(timeout_s=LIMIT_S)
    async with asyncio.timeout(LIMIT_S):
        while (other := await look_until(manager, runs=True)).pid == one.pid:
            await SystemClock().sleep(0.05)
    assert result.ok
    assert again.ok
    assert other.pid != one.pid


ROWS: tuple[Row, ...] = (
    a_node_that_is_down_has_no_process,
    a_start_brings_a_process_and_a_second_one_changes_nothing,
    after_a_stop_a_start_brings_another_process,
    after_a_kill_the_right_verb_brings_another_process,
)
