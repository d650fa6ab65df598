"""Incidents that explain others, turn out to be one, end only by knowledge, and live on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.healing.scenes import AUTO, Scene, combined, split, zookeeper

from kafka_self_healing.healing.knowledge import known_over
from kafka_self_healing.healing.turn import Turn
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.event import IncidentChanged
from kafka_self_healing.model.evidence import (
    CheckResult,
    DiskFact,
    HostFact,
    Kind,
    Outcome,
    PeersFact,
)
from kafka_self_healing.model.incident import Condition, Incident, IncidentState
from kafka_self_healing.model.notification import NoticeKind
from kafka_self_healing.model.recovery import RequestState

MASS = "test/MASS_FAILURE"
MISCONFIGURED = "2/PROBE_MISCONFIGURED"


def lines(incident: Incident, word: str) -> list[str]:
    """The lines of its story with this word."""
    return [line for line in incident.story if word in line]


def storm() -> Scene:
    """Four of six brokers hang at once."""
    scene = Scene(split(6))
    scene.run(5)
    scene.hang("4", "5", "6", "7")
    scene.until(lambda: scene.memory.incident_of(MASS) and all_parts(scene), 120)
    return scene


def all_parts(scene: Scene) -> bool:
    """Whether every node that hangs has its incident, and each is part of the storm's."""
    whole = scene.incident(MASS)
    parts = [one for one in scene.memory.incidents.values() if one.part_of == whole.id]
    return {one.subject for one in parts} == {"4", "5", "6", "7"}


def test_a_trouble_of_the_cluster_is_told_once_and_lists_those_of_its_nodes() -> None:
    """One notice for four hung brokers; their own incidents say where they are told."""
    scene = storm()
    scene.run(120)
    whole = scene.incident(MASS)
    told = [n for n in scene.notices if n.incident == whole.id]
    assert told[0].kind is NoticeKind.ESCALATION
    assert set(told[0].nodes) >= {"4", "5", "6", "7"}
    mine = {one.id for one in scene.memory.incidents.values() if one.part_of}
    alone = [n for n in scene.notices if n.incident in mine and n.at.mono_s > told[0].at.mono_s]
    assert len(alone) <= 1, "what joins it after its notice is told together"
    assert all(scene.incident(node).told for node in "4567")
    assert lines(whole, "explains")
    assert lines(scene.incident("4"), f"part of {whole.id}")


def test_what_outlives_the_trouble_of_the_cluster_stands_alone_again_and_is_told() -> None:
    """The storm is over; the one broker that still hangs is told by itself."""
    scene = storm()
    scene.until(lambda: scene.incident(MASS).told, 60)
    for node in "567":
        scene.start(node)
    scene.until(lambda: scene.memory.incident_of(MASS) is None, 400)
    scene.run(120)
    alone = scene.memory.incident_of("4")
    if alone is not None:
        assert (alone.part_of, alone.told_in) == ("", "")
        assert lines(alone, "stands for itself")
        assert alone.id in {n.incident for n in scene.notices}
    over = [n for n in scene.notices if n.kind is NoticeKind.RECOVERY]
    assert any(n.condition == "MASS_FAILURE" for n in over)
    story = next(n.story for n in over if n.condition == "MASS_FAILURE")
    assert any("of 5" in line for line in story), "the end of its parts is in its story"


def lost_quorum() -> Scene:
    """Two of three combined nodes are dead, and nobody may start the second one."""
    scene = Scene()
    scene.run(5)
    scene.crash("2", "3", job="someone's")
    scene.until(lambda: scene.memory.incident_of("test/QUORUM_LOST"), 60)
    return scene


def test_a_refusal_that_the_trouble_of_the_cluster_does_not_imply_is_told_by_itself() -> None:
    """A dead voter cannot be started because of somebody's job: QUORUM_LOST alone says not that."""
    scene = lost_quorum()
    scene.run(90)
    refused = [n for n in scene.notices if n.kind is NoticeKind.REFUSAL]
    assert {node for n in refused for node in n.nodes} == {"2", "3"}
    assert scene.incident("2").part_of == scene.incident("test/QUORUM_LOST").id


