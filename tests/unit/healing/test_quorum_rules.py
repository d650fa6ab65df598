"""Who lives and is not counted in: confirmed, contradicted, and never by what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.healing.outcasts import knowing, listing_itself, unlisted, without
from tests.unit.healing.scenes import Lens, Scene, split, zookeeper

from kafka_self_healing.healing.assessment import Quorum
from kafka_self_healing.healing.healer import Input, Step
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.evidence import (
    CLUSTER_KINDS,
    HEALER,
    CheckResult,
    JvmFact,
    Kind,
    Outcome,
    ProtocolFact,
)
from kafka_self_healing.model.incident import Condition, IncidentState, Reply, beside, reply
from kafka_self_healing.model.recovery import StopStyle

LONG_S = 110.0
FENCED: dict[str, Any] = {"applied_lag_ms": 100.0}


def state(scene: Scene, subject: str) -> tuple[Condition, bool] | None:
    """The newest diagnosis of a subject: its condition, and whether it is confirmed."""
    found = scene.found(subject)
    return (found.condition, found.confirmed) if found else None


def fenced_broker(reach: bool | None = True, **jvm: Any) -> Scene:
    """Broker 4 serves, and the controllers have fenced it."""
    scene = Scene(split(4))
    scene.run(5)
    scene.lens = knowing(scene, "4", reach=reach, **{**FENCED, **jvm})
    scene.isolate("4")
    return scene


def sessionless_broker(reach: bool | None = True, session: str | None = "CONNECTING") -> Scene:
    """Broker 1 of ZooKeeper mode serves without a session."""
    scene = Scene(zookeeper(4))
    scene.run(5)
    scene.lens = knowing(scene, "1", reach=reach, session=session)
    scene.isolate("1")
    return scene


def wedged_controller(reach: bool | None = True, raft: str | None = "unattached") -> Scene:
    """Controller 2 answers and takes part in nothing."""
    scene = Scene(split(), twice=True)
    scene.run(5)
    scene.lens = knowing(scene, "2", reach=reach, raft_state=raft)
    scene.isolate("2")
    return scene


CASES: list[tuple[Any, str, Condition]] = [
    (fenced_broker, "4", Condition.SERVING_NOT_COUNTED),
    (sessionless_broker, "1", Condition.SESSION_LOST),
    (wedged_controller, "2", Condition.CONTROLLER_WEDGED),
]


@pytest.mark.parametrize(("make", "node", "condition"), CASES)
def test_it_is_suspected_at_once_and_restarted_after_three_sessions(
    make: Any, node: str, condition: Condition
) -> None:
    """An orderly stop of that one, and nothing else; three sessions and 30 s at least."""
    scene = make()
    scene.until(lambda: state(scene, node) == (condition, False), 60)
    begun = scene.now.mono_s
    scene.until(lambda: scene.acts, 120)
    assert state(scene, node) == (condition, True)
    need = max(30.0, 3 * scene.cluster.session_timeout_s)
    assert need - 2 <= scene.now.mono_s - begun <= need + 5
    assert scene.acted() == [("service:restart", node)]
    assert scene.acts[0][1].stop_style is StopStyle.GRACEFUL


@pytest.mark.parametrize(("make", "node", "condition"), CASES)
def test_what_was_cut_off_until_a_moment_ago_is_not_restarted(
    make: Any, node: str, condition: Condition
) -> None:
    """After a cut of its network it is let come back: the time counts from its end."""
    scene = make(reach=False)
    scene.run(LONG_S)
    assert state(scene, node) == (Condition.PARTITIONED, True)
    lens = make(reach=True).lens
    scene.lens = lens
    scene.until(lambda: state(scene, node) == (condition, False), 10)
    scene.run(8)
    scene.nodes[node].isolated = False
    scene.lens = lambda look: look
    scene.run(60)
    assert scene.acted() == []


def test_a_reach_that_nobody_could_ask_for_was_not_there() -> None:
    """A host that could not be asked during the cut begins anew after it."""
    scene = fenced_broker()
    lens = scene.lens
    scene.run(12)
    scene.lens = without(Kind.HOST, "4", lens)
    scene.run(40)
    scene.lens = lens
    scene.run(10)
    assert state(scene, "4") == (Condition.SERVING_NOT_COUNTED, False)
    assert scene.acted() == []


@pytest.mark.parametrize(("make", "node", "condition"), CASES)
def test_what_does_not_reach_the_quorum_is_partitioned(
    make: Any, node: str, condition: Condition
) -> None:
    """A healthy process is never restarted for its network; a person is told."""
    scene = make(reach=False)
    scene.run(LONG_S)
    assert state(scene, node) == (Condition.PARTITIONED, True)
    assert scene.incident(node).state is IncidentState.ESCALATED
    assert scene.acted() == []


BLANKED: list[tuple[Any, str, Kind]] = [
    *((fenced_broker, "4", kind) for kind in (Kind.HOST, Kind.JVM, Kind.PEERS)),
    *((sessionless_broker, "1", kind) for kind in (Kind.HOST, Kind.JVM, Kind.PEERS, Kind.QUORUM)),
    *((wedged_controller, "2", kind) for kind in (Kind.HOST, Kind.JVM, Kind.QUORUM)),
]


@pytest.mark.parametrize(("make", "node", "kind"), BLANKED)
def test_a_kind_that_is_missing_confirms_nothing(make: Any, node: str, kind: Kind) -> None:
    """Without one of the kinds that it stands on it is not acted on, however long it lasts."""
    scene = make()
    everybody = {*scene.nodes} if kind in CLUSTER_KINDS else {node}
    for id_ in everybody:
        scene.lens = without(kind, id_, scene.lens)
    scene.run(LONG_S)
    found = scene.found(node)
    assert found is None or not found.confirmed or reply(found.condition) is Reply.PAGE
    assert scene.acted() == []


@pytest.mark.parametrize(
    "scene",
    [
        fenced_broker(reach=None),
        fenced_broker(applied_lag_ms=None),
        fenced_broker(applied_lag_ms=6000.0),
        fenced_broker(broker_state=None),
        sessionless_broker(session=None),
        sessionless_broker(session="CONNECTED"),
        sessionless_broker(session="AUTH_FAILED"),
        wedged_controller(reach=None),
        wedged_controller(raft=None),
        wedged_controller(raft="follower"),
    ],
    ids=lambda scene: next(id_ for id_, node in scene.nodes.items() if node.isolated),
)
def test_what_is_not_known_or_speaks_against_it_makes_it_undiagnosed(scene: Scene) -> None:
    """A person is told what is missing; nothing is done."""
    (node,) = [id_ for id_, one in scene.nodes.items() if one.isolated]
    scene.run(LONG_S)
    assert state(scene, node) == (Condition.UNDIAGNOSED, True)
    assert scene.acted() == []
    assert scene.incident(node).state is IncidentState.ESCALATED


def test_a_broker_whose_own_metadata_list_it_is_not_restarted() -> None:
    """Its picture is another one than the others': one of the two is wrong."""
    scene = fenced_broker()
    scene.lens = listing_itself("4", scene.lens)
    scene.run(LONG_S)
    assert state(scene, "4") == (Condition.UNDIAGNOSED, True)
    assert scene.acted() == []


