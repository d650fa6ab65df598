"""The loop: nothing is done that is not written down, and nothing that was called off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.unit.daemon.daemon_house import AUTO, HEAL_S, House, cluster_of, virtual

from kafka_self_healing.errors import StorageError
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.event import (
    DaemonStarted,
    DaemonStopped,
    Event,
    OperatorSaid,
    RequestChanged,
    Told,
)
from kafka_self_healing.model.policy import Mode
from kafka_self_healing.model.recovery import RequestState


def _intent(events: Sequence[Event]) -> bool:
    changes = [event.request for event in events if isinstance(event, RequestChanged)]
    return any(r.state is RequestState.EXECUTING and not r.begun_steps for r in changes)


@virtual
async def test_an_intent_is_journalled_before_the_hands_are_told() -> None:
    """A crashed node is started once, and its intent was in the store when the hands began."""
    house = House()
    await house.open()
    house.break_node("2")
    await asyncio.sleep(HEAL_S)
    await house.close()

    assert [request.action for request in house.hands.begun] == ["service:start"]
    assert house.hands.intents == [True]
    assert house.gone == set()


@virtual
async def test_a_step_waits_until_its_beginning_is_journalled() -> None:
    """While the store refuses, an act that was begun does not go on; then it does."""
    house = House()
    await house.open()
    house.break_node("2")

    def refuse_after_the_intent(events: Sequence[Event]) -> None:
        house.store.broken = house.store.broken or _intent(events)

    house.store.during = refuse_after_the_intent
    await asyncio.sleep(HEAL_S)
    waiting = list(house.hands.begun), list(house.hands.ended), set(house.gone)
    house.store.during, house.store.broken = None, False
    await asyncio.sleep(HEAL_S)
    await house.close()

    assert ([r.node for r in waiting[0]], waiting[1], waiting[2]) == (["2"], [], {"2"})
    assert len(house.hands.ended) == 1
    assert house.gone == set()


@virtual
async def test_without_a_store_nothing_is_done_and_it_is_told_once() -> None:
    """A store that refuses stops all acts, alarms once, and loses no look: it works again later."""
    house = House()
    await house.open()
    house.store.broken = True
    house.break_node("2")
    await asyncio.sleep(60.0)
    alone = list(house.hands.begun)
    alarms = list(house.voice.alarms)
    house.store.broken = False
    await asyncio.sleep(3.0)
    begun = [request.node for request in house.hands.begun]
    await house.close()

    assert alone == []
    assert len(alarms) == 1
    assert "does no act" in alarms[0]
    assert begun == ["2"], "the looks were kept: it acts within seconds, not after a warm-up"


@virtual
async def test_a_second_outage_of_the_store_is_told_again() -> None:
    """The alarm is given again once the store has taken something in between."""
    house = House()
    await house.open()
    for node in ("2", "3"):
        house.store.broken = True
        house.break_node(node)
        await asyncio.sleep(30.0)
        house.store.broken = False
        await asyncio.sleep(90.0)
    await house.close()

    assert len(house.voice.alarms) == 2


@virtual
async def test_a_turn_without_events_does_not_repeat_the_alarm() -> None:
    """The node comes back while the store refuses: that the store is well is not known by that."""
    house = House()
    await house.open()
    house.store.broken = True
    for _ in range(3):
        house.break_node("2")
        await asyncio.sleep(10.0)
        house.start("2")
        await asyncio.sleep(60.0)
    house.store.broken = False
    await house.close()

    assert len(house.voice.alarms) == 1


@virtual
async def test_what_a_failed_turn_heard_is_told_to_the_next() -> None:
    """A result of the hands that could not be written down is not lost."""
    house = House()
    await house.open()
    house.hands.seconds = 5.0
    house.break_node("2")
    await asyncio.sleep(6.0)
    assert house.hands.begun
    house.store.broken = True
    await asyncio.sleep(30.0)
    house.store.broken = False
    await asyncio.sleep(120.0)
    await house.close()

    assert house.store.states("2")[-1] is RequestState.HEALED


@pytest.mark.parametrize("moment", ["the intent is written", "the store was read again"])
@virtual
async def test_a_pause_between_decision_and_hands_aborts_the_act(moment: str) -> None:
    """Whatever arrives until the hands know of the act is looked at before they do."""
    house = House()
    await house.open()
    pauses: list[asyncio.Task[object]] = []

    def pause_comes() -> None:
        if not pauses:
            said = house.daemon.control({"command": "pause", "reason": "mine"}, "ann")
            pauses.append(asyncio.create_task(said))

    def written(events: Sequence[Event]) -> None:
        if _intent(events) and moment == "the intent is written":
            pause_comes()
        elif _intent(events):
            house.store.once_read = pause_comes

    house.store.during = written
    house.break_node("2")
    await asyncio.sleep(HEAL_S)
    await house.close()

    assert pauses[0].result() == {"done": "pause", "by": "ann"}
    assert house.hands.begun == []
    assert RequestState.ABORTED in house.store.states("2")
    assert house.store.orders() == ["pause"]


@virtual
async def test_a_pause_that_somebody_else_wrote_into_the_store_aborts_the_act() -> None:
    """The store is read again before the act, not only our own inbox."""
    house = House()
    await house.open()

    def written(events: Sequence[Event]) -> None:
        if _intent(events):
            pause = OperatorCommand(Order.PAUSE, "bob", "mine")
            asyncio.get_running_loop().call_soon(
                house.store.events.append, OperatorSaid(events[0].at, pause)
            )

    house.store.during = written
    house.break_node("2")
    await asyncio.sleep(8.0)
    await house.close()

    assert house.hands.begun == []
    assert RequestState.ABORTED in house.store.states("2")


@virtual
async def test_a_maintenance_of_another_node_aborts_nothing() -> None:
    """Only what concerns the act's node or the whole cluster stands in its way."""
    house = House()
    await house.open()
    said: list[asyncio.Task[object]] = []

    def other_node(events: Sequence[Event]) -> None:
        if _intent(events) and not said:
            request = {"command": "maintenance", "target": "3", "reason": "disk"}
            said.append(asyncio.create_task(house.daemon.control(request, "ann")))

    house.store.during = other_node
    house.break_node("2")
    await asyncio.sleep(HEAL_S)
    await house.close()

    assert [request.node for request in house.hands.begun] == ["2"]