def test_a_trouble_that_lasts_is_escalated_at_its_own_limit() -> None:
    """QUORUM_LOST is watched: a person is called after ten minutes of it."""
    scene = lost_quorum()
    scene.run(500)
    assert not scene.incident("test/QUORUM_LOST").escalation
    scene.run(120)
    assert "it has lasted" in scene.incident("test/QUORUM_LOST").escalation


def missing_replica(look: CheckResult) -> CheckResult:
    """Node 2 is missing from every ISR."""
    fact = look.fact
    if not isinstance(fact, PeersFact) or fact.topics is None:
        return look
    whole = fact.topics[0]
    parts = [replace(part, isr=("1", "3"), leader="1") for part in whole.partitions or ()]
    return replace(look, fact=replace(fact, topics=(replace(whole, partitions=tuple(parts)),)))


def test_missing_replicas_and_then_the_node_are_one_incident() -> None:
    """UNDER_REPLICATED goes on in the node's own, with a line in both, and is not called over."""
    scene = Scene()
    scene.run(5)
    scene.lens = missing_replica
    scene.run(60)
    first = scene.incident("test/UNDER_REPLICATED")
    assert first.told
    scene.crash("2", job="someone's")
    scene.until(lambda: scene.memory.incident_of("test/UNDER_REPLICATED") is None, 60)
    own = scene.incident("2")
    assert lines(own, f"{first.id} (UNDER_REPLICATED) is the same trouble")
    assert scene.closed[-1] == (Condition.UNDER_REPLICATED, "merged")
    scene.run(25)
    assert any(n.incident == own.id and n.kind is NoticeKind.FAILURE for n in scene.notices)
    assert not [n for n in scene.notices if n.kind is NoticeKind.RECOVERY]
    assert scene.memory.day.over == ()


def test_a_storm_that_takes_the_quorum_goes_on_as_the_lost_quorum() -> None:
    """MASS_FAILURE is merged into QUORUM_LOST, and what was told in it is told in the other."""
    scene = Scene(combined(5))
    scene.run(5)
    scene.hang("2", "3")
    scene.until(lambda: scene.memory.incident_of(MASS) and scene.incident(MASS).told, 60)
    storm_id = scene.incident(MASS).id
    scene.crash("4", "5", job="someone's")
    scene.until(lambda: (Condition.MASS_FAILURE, "merged") in scene.closed, 60)
    whole = scene.incident("test/QUORUM_LOST")
    assert lines(whole, f"{storm_id} (MASS_FAILURE) is the same trouble")
    scene.until(lambda: scene.incident("2").part_of == whole.id, 30)
    scene.run(40)
    assert scene.incident("2").told_in == whole.id
    own = {scene.incident(node).id for node in "23"}
    assert not [n for n in scene.notices if n.incident in own]
    assert not [n for n in scene.notices if n.kind is NoticeKind.RECOVERY]


def test_what_somebody_has_taken_over_is_not_escalated_because_it_lasts() -> None:
    """Acknowledged after a minute: quiet at its limit and at every reminder."""
    scene = Scene(policy=replace(AUTO, notice_repeat_s=200.0))
    scene.run(5)
    scene.lens = missing_replica
    scene.run(60)
    scene.say(Order.ACK, scene.incident("test/UNDER_REPLICATED").id)
    scene.run(500)
    assert [n.kind for n in scene.notices] == [NoticeKind.FAILURE]


def wrong_login(look: CheckResult) -> CheckResult:
    """Our login at node 2 is refused."""
    ours = look.subject == "2" and look.kind in {Kind.PROTOCOL, Kind.JVM}
    return replace(look, outcome=Outcome.AUTHENTICATION, fact=None) if ours else look


def good(look: CheckResult) -> CheckResult:
    """Nothing is changed."""
    return look