@pytest.mark.parametrize(
    ("cluster", "node"), [(split(4), "4"), (zookeeper(4), "1")], ids=["kraft", "zookeeper"]
)
def test_the_others_lie(cluster: Any, node: str) -> None:
    """A broker that is well in every other respect is not restarted by their word alone."""
    scene = Scene(cluster)
    scene.run(5)
    others = [id_ for id_ in cluster.brokers if id_ != node]
    usual = knowing(scene, node, reach=True, applied_lag_ms=100.0, session="CONNECTED")
    scene.lens = unlisted(node, by=others, lens=usual)
    scene.run(LONG_S)
    assert state(scene, node) == (Condition.UNDIAGNOSED, True)
    assert scene.acted() == []


def test_its_own_gauges_lie() -> None:
    """A controller that the leader hears from is not restarted for what its JVM says."""
    scene = Scene(split(), twice=True)
    scene.run(5)
    scene.lens = knowing(scene, "2", reach=True, raft_state="unattached")
    scene.run(LONG_S)
    assert scene.acted() == []


def test_a_session_that_seeks_the_ensemble_in_vain_is_a_partition() -> None:
    """Where nobody can ask from its host, its SessionState tells that it does not reach it."""
    scene = sessionless_broker(reach=None)
    scene.run(LONG_S)
    assert state(scene, "1") == (Condition.PARTITIONED, True)
    assert scene.acted() == []


class Asking(Scene):
    """A scene that notes whose hosts the mind wants to know more of."""

    def turn(self, inputs: Sequence[Input]) -> Step:
        """Take one turn."""
        done = super().turn(inputs)
        ASKED.extend(look.nodes for look in done.looks if look.reach)
        return done


ASKED: list[tuple[str, ...]] = []


def test_what_its_host_reaches_is_asked_only_of_a_node_in_doubt() -> None:
    """A healthy cluster is never asked; a node that is not counted in, from time to time."""
    ASKED.clear()
    scene = Asking(split(4))
    scene.run(60)
    assert ASKED == []
    scene.isolate("4")
    scene.run(40)
    assert set(ASKED) == {("4",)}
    assert 4 <= len(ASKED) <= 8


def gauges(**said: dict[str, Any]) -> Lens:
    """Let the JVM of these nodes say more."""

    def lens(look: CheckResult) -> CheckResult:
        more = said.get(f"n{look.subject}")
        if more is None or not isinstance(look.fact, JvmFact):
            return look
        return replace(look, fact=replace(look.fact, **more))

    return lens


