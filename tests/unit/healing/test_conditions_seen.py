"""Each condition: suspected, confirmed, cleared; and what must not be mistaken for it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from tests.unit.healing.scenes import KINDS, Scene, combined, split

from kafka_self_healing.model.evidence import (
    CheckResult,
    JvmFact,
    Kind,
    Outcome,
    PartitionFact,
    PeersFact,
    ServiceFact,
    TopicFact,
)
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.notification import NoticeKind


def state(scene: Scene, subject: str) -> tuple[Condition, bool] | None:
    """The newest diagnosis of a subject: its condition, and whether it is confirmed."""
    found = scene.found(subject)
    return (found.condition, found.confirmed) if found else None


def test_a_healthy_cluster_has_no_incident_and_no_act() -> None:
    """Ten quiet minutes bring nothing at all."""
    scene = Scene(twice=True)
    scene.run(600)
    assert scene.step is not None
    assert scene.step.diagnoses == ()
    assert (scene.acted(), scene.notices, scene.memory.incidents) == ([], [], {})


def test_a_crash_is_suspected_confirmed_and_cleared() -> None:
    """PROCESS_GONE needs two looks at least two seconds apart, and ends healed."""
    scene = Scene(twice=True)
    scene.run(5)
    scene.crash("2")
    scene.run(1)
    assert state(scene, "2") == (Condition.PROCESS_GONE, False)
    scene.run(1)
    assert state(scene, "2") == (Condition.PROCESS_GONE, False)
    scene.run(1)
    assert state(scene, "2") == (Condition.PROCESS_GONE, True)
    scene.until(lambda: scene.closed)
    assert scene.closed == [(Condition.PROCESS_GONE, "healed")]
    assert scene.acted() == [("service:start", "2")]


def test_healed_only_after_in_sync_for_the_stable_window() -> None:
    """It is in sync long before it counts as healed: 60 s, longer than one session."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.acts)
    scene.until(lambda: scene.incident("2").in_sync)
    in_sync = scene.now.mono_s
    scene.until(lambda: scene.closed)
    assert 59.0 <= scene.now.mono_s - in_sync <= 62.0


@pytest.mark.parametrize("node", ["1", "2"])
def test_a_hang_is_confirmed_only_once_the_others_have_dropped_it(node: str) -> None:
    """PROCESS_HUNG waits for Kafka's own session, whether or not the node was the controller."""
    scene = Scene()
    scene.run(5)
    scene.hang(node)
    scene.run(6)
    assert state(scene, node) == (Condition.PROCESS_HUNG, False)
    assert scene.acted() == []
    scene.until(lambda: scene.acts, 60)
    assert state(scene, node) == (Condition.PROCESS_HUNG, True)
    assert scene.now.mono_s - scene.nodes[node].heart >= scene.cluster.session_timeout_s
    scene.until(lambda: scene.closed)
    assert scene.closed == [(Condition.PROCESS_HUNG, "healed")]
    assert scene.acted() == [("service:restart", node)]


def test_a_hung_dedicated_controller_is_restarted() -> None:
    """A pure controller is dropped by the leader's account alone."""
    scene = Scene(split())
    scene.run(5)
    scene.hang("2")
    scene.until(lambda: scene.closed, 200)
    assert scene.acted() == [("service:restart", "2")]


def test_silent_but_counted_in_is_paged_and_never_restarted() -> None:
    """Busy but serving: the others count it in, so a person is told and nothing is done."""
    scene = Scene()
    scene.run(5)

    def lens(look: CheckResult) -> CheckResult | None:
        ours = look.subject == "2" and look.kind in {Kind.PROTOCOL, Kind.JVM}
        return replace(look, outcome=Outcome.TIMED_OUT, fact=None) if ours else look

    scene.lens = lens
    scene.run(120)
    assert scene.acted() == []
    assert state(scene, "2") == (Condition.UNDIAGNOSED, True)
    assert {n.kind for n in scene.notices} == {NoticeKind.ESCALATION}