def test_a_wrong_login_is_not_over_because_its_node_falls_silent() -> None:
    """Out of sight is not over: it closes only once the login was tried again and was good."""
    scene = Scene()
    scene.run(5)
    scene.lens = wrong_login
    scene.run(20)
    known = scene.incident(MISCONFIGURED).id
    scene.lens = good
    scene.cut("2")
    scene.run(120)
    assert scene.incident(MISCONFIGURED).id == known
    scene.nodes["2"].cut = False
    scene.run(60)
    assert scene.memory.incident_of(MISCONFIGURED) is None


def test_what_comes_and_goes_is_one_incident_with_one_notice() -> None:
    """Ten seconds good, ten seconds bad: the same id throughout, told once."""
    scene = Scene()
    scene.run(5)
    for _ in range(6):
        scene.lens = wrong_login
        scene.run(10)
        scene.lens = good
        scene.run(10)
    about = [n for n in scene.notices if n.condition == "PROBE_MISCONFIGURED"]
    assert len(about) == 1
    assert not [over for over in scene.closed if over[0] is Condition.PROBE_MISCONFIGURED]


Break = Callable[[Scene], None]
STATES: dict[str, tuple[Break, Callable[[Scene], bool]]] = {
    "suspected": (
        lambda s: s.crash("2", lock_held=True),
        lambda s: s.incident("2").state is IncidentState.SUSPECTED,
    ),
    "confirmed": (
        lambda s: s.operator_stop("2"),
        lambda s: s.incident("2").state is IncidentState.CONFIRMED,
    ),
    "escalated": (
        lambda s: s.crash("2", job="someone's"),
        lambda s: s.incident("2").state is IncidentState.ESCALATED,
    ),
    "acknowledged": (
        lambda s: s.crash("2", job="someone's"),
        lambda s: bool(s.incident("2").told and _take(s)),
    ),
    "acting": (
        lambda s: s.crash("2"),
        lambda s: bool(s.incident("2").acts),
    ),
    "verifying": (
        lambda s: s.crash("2"),
        lambda s: any(r.state is RequestState.VERIFYING for r in s.memory.requests.values()),
    ),
}


def _take(scene: Scene) -> bool:
    if not scene.incident("2").acknowledged_by:
        scene.say(Order.ACK, scene.incident("2").id)
    return bool(scene.incident("2").acknowledged_by)


@pytest.mark.parametrize("state", STATES)
def test_an_incident_goes_on_under_its_id_after_a_restart_of_the_healer(state: str) -> None:
    """In each state: same id, same onset, its story goes on, and nothing is told twice."""
    strike, reached = STATES[state]
    scene = Scene()
    scene.run(5)
    strike(scene)
    scene.until(lambda: scene.memory.incident_of("2") and reached(scene), 60)
    before, told = scene.incident("2"), len(scene.notices)
    scene.restart_healer()
    scene.run(12)
    after = scene.incident("2")
    assert (after.id, after.opened, after.subject) == (before.id, before.opened, "2")
    assert after.story[: len(before.story)] == before.story
    assert after.acknowledged_by == before.acknowledged_by
    kinds = [n.kind for n in scene.notices[told:] if n.incident == before.id]
    assert len(kinds) == len(set(kinds))
    assert not (before.told and NoticeKind.FAILURE in kinds)


def test_a_trouble_of_the_cluster_does_not_end_by_a_restart_of_the_healer() -> None:
    """A new daemon has seen nothing yet: that nothing is dark is no knowledge."""
    scene = Scene()
    scene.run(5)
    scene.cut("1", "2", "3")
    scene.until(lambda: scene.memory.incident_of("test/VIEWPOINT_LOST"), 60)
    known = scene.incident("test/VIEWPOINT_LOST").id
    scene.restart_healer()
    scene.run(60)
    assert scene.incident("test/VIEWPOINT_LOST").id == known
    parts = [one for one in scene.memory.incidents.values() if one.part_of == known]
    assert all(one.told for one in parts if one.confirmed)


