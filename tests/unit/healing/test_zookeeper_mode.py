"""ZooKeeper mode: sessions, registrations, members, and an ensemble that is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.healing.scenes import Scene, zookeeper

from kafka_self_healing.healing import explain
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.decision import Answer, Decision
from kafka_self_healing.model.evidence import (
    CheckResult,
    HostFact,
    Kind,
    PeersFact,
    ProtocolFact,
    QuorumFact,
)
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.notification import NoticeKind
from kafka_self_healing.model.recovery import RequestState

SESSION_S, TICK_S = 18.0, 2.0
LOST = "test/ENSEMBLE_QUORUM_LOST"


def scene(*, twice: bool = False, brokers: int = 3, members: int = 3) -> Scene:
    """A cluster in ZooKeeper mode that has run for a moment."""
    made = Scene(zookeeper(brokers, members), twice=twice)
    made.run(5)
    return made


def waits(of: Scene, node: str, reason: str) -> Decision:
    """The latest decision about a node in which it waits, or is refused, for this reason."""
    said = [d for d in of.decisions if d.request.node == node and d.answer is not Answer.ACT]
    return next(d for d in reversed(said) if reason in {v.reason for v in d.reasons})


def test_a_healthy_cluster_has_no_incident_and_no_act() -> None:
    """Ten quiet minutes bring nothing, and every node is well: brokers and members."""
    quiet = scene(twice=True)
    quiet.run(600)
    assert quiet.step is not None
    assert (quiet.step.diagnoses, quiet.acted()) == ((), [])
    assert {node.well for node in quiet.step.cluster.nodes.values()} == {True}
    assert quiet.step.cluster.leaders == {"1", "201"}


def test_a_dead_broker_is_started_only_when_its_registration_is_gone() -> None:
    """The start waits for the witnesses to drop it, not an instant less, and is needed once."""
    broken = scene(twice=True)
    broken.crash("2")
    died = broken.nodes["2"].heart
    broken.until(lambda: broken.acts)
    assert SESSION_S <= broken.acts[0][0] - died <= SESSION_S + 4
    broken.until(lambda: broken.closed)
    assert broken.acted() == [("service:start", "2")]
    assert broken.closed == [(Condition.PROCESS_GONE, "healed")]


def test_the_wait_names_the_second_at_which_it_lifts() -> None:
    """Until = the end that was seen, a session, and two ticks of the ensemble."""
    broken = scene()
    broken.crash("2")
    broken.run(4)
    decision = waits(broken, "2", "still_registered")
    assert broken.view is not None
    seen = broken.view.ends["2"].since
    assert decision.answer is Answer.WAIT
    assert decision.until == seen + SESSION_S + 2 * TICK_S
    (verdict,) = [v for v in decision.reasons if v.reason == "still_registered"]
    assert "1, 3 still list it" in verdict.text


def test_without_a_witness_the_session_must_have_run_out() -> None:
    """All brokers dead: the ensemble serves, so a session and two ticks after the exit will do."""
    broken = scene()
    broken.crash("1", "2", "3")
    broken.until(lambda: broken.acts)
    assert broken.view is not None
    first = broken.acts[0]
    end = broken.view.ends[first[1].node].since
    assert SESSION_S + 2 * TICK_S <= first[0] - end <= SESSION_S + 2 * TICK_S + 3


def test_without_a_witness_and_without_the_ensemble_nothing_is_started() -> None:
    """All brokers dead, and no member can be asked: a person has to look."""
    broken = scene()
    broken.lens = lambda look: look if look.kind is not Kind.QUORUM else None
    broken.run(20)
    broken.crash("1", "2", "3")
    broken.run(120)
    assert broken.acted() == []
    assert "release_not_seen" in broken.reasons("1")
    assert NoticeKind.REFUSAL in {n.kind for n in broken.notices}


def test_a_new_leader_of_the_ensemble_gives_the_old_session_its_whole_length() -> None:
    """With nobody to ask, the wait counts from the beginning of the leader's reign."""
    broken = scene()
    broken.crash("1", "2", "3")
    broken.run(15)
    broken.crash("201")
    broken.until(lambda: any(r.node == "1" for _, r in broken.acts))
    assert broken.view is not None
    assert broken.view.reign is not None
    first = next(at for at, request in broken.acts if request.node == "1")
    assert first - broken.view.reign.since >= SESSION_S + 2 * TICK_S


