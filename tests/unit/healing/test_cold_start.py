"""The ordered cold start: proposed, approved as a whole, taken by steps, stopped, remembered."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from tests.unit.healing.scenes import AUTO, Scene, split
from tests.unit.healing.test_approvals import no_directories

from kafka_self_healing.healing.approvals import approvable
from kafka_self_healing.healing.view import View
from kafka_self_healing.healing.waiting import waiting
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.event import PlanChanged
from kafka_self_healing.model.evidence import CheckResult, DataDirFact, HostFact, PeersFact
from kafka_self_healing.model.plan import ColdStart, PlanState
from kafka_self_healing.model.policy import Budget, Mode

APPROVE = replace(AUTO, mode=Mode.APPROVE)


def plan_of(scene: Scene) -> ColdStart:
    """The plan that the mind remembers."""
    assert scene.memory.plan is not None
    return scene.memory.plan


def all_down(**changes: object) -> Scene:
    """Broker 6 has fallen out of every ISR; then all other processes end at once."""
    scene = Scene(split(), policy=APPROVE)
    for name, value in changes.items():
        setattr(scene, name, value)
    scene.run(70)
    scene.crash("6")
    scene.run(15)
    scene.crash("1", "2", "3", "4", "5")
    scene.until(lambda: scene.memory.plan is not None, 60)
    scene.run(5)
    return scene


def test_a_mass_failure_proposes_voters_then_holders_then_the_rest() -> None:
    """Each step has its reason; the notice of the whole has them all, and a way to approve."""
    scene = all_down()

    plan = plan_of(scene)

    assert [step.node for step in plan.steps] == ["1", "2", "3", "4", "5", "6"]
    assert [step.why.split(":")[0] for step in plan.steps] == [
        *["a dead voter"] * 3,
        *["last known in sync for 3 partitions that are offline"] * 2,
        "nothing is known that only it has",
    ]
    assert plan.state is PlanState.PROPOSED
    story = "\n".join(scene.memory.incidents[plan.incident].story)
    assert "1. node 1 (a dead voter" in story
    assert f"kafka-self-healing approve {plan.incident}" in story
    assert not scene.acts, "nothing begins before a person approves it"


def test_an_approved_plan_is_taken_step_by_step_to_its_end() -> None:
    """One approval for all; the next begins when the last answers or shows progress."""
    scene = all_down()

    scene.say(Order.APPROVE, plan_of(scene).incident)
    scene.until(lambda: plan_of(scene).state is PlanState.DONE)

    assert scene.acted() == [("service:start", id_) for id_ in "123456"]
    assert all(request.plan == plan_of(scene).id for _, request in scene.acts)
    begun = [at for at, _ in scene.acts]
    assert min(b - a for a, b in itertools.pairwise(begun)) >= scene.policy.slot_quorum_lost_s
    assert all(step.done for step in plan_of(scene).steps)
    assert plan_of(scene).approved_by == "ada"


def test_its_acts_take_nothing_from_the_usual_budgets() -> None:
    """Six starts of a plan, and the next node that crashes is still started."""
    scene = all_down(policy=replace(APPROVE, start_budget=Budget(1, 3600.0)))
    scene.say(Order.APPROVE, plan_of(scene).incident)
    scene.until(lambda: plan_of(scene).state is PlanState.DONE)
    scene.run(120)
    scene.policy = replace(scene.policy, mode=Mode.AUTO, ladder_reset_s=10.0)

    scene.crash("4")
    scene.run(20)

    assert len(scene.acts) == 7
    assert scene.acts[-1][1].plan == ""


def test_guards_that_no_approval_lifts_are_asked_of_each_step() -> None:
    """A step on a masked unit, or in maintenance, waits; nobody is started past it."""
    scene = all_down()
    scene.say(Order.MAINTENANCE, "2")
    scene.say(Order.APPROVE, plan_of(scene).incident)
    scene.run(60)

    assert scene.acted() == [("service:start", "1")]
    assert scene.reasons("2") == {"in_maintenance"}
    assert scene.reasons("3") == {"needs_approval", "plan_order"}

    scene.say(Order.MAINTENANCE_END, "2")
    scene.until(lambda: plan_of(scene).state is PlanState.DONE)


def test_a_plan_does_not_start_a_node_whose_disks_nobody_can_see() -> None:
    """Who approved the order has not said that an empty directory may be filled anew."""
    scene = all_down()
    scene.say(Order.APPROVE, plan_of(scene).incident)
    scene.lens = no_directories
    scene.run(60)
    assert scene.acted() == []
    assert scene.reasons("1") == {"data_dirs_unreadable"}

    scene.say(Order.APPROVE, scene.incident("1").id)
    scene.run(10)
    assert scene.acted() == [("service:start", "1")]


def test_a_plan_waits_for_a_holder_that_is_not_part_of_it() -> None:
    """With unclean election a stale replica would lead: the approver of the order knew of none."""

    def lens(look: CheckResult) -> CheckResult:
        if isinstance(look.fact, PeersFact):
            topics = (replace(t, unclean_election=True) for t in look.fact.topics or ())
            return replace(look, fact=replace(look.fact, topics=tuple(topics)))
        if isinstance(look.fact, HostFact) and look.subject in {"4", "5"}:
            gone = DataDirFact("/data", same_device=False, has_identity=False, readable=True)
            return replace(look, fact=replace(look.fact, data_dirs=(gone,)))
        return look

    scene = all_down(lens=lens)
    assert [step.node for step in plan_of(scene).steps] == ["1", "2", "3", "6"]
    scene.say(Order.APPROVE, plan_of(scene).incident)
    scene.run(120)
    assert scene.acted() == [("service:start", id_) for id_ in "123"]
    assert "last_in_sync_down" in scene.reasons("6")


def test_a_step_that_fails_stops_the_plan_and_calls_a_person() -> None:
    """Nothing of it is started any more; the story says at which node it stopped."""
    scene = all_down(hands="die")
    scene.say(Order.APPROVE, plan_of(scene).incident)
    scene.until(lambda: plan_of(scene).approved_by != "")
    running = plan_of(scene).id
    scene.run(60)

    ends = [e.plan for e in scene.events if isinstance(e, PlanChanged) and e.plan.id == running]
    assert ends[-1].state is PlanState.STOPPED
    assert "the start of node 1 failed" in ends[-1].reason
    assert scene.acted() == [("service:start", "1")]
    told = scene.memory.incidents[ends[-1].incident]
    assert "is stopped: the start of node 1 failed" in told.escalation + "".join(told.story)


def test_a_step_for_which_a_person_has_to_look_stops_it() -> None:
    """Somebody has stopped the next node on purpose: the order is not ours any more."""
    scene = all_down()
    scene.say(Order.APPROVE, plan_of(scene).incident)
    scene.until(lambda: len(scene.acts) == 1)
    running = plan_of(scene).id
    scene.edit("2", stop_requested=True)
    scene.run(20)

    ends = [e.plan for e in scene.events if isinstance(e, PlanChanged) and e.plan.id == running]
    assert ends[-1].state is PlanState.STOPPED
    assert "node 2 has now: STOPPED_BY_OPERATOR" in ends[-1].reason
    assert scene.acted() == [("service:start", "1")]


def test_a_node_that_leaves_the_inventory_stops_it() -> None:
    """A step of a node that is no longer known is never taken; what is left is proposed anew."""
    scene = all_down(hands="idle")
    scene.say(Order.APPROVE, plan_of(scene).incident)
    scene.run(3)
    assert plan_of(scene).state is PlanState.RUNNING
    left = {id_: node for id_, node in scene.cluster.nodes.items() if id_ != "4"}
    scene.cluster = replace(scene.cluster, nodes=left)
    del scene.nodes["4"]
    scene.view = View.cold(scene.cluster)
    scene.run(3)
    ended = [event.plan for event in scene.events if isinstance(event, PlanChanged)]
    stopped = [plan.reason for plan in ended if plan.state is PlanState.STOPPED]
    assert stopped == ["node 4 is no longer in the inventory"]
    assert "4" not in [step.node for step in plan_of(scene).steps]


def test_in_mode_observe_it_is_shown_and_nothing_of_it_begins() -> None:
    """Observing says what it would do; so does a healer that shuts down."""
    scene = all_down(policy=replace(APPROVE, mode=Mode.OBSERVE))
    scene.say(Order.APPROVE, plan_of(scene).incident)
    scene.run(30)

    assert plan_of(scene).state is PlanState.PROPOSED
    assert not scene.acts


def test_its_steps_are_not_asked_for_one_by_one() -> None:
    """One request for all of them."""
    scene = all_down()
    asked = set(scene.memory.asked)
    scene.run(60)

    assert set(scene.memory.asked) == asked
    assert plan_of(scene).incident in asked


def test_what_nobody_approves_in_time_has_to_be_read_again() -> None:
    """The expired plan cannot be approved, by neither name; the one that stands now can."""
    scene = all_down(policy=replace(APPROVE, approval_s=60.0))
    old = plan_of(scene)
    scene.run(70)

    new = plan_of(scene)
    assert new.id != old.id
    for target in (old.id, old.incident):
        incident, why = approvable(scene.memory, target, scene.now)
        assert incident == old.incident
        assert f"{old.id} no longer stands; now it is {new.id}" in why
    assert approvable(scene.memory, new.id, scene.now) == (new.incident, "")


def test_an_approved_plan_has_an_end_too() -> None:
    """What was approved yesterday starts nothing today."""
    scene = all_down(policy=replace(APPROVE, approval_s=60.0))
    scene.say(Order.MAINTENANCE, "1")
    scene.say(Order.APPROVE, plan_of(scene).incident)
    scene.run(2)
    running = plan_of(scene).id
    scene.run(70)
    scene.say(Order.MAINTENANCE_END, "1")
    scene.run(10)

    ends = [e.plan for e in scene.events if isinstance(e, PlanChanged) and e.plan.id == running]
    assert ends[-1].state is PlanState.EXPIRED
    assert not scene.acts


def test_an_approval_given_before_the_plan_is_not_the_plans() -> None:
    """Nobody has approved what nobody has seen."""
    scene = Scene(split(), policy=APPROVE)
    scene.run(70)
    scene.crash("1", "2", "3")
    scene.until(
        lambda: any(i.subject == "test/QUORUM_LOST" for i in scene.memory.incidents.values())
    )
    scene.say(Order.APPROVE, scene.incident("test/QUORUM_LOST").id)
    scene.run(2)
    scene.crash("4", "5", "6")
    scene.until(lambda: scene.memory.plan is not None, 60)
    scene.run(30)

    assert plan_of(scene).state is PlanState.PROPOSED
    assert not scene.acts


def test_a_plan_survives_the_healer() -> None:
    """Killed between two steps, it goes on with the next one and repeats none."""
    scene = all_down()
    scene.say(Order.APPROVE, plan_of(scene).incident)
    scene.until(lambda: len(scene.acts) == 2)
    scene.run(3)

    scene.restart_healer()
    scene.until(lambda: plan_of(scene).state is PlanState.DONE)

    assert scene.acted() == [("service:start", id_) for id_ in "123456"]


def test_it_is_withdrawn_when_the_nodes_come_back_by_themselves() -> None:
    """Somebody else was quicker."""
    scene = all_down()
    for id_ in "123456":
        scene.start(id_)
    scene.run(30)

    assert plan_of(scene).state is PlanState.WITHDRAWN


def test_status_shows_it_as_a_request_for_approval() -> None:
    """With its id, until when, and what to type."""
    scene = all_down()
    assert scene.step is not None

    shown = waiting(scene.step, scene.policy, scene.now)

    asked = [one for one in shown["approvals"] if one["id"] == plan_of(scene).id]
    assert asked[0]["approve"] == plan_of(scene).incident
    assert asked[0]["left_s"] == pytest.approx(3600, abs=30)
    assert [step["node"] for step in shown["plan"]["steps"]] == list("123456")
