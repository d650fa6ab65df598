"""Healed, not yet, failed, inconclusive: four answers, by evidence alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.healing.scenes import AUTO, Scene, combined, split

from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.healing.verification import Proof, prove
from kafka_self_healing.model.evidence import CheckResult, JvmFact, Kind, Outcome, PeersFact
from kafka_self_healing.model.incident import Condition, Diagnosis
from kafka_self_healing.model.recovery import RecoveryRequest, RequestState

SOON = replace(AUTO, stall_s=60.0)


def restarted(scene: Scene, condition: Condition, node: str = "2", ago: float = 200.0) -> Turn:
    """A turn in which a RESTART of the node, for this condition, is being verified."""
    then = scene.now.after(-ago)
    request = RecoveryRequest(
        "act-1", "incident-1", node, "service:restart", condition, 0, 1, RequestState.VERIFYING,
        then, began=then, ended=then, pid_before=1, invocation_before="run-0",
    )  # fmt: skip
    assert scene.view is not None
    memory = replace(scene.memory, requests={request.id: request})
    return Turn(memory, scene.view, scene.policy, scene.now)


def proof(scene: Scene, condition: Condition, node: str = "2", ago: float = 200.0,
          found: Diagnosis | None = None) -> Proof:  # fmt: skip
    """What the evidence says of that act now."""
    assert scene.step is not None
    turn = restarted(scene, condition, node, ago)
    return prove(turn, scene.step.cluster, turn.memory.requests["act-1"], found)


def well(scene: Scene | None = None) -> Scene:
    """All has been well for longer than the stable window."""
    scene = scene or Scene()
    scene.run(80)
    return scene


def test_well_for_the_stable_window_is_healed_and_before_it_is_not_yet() -> None:
    """The window counts from the end of the act."""
    scene = well()

    assert proof(scene, Condition.PROCESS_HUNG, ago=61.0) is Proof.HEALED
    assert proof(scene, Condition.PROCESS_HUNG, ago=59.0) is Proof.NOT_YET


def test_what_nobody_can_see_is_neither_healed_nor_failed_and_is_told() -> None:
    """No other broker says whether it is counted in; a person is called after a while."""
    scene = Scene(policy=SOON)
    scene.run(5)
    scene.crash("2")
    scene.run(6)
    scene.lens = lambda look: None if look.kind is Kind.PEERS else look
    scene.run(50)
    assert scene.step is not None
    request = scene.memory.open_request("2")
    assert request is not None
    assert scene.view is not None
    turn = Turn(scene.memory, scene.view, scene.policy, scene.now)
    assert prove(turn, scene.step.cluster, request, None) is Proof.INCONCLUSIVE

    scene.run(40)

    assert "nobody can say whether it is healed" in scene.incident("2").escalation
    assert scene.memory.open_request("2") is not None


def test_out_of_sync_is_not_yet_and_told_in_other_words() -> None:
    """It is seen, and it is not well: that is another sentence than not seeing it."""
    scene = Scene(policy=SOON)
    scene.run(5)
    scene.crash("2")
    scene.run(8)

    def behind(look: CheckResult) -> CheckResult:
        if not isinstance(look.fact, PeersFact):
            return look
        topics = tuple(
            replace(topic, partitions=tuple(
                replace(part, isr=("1", "3"), leader="1") for part in topic.partitions or ()
            ))
            for topic in look.fact.topics or ()
        )  # fmt: skip
        return replace(look, fact=replace(look.fact, topics=topics))

    scene.lens = behind
    scene.run(90)

    assert "no progress" in scene.incident("2").escalation


def test_a_second_dip_within_the_window_begins_it_anew() -> None:
    """It looked healed, left the ISR again, and came back: the wait begins with that."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.run(40)
    assert scene.memory.open_request("2") is not None

    scene.isolate("2")
    scene.run(15)
    scene.nodes["2"].isolated = False
    scene.run(55)

    assert not scene.closed
    scene.run(15)
    assert scene.closed == [(Condition.PROCESS_GONE, "healed")]