def test_a_registration_that_a_member_still_shows_stands() -> None:
    """/brokers/ids, where it can be read, is a word like a witness's."""
    broken = scene()

    def lens(look: CheckResult) -> CheckResult:
        if look.subject != "202" or not isinstance(look.fact, ProtocolFact):
            return look
        return replace(look, fact=replace(look.fact, registered=("1", "2")))

    broken.lens = lens
    broken.crash("2")
    broken.run(40)
    assert broken.acted() == []
    assert "1, 202, 3 still list it" in waits(broken, "2", "still_registered").reasons[-1].text
    broken.lens = lambda look: look
    broken.until(lambda: broken.acts, 30)


def test_what_is_listed_for_three_sessions_is_somebody_else() -> None:
    """Still listed so long after its end: no start, and a person is told at once."""
    broken = scene()

    def lens(look: CheckResult) -> CheckResult:
        if not isinstance(look.fact, PeersFact):
            return look
        return replace(look, fact=replace(look.fact, listed=("1", "2", "3")))

    broken.lens = lens
    broken.crash("2")
    broken.run(1)
    took = broken.until(lambda: broken.incident("2").escalation, 100)
    assert 3 * SESSION_S <= took <= 3 * SESSION_S + 5
    broken.run(60)
    assert broken.acted() == []
    assert broken.incident("2").condition is Condition.DUPLICATE_ID
    assert "another process bear its id" in str(broken.incident("2").evidence)


def test_a_witness_that_lists_not_even_itself_says_nothing() -> None:
    """A broker that has just started shows empty metadata: that releases nobody."""
    broken = scene()

    def lens(look: CheckResult) -> CheckResult:
        empty = isinstance(look.fact, PeersFact)
        return replace(look, fact=PeersFact((), (), None, ())) if empty else look

    broken.crash("2")
    broken.lens = lens
    broken.run(15)
    assert broken.acted() == []
    assert "release_not_seen" in broken.reasons("2")


def early_start(*, log: bool) -> Scene:
    """A person approves an early start; the process dies of its old registration."""
    cluster = zookeeper()
    if log:
        one = cluster.nodes["2"]
        nodes = {**cluster.nodes, "2": replace(one, kinds=one.kinds | {Kind.LOG})}
        cluster = replace(cluster, nodes=nodes)
    broken = Scene(cluster)
    broken.run(5)
    broken.crash("2")
    broken.run(4)
    broken.say(Order.APPROVE, broken.incident("2").id)
    broken.until(lambda: broken.acts, 5)
    broken.until(lambda: not broken.memory.requests, 12)
    return broken


def test_a_start_that_its_old_registration_ended_is_no_attempt() -> None:
    """NodeExists in its log: called off, and the first attempt comes after the release."""
    broken = early_start(log=True)
    assert broken.memory.acts[-1].state is RequestState.ABORTED
    assert "NodeExists" in broken.memory.acts[-1].reason
    broken.until(lambda: broken.closed)
    assert [request.attempt for _, request in broken.acts] == [1, 1]
    assert broken.closed == [(Condition.PROCESS_GONE, "healed")]


def test_without_its_log_it_is_a_failed_start() -> None:
    """Nothing says why it ended: a person has to look."""
    broken = early_start(log=False)
    broken.run(40)
    assert broken.memory.acts[-1].state is RequestState.FAILED
    assert "died_young" in broken.reasons("2")


@pytest.mark.parametrize("node", ["1", "2"])
def test_a_hung_broker_is_restarted_once_it_is_dropped(node: str) -> None:
    """Whether or not it was the controller: absent from the witnesses' metadata, then RESTART."""
    broken = scene()
    broken.run(70)
    broken.hang(node)
    died = broken.nodes[node].heart
    broken.until(lambda: broken.acts)
    assert broken.acts[0][0] - died >= SESSION_S
    broken.until(lambda: broken.closed)
    assert broken.acted() == [("service:restart", node)]


@pytest.mark.parametrize("node", ["201", "202"])
def test_a_dead_member_is_started(node: str) -> None:
    """Leader or follower: the others have a quorum, no broker notices, one start."""
    broken = scene(twice=True)
    broken.crash(node)
    broken.until(lambda: broken.closed)
    assert broken.acted() == [("service:start", node)]
    assert broken.closed == [(Condition.PROCESS_GONE, "healed")]


@pytest.mark.parametrize("node", ["201", "202"])
def test_a_hung_member_is_restarted_once_the_others_do_without_it(node: str) -> None:
    """A follower when the leader no longer counts it, a leader when another leads."""
    broken = scene(twice=True)
    broken.hang(node)
    broken.run(4)
    found = broken.found(node)
    assert found is not None
    assert (found.condition, found.confirmed) == (Condition.PROCESS_HUNG, False)
    broken.until(lambda: broken.closed, 150)
    assert broken.acted() == [("service:restart", node)]


