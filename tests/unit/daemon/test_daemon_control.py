"""What operators say to the daemon: journalled before it is answered, refused in clear words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.daemon.daemon_house import HEAL_S, House, virtual

from kafka_self_healing.errors import ControlError
from kafka_self_healing.model.event import OperatorSaid
from kafka_self_healing.model.policy import Mode, Policy
from kafka_self_healing.model.recovery import RequestState


@virtual
async def test_a_command_is_answered_only_after_it_is_journalled() -> None:
    """While the store refuses there is no answer; when it takes the command there is one."""
    house = House()
    await house.open()
    house.store.broken = True
    asked = asyncio.create_task(house.daemon.control({"command": "pause", "reason": "x"}, "ann"))
    await asyncio.sleep(20.0)
    early = asked.done()
    house.store.broken = False
    answer = await asked
    journalled = house.store.orders()
    await house.close()

    assert not early
    assert answer == {"done": "pause", "by": "ann"}
    assert journalled == ["pause"]


@virtual
async def test_a_pause_holds_until_resume_and_survives_a_restart() -> None:
    """A daemon that reads the same journal is still paused; after resume it heals."""
    first = House()
    await first.open(warm=False)
    await first.daemon.control({"command": "pause", "reason": "upgrade"}, "ann")
    await first.close()

    second = House(events=first.store.events)
    await second.open()
    second.break_node("2")
    await asyncio.sleep(60.0)
    paused = list(second.hands.begun)
    said = await second.daemon.control({"command": "explain", "node": "2"}, "ann")
    await second.daemon.control({"command": "resume"}, "ann")
    await asyncio.sleep(60.0)
    await second.close()

    assert paused == []
    assert "paused by ann: upgrade" in said["sentence"]
    assert [request.node for request in second.hands.begun] == ["2"]


@virtual
@pytest.mark.parametrize(("target", "given", "healed"), [
    ("2", False, False), ("", False, False), ("1", False, True), ("2", True, True),
])  # fmt: skip
async def test_an_act_that_has_given_no_command_is_called_off(
    target: str, given: bool, healed: bool
) -> None:
    """By a maintenance of its node or of the cluster; one that has given it goes on to its end."""
    house = House()
    await house.open()
    house.hands.given = given
    house.break_node("2")
    while not house.hands.begun:
        await asyncio.sleep(0.01)
    await house.daemon.control({"command": "maintenance", "target": target, "reason": "x"}, "ann")
    await asyncio.sleep(1.0)
    states = house.store.states("2")
    await house.close()

    assert (RequestState.ABORTED in states) is not healed
    assert (RequestState.VERIFYING in states) is healed


@virtual
async def test_an_incident_can_be_acknowledged() -> None:
    """The status names who took it."""
    house = House()
    await house.open()
    await house.daemon.control({"command": "pause", "reason": "x"}, "ann")
    house.break_node("2")
    await asyncio.sleep(HEAL_S)
    (incident,) = (await house.daemon.control({"command": "status"}, "ann"))["incidents"]
    await house.daemon.control({"command": "ack", "target": incident["id"]}, "bob")
    (after,) = (await house.daemon.control({"command": "status"}, "ann"))["incidents"]
    await house.close()

    assert (incident["acknowledged_by"], after["acknowledged_by"]) == ("", "bob")


@virtual
async def test_an_approval_is_given_to_the_request_that_stands_now() -> None:
    """By its id, or its incident; one that has expired is refused, and the new one is named."""
    house = House(policy=Policy(mode=Mode.APPROVE, approval_s=60.0))
    await house.open()
    house.break_node("2")
    await asyncio.sleep(HEAL_S)
    (first,) = (await house.daemon.control({"command": "status"}, "ann"))["approvals"]
    await asyncio.sleep(70.0)
    (second,) = (await house.daemon.control({"command": "status"}, "ann"))["approvals"]
    with pytest.raises(
        ControlError, match=f"{first['id']} no longer stands; now it is {second['id']}"
    ):
        await house.daemon.control({"command": "approve", "target": first["approve"]}, "ann")
    early = list(house.hands.begun)
    await house.daemon.control({"command": "approve", "target": second["approve"]}, "ann")
    await asyncio.sleep(HEAL_S)
    await house.close()

    assert first["approve"] == first["incident"]
    assert second["approve"] == second["id"]
    assert early == []
    assert [request.node for request in house.hands.begun] == ["2"]


@virtual
async def test_a_plan_is_shown_and_approved_by_its_id() -> None:
    """All nodes are down: one approval, and one start after the other."""
    house = House(policy=Policy(mode=Mode.APPROVE))
    await house.open()
    nothing = await house.daemon.control({"command": "plan"}, "ann")
    for node in ("1", "2", "3"):
        house.break_node(node)
    await asyncio.sleep(HEAL_S)
    plan = (await house.daemon.control({"command": "plan"}, "ann"))["plan"]
    await house.daemon.control({"command": "approve", "target": plan["id"]}, "ann")
    await asyncio.sleep(120.0)
    after = (await house.daemon.control({"command": "plan"}, "ann"))["plan"]
    await house.close()

    assert nothing == {"plan": None}
    assert [step["node"] for step in plan["steps"]] == ["1", "2", "3"]
    assert (plan["state"], after["state"], after["approved_by"]) == ("proposed", "done", "ann")
    assert [request.node for request in house.hands.begun] == ["1", "2", "3"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no command": ({}, "there is no command None"),
    "unknown command": ({"command": "destroy"}, "there is no command 'destroy'"),
    "unknown node": ({"command": "explain", "node": "9"}, "no node '9'; there are: 1, 2, 3"),
    "no node": ({"command": "explain"}, "no node ''; there are: 1, 2, 3"),
    "unknown incident": ({"command": "ack", "target": "incident-9"}, "no open incident"),
    "approval of nothing": (
        {"command": "approve"},
        "no open incident or request for approval ''; open: none",
    ),
    "no reason": ({"command": "pause"}, "a pause needs a reason"),
    "a reason of blanks": ({"command": "pause", "reason": " \n"}, "a pause needs a reason"),
    "a reason that is no text": ({"command": "pause", "reason": ["x"]}, "reason is a text"),
    "a target that is no text": ({"command": "maintenance", "target": 2}, "target is a text"),
    "maintenance of no node": ({"command": "maintenance", "target": "9"}, "there is no node '9'"),
    "an end that is no number": (
        {"command": "pause", "reason": "x", "until": "tomorrow"},
        "until is a moment",
    ),
    "an end that is a list": ({"command": "pause", "reason": "x", "until": []}, "until is"),
    "an end that is NaN": (
        {"command": "pause", "reason": "x", "until": float("nan")},
        "until is a moment",
    ),
    "a command that is a list": ({"command": ["pause"]}, "there is no command"),
}


@pytest.mark.parametrize("case", REFUSED)
@virtual
async def test_what_cannot_be_done_is_refused_in_clear_words(case: str) -> None:
    """The daemon says what is wrong, writes nothing down, and goes on."""
    request, words = REFUSED[case]
    house = House()
    await house.open()

    with pytest.raises(ControlError, match=words.replace("(", r"\(")):
        await house.daemon.control(request, "ann")

    await house.close()
    assert house.store.orders() == []


@virtual
async def test_a_daemon_that_has_seen_nothing_says_so() -> None:
    """A question before the first turn is refused, not answered with nothing."""
    house = House()

    with pytest.raises(ControlError, match="has just started"):
        await house.daemon.control({"command": "status"}, "ann")


@virtual
async def test_a_reason_carries_no_terminal_escapes() -> None:
    """Control characters and lone surrogates of a request reach neither journal nor terminals."""
    house = House()
    await house.open(warm=False)
    reason = "disk \x1b[31mred\x07 \ud800" + "x" * 1000
    await house.daemon.control({"command": "pause", "reason": reason}, "ann")
    (said,) = [event for event in house.store.events if isinstance(event, OperatorSaid)]
    await house.close()

    assert said.command.reason.startswith("disk [31mred")
    assert said.command.reason.isprintable()
    assert len(said.command.reason) <= 500


@virtual
async def test_a_pause_can_end_by_itself() -> None:
    """`until` is kept, and past it the daemon heals."""
    house = House()
    await house.open()
    end = 1_700_000_000.0 + asyncio.get_running_loop().time() + 60.0
    await house.daemon.control({"command": "pause", "reason": "short", "until": end}, "ann")
    house.break_node("2")
    await asyncio.sleep(50.0)
    during = list(house.hands.begun)
    await asyncio.sleep(60.0)
    await house.close()

    assert during == []
    assert [request.node for request in house.hands.begun] == ["2"]