def test_a_condition_that_asks_for_a_restart_fails_the_act_that_it_follows() -> None:
    """By looks of which all that count began after it: a start takes a session to be counted in."""
    scene = well()
    out = Diagnosis(Condition.SERVING_NOT_COUNTED, ("2",), (), confirmed=True)
    doubt = replace(out, confirmed=False)
    scene.isolate("2")
    scene.run(20)

    assert proof(scene, Condition.PROCESS_GONE, ago=200.0, found=out) is Proof.FAILED
    assert proof(scene, Condition.PROCESS_GONE, ago=200.0, found=doubt) is Proof.NOT_YET
    assert proof(scene, Condition.PROCESS_GONE, ago=40.0, found=out) is Proof.NOT_YET


def test_a_process_that_its_manager_starts_again_and_again_fails_the_act() -> None:
    """It counts only what its manager did after the act: before it, that was another process."""
    scene = well()
    loop = Diagnosis(Condition.CRASH_LOOP, ("2",), (), confirmed=True)
    scene.isolate("2")
    scene.edit("2", restarts=1)
    scene.run(20)

    assert proof(scene, Condition.PROCESS_HUNG, ago=200.0, found=loop) is Proof.FAILED
    assert proof(scene, Condition.PROCESS_HUNG, ago=5.0, found=loop) is Proof.NOT_YET


@pytest.mark.parametrize("condition", [Condition.HEAP_EXHAUSTED, Condition.COUNTED_NOT_SERVING])
def test_half_dead_is_healed_when_no_look_has_failed_for_the_window(condition: Condition) -> None:
    """A single failure between good answers is no silence, and it is the very trouble."""
    scene = well()
    assert proof(scene, condition) is Proof.HEALED

    def one_fails(look: CheckResult) -> CheckResult:
        mine = look.subject == "2" and look.kind is Kind.PROTOCOL
        return replace(look, outcome=Outcome.TIMED_OUT, fact=None) if mine else look

    scene.lens = one_fails
    scene.run(1)
    scene.lens = lambda look: look
    scene.run(10)

    assert proof(scene, Condition.PROCESS_HUNG) is Proof.HEALED
    assert proof(scene, condition) is Proof.NOT_YET
    scene.run(60)
    assert proof(scene, condition) is Proof.HEALED


def test_a_session_is_back_when_the_others_list_it() -> None:
    """The answer of the process proves nothing: it answered all the time."""
    scene = well(Scene(combined(5)))
    scene.isolate("2")
    scene.run(20)

    assert proof(scene, Condition.SERVING_NOT_COUNTED) is Proof.NOT_YET

    scene.nodes["2"].isolated = False
    scene.run(61)
    assert proof(scene, Condition.SERVING_NOT_COUNTED) is Proof.HEALED


def test_a_controller_is_unwedged_when_it_leads_or_follows() -> None:
    """Its own word must not speak against what the leader counts."""
    scene = well(Scene(split()))
    states = {"2": "candidate"}

    def raft(look: CheckResult) -> CheckResult:
        if look.kind is not Kind.JVM or not isinstance(look.fact, JvmFact):
            return look
        return replace(look, fact=replace(look.fact, raft_state=states.get(look.subject)))

    scene.lens = raft
    scene.run(5)
    assert proof(scene, Condition.CONTROLLER_WEDGED) is Proof.NOT_YET

    states["2"] = "follower"
    scene.run(70)
    assert proof(scene, Condition.CONTROLLER_WEDGED) is Proof.HEALED


def test_the_act_remembers_since_when_all_was_well() -> None:
    """What comes next is spaced from there."""
    scene = Scene()
    scene.run(5)
    scene.hang("2")
    scene.until(lambda: scene.closed)

    healed = scene.memory.acts[-1]

    assert healed.state is RequestState.HEALED
    assert healed.well_since is not None
    assert scene.now.since(healed.well_since) == pytest.approx(60.0, abs=2.0)
