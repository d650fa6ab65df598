"""Our own sight: certificates, checks of the operator's own, whitelists, and what flaps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.healing.scenes import RUNNING, Lens, Scene, combined, zookeeper

from kafka_self_healing.model.evidence import (
    HEALER,
    CertificateFact,
    CheckResult,
    CustomFact,
    Kind,
    ListenerCertificate,
    Outcome,
    ProbeState,
    ProtocolFact,
    QuorumFact,
)
from kafka_self_healing.model.incident import Condition, beside
from kafka_self_healing.model.notification import NoticeKind

DAY_S = 86_400.0


def state(scene: Scene, subject: str) -> tuple[Condition, bool] | None:
    """The newest diagnosis of a subject: its condition, and whether it is confirmed."""
    found = scene.found(subject)
    return (found.condition, found.confirmed) if found else None


# --- certificates -------------------------------------------------------------------------------


def shown(scene: Scene, node: str, days: float, own: float | None = None) -> CheckResult:
    """A look at a node's certificate, and at our own one."""
    served = ListenerCertificate("kafka", f"{node}:9092", days_left=days, problem="")
    ours = ListenerCertificate("ours for kafka", "/etc/us.pem", days_left=own, problem="")
    fact = CertificateFact((served,), () if own is None else (ours,))
    at = scene.now.mono_s
    return CheckResult(HEALER, node, Kind.CERTIFICATE, Outcome.ANSWERED, at - 0.1, at, fact)


def subjects(scene: Scene, condition: Condition) -> set[str]:
    """The subjects of the open incidents of a condition."""
    return {i.subject for i in scene.memory.incidents.values() if i.condition is condition}


def calls(scene: Scene, condition: Condition) -> int:
    """How often a person was called for it."""
    kinds = {NoticeKind.ESCALATION, NoticeKind.FAILURE, NoticeKind.REMINDER}
    return sum(n.condition == condition.value and n.kind in kinds for n in scene.notices)


def test_each_step_before_its_end_is_told_once() -> None:
    """30, 14, 7, 1 days: four calls in a month, no reminder, no recovery between them."""
    scene = Scene(combined())
    scene.run(5)
    told = []
    for days in (31.0, 29.0, 20.0, 13.0, 6.5, 5.0, 0.5):
        scene.turn([shown(scene, "2", days)])
        scene.run(60)
        told.append(calls(scene, Condition.CERTIFICATE_EXPIRING))
        scene.now = scene.now.after(5 * 3600.0)
    assert told == [0, 1, 1, 2, 3, 3, 4]
    assert NoticeKind.RECOVERY not in {notice.kind for notice in scene.notices}
    assert len(subjects(scene, Condition.CERTIFICATE_EXPIRING)) == 1
    assert scene.acted() == []


def test_what_has_ended_is_another_condition_and_its_renewal_ends_both() -> None:
    """The last step goes on as the end; a renewed one is over."""
    scene = Scene(combined())
    scene.run(5)
    scene.turn([shown(scene, "2", 0.5)])
    scene.run(60)
    scene.turn([shown(scene, "2", -0.1)])
    scene.run(60)
    assert state(scene, beside("2", Condition.CERTIFICATE_EXPIRED)) == (
        Condition.CERTIFICATE_EXPIRED, True,
    )  # fmt: skip
    assert subjects(scene, Condition.CERTIFICATE_EXPIRING) == set()
    assert scene.step is not None
    assert scene.step.cluster.nodes["2"].well is True
    scene.turn([shown(scene, "2", 365.0)])
    scene.run(60)
    assert scene.memory.incidents == {}
    assert [notice.kind for notice in scene.notices][-1] is NoticeKind.RECOVERY


def test_it_grows_old_between_two_looks() -> None:
    """Days are counted from the look, and by its own date, whichever ends sooner."""
    scene = Scene(combined())
    scene.run(5)
    scene.turn([shown(scene, "2", 30.2)])
    assert scene.found(f"{beside('2', Condition.CERTIFICATE_EXPIRING)}/30") is None
    scene.now = scene.now.after(0.3 * DAY_S)
    scene.run(2)
    assert scene.found(f"{beside('2', Condition.CERTIFICATE_EXPIRING)}/30") is not None