def test_state_d_is_a_hung_storage_and_is_never_killed() -> None:
    """STORAGE_HUNG: no KILL is delivered to a process in state D; a person is told."""
    scene = Scene()
    scene.run(5)
    scene.hang("2")
    scene.edit("2", process_state="D")
    scene.run(60)
    assert state(scene, "2") == (Condition.STORAGE_HUNG, True)
    assert scene.acted() == []
    assert scene.notices[0].kind is NoticeKind.ESCALATION


def test_one_look_in_state_d_is_not_yet_a_hung_storage() -> None:
    """Three looks in a row must say D: one alone is what any busy disk shows."""
    scene = Scene()
    scene.run(5)
    scene.hang("2")
    scene.run(5)
    scene.edit("2", process_state="D")
    scene.run(1)
    assert state(scene, "2") == (Condition.STORAGE_HUNG, False)
    scene.run(2)
    assert state(scene, "2") == (Condition.STORAGE_HUNG, True)


@pytest.mark.parametrize("status", [143, 0, 137, 1])
def test_an_operators_stop_is_left_alone_whatever_its_exit_code(status: int) -> None:
    """A stop request makes it STOPPED_BY_OPERATOR: hands off, and it is told once."""
    scene = Scene()
    scene.run(5)
    scene.operator_stop("2")
    scene.edit("2", exit_status=status)
    scene.run(600)
    assert state(scene, "2") == (Condition.STOPPED_BY_OPERATOR, True)
    assert scene.acted() == []
    assert [n.kind for n in scene.notices] == [NoticeKind.FAILURE]


def test_a_stop_that_timed_out_to_kill_is_still_an_operators_stop() -> None:
    """The unit's own KILL after TimeoutStopSec does not make a crash of it."""
    scene = Scene()
    scene.run(5)
    scene.edit("2", active="deactivating", sub="stop-sigterm", stop_requested=True)
    scene.run(10)
    assert state(scene, "2") == (Condition.SHUTTING_DOWN, True)
    scene.crash("2", result="timeout", stop_requested=True)
    scene.run(300)
    assert state(scene, "2") == (Condition.STOPPED_BY_OPERATOR, True)
    assert scene.acted() == []


def test_a_stop_seen_under_way_is_a_stop_request() -> None:
    """A unit seen deactivating was asked to stop, even if its journal does not say so later."""
    scene = Scene()
    scene.run(5)
    scene.edit("2", active="deactivating", sub="stop-sigterm", stop_requested=None)
    scene.run(2)
    scene.crash("2", active="inactive", result="success", signal=None, exit_status=143)
    scene.run(300)
    assert state(scene, "2") == (Condition.STOPPED_BY_OPERATOR, True)
    assert scene.acted() == []
    scene.start("2")
    scene.run(60)
    scene.crash("2")
    scene.until(lambda: scene.acts)


def test_a_crash_on_its_way_down_is_no_stop_request() -> None:
    """A crashed unit is deactivating for a moment too; its manager says that nobody asked."""
    scene = Scene()
    scene.run(5)
    scene.edit("2", active="deactivating", sub="stop-sigterm", stop_requested=False)
    scene.run(1)
    scene.crash("2")
    scene.until(lambda: scene.acts, 30)
    assert scene.acted() == [("service:start", "2")]


def test_a_masked_unit_is_hands_off() -> None:
    """Masked is an operator's word, whatever ended the process."""
    scene = Scene()
    scene.run(5)
    scene.crash("2", unit_file="masked")
    scene.run(300)
    assert state(scene, "2") == (Condition.STOPPED_BY_OPERATOR, True)
    assert scene.acted() == []


def test_an_unreadable_stop_request_is_hands_off_and_paged_at_once() -> None:
    """Whether somebody stopped it cannot be read: a person decides."""
    scene = Scene()
    scene.run(5)
    scene.crash("2", stop_requested=None)
    scene.run(3)
    assert scene.acted() == []
    assert [n.kind for n in scene.notices] == [NoticeKind.ESCALATION]


def test_a_stop_that_leaves_partitions_under_min_isr_pages_at_once() -> None:
    """The stop is respected, its harm is told."""
    scene = Scene(min_isr=3)
    scene.run(5)
    scene.operator_stop("2")
    scene.until(lambda: scene.notices[1:])
    assert [n.kind for n in scene.notices] == [NoticeKind.FAILURE, NoticeKind.ESCALATION]
    assert "under min.insync.replicas" in scene.incident("2").escalation


