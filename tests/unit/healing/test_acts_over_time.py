"""Ladders, backoff, budgets, slots and latches over virtual time; success erases no history."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from tests.unit.healing.scenes import AUTO, Scene, combined, split

from kafka_self_healing.healing.guards.history import MOST_LOST
from kafka_self_healing.healing.memory import Memory, fold
from kafka_self_healing.healing.view import View
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.event import IncidentChanged, OperatorSaid
from kafka_self_healing.model.evidence import CheckResult, Kind, Outcome, PeersFact
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.notification import NoticeKind
from kafka_self_healing.model.policy import Budget, Mode
from kafka_self_healing.model.recovery import RequestState, StopStyle

OFTEN = replace(AUTO, notice_repeat_s=900.0)


def test_no_act_before_a_look_that_began_after_the_proposal() -> None:
    """The act takes two turns, and SERVICE was looked at in between."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.memory.open_request("2"))
    proposed = scene.memory.open_request("2")
    assert proposed is not None
    assert proposed.state is RequestState.PROPOSED
    scene.lens = lambda look: None if look.kind is Kind.SERVICE else look
    scene.run(8)
    assert scene.acted() == []
    scene.lens = lambda look: look
    scene.run(1)
    assert scene.acted() == [("service:start", "2")]
    assert scene.acts[0][1].proposed.mono_s < scene.now.mono_s - 0.05


def test_stopped_between_look_and_act_is_aborted() -> None:
    """The second look shows an operator's stop: the proposal ends, nothing is done."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.memory.open_request("2"))
    scene.operator_stop("2")
    scene.run(60)
    assert scene.acted() == []
    assert scene.memory.open_request("2") is None


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.APPROVE])
def test_observe_says_what_it_would_do_and_does_nothing(mode: Mode) -> None:
    """Same decisions in observe and approve, zero acts."""
    scene = Scene(policy=replace(AUTO, mode=mode))
    scene.run(5)
    scene.crash("2")
    scene.run(120)
    assert scene.acted() == []
    text = next(v.text for v in scene.decisions[-1].reasons if v.guard == "mode_permits")
    expected = "would act: service:start on node 2" if mode is Mode.OBSERVE else "needs a person"
    assert expected in text


def test_an_approval_permits_one_act_and_is_used_up_by_it() -> None:
    """One approval is one act: the second attempt needs another one."""
    scene = Scene(policy=replace(AUTO, mode=Mode.APPROVE), hands="die", life_s=70.0)
    scene.run(5)
    scene.crash("2")
    scene.run(10)
    scene.say(Order.APPROVE, scene.incident("2").id)
    scene.until(lambda: scene.acts)
    scene.run(200)
    assert len(scene.acts) == 1
    assert "needs_approval" in scene.reasons("2")


def test_one_approval_never_becomes_a_loop_of_starts() -> None:
    """Lifting attempts, budgets and backoff once does not lift them for good."""
    scene = Scene(hands="die")
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.acts)
    scene.run(30)
    assert len(scene.acts) == 1
    scene.say(Order.APPROVE, scene.incident("2").id)
    scene.run(600)
    assert len(scene.acts) == 2


def test_an_approval_that_has_expired_lifts_nothing() -> None:
    """After its end an approval is no approval, for any guard."""
    scene = Scene(hands="die")
    scene.run(5)
    scene.crash("2")
    scene.run(60)
    assert len(scene.acts) == 1
    scene.say(Order.APPROVE, scene.incident("2").id, until=scene.now.utc_s - 1)
    scene.run(300)
    assert len(scene.acts) == 1


def test_a_started_node_that_dies_young_is_not_started_again() -> None:
    """It lived 3 s and nothing says why: no second start, a person is told at once."""
    scene = Scene(hands="die", life_s=3.0)
    scene.run(5)
    scene.crash("2")
    scene.run(300)
    assert scene.acted() == [("service:start", "2")]
    assert scene.reasons("2") >= {"died_young"}
    assert scene.notices[-1].kind is NoticeKind.GAVE_UP
    # What time lifts by itself is no reason to be called.
    assert "nothing says why it ended" in scene.notices[-1].summary
    assert "left alone" not in scene.notices[-1].summary


def test_a_started_node_that_lived_for_a_minute_gets_its_second_start() -> None:
    """And then no third: out of attempts, a person is told."""
    scene = Scene(hands="die", life_s=61.0)
    scene.run(5)
    scene.crash("2")
    scene.run(600)
    assert scene.acted() == [("service:start", "2")] * 2
    assert scene.reasons("2") >= {"out_of_rungs"}
    assert scene.notices[-1].kind is NoticeKind.GAVE_UP


def test_given_up_until_acknowledged_then_one_more_cycle() -> None:
    """Reminders go on; an acknowledgement grants one more cycle, and its failure is told anew."""
    scene = Scene(policy=OFTEN, hands="die", life_s=61.0)
    scene.run(5)
    scene.crash("2")
    scene.run(900 + 600)
    assert len(scene.acts) == 2
    kinds = [n.kind for n in scene.notices]
    assert kinds == [NoticeKind.FAILURE, NoticeKind.GAVE_UP, NoticeKind.REMINDER]
    scene.say(Order.ACK, scene.incident("2").id)
    scene.run(600)
    assert len(scene.acts) == 4
    assert [n.kind for n in scene.notices][3:] == [NoticeKind.GAVE_UP]


def test_an_acknowledgement_of_something_refused_does_not_page_again() -> None:
    """Somebody took it over: the same refusal is not told a second time."""
    scene = Scene(policy=OFTEN)
    scene.run(5)
    scene.crash("2", job="someone's")
    scene.run(60)
    assert [n.kind for n in scene.notices] == [NoticeKind.FAILURE, NoticeKind.REFUSAL]
    scene.say(Order.ACK, scene.incident("2").id)
    scene.run(1500)
    assert len(scene.notices) == 2


def test_success_does_not_erase_history() -> None:
    """Healed twice within the hour, the third crash is a person's; after an hour of health: not."""
    scene = Scene()
    scene.run(5)
    for _ in range(2):
        scene.crash("2")
        scene.until(lambda: not scene.memory.incidents and scene.closed)
        scene.run(60)
    assert len(scene.acts) == 2
    scene.crash("2")
    scene.run(60)
    assert len(scene.acts) == 2
    assert "out_of_rungs" in scene.reasons("2")
    scene.start("2")
    scene.until(lambda: not scene.memory.incidents)
    scene.run(3700)
    scene.crash("2")
    scene.until(lambda: len(scene.acts) == 3)


