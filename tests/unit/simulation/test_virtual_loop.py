"""The loop of tier B: time jumps, the world and the timers share it, processes can be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from kafka_self_healing.simulation.agenda import Agenda
from kafka_self_healing.simulation.tier_b.loop import Deadlock, VirtualClock, VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """A loop at the moment 0."""
    with closing(VirtualLoop(Agenda())) as made:
        yield made
        made.run_until_complete(made.sweep())


def test_time_jumps_to_the_next_timer(loop: VirtualLoop) -> None:
    """An hour of waiting is over at once, and exactly an hour later."""
    clock = VirtualClock(loop)
    loop.run_until_complete(clock.sleep(3600.0))
    assert (loop.time(), clock.now().mono_s) == (3600.0, 3600.0)


def test_the_world_goes_on_between_two_timers(loop: VirtualLoop) -> None:
    """Events of the agenda happen at their own time, in order with the timers."""
    seen: list[tuple[str, float]] = []
    loop.agenda.at(2.0, lambda: seen.append(("world", loop.time())))

    async def main() -> None:
        for _ in range(3):
            await asyncio.sleep(1.5)
            seen.append(("task", loop.time()))

    loop.run_until_complete(main())
    assert seen == [("task", 1.5), ("world", 2.0), ("task", 3.0), ("task", 4.5)]


def test_a_step_of_utc_leaves_the_boot_clock_alone(loop: VirtualLoop) -> None:
    """`offset_s` moves UTC only."""
    clock = VirtualClock(loop)
    before = clock.now()
    clock.offset_s = -3600.0
    assert clock.now().mono_s == before.mono_s
    assert before.utc_s - clock.now().utc_s == 3600.0


def test_waiting_for_nothing_is_a_deadlock(loop: VirtualLoop) -> None:
    """Where nothing is due the loop says so instead of standing still."""
    task = loop.create_task(loop.never())
    with pytest.raises(Deadlock, match="nothing is due"):
        loop.run_until_complete(task)


def test_running_without_end_is_a_deadlock(loop: VirtualLoop) -> None:
    """A task that never lets time pass is found out."""

    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Deadlock, match="turns of the loop"):
        loop.run_until_complete(main())


def _process(loop: VirtualLoop, number: int, seen: list[float]) -> asyncio.Task[None]:
    async def main() -> None:
        try:
            while True:
                await asyncio.sleep(1.0)
                seen.append(loop.time())
        finally:
            seen.append(-1.0)

    return loop.create_task(main(), context=loop.context_of(number))


def test_a_stopped_process_does_not_run_and_its_timers_stand_still(loop: VirtualLoop) -> None:
    """Frozen at 1.5 s for 10 s: the timer that had half a second left has it afterwards."""
    stopped: list[float] = []
    other: list[float] = []
    _process(loop, 1, stopped)
    _process(loop, 2, other)
    loop.agenda.at(1.5, loop.freeze, 1)
    loop.agenda.at(11.5, loop.thaw, 1)
    loop.run_until_complete(asyncio.sleep(12.5))
    assert stopped == [1.0, 12.0]
    assert other == [float(second) for second in range(1, 13)]


def test_of_a_killed_process_no_line_runs(loop: VirtualLoop) -> None:
    """Not even a `finally`, until it is buried; an answer that comes is of no use to it."""
    seen: list[float] = []
    _process(loop, 1, seen)
    answer: asyncio.Future[None] = loop.create_future()

    async def waits() -> None:
        await answer
        seen.append(-2.0)

    task = loop.create_task(waits(), context=loop.context_of(1))
    loop.agenda.at(1.5, loop.freeze, 1)
    loop.agenda.at(2.0, answer.set_result, None)
    loop.run_until_complete(asyncio.sleep(50.0))
    assert (seen, task.done()) == ([1.0], False)
    loop.thaw(1)


def test_a_process_may_be_killed_by_its_own_line(loop: VirtualLoop) -> None:
    """What was ready beside that line does not run either."""
    seen: list[str] = []

    async def dies() -> None:
        loop.freeze(1)
        seen.append("the line itself")

    async def beside() -> None:
        seen.append("another task")

    context = loop.context_of(1)
    tasks = [loop.create_task(dies(), context=context), loop.create_task(beside(), context=context)]
    loop.run_until_complete(asyncio.sleep(1.0))
    assert seen == ["the line itself"]
    loop.thaw(1)
    loop.run_until_complete(asyncio.wait(tasks))


async def _thread() -> None:
    await asyncio.to_thread(print)


async def _connection() -> None:
    await asyncio.open_connection("127.0.0.1", 9)


async def _program() -> None:
    await asyncio.create_subprocess_exec("true")


@pytest.mark.parametrize("leaves", [_thread, _connection, _program])
def test_nothing_leaves_the_simulation(loop: VirtualLoop, leaves: Callable[[], Any]) -> None:
    """Threads, sockets and programs are refused."""
    with pytest.raises(AssertionError, match="in the simulation"):
        loop.run_until_complete(leaves())