def test_a_sigterm_without_a_request_is_started_after_two_minutes() -> None:
    """TERMINATED is told at once and started after 120 s."""
    scene = Scene()
    scene.run(5)
    scene.terminate("2")
    scene.run(10)
    assert state(scene, "2") == (Condition.TERMINATED, True)
    assert [n.kind for n in scene.notices] == [NoticeKind.FAILURE]
    took = 10 + scene.until(lambda: scene.acts)
    assert 120 <= took <= 125
    assert scene.acted() == [("service:start", "2")]


def test_an_end_that_cannot_be_told_from_sigterm_waits_like_one() -> None:
    """Exit status unreadable: it may have been 143, so its operator gets the same two minutes."""
    scene = Scene()
    scene.run(5)
    scene.terminate("2")
    scene.edit("2", exit_status=None)
    scene.run(60)
    assert state(scene, "2") == (Condition.TERMINATED, True)
    assert scene.acted() == []


def test_shutting_down_is_no_failure() -> None:
    """BrokerState 6 is an expected condition: nothing is told and nothing is done."""
    scene = Scene()
    scene.run(5)

    def lens(look: CheckResult) -> CheckResult | None:
        jvm = look.subject == "2" and look.kind is Kind.JVM
        return replace(look, fact=JvmFact(6)) if jvm else look

    scene.lens = lens
    scene.edit("2", active="deactivating", sub="stop-sigterm", stop_requested=True)
    scene.run(60)
    assert state(scene, "2") == (Condition.SHUTTING_DOWN, True)
    assert (scene.acted(), scene.notices) == ([], [])


def test_a_unit_that_deactivates_is_never_restarted() -> None:
    """Silent, dropped, but on its way down: its manager ends it, not we."""
    scene = Scene()
    scene.run(5)
    scene.hang("2")
    scene.edit("2", active="deactivating", sub="stop-sigterm")
    scene.run(120)
    assert scene.acted() == []


def test_auto_restart_is_not_raced() -> None:
    """systemd's own restart is pending: STARTING, no START of ours."""
    scene = Scene()
    scene.run(5)
    scene.crash("2", active="activating", sub="auto-restart")
    scene.run(60)
    assert state(scene, "2") == (Condition.STARTING, True)
    assert scene.acted() == []