def test_the_nodes_budget_holds_against_every_ladder() -> None:
    """Three acts of the node in six hours, whatever resets the ladder."""
    policy = replace(AUTO, node_budget=Budget(3, 6 * 3600.0), ladder_reset_s=100.0)
    scene = Scene(policy=policy)
    scene.run(5)
    for _ in range(3):
        scene.crash("2")
        scene.until(lambda: not scene.memory.incidents and scene.closed)
        scene.run(200)
    scene.crash("2")
    scene.run(300)
    assert len(scene.acts) == 3
    assert "node_budget" in scene.reasons("2")


def test_a_hang_is_ended_by_kill_and_once_an_hour() -> None:
    """KILL of a process in state T, and anti-flap against the same RESTART within the hour."""
    scene = Scene()
    scene.run(5)
    scene.hang("2")
    scene.until(lambda: scene.closed)
    assert scene.acts[0][1].stop_style is StopStyle.KILL
    scene.run(400)
    scene.hang("2")
    scene.run(300)
    assert len(scene.acts) == 1
    assert scene.reasons("2") >= {"anti_flap", "out_of_rungs"}


def test_a_silent_process_that_is_not_stopped_is_killed_only_by_its_jvms_silence() -> None:
    """State S without a configured JVM: an orderly stop."""
    cluster = combined()
    quiet = {i: replace(n, kinds=n.kinds - {Kind.JVM}) for i, n in cluster.nodes.items()}
    for nodes, style in ((cluster.nodes, StopStyle.KILL), (quiet, StopStyle.GRACEFUL)):
        scene = Scene(replace(cluster, nodes=nodes))
        scene.run(5)
        scene.hang("2")
        scene.edit("2", process_state="S")
        scene.until(lambda s=scene: s.acts)  # type: ignore[misc]
        assert scene.acts[0][1].stop_style is style