def test_every_fact_that_changes_is_a_line_with_its_time() -> None:
    """A crash and its healing: the process, its answers, the others' word, each as a line."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    scene.until(lambda: scene.closed)
    story = [e for e in scene.events if isinstance(e, IncidentChanged)][-1].incident.story
    seen = " | ".join(line for line in story if "seen: " in line)
    for words in ("process ended by signal 9", "answers no → yes", "counted in"):
        assert words in seen
    assert "→ running as" in seen


def test_a_wild_node_fills_neither_its_story_nor_the_journal() -> None:
    """Forty changes are lines; later ones are counted, and written down every five minutes."""
    scene = Scene()
    scene.run(5)
    scene.operator_stop("2")
    for turn in range(150):
        scene.edit("2", exit_status=turn)
        scene.run(4)
    incident = scene.incident("2")
    assert len(incident.story) <= 60
    assert "suspected" in incident.story[0] or "confirmed" in incident.story[0]
    changes = [e for e in scene.events if isinstance(e, IncidentChanged) and "seen: " in e.what]
    assert 40 <= len(changes) <= 45
    assert lines(incident, "go on changing")


def test_what_was_so_before_us_is_said() -> None:
    """A node that was down when the healer began: the notice says so."""
    scene = Scene()
    scene.crash("2", job="someone's")
    scene.restart_healer()
    scene.run(60)
    first = next(n for n in scene.notices if n.nodes == ("2",))
    assert "before the healer looked" in first.summary


def test_a_note_is_told_to_nobody_but_the_digest() -> None:
    """REASSIGNMENT_RUNNING calls nobody; the digest of the day names it."""
    scene = Scene(policy=replace(AUTO, digest_hour=0))

    def moving(look: CheckResult) -> CheckResult:
        fact = look.fact
        if not isinstance(fact, PeersFact) or fact.topics is None:
            return look
        whole = fact.topics[0]
        parts = [replace(part, reassigning=True) for part in whole.partitions or ()]
        topic = replace(whole, partitions=tuple(parts))
        return replace(look, fact=replace(fact, topics=(topic,)))

    scene.restart_healer()
    scene.run(20)
    scene.lens = moving
    scene.run(60)
    assert scene.incident("test/REASSIGNMENT_RUNNING").confirmed is not None
    assert scene.notices == []


def test_the_digest_comes_once_a_day_with_what_is_open_over_and_refused() -> None:
    """At its hour, not before the first hour of a daemon; the next one a day later."""
    scene = Scene(policy=replace(AUTO, digest_hour=23))
    scene.restart_healer()
    scene.run(20)
    scene.crash("2")
    scene.until(lambda: scene.closed)
    scene.crash("3", job="someone's")
    scene.run(3700)
    digests = [n for n in scene.notices if n.kind is NoticeKind.DIGEST]
    assert len(digests) == 1
    assert digests[0].at.utc_s % 86400 >= 23 * 3600
    text = "\n".join(digests[0].story)
    assert "open: " in text
    assert "PROCESS_GONE of node 3" in text
    assert "healed: PROCESS_GONE of node 2 after 1 act(s)" in text
    assert "refused: service:start of node 3" in text
    assert scene.memory.day.over == ()
    scene.restart_healer()
    scene.run(60)
    assert len([n for n in scene.notices if n.kind is NoticeKind.DIGEST]) == 1


def test_no_digest_where_it_is_switched_off() -> None:
    """`policy.digest: false`."""
    scene = Scene(policy=replace(AUTO, digest_hour=23, digest=False))
    scene.restart_healer()
    scene.run(3700)
    assert scene.notices == []


def test_many_troubles_of_one_sort_are_one_notice() -> None:
    """Six stopped brokers: the first at once, the others together, each with its id."""
    scene = Scene(split(7))
    scene.run(5)
    scene.operator_stop("4", "5", "6", "7", "8", "9")
    scene.run(60)
    told = [n for n in scene.notices if n.kind in {NoticeKind.FAILURE, NoticeKind.ESCALATION}]
    assert {node for n in told for node in n.nodes} >= set("456789")
    assert len(told) <= 3
    largest = max(told, key=lambda n: len(n.also))
    assert len(largest.parts) == len(largest.also) + 1
    assert largest.you


def test_a_member_s_trouble_is_part_of_its_ensemble_s() -> None:
    """ZooKeeper mode: two dead members are told within ENSEMBLE_QUORUM_LOST."""
    scene = Scene(zookeeper())
    scene.run(5)
    scene.crash("201", "202", job="someone's")
    scene.until(lambda: scene.memory.incident_of("test/ENSEMBLE_QUORUM_LOST"), 60)
    scene.run(20)
    whole = scene.incident("test/ENSEMBLE_QUORUM_LOST")
    assert scene.incident("201").part_of == scene.incident("202").part_of == whole.id


@pytest.mark.parametrize(
    ("condition", "over"),
    [
        (Condition.QUORUM_LOST, True),
        (Condition.MASS_FAILURE, True),
        (Condition.VIEWPOINT_LOST, True),
        (Condition.UNDER_REPLICATED, True),
        (Condition.PARTITIONS_OFFLINE, True),
        (Condition.CONTROLLER_MISSING, False),
        (Condition.CERTIFICATE_EXPIRED, False),
    ],
)
def test_the_end_of_a_trouble_of_the_cluster_is_seen_or_it_is_not_over(
    condition: Condition, *, over: bool
) -> None:
    """All is well: what was read says so. Who is controller, and certificates, nobody has read."""
    scene = Scene()
    scene.run(5)
    assert scene.step is not None
    assert scene.view is not None
    incident = Incident(
        "incident-1", f"test/{condition}", condition, ("2",), IncidentState.CONFIRMED, (),
        scene.now, scene.now,
    )  # fmt: skip
    turn = Turn(scene.memory, scene.view, AUTO, scene.now)
    assert known_over(turn, scene.step.cluster, incident) is over
    cold = Turn(scene.memory, scene.view.rewarm(scene.now, "just begun"), AUTO, scene.now)
    assert known_over(cold, scene.step.cluster, incident) is False


def test_a_doubt_begins_the_time_of_being_over_anew() -> None:
    """One bad look in between: not confirmed, and yet it has not been over for all that time."""
    scene = Scene()
    scene.run(5)
    scene.lens = wrong_login
    scene.run(20)
    scene.lens = good
    scene.run(20)
    assert scene.incident(MISCONFIGURED).over is not None
    scene.lens = wrong_login
    scene.run(1)
    scene.lens = good
    scene.run(20)
    assert scene.memory.incident_of(MISCONFIGURED) is not None
    scene.run(20)
    assert scene.memory.incident_of(MISCONFIGURED) is None


def test_a_full_disk_is_not_over_because_nobody_can_look_at_it() -> None:
    """The node answers all along, and its host does not for a while: the disk is still full."""
    full = HostFact(reachable=True, disks=(DiskFact("/data", 1 << 40, 1 << 20),))

    def filled(look: CheckResult) -> CheckResult:
        mine = look.subject == "2" and look.kind is Kind.HOST
        return replace(look, fact=full) if mine else look

    def unseen(look: CheckResult) -> CheckResult | None:
        mine = look.subject == "2" and look.kind is Kind.HOST
        return replace(look, outcome=Outcome.TIMED_OUT, fact=None) if mine else look

    scene = Scene()
    scene.run(5)
    scene.lens = filled
    scene.run(20)
    known = scene.incident("2").id
    scene.lens = unseen
    scene.run(120)
    assert scene.incident("2").id == known
    scene.lens = good
    scene.run(20)
    assert scene.memory.incident_of("2") is None


@pytest.mark.parametrize("condition", [Condition.PARTITIONS_OFFLINE, Condition.UNDER_REPLICATED])
def test_a_trouble_of_partitions_is_not_over_because_we_see_none(condition: Condition) -> None:
    """No topics and no error is a blind answer, never a healthy one."""
    scene = Scene(topics_shown=False)
    scene.run(5)
    assert scene.step is not None
    assert scene.view is not None
    incident = Incident(
        "incident-1", f"test/{condition}", condition, ("2",), IncidentState.CONFIRMED, (),
        scene.now, scene.now,
    )  # fmt: skip
    turn = Turn(scene.memory, scene.view, AUTO, scene.now)
    assert known_over(turn, scene.step.cluster, incident) is False