def test_log_recovery_with_progress_is_left_alone_and_a_stall_is_paged() -> None:
    """RECOVERING_LOGS is judged by its progress, for as long as it takes."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.start("2", boot_s=10_000.0)
    for left in range(900, 0, -1):
        scene.nodes["2"].recovering = (left, 10)
        scene.run(1)
    assert state(scene, "2") == (Condition.RECOVERING_LOGS, True)
    assert (scene.acted(), scene.notices) == ([], [])
    assert "to go" in str(scene.found("2"))
    scene.run(601)
    assert [n.kind for n in scene.notices] == [NoticeKind.ESCALATION]
    assert "RECOVERY_STALLED" in scene.notices[0].summary
    assert "no progress for 600 s" in str(scene.notices[0].story)
    assert scene.acted() == []


def test_two_of_three_killed_is_a_lost_quorum_and_the_survivor_is_untouched() -> None:
    """QUORUM_LOST: the dead voters are started one by one; MASS_FAILURE is not said."""
    scene = Scene()
    scene.run(5)
    scene.crash("1", "2")
    scene.until(lambda: scene.acts)
    assert state(scene, "test/QUORUM_LOST") == (Condition.QUORUM_LOST, True)
    scene.until(lambda: len(scene.acts) == 2)
    (first, one), (second, two) = scene.acts
    assert {one.node, two.node} == {"1", "2"}
    assert second - first >= scene.act_s + scene.policy.slot_quorum_lost_s
    scene.until(lambda: len(scene.closed) == 3, 200)
    assert {condition for condition, _ in scene.closed} == {
        Condition.QUORUM_LOST, Condition.PROCESS_GONE,
    }  # fmt: skip
    assert not any(node == "3" for _, node in scene.acted())


def test_a_lost_quorum_is_over_only_when_somebody_leads() -> None:
    """Fewer proven dead is not yet a leader: the incident stays until one is named."""
    scene = Scene()
    scene.run(5)
    scene.crash("1", "2")
    scene.until(lambda: state(scene, "test/QUORUM_LOST") == (Condition.QUORUM_LOST, True))
    scene.until(lambda: (Condition.QUORUM_LOST, "cleared") in scene.closed)
    assert scene.leader is not None


def test_dead_dedicated_controllers_are_started_and_brokers_not_touched() -> None:
    """Two of three separate controllers and a broker: voters first, the broker waits for them."""
    scene = Scene(split())
    scene.run(5)
    scene.crash("1", "2", "5")
    scene.until(lambda: len(scene.acts) == 2)
    assert {node for _, node in scene.acted()} == {"1", "2"}
    scene.until(lambda: len(scene.acts) == 3)
    assert scene.acted()[2] == ("service:start", "5")
    scene.until(lambda: not scene.memory.incidents, 300)


def test_silent_voters_of_a_lost_quorum_are_paged_not_restarted() -> None:
    """Two of five silent: a RESTART would need what they take away; a person is told."""
    scene = Scene(combined(5))
    scene.run(5)
    scene.hang("2", "3")
    scene.run(90)
    assert scene.acted() == []
    assert state(scene, "test/MASS_FAILURE") == (Condition.MASS_FAILURE, True)
    assert any(n.condition == "MASS_FAILURE" for n in scene.notices)


def test_a_storm_blocks_restarts_but_never_a_start() -> None:
    """Of five, two hang together and one crashes: the crashed one is started."""
    scene = Scene(combined(5))
    scene.run(5)
    scene.hang("2", "3")
    scene.run(8)
    scene.crash("4")
    scene.run(60)
    assert scene.acted() == [("service:start", "4")]


def test_one_node_out_of_our_sight_is_a_lost_viewpoint() -> None:
    """All our ways to it are closed and the others count it in: no act, a person is told."""
    scene = Scene()
    scene.run(5)
    scene.cut("2")
    scene.run(60)
    assert state(scene, "2") == (Condition.VIEWPOINT_LOST, True)
    assert scene.acted() == []
    assert [n.condition for n in scene.notices] == ["VIEWPOINT_LOST"]
    scene.nodes["2"].cut = False
    scene.run(10)
    assert scene.closed == [(Condition.VIEWPOINT_LOST, "cleared")]


def test_everything_dark_means_that_we_are_blind() -> None:
    """Zero acts, and the cluster's own VIEWPOINT_LOST is told."""
    scene = Scene()
    scene.run(5)
    scene.cut("1", "2", "3")
    scene.run(120)
    assert state(scene, "test/VIEWPOINT_LOST") == (Condition.VIEWPOINT_LOST, True)
    assert scene.acted() == []
    assert "VIEWPOINT_LOST" in {n.condition for n in scene.notices}


def test_a_broker_cut_from_its_peers_is_never_restarted() -> None:
    """Its process is well: what the others miss is told, and nothing is restarted."""
    scene = Scene()
    scene.run(5)
    scene.isolate("2")
    scene.run(400)
    assert scene.acted() == []
    assert any(n.kind is NoticeKind.ESCALATION for n in scene.notices)


@pytest.mark.parametrize(
    "outcome", [Outcome.AUTHENTICATION, Outcome.AUTHORISATION, Outcome.TLS, Outcome.WRONG_LISTENER]
)
def test_an_error_about_our_credentials_is_an_answer(outcome: Outcome) -> None:
    """PROBE_MISCONFIGURED: the node lives, our probe is to be repaired, no act."""
    scene = Scene()
    scene.run(5)

    def lens(look: CheckResult) -> CheckResult | None:
        ours = look.subject == "2" and look.kind in {Kind.PROTOCOL, Kind.JVM}
        return replace(look, outcome=outcome, fact=None) if ours else look

    scene.lens = lens
    scene.run(2)
    assert not scene.notices
    scene.run(60)
    assert scene.acted() == []
    assert [n.condition for n in scene.notices] == ["PROBE_MISCONFIGURED"]
    scene.lens = lambda look: look
    scene.run(20)
    assert scene.closed == [], "what comes and goes is one incident"
    scene.run(20)
    assert scene.closed == [(Condition.PROBE_MISCONFIGURED, "cleared")]