def test_our_own_certificate_is_told_once_for_the_whole_cluster() -> None:
    """Many nodes are shown the same file."""
    scene = Scene(combined())
    scene.run(5)
    scene.turn([shown(scene, node, 300.0, own=-2.0) for node in scene.nodes])
    scene.run(60)
    assert subjects(scene, Condition.CERTIFICATE_EXPIRED) == {"test/CERTIFICATE_EXPIRED"}
    assert calls(scene, Condition.CERTIFICATE_EXPIRED) == 1


def test_a_certificate_that_nobody_read_is_not_expired() -> None:
    """Without a date there is nothing to tell."""
    scene = Scene(combined())
    scene.run(5)
    look = shown(scene, "2", 1.0)
    unread = ListenerCertificate("kafka", "2:9092")
    scene.turn([replace(look, fact=CertificateFact((unread,)))])
    scene.run(5)
    assert scene.step is not None
    assert scene.step.diagnoses == ()


# --- checks of the operator's own ---------------------------------------------------------------


def custom(scene: Scene, name: str, said: ProbeState) -> CheckResult:
    """A look of a check of the operator's own at node 2."""
    at, fact = scene.now.mono_s, CustomFact(said, f"{name} is {said.value}")
    return CheckResult(
        HEALER, "2", Kind.CUSTOM, Outcome.ANSWERED, at - 0.1, at, fact, name=name
    )  # fmt: skip


def test_a_check_that_fails_is_told_by_its_name() -> None:
    """Three looks; each check has an incident of its own; a good look ends it."""
    scene = Scene(combined())
    scene.run(5)
    subject = f"{beside('2', Condition.CHECK_FAILED)}/lag"
    for looks in (1, 2, 3):
        scene.turn([
            custom(scene, "lag", ProbeState.CRITICAL), custom(scene, "quota", ProbeState.WARNING),
        ])  # fmt: skip
        assert state(scene, subject) == (Condition.CHECK_FAILED, looks == 3)
        scene.run(10)
    assert subjects(scene, Condition.CHECK_FAILED) == {subject}
    assert "lag is critical" in " ".join(scene.incident(subject).evidence)
    assert calls(scene, Condition.CHECK_FAILED) == 1
    scene.turn([custom(scene, "lag", ProbeState.OK)])
    scene.run(60)
    assert subjects(scene, Condition.CHECK_FAILED) == set()
    assert scene.acted() == []


def test_of_a_node_that_is_down_no_check_tells() -> None:
    """Its own incident does."""
    scene = Scene(combined(), hands="idle")
    scene.run(5)
    scene.crash("2")
    scene.run(5)
    for _ in range(4):
        scene.turn([custom(scene, "lag", ProbeState.CRITICAL)])
        scene.run(5)
    assert subjects(scene, Condition.CHECK_FAILED) == set()


# --- whitelists ---------------------------------------------------------------------------------


def no_mntr(look: CheckResult) -> CheckResult:
    """The leader of the ensemble does not say whom it counts."""
    if isinstance(look.fact, ProtocolFact) and look.fact.mode == "leader":
        return replace(look, fact=replace(look.fact, synced=None, refused=("mntr",)))
    if isinstance(look.fact, QuorumFact) and look.fact.mode == "leader":
        return replace(look, fact=replace(look.fact, synced=None))
    return look


def test_a_leader_whose_whitelist_lacks_mntr_is_named_with_the_line_to_add() -> None:
    """Its followers are not known to be counted in, and the operator learns why."""
    scene = Scene(zookeeper())
    scene.lens = no_mntr
    scene.run(30)
    subject = beside("201", Condition.PROBE_MISCONFIGURED)
    assert state(scene, subject) == (Condition.PROBE_MISCONFIGURED, True)
    evidence = " ".join(scene.incident(subject).evidence)
    assert "4lw.commands.whitelist=srvr,mntr,ruok" in evidence
    scene.lens = lambda look: look
    scene.run(60)
    assert scene.found(subject) is None


def test_a_follower_need_not_say_whom_it_counts() -> None:
    """Only the leader knows."""
    scene = Scene(zookeeper())
    scene.run(30)
    assert scene.step is not None
    assert scene.step.diagnoses == ()


# --- flapping -----------------------------------------------------------------------------------


