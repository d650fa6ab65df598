"""The end: an act under way is ended and written down, and nothing new is begun."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.unit.daemon.daemon_house import HEAL_S, House, virtual

from kafka_self_healing.daemon import DRAIN_LIMIT_S
from kafka_self_healing.errors import ControlError
from kafka_self_healing.model.event import ActFinished, Event, RequestChanged
from kafka_self_healing.model.recovery import ActOutcome, RequestState


@virtual
async def test_an_idle_daemon_ends_at_once() -> None:
    """Nothing is under way, so there is nothing to wait for."""
    house = House()
    await house.open()

    assert await house.close() < 1.0


@virtual
async def test_an_act_under_way_is_ended_and_its_result_journalled() -> None:
    """The daemon waits for its hands and writes down what they say before it ends."""
    house = House()
    await house.open()
    house.hands.seconds = 30.0
    house.break_node("2")
    await asyncio.sleep(8.0)
    assert len(house.hands.begun) == 1

    seconds = await house.close()

    assert 20.0 < seconds < 32.0
    assert house.hands.draining
    results = [event.result for event in house.store.events if isinstance(event, ActFinished)]
    assert [result.outcome for result in results] == [ActOutcome.DONE]
    assert house.store.states("2")[-1] is RequestState.VERIFYING


@virtual
async def test_no_act_is_begun_while_another_one_ends() -> None:
    """A node that breaks during the drain is left to the next daemon."""
    house = House()
    await house.open()
    house.hands.seconds = 60.0
    house.break_node("2")
    await asyncio.sleep(8.0)
    house.daemon.stop()
    house.break_node("3")

    await house.close()

    assert [request.node for request in house.hands.begun] == ["2"]


@virtual
async def test_an_act_decided_just_before_the_end_is_not_begun() -> None:
    """SIGTERM between the intent and the dispatch: the request ends as aborted."""
    house = House()
    await house.open()

    def end(events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, RequestChanged) and event.request.state is RequestState.EXECUTING:
                house.daemon.stop()

    house.store.during = end
    house.break_node("2")
    await asyncio.sleep(HEAL_S)
    await house.close()

    assert house.hands.begun == []
    assert house.store.states("2")[-1] is RequestState.ABORTED


@virtual
async def test_an_act_that_reaches_no_safe_point_is_cut_off_as_unknown() -> None:
    """After the limit the daemon ends all the same, and the journal says that nobody knows."""
    house = House()
    await house.open()
    house.hands.seconds = 10_000.0
    house.break_node("2")
    await asyncio.sleep(8.0)

    seconds = await house.close()

    assert seconds < DRAIN_LIMIT_S + 10.0
    assert house.store.states("2")[-1] is RequestState.UNKNOWN


@virtual
async def test_a_store_that_refuses_does_not_keep_the_daemon_from_ending() -> None:
    """What cannot be written down is looked at by the next daemon anyway."""
    house = House()
    await house.open()
    house.store.broken = True
    house.break_node("2")
    await asyncio.sleep(10.0)

    assert await house.close() < 5.0


@virtual
async def test_a_command_that_was_not_journalled_is_refused_at_the_end() -> None:
    """Who still waits is told that it was not done, and not left without an answer."""
    house = House()
    await house.open()
    house.store.broken = True
    asked = asyncio.create_task(house.daemon.control({"command": "pause", "reason": "x"}, "ann"))
    await asyncio.sleep(10.0)
    assert not asked.done()

    await house.close()

    with pytest.raises(ControlError, match="not done"):
        await asked
    assert house.store.orders() == []