@pytest.mark.parametrize("hung", [False, True])
def test_that_a_node_answers_is_said_only_while_it_does(hung: bool) -> None:
    """A service manager that refuses us says nothing of the broker."""
    scene = Scene()
    scene.run(5)

    def lens(look: CheckResult) -> CheckResult | None:
        ours = look.subject == "2" and look.kind is Kind.SERVICE
        return replace(look, outcome=Outcome.AUTHORISATION, fact=None) if ours else look

    scene.lens = lens
    if hung:
        scene.hang("2")
    scene.run(10)
    said = str(scene.incident("2/PROBE_MISCONFIGURED").evidence)
    assert "what has to be repaired is our probe" in said
    assert ("the node answers" in said) is not hung


@pytest.mark.parametrize("kind", [Kind.PEERS, Kind.QUORUM])
def test_a_right_missing_for_cluster_wide_questions_is_told(kind: Kind) -> None:
    """Not allowed to ask for metadata or the quorum: our probe is misconfigured, and it is said."""
    scene = Scene()
    scene.run(5)

    def lens(look: CheckResult) -> CheckResult | None:
        if look.kind is not kind:
            return look
        return replace(look, outcome=Outcome.AUTHORISATION, fact=None)

    scene.lens = lens
    scene.run(60)
    assert "PROBE_MISCONFIGURED" in {n.condition for n in scene.notices}
    assert scene.acted() == []


def test_a_jvm_that_refuses_our_credentials_is_not_silent() -> None:
    """An access error by JMX is an answer of a living process: nothing is restarted."""
    scene = Scene()
    scene.run(5)
    scene.hang("2")

    def lens(look: CheckResult) -> CheckResult | None:
        jvm = look.subject == "2" and look.kind is Kind.JVM
        return replace(look, outcome=Outcome.AUTHENTICATION, fact=None) if jvm else look

    scene.lens = lens
    scene.run(120)
    assert scene.acted() == []


def test_a_dead_jmx_port_alone_is_no_failure() -> None:
    """JMX unreachable, all else well: no act, no incident about the node's health."""
    scene = Scene()
    scene.run(5)

    def lens(look: CheckResult) -> CheckResult | None:
        jvm = look.subject == "2" and look.kind is Kind.JVM
        return replace(look, outcome=Outcome.REFUSED, fact=None) if jvm else look

    scene.lens = lens
    scene.run(300)
    assert (scene.acted(), scene.notices) == ([], [])


def test_who_was_last_in_sync_is_not_forgotten_by_being_blind() -> None:
    """Topics that we may not read any more have not become whole: their holders are remembered."""
    scene = Scene()
    scene.run(5)
    scene.crash("2", stop_requested=True)
    scene.run(15)
    before = dict(scene.memory.not_whole)
    assert before
    scene.topics_shown = False
    scene.run(10)
    assert dict(scene.memory.not_whole) == before


def test_no_topics_and_no_error_is_blindness() -> None:
    """A cluster that shows nothing is one that we may not read: told, never healthy."""
    scene = Scene(topics_shown=False)
    scene.run(60)
    assert [n.condition for n in scene.notices] == ["PROBE_MISCONFIGURED"]


def test_one_lost_probe_of_five_is_nothing() -> None:
    """A single lost look opens no incident and tells nobody."""
    scene = Scene()
    scene.run(5)
    lost = {1010.0}

    def lens(look: CheckResult) -> CheckResult | None:
        if look.subject == "2" and look.kind is Kind.PROTOCOL and look.ended in lost:
            return replace(look, outcome=Outcome.TIMED_OUT, fact=None)
        return look

    scene.lens = lens
    scene.run(120)
    assert (scene.acted(), scene.notices, scene.memory.incidents) == ([], [], {})