def test_a_hung_member_is_left_alone_while_another_is_down() -> None:
    """Without the two there is no majority: refused, by the members' own accounts."""
    broken = scene()
    broken.hands = "idle"
    broken.crash("203")
    broken.run(15)
    broken.hang("202")
    broken.run(60)
    assert ("service:restart", "202") not in broken.acted()


def test_members_stopped_on_purpose_or_by_a_stray_signal() -> None:
    """A stop that was asked for stays; a SIGTERM by nobody is made good after two minutes."""
    broken = scene()
    broken.operator_stop("202")
    broken.run(60)
    assert broken.found("202") is not None
    assert broken.acted() == []
    other = scene()
    other.terminate("203")
    took = other.until(lambda: other.acts)
    assert took >= 120
    assert other.acted() == [("service:start", "203")]


def test_a_lost_ensemble_gets_its_dead_members_back_and_nothing_else() -> None:
    """The survivor says imok and serves nobody; the dead are started one by one."""
    broken = scene(twice=True)
    broken.crash("201", "202")
    broken.until(lambda: broken.found(LOST), 10)
    broken.until(lambda: not broken.memory.incidents)
    assert broken.acted() == [("service:start", "201"), ("service:start", "202")]
    assert broken.acts[1][0] - broken.acts[0][0] >= 5
    assert (Condition.ENSEMBLE_QUORUM_LOST, "cleared") in broken.closed


def test_no_broker_is_touched_while_the_ensemble_is_lost() -> None:
    """Neither a dead broker that is released nor a hung one that is dropped."""
    broken = scene(brokers=5)
    broken.say(Order.MAINTENANCE, "2")
    broken.crash("2")
    broken.run(30)
    broken.hands = "idle"
    broken.say(Order.MAINTENANCE, "201")
    broken.say(Order.MAINTENANCE, "202")
    broken.crash("201", "202")
    broken.run(10)
    broken.say(Order.MAINTENANCE_END, "2")
    broken.run(40)
    assert broken.acted() == []
    assert "quorum_lost" in broken.reasons("2")
    (verdict,) = [v for v in waits(broken, "2", "quorum_lost").reasons if v.reason == "quorum_lost"]
    assert "the ensemble's quorum is lost" in verdict.text


def test_living_members_that_do_not_serve_are_paged_and_never_touched() -> None:
    """All run and none serves: the ensemble is lost by their own word, and nothing is started."""
    broken = scene()
    broken.isolate("201", "202", "203")
    broken.run(60)
    found = broken.found(LOST)
    assert found is not None
    assert found.confirmed
    assert broken.acted() == []
    assert "no dead member" in broken.incident(LOST).escalation
    assert broken.found("202") is None


def test_an_election_is_no_lost_ensemble() -> None:
    """Members that do not serve for a second or two are electing."""
    broken = scene()

    def lens(look: CheckResult) -> CheckResult:
        if isinstance(look.fact, ProtocolFact) and look.subject in broken.cluster.members:
            return replace(look, fact=ProtocolFact(ruok=True, serving=False))
        return replace(look, fact=None) if look.kind is Kind.QUORUM else look

    broken.lens = lens
    broken.run(4)
    broken.lens = lambda look: look
    broken.run(5)
    assert broken.found(LOST) is None
    assert broken.notices == []


def test_a_member_that_serves_nobody_while_the_others_do_is_told() -> None:
    """Cut from its peers: UNDIAGNOSED after half a minute, and no restart of a healthy process."""
    broken = scene()
    broken.isolate("203")
    broken.run(20)
    found = broken.found("203")
    assert found is not None
    assert (found.condition, found.confirmed) == (Condition.UNDIAGNOSED, False)
    broken.run(40)
    assert broken.incident("203").escalation
    assert broken.acted() == []


def test_ruok_alone_proves_nothing() -> None:
    """No mode in the answer: not known to serve, and our probe is what has to be repaired."""
    broken = scene()

    def lens(look: CheckResult) -> CheckResult:
        mute = isinstance(look.fact, ProtocolFact) and look.subject == "202"
        return replace(look, fact=ProtocolFact(ruok=True, refused=("srvr",))) if mute else look

    broken.lens = lens
    broken.run(10)
    assert broken.step is not None
    assert broken.step.cluster.nodes["202"].ok is None
    found = broken.found("202/PROBE_MISCONFIGURED")
    assert found is not None
    assert (found.condition, found.confirmed) == (Condition.PROBE_MISCONFIGURED, True)
    assert any("whitelist: srvr" in line for line in found.evidence)


def test_not_serving_and_then_silent_is_silent_only_from_then_on() -> None:
    """Looks that were answered never count as silent ones."""
    broken = scene()
    broken.isolate("203")
    broken.run(20)
    broken.hang("203")
    broken.run(1)
    assert broken.step is not None
    assert broken.step.cluster.nodes["203"].silent_looks == 1