def test_a_lesser_problem_never_blocks_a_greater() -> None:
    """Restarted for a hang, then killed: the START goes on, a RESTART's pauses do not hold it."""
    scene = Scene()
    scene.run(5)
    scene.hang("2")
    scene.until(lambda: scene.closed)
    scene.crash("2")
    scene.until(lambda: len(scene.acts) == 2, 30)
    assert scene.acted()[1] == ("service:start", "2")


def test_a_second_restart_waits_for_the_spacing() -> None:
    """Between two RESTARTs of a cluster lie 300 s of replicas that are back."""
    scene = Scene()
    scene.run(5)
    scene.hang("2")
    scene.until(lambda: scene.closed)
    healed = scene.now.mono_s
    scene.hang("3")
    scene.until(lambda: len(scene.acts) == 2, 600)
    assert scene.now.mono_s - healed >= 240
    ended = next(a for a in scene.memory.acts if a.node == "2").ended
    assert ended is not None
    assert scene.now.since(ended) >= 300


def test_a_restart_that_does_not_come_back_latches_the_cluster() -> None:
    """No further RESTART anywhere until the cluster is healthy or somebody acknowledges."""
    scene = Scene(combined(5), hands="die", life_s=3.0)
    scene.run(5)
    scene.hang("2")
    scene.run(120)
    assert scene.memory.latch
    scene.hang("3")
    scene.run(120)
    assert "latched" in scene.reasons("3")
    assert ("service:restart", "3") not in scene.acted()


def test_the_latch_is_lifted_by_lasting_health_only() -> None:
    """One good moment of everybody does not lift it; the stable window does."""
    scene = Scene(hands="die", life_s=3.0)
    scene.run(5)
    scene.hang("2")
    scene.until(lambda: scene.memory.latch)
    scene.hands = "work"
    scene.start("2")
    scene.until(lambda: scene.step and scene.step.cluster.nodes["2"].ok is True)
    scene.run(10)
    assert scene.memory.latch
    scene.until(lambda: not scene.memory.latch, 120)


def test_kraft_is_started_at_once_and_then_left_alone() -> None:
    """The new process waits silently for its old session: not touched before session + 10 s."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.acts)
    assert scene.now.mono_s - 1005 <= 5
    scene.run(5)
    assert scene.memory.open_request("2"), "still being verified"
    scene.crash("2")
    scene.run(8)
    assert "backoff" in scene.reasons("2")
    assert len(scene.acts) == 1


def test_two_crashes_overlapping_are_healed_by_one_act_each() -> None:
    """The second is killed as soon as the first is in sync again but not yet healed."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.memory.incidents and scene.incident("2").in_sync)
    scene.run(16)
    scene.crash("3")
    scene.until(lambda: not scene.memory.incidents, 200)
    assert scene.acted() == [("service:start", "2"), ("service:start", "3")]


def test_never_two_acts_executing() -> None:
    """Three brokers die at once: the next START begins after the former one's slot."""
    scene = Scene(split(5))
    scene.run(5)
    scene.crash("4", "5", "6")
    scene.until(lambda: len(scene.acts) == 3, 200)
    times = [at for at, _ in scene.acts]
    assert all(b - a >= scene.act_s + scene.policy.slot_s for a, b in pairwise(times))
    scene.until(lambda: not scene.memory.incidents, 300)


def test_two_dead_brokers_whose_partitions_wait_for_each_other_are_both_started() -> None:
    """Each was last in sync for a partition of the other's: nobody waits for ever."""
    scene = Scene(split(3))
    scene.run(5)

    def lens(look: CheckResult) -> CheckResult | None:
        fact = look.fact
        if not isinstance(fact, PeersFact) or fact.topics is None:
            return look
        topic = fact.topics[0]
        parts = []
        for part, holder in zip(topic.partitions or (), ("4", "5", None), strict=True):
            down = holder is not None and not scene.nodes[holder].up
            isr = (holder,) if holder else part.isr
            parts.append(replace(part, isr=isr, leader="-1" if down else holder or part.leader))
        a, b = (
            replace(topic, name=name, partitions=(parts[i],)) for i, name in ((0, "a"), (1, "b"))
        )
        return replace(look, fact=replace(fact, topics=(a, b)))

    scene.lens = lens
    scene.run(5)
    scene.crash("4", "5")
    scene.until(lambda: len(scene.acts) == 2, 60)
    assert {node for _, node in scene.acted()} == {"4", "5"}