def test_alternating_looks_are_flapping_and_not_a_loop() -> None:
    """1-0-1-0 is told once; nothing is done."""
    scene = Scene()
    scene.run(5)

    def lens(look: CheckResult) -> CheckResult | None:
        if look.subject == "2" and look.kind is Kind.PROTOCOL and int(look.ended) % 2:
            return replace(look, outcome=Outcome.TIMED_OUT, fact=None)
        return look

    scene.lens = lens
    scene.run(200)
    assert state(scene, "2") == (Condition.FLAPPING, True)
    assert scene.acted() == []
    assert [n.condition for n in scene.notices] == ["FLAPPING"]


def test_an_act_of_yesterday_explains_no_flapping_of_today() -> None:
    """What we did explains changes only within the window in which they are counted."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.closed)
    scene.run(700)

    def lens(look: CheckResult) -> CheckResult | None:
        if look.subject == "2" and look.kind is Kind.PROTOCOL and int(look.ended) % 2:
            return replace(look, outcome=Outcome.TIMED_OUT, fact=None)
        return look

    scene.lens = lens
    scene.run(60)
    assert state(scene, "2") == (Condition.FLAPPING, True)


def test_a_process_started_by_hand_outside_its_unit_is_not_gone() -> None:
    """Its lock is held: UNDIAGNOSED, a person is told, and no second process is started."""
    scene = Scene()
    scene.run(5)
    scene.crash("2", lock_held=True)
    scene.run(60)
    assert state(scene, "2") == (Condition.UNDIAGNOSED, True)
    assert scene.acted() == []
    assert "started by hand" in str(scene.found("2"))


def test_without_a_service_manager_a_dead_node_is_only_told() -> None:
    """No SERVICE, no PROCESS_GONE: the families do not prove it, so it is paged."""
    cluster = combined()
    blind = {i: replace(n, kinds=KINDS - {Kind.SERVICE}) for i, n in cluster.nodes.items()}
    scene = Scene(replace(cluster, nodes=blind))
    scene.run(5)
    scene.crash("2")
    scene.run(60)
    assert state(scene, "2") == (Condition.UNDIAGNOSED, True)
    assert scene.acted() == []


def test_partitions_that_lack_replicas_are_told_when_it_lasts() -> None:
    """UNDER_REPLICATED: suspected, confirmed after 30 s, a person after five minutes."""
    scene = Scene()
    scene.run(5)

    def lens(look: CheckResult) -> CheckResult | None:
        fact = look.fact
        if not isinstance(fact, PeersFact) or fact.topics is None:
            return look
        parts = tuple(
            replace(part, isr=("1", "3"), leader="1") for part in fact.topics[0].partitions or ()
        )
        topic = replace(fact.topics[0], partitions=parts)
        return replace(look, fact=replace(fact, topics=(topic,)))

    scene.lens = lens
    scene.run(10)
    assert state(scene, "test/UNDER_REPLICATED") == (Condition.UNDER_REPLICATED, False)
    scene.run(40)
    assert state(scene, "test/UNDER_REPLICATED") == (Condition.UNDER_REPLICATED, True)
    scene.run(330)
    assert [n.kind for n in scene.notices] == [NoticeKind.FAILURE, NoticeKind.ESCALATION]
    assert scene.acted() == []
    scene.lens = lambda look: None if look.kind is Kind.PEERS else look
    scene.run(30)
    assert scene.closed == [], "what cannot be read is not over"
    scene.lens = lambda look: look
    scene.run(35)
    assert scene.closed == [(Condition.UNDER_REPLICATED, "cleared")]


def test_a_service_that_cannot_be_read_brings_no_act() -> None:
    """SERVICE answers nothing readable: no diagnosis that acts."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")

    def lens(look: CheckResult) -> CheckResult | None:
        mine = look.subject == "2" and look.kind is Kind.SERVICE
        return replace(look, fact=ServiceFact()) if mine else look

    scene.lens = lens
    scene.run(120)
    assert scene.acted() == []
    assert scene.notices[0].condition == "UNDIAGNOSED"


