"""Operators' switches, and the healer's own end: what survives, what is owed, what is unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.healing.scenes import AUTO, Scene, combined

from kafka_self_healing.healing.healer import Aborted, LeaseChanged
from kafka_self_healing.healing.memory import Memory, fold
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.event import DaemonStarted
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.notification import NoticeKind
from kafka_self_healing.model.recovery import StepReport


def test_paused_does_nothing_and_says_why_and_resume_heals() -> None:
    """A pause holds until it is ended; then the healer warms up again and heals."""
    scene = Scene()
    scene.run(5)
    scene.say(Order.PAUSE)
    scene.crash("2")
    scene.run(300)
    assert scene.acted() == []
    assert scene.reasons("2") == {"paused"}
    scene.say(Order.RESUME)
    scene.run(10)
    assert scene.acted() == [], "warming up again"
    scene.until(lambda: scene.closed)
    assert scene.acted() == [("service:start", "2")]


def test_a_pause_that_ends_by_itself_is_followed_by_a_warm_up_too() -> None:
    """Its owner may have been at work until then: first the healer looks around."""
    scene = Scene()
    scene.run(5)
    scene.say(Order.PAUSE, until=scene.now.utc_s + 100.0)
    scene.crash("2")
    scene.run(99)
    assert scene.reasons("2") == {"paused"}
    scene.run(10)
    assert scene.reasons("2") == {"warming_up"}
    assert scene.acted() == []
    scene.until(lambda: scene.closed)
    assert scene.acted() == [("service:start", "2")]


def test_a_pause_survives_a_restart_of_the_healer() -> None:
    """It is in the journal, so it is in the memory of the next daemon."""
    scene = Scene()
    scene.run(5)
    scene.say(Order.PAUSE)
    scene.crash("2")
    scene.run(10)
    scene.restart_healer()
    scene.run(120)
    assert scene.acted() == []


def test_a_pause_with_an_end_ends_by_itself() -> None:
    """`until` is UTC: after it the switch no longer holds."""
    scene = Scene()
    scene.run(5)
    scene.say(Order.PAUSE, until=scene.now.utc_s + 60)
    scene.crash("2")
    scene.run(50)
    assert scene.acted() == []
    scene.until(lambda: scene.acts, 30)


def test_a_pause_between_proposal_and_act_aborts_it() -> None:
    """The switch is looked at again in the second turn."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.memory.open_request("2"))
    scene.say(Order.PAUSE)
    scene.run(60)
    assert scene.acted() == []


def test_a_pause_seen_by_the_shell_before_dispatch_costs_no_attempt() -> None:
    """The intent is journalled, but the act is not done: attempt and budget are given back."""
    scene = Scene(hands="idle")
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.acts)
    request = scene.acts[0][1]
    scene.inbox.append(Aborted(request.id, "pause by ada came first"))
    scene.run(1)
    assert [act.undone for act in scene.memory.acts] == [True]
    scene.hands = "work"
    scene.until(lambda: len(scene.acts) == 2, 60)
    assert scene.acts[1][1].attempt == 1


def test_a_stop_that_was_written_down_and_not_begun_leaves_no_start_owed() -> None:
    """A pause came between the journal's line and the command: the process was not touched."""
    scene = Scene(hands="idle")
    scene.run(70)
    scene.hang("2")
    scene.until(lambda: scene.acts)
    request = scene.acts[0][1]
    scene.inbox.append(StepReport(request.id, "stop", ended=False))
    scene.run(1)
    assert scene.memory.owed_starts == {"2": request.id}
    scene.inbox.append(Aborted(request.id, "pause by ada came first"))
    scene.run(1)
    assert scene.memory.owed_starts == {}
    assert [act.undone for act in scene.memory.acts] == [True]


def test_maintenance_of_one_node_lets_the_others_be_healed() -> None:
    """The node in maintenance is left alone; another one's crash is healed."""
    scene = Scene(combined(5))
    scene.run(5)
    scene.say(Order.MAINTENANCE, "2")
    scene.crash("2", "3")
    scene.run(60)
    assert scene.acted() == [("service:start", "3")]
    scene.say(Order.MAINTENANCE_END, "2")
    scene.until(lambda: len(scene.acts) == 2, 60)