def by_turns(node: str, *kinds: Kind) -> Lens:
    """Two looks of these kinds are answered, the next two are not."""

    def lens(look: CheckResult) -> CheckResult:
        bad = int(look.ended) % 4 < 2
        if look.subject == node and look.kind in kinds and bad:
            return replace(look, outcome=Outcome.TIMED_OUT, fact=None)
        return look

    return lens


@pytest.mark.parametrize("kinds", [(Kind.PROTOCOL,), (Kind.PROTOCOL, Kind.JVM)])
def test_changes_that_nothing_explains_are_told(kinds: tuple[Kind, ...]) -> None:
    """1-1-0-0 counts as failing, and no act answers it; that it may hang explains nothing."""
    scene = Scene(combined())
    scene.run(5)
    scene.lens = by_turns("2", *kinds)
    scene.run(60)
    assert scene.incident("2").condition is Condition.FLAPPING
    assert calls(scene, Condition.FLAPPING) == 1
    assert scene.acted() == []


@pytest.mark.parametrize("stops", [2, 4])
def test_an_operators_stops_and_starts_are_no_flapping(stops: int) -> None:
    """Two of them in ten minutes are maintenance, and so are four."""
    scene = Scene(combined())
    scene.run(5)
    for _ in range(stops):
        scene.operator_stop("2")
        scene.run(30)
        scene.start("2")
        scene.run(60)
        assert Condition.FLAPPING.value not in {notice.condition for notice in scene.notices}
    assert scene.found("2") is None
    assert scene.acted() == []


def test_our_own_acts_are_no_flapping() -> None:
    """A node that crashes twice and is started twice is what it is, not flapping."""
    scene = Scene(combined())
    scene.run(5)
    for _ in range(2):
        scene.crash("2")
        scene.until(lambda: scene.nodes["2"].service.active == RUNNING.active)
        scene.until(lambda: not scene.memory.incidents)
    assert Condition.FLAPPING.value not in {notice.condition for notice in scene.notices}


# --- reference hosts ----------------------------------------------------------------------------


def test_where_no_reference_host_is_reached_it_is_we_who_are_cut_off() -> None:
    """All nodes are in sight: nothing is restarted, a dead one is started, and a person is told."""
    scene = Scene(combined(5), outside=True)
    scene.run(5)
    scene.outside = False
    scene.hang("2")
    scene.run(60)
    assert state(scene, "test/VIEWPOINT_LOST") == (Condition.VIEWPOINT_LOST, True)
    assert "viewpoint_lost" in scene.reasons("2")
    assert scene.acted() == []
    told = [n for n in scene.notices if n.condition == "VIEWPOINT_LOST"]
    assert "none of the reference hosts is reached" in str(told[0])
    scene.crash("3")
    scene.run(20)
    assert scene.acted() == [("service:start", "3")]
    scene.outside = True
    scene.run(200)
    assert ("service:restart", "2") in scene.acted()
    assert (Condition.VIEWPOINT_LOST, "cleared") in scene.closed


def test_one_look_that_reaches_no_reference_host_tells_nobody() -> None:
    """It might be lost as any other; until the next one no restart is safe all the same."""
    scene = Scene(outside=True)
    scene.run(5)
    scene.outside = False
    scene.run(1)
    assert scene.step is not None
    assert scene.step.cluster.viewpoint_lost
    assert state(scene, "test/VIEWPOINT_LOST") == (Condition.VIEWPOINT_LOST, False)
    scene.outside = True
    scene.run(60)
    assert scene.notices == []


def test_a_door_that_was_closed_before_the_end_proves_no_end() -> None:
    """Its manager had started it again in between: the refusal was of the run before."""
    scene = Scene()
    scene.run(5)

    def earlier(look: CheckResult) -> CheckResult | None:
        door = look.subject == "2" and look.kind in {Kind.LISTENER, Kind.PROTOCOL, Kind.JVM}
        return replace(look, outcome=Outcome.REFUSED, fact=None) if door else look

    def later(look: CheckResult) -> CheckResult | None:
        doors = {Kind.LISTENER, Kind.PROTOCOL, Kind.JVM}
        return None if look.subject == "2" and look.kind in doors else look

    scene.lens = earlier
    scene.run(3)
    scene.lens = later
    scene.crash("2")
    scene.run(8)
    assert scene.acted() == []
    scene.lens = lambda look: look
    scene.run(8)
    assert scene.acted() == [("service:start", "2")]