def test_a_failed_start_of_a_broker_stops_those_of_the_same_cause() -> None:
    """The first START ended again: the second dead broker waits for a person."""
    scene = Scene(split(5), hands="die", life_s=3.0)
    scene.run(5)
    scene.crash("4", "5")
    scene.run(200)
    assert len(scene.acts) == 1
    assert "first_one_died" in scene.reasons("5") | scene.reasons("4")


def test_an_act_without_an_end_becomes_no_second_act() -> None:
    """The hands never come back: nothing else happens to that node."""
    scene = Scene(hands="idle")
    scene.run(5)
    scene.crash("2")
    scene.run(900)
    assert len(scene.acts) == 1


def test_an_unknown_end_is_looked_at_and_not_repeated() -> None:
    """The connection broke after the command; the process runs by a new pid: verified, one act."""
    scene = Scene(hands="unknown")
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.acts)
    scene.run(1)
    scene.start("2")
    scene.until(lambda: scene.closed, 120)
    assert scene.closed == [(Condition.PROCESS_GONE, "healed")]
    assert len(scene.acts) == 1


def test_an_unknown_end_that_never_clears_is_paged_after_ten_minutes() -> None:
    """Neither MainPID nor InvocationID can tell: a person is told, nothing is done."""
    scene = Scene(hands="unknown")
    scene.run(5)
    scene.crash("2", invocation=None)
    scene.nodes["2"].service = replace(scene.nodes["2"].service, invocation=None)
    scene.run(700)
    assert len(scene.acts) == 1
    assert scene.notices[-1].kind is NoticeKind.ESCALATION
    assert "unknown" in scene.notices[-1].summary