def test_maintenance_that_has_ended_counts_for_a_storm_again() -> None:
    """Expired maintenance is none: its node's darkness is news."""
    scene = Scene(combined(5))
    scene.run(5)
    scene.say(Order.MAINTENANCE, "2", until=scene.now.utc_s + 5)
    scene.run(10)
    scene.hang("2", "3")
    scene.run(10)
    assert scene.memory.storm


def test_a_repeated_command_does_not_fill_the_memory() -> None:
    """A script that pauses every second leaves one switch, not thousands."""
    scene = Scene()
    for _ in range(50):
        scene.say(Order.PAUSE)
        scene.run(1)
    assert len(scene.memory.switches) == 1


def test_a_lost_lease_stops_acts_and_a_new_one_warms_up() -> None:
    """Without the lease nothing is done; with it, only after warm-up."""
    scene = Scene()
    scene.run(5)
    scene.inbox.append(LeaseChanged(held=False))
    scene.crash("2")
    scene.run(60)
    assert scene.acted() == []
    scene.inbox.append(LeaseChanged(held=True))
    scene.run(10)
    assert scene.acted() == []
    scene.until(lambda: scene.acts, 60)


def test_warm_up_comes_before_any_act() -> None:
    """What was down before we began is healed too, after three rounds and 15 s."""
    scene = Scene()
    scene.run(5)
    scene.restart_healer()
    scene.crash("2")
    took = scene.until(lambda: scene.acts, 60)
    assert took >= 15
    assert scene.incident("2").onset_before_us


def test_a_suspend_of_ten_minutes_is_no_timeout_of_anybody() -> None:
    """After a gap the mind warms up again; nothing is opened."""
    scene = Scene()
    scene.run(30)
    scene.now = scene.now.after(600)
    for node in scene.nodes.values():
        node.heart = scene.now.mono_s
    scene.run(60)
    assert (scene.acted(), scene.notices) == ([], [])


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_set_by_an_hour_brings_no_act_and_no_timeout(hours: int) -> None:
    """A step of UTC freezes acts for three rounds; nothing is diagnosed from it."""
    scene = Scene()
    scene.run(30)
    scene.now = scene.now._replace(utc_s=scene.now.utc_s + hours * 3600)
    scene.run(30)
    assert (scene.acted(), scene.notices) == ([], [])
    scene.crash("2")
    scene.until(lambda: scene.closed)


def test_proposed_when_killed_is_proposed_anew() -> None:
    """A proposal of a dead healer is forgotten, and made again after warm-up."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.memory.open_request("2"))
    scene.restart_healer()
    assert scene.memory.open_request("2") is None
    scene.until(lambda: scene.closed, 200)
    assert len(scene.acts) == 1


def test_an_intent_without_an_act_is_found_never_carried_out() -> None:
    """Killed between journal and dispatch: same InvocationID, so the attempt is given back."""
    scene = Scene(hands="idle")
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.acts)
    scene.restart_healer()
    assert scene.memory.open_request("2")
    scene.hands = "work"
    scene.until(lambda: scene.closed, 300)
    assert [request.attempt for _, request in scene.acts] == [1, 1]


def test_an_act_that_was_carried_out_is_verified_and_not_repeated() -> None:
    """Killed after the dispatch: a new process is found, watched, and healed."""
    scene = Scene(hands="idle")
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.acts)
    scene.start("2")
    scene.restart_healer()
    scene.until(lambda: scene.closed, 300)
    assert scene.closed == [(Condition.PROCESS_GONE, "healed")]
    assert len(scene.acts) == 1


def stopped_by_us() -> Scene:
    """A RESTART was killed between its stop and its start; the journal says "Stopping"."""
    scene = Scene()
    scene.run(5)
    scene.hang("2")
    scene.until(lambda: scene.acts)
    scene.act_s = 0.0
    request = scene.acts[0][1]
    scene.coming = [(at, said) for at, said in scene.coming if "stop" in str(said)]
    scene.run(2)
    assert scene.memory.owed_starts == {"2": request.id}
    scene.crash("2", stop_requested=True)
    scene.restart_healer()
    return scene


def test_a_stop_that_may_be_ours_is_ours() -> None:
    """The node is started although its manager says that a stop was requested."""
    scene = stopped_by_us()
    scene.until(lambda: scene.closed, 300)
    assert scene.acted() == [("service:restart", "2"), ("service:start", "2")]
    assert scene.memory.owed_starts == {}


def test_a_start_is_owed_until_the_node_serves() -> None:
    """The owed START died: it is still not taken for an operator's stop."""
    scene = stopped_by_us()
    scene.hands, scene.life_s = "die", 61.0
    scene.until(lambda: len(scene.acts) == 2, 100)
    scene.run(30)
    assert scene.found("2") is None or scene.incident("2").condition is not (
        Condition.STOPPED_BY_OPERATOR
    )