@virtual
async def test_a_store_that_cannot_be_read_before_the_act_aborts_it() -> None:
    """Whether a pause came cannot be known then, so nothing is done, and the daemon goes on."""
    house = House()
    await house.open()

    def unreadable(events: Sequence[Event]) -> None:
        house.store.unreadable = house.store.unreadable or _intent(events)

    house.store.during = unreadable
    house.break_node("2")
    await asyncio.sleep(6.0)
    begun = list(house.hands.begun)
    house.store.during, house.store.unreadable = None, False
    await asyncio.sleep(60.0)
    await house.close()

    assert begun == []
    assert house.gone == set()


@virtual
async def test_a_lost_lease_stops_all_acts_and_a_new_one_warms_up_first() -> None:
    """Without the lease nothing is done; when it is back, the daemon first looks around."""
    house = House()
    await house.open()
    house.store.lease = False
    house.break_node("2")
    await asyncio.sleep(60.0)
    without = list(house.hands.begun)
    house.store.lease = True
    await asyncio.sleep(5.0)
    soon = list(house.hands.begun)
    await asyncio.sleep(60.0)
    await house.close()

    assert (without, soon) == ([], [])
    assert [request.node for request in house.hands.begun] == ["2"]


@virtual
async def test_a_lease_lost_between_decision_and_dispatch_aborts_the_act() -> None:
    """The lease is looked at once more after the intent is written."""
    house = House()
    await house.open()

    def lose(events: Sequence[Event]) -> None:
        house.store.lease = house.store.lease and not _intent(events)

    house.store.during = lose
    house.break_node("2")
    await asyncio.sleep(HEAL_S)
    await house.close()

    assert house.hands.begun == []
    assert RequestState.ABORTED in house.store.states("2")