def test_members_go_before_brokers() -> None:
    """A dead member and a dead broker that both could be started: the member first."""
    broken = scene()
    broken.say(Order.PAUSE)
    broken.crash("2", "203")
    broken.run(40)
    broken.say(Order.RESUME)
    broken.until(lambda: len(broken.acts) == 2)
    assert broken.acted() == [("service:start", "203"), ("service:start", "2")]


def test_a_member_without_its_myid_is_not_started() -> None:
    """A start on an unmounted disk would make an empty member."""
    broken = scene()

    def lens(look: CheckResult) -> CheckResult:
        if look.subject != "203" or not isinstance(look.fact, HostFact):
            return look
        dirs = tuple(replace(d, has_identity=False) for d in look.fact.data_dirs or ())
        return replace(look, fact=replace(look.fact, data_dirs=dirs))

    broken.lens = lens
    broken.crash("203")
    broken.run(30)
    assert broken.acted() == []
    assert broken.incident("203").condition is Condition.STORAGE_MISSING
    assert "has no myid" in str(broken.incident("203").evidence)


@pytest.mark.parametrize(("same_device", "acts"), [(True, 1), (False, 0), (None, 0)])
def test_a_transaction_log_of_its_own_needs_no_myid(same_device: bool | None, acts: int) -> None:
    """One of a member's directories holds its identity; each must be on its device."""
    broken = scene()

    def lens(look: CheckResult) -> CheckResult:
        if look.subject != "203" or not isinstance(look.fact, HostFact):
            return look
        (data,) = look.fact.data_dirs or ()
        log = replace(data, path="/log", has_identity=False, same_device=same_device)
        return replace(look, fact=replace(look.fact, data_dirs=(data, log)))

    broken.lens = lens
    broken.crash("203")
    broken.run(15)
    assert len(broken.acted()) == acts


def test_explain_says_what_is_waited_for_and_until_when() -> None:
    """Why is it not being started? The witnesses by name, the session, the seconds left."""
    broken = scene()
    broken.crash("2")
    broken.run(10)
    assert broken.step is not None
    said = explain.explain(broken.step, broken.policy, "2", broken.now)
    (reason,) = [r for r in said["reasons"] if r["reason"] == "still_registered"]
    assert reason["until"] - broken.now.mono_s == pytest.approx(13)
    assert "1, 3 still list it, 9 s after its end" in said["sentence"]
    assert "it ends in 13 s at the latest" in said["sentence"]
    state = explain.status(broken.step, broken.policy, broken.now)
    assert (state["quorum"], state["leader"]) == ("led", "201")
    rows = {row["node"]: row for row in explain.nodes(broken.step, broken.now)["nodes"]}
    assert (rows["201"]["leads"], rows["202"]["leads"], rows["1"]["leads"]) == (True, False, True)
    assert (rows["202"]["serves"], rows["1"]["serves"]) == (True, None)
    assert any(
        "PROTOCOL: answered, follower" in line
        for line in explain.explain(broken.step, broken.policy, "202", broken.now)["looks"]
    )


def test_a_broker_that_found_no_ensemble_has_used_no_attempt() -> None:
    """It exits 1 by itself after a while; that is the ensemble's fault."""
    broken = scene()
    broken.crash("2")
    broken.until(lambda: broken.acts)
    broken.run(2)
    broken.hands = "idle"
    broken.crash("201", "202")
    broken.run(8)
    broken.crash("2", result="exit-code", signal=None, exit_status=1)
    broken.run(6)
    mine = [act for act in broken.memory.acts if act.node == "2"]
    assert [act.state for act in mine] == [RequestState.ABORTED]
    assert "the ensemble's quorum" in mine[0].reason


def test_the_metadata_of_a_lost_ensemble_are_a_photograph() -> None:
    """Nobody counts a broker in or out while no session can end."""
    broken = scene()
    broken.isolate("201", "202", "203")
    broken.run(10)
    assert broken.step is not None
    assert {broken.step.cluster.nodes[id_].counted for id_ in "123"} == {None}


def test_a_member_of_its_own_is_its_whole_ensemble() -> None:
    """One member, standalone: it serves, and nobody else has to say so."""
    alone = Scene(zookeeper(members=1))

    def lens(look: CheckResult) -> CheckResult:
        about = "201" in {look.subject, look.observer}
        if about and isinstance(look.fact, (ProtocolFact, QuorumFact)):
            return replace(look, fact=replace(look.fact, mode="standalone"))
        return look

    alone.lens = lens
    alone.run(20)
    assert alone.step is not None
    assert alone.step.cluster.nodes["201"].well is True
    alone.hang("201")
    alone.run(90)
    assert alone.acted() == []