@pytest.mark.parametrize("active", [(), ("1", "2")], ids=["none", "two"])
def test_no_controller_or_two_are_watched_then_told(active: tuple[str, ...]) -> None:
    """In ZooKeeper mode; two sessions for an election, then a minute, then a person."""
    scene = Scene(zookeeper(), twice=True)
    said = {f"n{id_}": {"active_controller": id_ in active} for id_ in ("1", "2", "3")}
    scene.lens = gauges(**said)
    subject = "test/CONTROLLER_MISSING"
    scene.run(10)
    assert state(scene, subject) == (Condition.CONTROLLER_MISSING, False)
    scene.run(40)
    assert state(scene, subject) == (Condition.CONTROLLER_MISSING, True)
    assert scene.incident(subject).state is IncidentState.CONFIRMED
    scene.run(62)
    assert scene.incident(subject).state is IncidentState.ESCALATED
    assert scene.acted() == []


def test_two_controllers_are_not_over_because_one_cannot_be_asked() -> None:
    """The second of two may still be it; where there was none, one that says so is enough."""
    yes, no, mute = ({"active_controller": said} for said in (True, False, None))
    subject = "test/CONTROLLER_MISSING"
    for before, over in (((yes, yes), False), ((no, no), True)):
        scene = Scene(zookeeper())
        scene.lens = gauges(n1=before[0], n2=before[1], n3=no)
        scene.run(60)
        scene.lens = gauges(n1=yes, n2=mute, n3=no)
        scene.run(60)
        assert (scene.memory.incident_of(subject) is None) is over


def test_one_controller_or_one_that_cannot_be_asked_is_none_missing() -> None:
    """Whose count is not known may be it."""
    for third in ({"active_controller": True}, {"active_controller": None}):
        scene = Scene(zookeeper(), twice=True)
        no = {"active_controller": False}
        scene.lens = gauges(n1=no, n2=no, n3=third)
        scene.run(120)
        assert scene.found("test/CONTROLLER_MISSING") is None


def slow(node: str, **more: Any) -> Lens:
    """Let a member of the ensemble say more."""

    def lens(look: CheckResult) -> CheckResult:
        if look.subject != node or not isinstance(look.fact, ProtocolFact):
            return look
        return replace(look, fact=replace(look.fact, **more))

    return lens


@pytest.mark.parametrize(
    "more",
    [
        {"latency_ms": 600.0},
        {"outstanding": 900},
        {"fsync_ms": 1500.0},
        {"open_files": 95, "max_files": 100},
    ],
    ids=lambda more: next(iter(more)),
)
def test_a_slow_member_is_told_beside_all_else(more: dict[str, Any]) -> None:
    """It serves and is well; nothing is done to it."""
    scene = Scene(zookeeper(), twice=True)
    scene.lens = slow("202", **more)
    subject = beside("202", Condition.ENSEMBLE_DEGRADED)
    scene.run(10)
    assert state(scene, subject) == (Condition.ENSEMBLE_DEGRADED, False)
    scene.run(30)
    assert state(scene, subject) == (Condition.ENSEMBLE_DEGRADED, True)
    assert scene.step is not None
    assert scene.step.cluster.nodes["202"].well is True
    assert scene.acted() == []


def test_a_member_that_says_nothing_of_it_is_not_slow() -> None:
    """What mntr does not say is not known."""
    scene = Scene(zookeeper(), twice=True)
    scene.lens = slow("202", latency_ms=None, outstanding=5, open_files=95, max_files=None)
    scene.run(60)
    assert scene.step is not None
    assert scene.step.diagnoses == ()


def test_whoever_is_the_only_one_left_is_a_witness_again() -> None:
    """Nobody can say any more that it is not counted in; what it tells is all that there is."""
    scene = fenced_broker(reach=False)
    scene.hands = "idle"
    scene.run(30)
    assert scene.step is not None
    assert "4" in scene.step.view.outcasts
    assert "4" not in {look.observer for look in scene.step.cluster.witness_looks}
    scene.crash("5", "6", "7")
    scene.run(75)
    assert "4" not in scene.step.view.outcasts
    assert {look.observer for look in scene.step.cluster.witness_looks} == {"4"}


def test_a_lost_quorum_is_lost_until_somebody_leads() -> None:
    """That the dead voters' machines fall silent makes no leader: no broker is started into it."""
    scene = Scene(split(), hands="idle")
    scene.run(5)
    for id_ in ("1", "2"):
        scene.say(Order.MAINTENANCE, id_)
    scene.crash("1", "2", "4")
    scene.run(20)
    assert "quorum_lost" in scene.reasons("4")

    def mute(look: CheckResult) -> CheckResult:
        silent = look.subject in {"1", "2"} and look.observer == HEALER
        return replace(look, outcome=Outcome.TIMED_OUT, fact=None) if silent else look

    scene.lens = mute
    scene.run(20)
    assert scene.step is not None
    assert scene.step.cluster.quorum is Quorum.UNKNOWN
    assert "quorum_lost" in scene.reasons("4")
    assert scene.acted() == []
