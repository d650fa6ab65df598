"""What a person says: approvals asked for, given, used up and expired; switches with an end."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.healing.scenes import AUTO, Scene, split

from kafka_self_healing.healing.approvals import approvable
from kafka_self_healing.healing.explain import explain
from kafka_self_healing.healing.waiting import waiting
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.event import ApprovalAsked
from kafka_self_healing.model.evidence import CheckResult, HostFact, Kind
from kafka_self_healing.model.policy import Mode

APPROVE = replace(AUTO, mode=Mode.APPROVE, approval_s=120.0)


def asking(**changes: object) -> Scene:
    """Node 2 has crashed in mode approve."""
    scene = Scene(policy=APPROVE)
    for name, value in changes.items():
        setattr(scene, name, value)
    scene.run(20)
    scene.crash("2")
    scene.until(lambda: scene.memory.asked)
    return scene


def no_directories(look: CheckResult) -> CheckResult:
    """Its host answers, and says nothing of the data directories."""
    return replace(look, fact=HostFact(reachable=True)) if look.kind is Kind.HOST else look


def test_a_request_says_what_it_lifts_and_until_when() -> None:
    """`status` shows it, and what to type."""
    scene = asking()
    assert scene.step is not None
    incident = scene.incident("2").id

    (shown,) = waiting(scene.step, scene.policy, scene.now)["approvals"]

    assert (shown["node"], shown["action"]) == ("2", "service:start")
    assert shown["approve"] == shown["incident"] == incident
    assert any(line.startswith("mode_permits: ") for line in shown["lifts"])
    assert 115.0 <= shown["left_s"] <= 120.0
    assert f"kafka-self-healing approve {incident}" in "\n".join(scene.incident("2").story)


def test_it_is_asked_once_until_it_expires_and_then_under_another_name() -> None:
    """The old one is refused with a reason that names the new one; so is the incident."""
    scene = asking()
    incident, old = scene.incident("2").id, next(iter(scene.memory.asked.values()))
    assert approvable(scene.memory, incident, scene.now) == (incident, "")
    assert approvable(scene.memory, old.id, scene.now) == (incident, "")
    scene.run(100)
    assert len([e for e in scene.events if isinstance(e, ApprovalAsked)]) == 1
    scene.run(30)
    new = scene.memory.asked[incident]

    assert new.renews == old.id
    for target in (old.id, incident):
        _, why = approvable(scene.memory, target, scene.now)
        assert f"{old.id} no longer stands; now it is {new.id}: service:start on node 2" in why
        assert why.endswith(f"kafka-self-healing approve {new.id}")
    assert approvable(scene.memory, new.id, scene.now) == (incident, "")
    late = scene.now.after(500.0)
    assert "expired at" in approvable(scene.memory, new.id, late)[1]
    assert "no open incident" in approvable(scene.memory, "approval-99", scene.now)[1]


def test_an_approval_lifts_what_was_shown_and_no_more() -> None:
    """What comes to stand in the way afterwards is asked for by a request of its own."""
    scene = asking()
    scene.edit("2", job="somebody's")
    scene.run(3)
    scene.say(Order.APPROVE, scene.incident("2").id)
    scene.run(2)
    scene.lens = no_directories
    scene.edit("2", job="")
    scene.run(20)

    assert not scene.acts
    assert scene.reasons("2") == {"data_dirs_unreadable"}
    new = scene.memory.asked[scene.incident("2").id]
    assert [line.partition(":")[0] for line in new.lifts] == ["data_dirs_present"]

    scene.say(Order.APPROVE, scene.incident("2").id)
    scene.run(10)
    assert scene.acted() == [("service:start", "2")]


def test_a_request_beside_which_more_comes_to_be_lifted_has_to_be_read_again() -> None:
    """The list is shown before it is approved."""
    scene = asking()
    incident, old = scene.incident("2").id, next(iter(scene.memory.asked.values()))
    scene.lens = no_directories
    scene.run(5)

    new = scene.memory.asked[incident]
    assert new.renews == old.id
    assert {line.partition(":")[0] for line in new.lifts} == {"data_dirs_present", "mode_permits"}
    assert f"{old.id} no longer stands" in approvable(scene.memory, incident, scene.now)[1]


def test_one_approval_is_one_act() -> None:
    """The next act asks anew."""
    scene = asking(hands="die", life_s=70.0)
    first = next(iter(scene.memory.asked.values()))
    scene.say(Order.APPROVE, scene.incident("2").id)
    scene.run(5)
    assert len(scene.acts) == 1
    assert not scene.memory.asked

    scene.run(120)

    assert len(scene.acts) == 1
    assert scene.memory.asked[scene.incident("2").id].id != first.id


def test_an_approval_of_a_start_is_none_of_a_restart() -> None:
    """Started by hand meanwhile, and hung: that is another act, and another question."""
    scene = asking()
    scene.edit("2", job="somebody's")
    scene.run(3)
    scene.say(Order.APPROVE, scene.incident("2").id)
    scene.run(2)
    scene.start("2")
    scene.hang("2")
    scene.run(60)

    assert not scene.acts
    assert "needs_approval" in scene.reasons("2")
    assert scene.memory.asked[scene.incident("2").id].action == "service:restart"


def test_an_approval_that_is_not_used_expires() -> None:
    """What was right to do is looked at again by a person."""
    scene = asking()
    scene.edit("2", job="somebody's")
    scene.run(3)
    scene.say(Order.APPROVE, scene.incident("2").id)
    scene.run(130)
    scene.edit("2", job="")
    scene.run(20)

    assert not scene.acts
    assert "needs_approval" in scene.reasons("2")


def test_nothing_is_asked_for_that_an_approval_would_not_permit() -> None:
    """A queued job is lifted by its end alone; in mode observe nothing is meant to be done."""
    busy = Scene(policy=APPROVE)
    busy.run(20)
    busy.crash("2", job="somebody's")
    busy.run(20)
    assert not busy.memory.asked

    watching = Scene(policy=replace(APPROVE, mode=Mode.OBSERVE))
    watching.run(20)
    watching.crash("2")
    watching.run(20)
    assert not watching.memory.asked


def test_requests_and_approvals_survive_the_healer() -> None:
    """Asked, killed, begun again: it is the same request; given, killed: it is still given."""
    scene = asking()
    before = dict(scene.memory.asked)
    scene.restart_healer()
    assert scene.memory.asked == before

    scene.say(Order.APPROVE, scene.incident("2").id)
    scene.run(1)
    scene.restart_healer()
    scene.run(60)

    assert scene.acted() == [("service:start", "2")]


def test_a_pause_and_a_maintenance_survive_and_end_by_themselves() -> None:
    """Journalled with their end; a restart of the healer changes nothing of it."""
    for order, target in ((Order.PAUSE, ""), (Order.MAINTENANCE, "2")):
        scene = Scene()
        scene.run(20)
        scene.say(order, target, until=scene.now.utc_s + 100.0)
        scene.run(2)
        scene.crash("2")
        scene.run(10)
        scene.restart_healer()
        scene.run(60)
        assert not scene.acts

        scene.run(60)
        assert scene.acted() == [("service:start", "2")]


def test_the_circuit_is_open_until_acknowledged_then_exactly_one_more_cycle() -> None:
    """Two attempts, nothing, an acknowledgement, two attempts, and nothing again."""
    scene = Scene(split(), hands="die", life_s=65.0, policy=replace(AUTO, approval_s=9e6))
    scene.run(20)
    scene.crash("5")
    scene.until(lambda: len(scene.acts) == 2, 400)
    scene.run(400)
    assert len(scene.acts) == 2
    assert scene.step is not None
    (circuit,) = waiting(scene.step, scene.policy, scene.now)["circuits_open"]
    assert (circuit["node"], circuit["attempts"]) == ("5", 2)
    assert circuit["lifted_by"] == f"kafka-self-healing ack {scene.incident('5').id}"
    assert explain(scene.step, scene.policy, "5", scene.now)["circuit_open"] == circuit

    scene.restart_healer()
    scene.run(300)
    assert len(scene.acts) == 2

    scene.say(Order.ACK, scene.incident("5").id)
    scene.run(2)
    scene.until(lambda: len(scene.acts) == 4, 400)
    scene.run(1200)

    assert len(scene.acts) == 4
    assert scene.step is not None
    assert waiting(scene.step, scene.policy, scene.now)["circuits_open"]