def test_no_progress_after_a_start_is_paged_after_ten_minutes() -> None:
    """It runs and answers, but never gets in sync: not failed, not healed, told."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.acts)

    def lens(look: CheckResult) -> CheckResult | None:
        fact = look.fact
        if not isinstance(fact, PeersFact) or fact.topics is None:
            return look
        topic = fact.topics[0]
        parts = tuple(replace(p, isr=("1", "3"), leader="1") for p in topic.partitions or ())
        return replace(look, fact=replace(fact, topics=(replace(topic, partitions=parts),)))

    scene.lens = lens
    scene.run(650)
    assert [n.kind for n in scene.notices] == [NoticeKind.FAILURE, NoticeKind.ESCALATION]
    assert "in sync" in scene.notices[-1].summary
    assert len(scene.acts) == 1


def test_a_start_that_found_no_quorum_costs_no_attempt() -> None:
    """A broker exits 1 about 60 s after its start while nobody leads: NO_QUORUM_YET."""
    scene = Scene(hands="die", life_s=62.0)
    scene.run(5)
    scene.crash("1", "2")
    scene.until(lambda: scene.acts)
    first = scene.acts[0][1].node

    def lens(look: CheckResult) -> CheckResult | None:
        return (
            replace(look, outcome=Outcome.TIMED_OUT, fact=None)
            if look.kind is Kind.QUORUM
            else look
        )

    scene.lens = lens
    scene.until(lambda: [n for _, n in scene.acted()].count(first) == 3, 900)
    states = [a.state for a in scene.memory.acts if a.node == first]
    assert states[0] is RequestState.ABORTED


def test_whoever_takes_over_something_else_grants_no_further_cycle() -> None:
    """Attempts and a latch are released by their own incident's acknowledgement, no other's."""
    scene = Scene(policy=OFTEN, hands="die", life_s=61.0)
    scene.run(5)
    scene.crash("2")
    scene.run(600)
    assert len(scene.acts) == 2
    known = scene.incident("2")
    disk = replace(
        known, id="incident-900", subject="2/DISK_FILLING", condition=Condition.DISK_FILLING
    )
    memory = fold(scene.memory, [IncidentChanged(scene.now, disk, "opened")])
    memory = replace(memory, latch=memory.acts[-1].id)

    def after_ack(of: str) -> Memory:
        return fold(memory, [OperatorSaid(scene.now, OperatorCommand(Order.ACK, "ada", target=of))])

    beside = after_ack(disk.id)
    assert beside.incidents[disk.id].acknowledged_by == "ada"
    assert (beside.ladders, beside.latch, beside.told) == (
        memory.ladders, memory.latch, memory.told,
    )  # fmt: skip
    own = after_ack(known.id)
    assert (own.ladders, own.latch) == ({}, "")


def started_and_verified() -> Scene:
    """Broker 4 of four was started, and is not yet known to be healed."""
    scene = Scene(split(4))
    scene.run(70)
    scene.crash("4")
    scene.until(lambda: scene.acts, 60)
    scene.run(4)
    request = scene.memory.open_request("4")
    assert request is not None
    assert request.state is RequestState.VERIFYING
    return scene


def test_a_node_that_leaves_the_inventory_holds_up_nobody() -> None:
    """Nobody would ever see its act healed: it is called off, and the others are healed."""
    scene = started_and_verified()
    left = {id_: node for id_, node in scene.cluster.nodes.items() if id_ != "4"}
    scene.cluster = replace(scene.cluster, nodes=left)
    del scene.nodes["4"]
    scene.view = View.cold(scene.cluster)
    scene.run(20)
    assert not scene.memory.requests
    scene.crash("5")
    scene.run(60)
    assert scene.acted()[1:] == [("service:start", "5")]


def test_a_start_whose_host_has_gone_down_holds_up_nobody() -> None:
    """It may stay so for a week; the next crash is healed meanwhile."""
    scene = started_and_verified()
    scene.cut("4")
    scene.isolate("4")
    scene.until(lambda: scene.incident("4").condition is Condition.HOST_DOWN, 120)
    scene.run(10)
    assert scene.memory.open_request("4") is not None
    scene.crash("5")
    scene.run(60)
    assert scene.acted()[1:] == [("service:start", "5")]


def test_who_stops_it_long_after_a_lost_restart_is_not_taken_for_us() -> None:
    """The restart was lost, the process ran on for minutes: then a person stopped it."""
    scene = Scene(combined(5), hands="unknown")
    scene.run(5)
    scene.hang("2")
    scene.until(lambda: scene.acts, 60)
    # All that is known is that its stop began.
    scene.coming = [one for one in scene.coming if getattr(one[1], "ended", None) is not True]
    scene.coming = [one for one in scene.coming if getattr(one[1], "step", "stop") == "stop"]
    scene.run(60)
    assert scene.memory.requests[scene.acts[0][1].id].begun_steps == ("stop",)
    scene.operator_stop("2")
    scene.run(60)
    found = scene.found("2")
    assert found is not None
    assert found.condition is Condition.STOPPED_BY_OPERATOR
    assert scene.acted() == [("service:restart", "2")]


def test_acts_that_never_come_to_the_node_are_given_more_seldom_and_then_no_more() -> None:
    """They spend no attempt and no budget, so nothing else would bound them."""
    scene = Scene(policy=AUTO)
    scene.run(5)
    scene.hands = "unknown"
    scene.crash("2")
    scene.run(600)

    begun = [at for at, _ in scene.acts]
    pauses = [later - at for at, later in pairwise(begun)]
    assert len(begun) == MOST_LOST
    assert [pause >= least for pause, least in zip(pauses, (10, 20, 40, 80), strict=True)] == (
        [True] * 4
    )
    assert scene.incident("2").escalated_as is NoticeKind.GAVE_UP
    assert "5 acts in a row never came to the node" in scene.incident("2").escalation

    scene.hands = "work"
    scene.say(Order.ACK, scene.incident("2").id)
    scene.run(200)
    assert len(scene.acts) == MOST_LOST + 1
    assert scene.found("2") is None