@virtual
async def test_mode_observe_decides_and_does_nothing() -> None:
    """The failure is told with what would be done; the hands are never asked."""
    house = House(replace(AUTO, mode=Mode.OBSERVE))
    await house.open()
    house.break_node("2")
    await asyncio.sleep(120.0)
    await house.close()

    assert house.hands.begun == []
    told = [event.notice for event in house.store.events if isinstance(event, Told)]
    assert told
    assert len(house.store.letters) == len(told)


@virtual
async def test_the_beginning_and_the_end_are_journalled() -> None:
    """A daemon that ends in order says so; the next one knows that from the journal."""
    house = House()
    await house.open()
    await house.close()

    assert isinstance(house.store.events[0], DaemonStarted)
    assert isinstance(house.store.events[-1], DaemonStopped)


@virtual
async def test_a_store_that_cannot_be_read_at_start_ends_the_daemon() -> None:
    """Without its memory it must not act, so it does not begin."""
    house = House()
    house.store.unreadable = True

    with pytest.raises(StorageError, match="cannot be read"):
        await house.daemon.run()


@virtual
async def test_a_reload_with_another_mode_takes_effect() -> None:
    """From observe to auto: what was only told before is done now."""
    house = House(replace(AUTO, mode=Mode.OBSERVE))
    await house.open()
    house.break_node("2")
    await asyncio.sleep(30.0)
    before = list(house.hands.begun)
    await house.daemon.reload(cluster_of(3), AUTO, "file.yaml")
    await asyncio.sleep(30.0)
    await house.close()

    assert before == []
    assert [request.node for request in house.hands.begun] == ["2"]


@virtual
async def test_a_reload_between_decision_and_dispatch_aborts_the_act() -> None:
    """An act decided under the old configuration is not begun under the new one."""
    house = House()
    await house.open()
    reloads: list[asyncio.Task[None]] = []

    def reload(events: Sequence[Event]) -> None:
        if _intent(events) and not reloads:
            fresh = house.daemon.reload(cluster_of(1), replace(AUTO, mode=Mode.OBSERVE), "f")
            reloads.append(asyncio.create_task(fresh))

    house.store.during = reload
    house.break_node("2")
    await asyncio.sleep(HEAL_S)
    await house.close()

    assert house.hands.begun == []
    assert RequestState.ABORTED in house.store.states("2")


@virtual
async def test_a_reload_with_another_node_looks_at_it() -> None:
    """A changed inventory gets new eyes and is warmed up anew; old requests still are answered."""
    house = House()
    await house.open()
    await house.daemon.reload(cluster_of(4), AUTO, "file.yaml")
    await asyncio.sleep(40.0)
    rows = await house.daemon.control({"command": "nodes"}, "ann")
    told = await house.daemon.control({"command": "explain", "node": "4"}, "ann")
    await house.close()

    assert [row["node"] for row in rows["nodes"]] == ["1", "2", "3", "4"]
    assert told["state"] == "well"
    assert len(house.eyes) == 2


@virtual
async def test_a_refused_reload_changes_nothing_and_is_journalled() -> None:
    """The old configuration stays in force, and the journal says why."""
    house = House()
    await house.open()
    await house.daemon.reload_failed("file.yaml", "file.yaml:1:1: mode: no")
    house.break_node("2")
    await asyncio.sleep(HEAL_S)
    await house.close()

    assert len(house.eyes) == 1
    assert [request.node for request in house.hands.begun] == ["2"]
    errors = [getattr(event, "error", "") for event in house.store.events]
    assert "file.yaml:1:1: mode: no" in errors