def test_nothing_is_owed_once_somebody_else_started_it() -> None:
    """An operator starts the node before us, and stops it a week later: hands off."""
    scene = stopped_by_us()
    scene.start("2")
    scene.until(lambda: scene.closed, 300)
    assert scene.memory.owed_starts == {}
    scene.operator_stop("2")
    scene.run(300)
    assert len(scene.acts) == 1


def test_a_restart_whose_stop_never_came_is_taken_up_again() -> None:
    """Killed after "stop begins" was written and before it was done: same process, still hung."""
    scene = Scene()
    scene.run(5)
    scene.hang("2")
    scene.until(lambda: scene.acts)
    scene.coming = scene.coming[:1]
    scene.run(2)
    scene.restart_healer()
    scene.until(lambda: len(scene.acts) == 2, 400)
    assert scene.acts[1][0] - scene.acts[0][0] >= scene.acts[0][1].limit_s
    scene.until(lambda: (Condition.PROCESS_HUNG, "healed") in scene.closed, 200)


@pytest.mark.parametrize("after_s", [1, 3, 4, 5, 8, 20, 70])
def test_a_healer_killed_at_any_moment_heals_by_one_start(after_s: float) -> None:
    """Wherever it dies, the journal and fresh looks bring the node back by one start."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.run(after_s)
    late = [said for _, said in scene.coming]
    scene.restart_healer()
    if late:
        scene.start("2")  # the command outlived the healer
    scene.until(lambda: scene.closed, 400)
    assert len(scene.acts) == 1
    assert not scene.memory.requests


def test_the_fold_of_the_whole_journal_is_the_memory() -> None:
    """I11 over a long story with a restart of the healer in the middle."""
    scene = Scene()
    scene.run(5)
    scene.hang("2")
    scene.run(60)
    scene.restart_healer()
    scene.crash("3")
    scene.run(200)
    assert fold(Memory(), scene.events) == scene.memory
    assert any(isinstance(event, DaemonStarted) for event in scene.events)


def test_given_up_stays_given_up_over_a_restart() -> None:
    """A restart of the healer grants no new attempts, and nobody is told twice."""
    scene = Scene(hands="die", life_s=3.0)
    scene.run(5)
    scene.crash("2")
    scene.run(60)
    told = len(scene.notices)
    scene.restart_healer()
    scene.run(300)
    assert len(scene.acts) == 1
    assert len(scene.notices) == told
    assert scene.notices[-1].kind is NoticeKind.GAVE_UP


def test_observe_mode_takes_no_act_that_is_owed_by_nobody() -> None:
    """Observe stays observe, also with an incident of old."""
    scene = Scene(policy=replace(AUTO, mode=AUTO.mode))
    scene.run(5)
    scene.crash("2")
    scene.run(1)
    from kafka_self_healing.model.policy import Mode

    scene.policy = replace(AUTO, mode=Mode.OBSERVE)
    scene.run(100)
    assert scene.acted() == []