def test_one_lost_look_does_not_undo_a_diagnosis() -> None:
    """Confirm both ways: a stop by an operator stays one while SERVICE is once not readable."""
    scene = Scene()
    scene.run(5)
    scene.operator_stop("2")
    scene.run(60)

    def lens(look: CheckResult) -> CheckResult | None:
        lost = look.subject == "2" and look.kind is Kind.SERVICE and 1070 < look.ended < 1073
        return replace(look, outcome=Outcome.TIMED_OUT, fact=None) if lost else look

    scene.lens = lens
    scene.run(20)
    assert [n.kind for n in scene.notices] == [NoticeKind.FAILURE]
    assert scene.incident("2").condition is Condition.STOPPED_BY_OPERATOR


def test_a_node_is_not_known_by_its_service_manager_alone() -> None:
    """One family that says "running" commissions nobody: it takes an answer, or the cluster."""
    scene = Scene(combined(5))
    others = scene.cluster.brokers[:4]

    def lens(look: CheckResult) -> CheckResult | None:
        fact = look.fact
        if (look.subject == "5" and look.kind is not Kind.SERVICE) or look.observer == "5":
            return replace(look, outcome=Outcome.REFUSED, fact=None)
        if isinstance(fact, PeersFact) and fact.topics is not None:
            topic = fact.topics[0]
            parts = tuple(
                replace(p, replicas=others, isr=others) for p in (topic.partitions or ())[:4]
            )
            return replace(
                look, fact=replace(fact, listed=others, topics=(replace(topic, partitions=parts),))
            )
        return None if look.kind is Kind.QUORUM else look

    scene.lens = lens
    scene.run(10)
    assert scene.memory.seen == frozenset(others)


@pytest.mark.parametrize("dead", [("2", "3"), ("1", "2", "3")])
def test_dead_voters_of_five_are_started_one_by_one(dead: tuple[str, ...]) -> None:
    """Proven gone, with or without a quorum: each is started once, nobody else is touched."""
    scene = Scene(combined(5))
    scene.run(5)
    scene.crash(*dead)
    scene.run(5)
    scene.until(lambda: not scene.memory.incidents, 400)
    assert sorted(scene.acted()) == [("service:start", node) for node in dead]
    times = [at for at, _ in scene.acts]
    assert all(b - a >= scene.policy.slot_quorum_lost_s for a, b in pairwise(times))


@pytest.mark.parametrize("unclean", [True, None])
def test_a_stale_holder_waits_where_an_unclean_election_could_choose_it(
    unclean: bool | None,
) -> None:
    """With unclean election on, or unreadable, the last in-sync holder must be up first."""
    scene = Scene(split(3))
    scene.run(5)
    scene.crash("5")
    scene.hands = "idle"

    def lens(look: CheckResult) -> CheckResult | None:
        fact = look.fact
        if not isinstance(fact, PeersFact) or fact.topics is None:
            return look
        down = not scene.nodes["4"].up
        part = PartitionFact(0, ("4", "5"), ("4",), "-1" if down else "4", reassigning=False)
        topic = TopicFact("precious", 1, unclean, (part,))
        return replace(look, fact=replace(fact, topics=(topic,)))

    scene.lens = lens
    scene.run(1)
    scene.crash("4", job="somebody's")
    scene.run(60)
    assert scene.acted() == []
    assert "last_in_sync_down" in scene.reasons("5")


def test_a_darkened_cluster_of_several_freezes_nothing_of_the_living() -> None:
    """One of three nodes is dark to us: another one's crash is still healed."""
    scene = Scene()
    scene.run(5)
    scene.cut("3")
    scene.run(10)
    scene.crash("2")
    scene.until(lambda: scene.acts, 30)
    assert scene.acted() == [("service:start", "2")]


def test_an_answer_older_than_the_silence_does_not_make_a_hang_undiagnosed() -> None:
    """A look of the JVM that is still out is waited for: no false page before PROCESS_HUNG."""
    scene = Scene()
    scene.run(10)
    scene.hang("2")
    scene.lens = lambda look: None if (look.kind, look.subject) == (Kind.JVM, "2") else look
    scene.run(15)
    assert state(scene, "2") != (Condition.UNDIAGNOSED, True)
    assert scene.notices == []
    scene.lens = lambda look: look
    scene.run(3)
    assert state(scene, "2") == (Condition.PROCESS_HUNG, True)
