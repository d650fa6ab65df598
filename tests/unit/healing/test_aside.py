"""What belongs to no family, or only adds to one, disturbs nothing; silence is counted apart."""

from __future__ import annotations

import pytest
from tests.unit.healing.scenes import Scene, combined

from kafka_self_healing.healing import explain
from kafka_self_healing.healing.replicas import digest
from kafka_self_healing.model.evidence import (
    HEALER,
    CanaryFact,
    CertificateFact,
    CheckResult,
    CustomFact,
    Fact,
    Kind,
    ListenerCertificate,
    Outcome,
    PartitionFact,
    PeersFact,
    ProbeState,
    TopicFact,
)
from kafka_self_healing.model.health import Track
from kafka_self_healing.model.incident import Condition

BAD_CERTIFICATE = CertificateFact((ListenerCertificate("x", "y", days_left=-1.0, problem="old"),))


def noise(scene: Scene) -> list[CheckResult]:
    """Bad looks of every kind that supports no act today, at every node."""
    said: tuple[tuple[Kind, Outcome, Fact | None, str], ...] = (
        (Kind.CUSTOM, Outcome.ANSWERED, CustomFact(ProbeState.CRITICAL, "lag"), "lag"),
        (Kind.CUSTOM, Outcome.AUTHENTICATION, None, "disk"),
        (Kind.CUSTOM, Outcome.TIMED_OUT, None, "slow"),
        (Kind.CERTIFICATE, Outcome.ANSWERED, BAD_CERTIFICATE, ""),
        (Kind.CERTIFICATE, Outcome.TLS, None, ""),
        (Kind.CERTIFICATE, Outcome.TIMED_OUT, None, ""),
        (Kind.CANARY, Outcome.TIMED_OUT, None, ""),
        (Kind.CANARY, Outcome.ANSWERED, CanaryFact("t", 0, 9e9, 9e9), ""),
    )
    now = scene.now.mono_s
    return [
        CheckResult(HEALER, id_, kind, outcome, now - 0.1, now, fact, name=name)
        for id_ in scene.nodes
        for kind, outcome, fact, name in said
    ]


def test_they_stand_beside_a_cluster_that_is_well_and_bring_no_act() -> None:
    """A minute of nothing but bad news of these kinds: it is told, and every node is well."""
    scene = Scene(twice=True)
    scene.run(5)
    for _ in range(60):
        scene.turn(noise(scene))
        scene.run(1)
    assert scene.step is not None
    confirmed = {one.condition for _, one in scene.step.diagnoses if one.confirmed}
    assert confirmed == {Condition.CHECK_FAILED, Condition.CERTIFICATE_EXPIRED}
    assert scene.acted() == []
    assert {node.well for node in scene.step.cluster.nodes.values()} == {True}


def test_they_keep_no_act_from_being_done() -> None:
    """A crash amid all that is healed as ever."""
    scene = Scene()
    scene.run(5)
    scene.crash("2")
    for _ in range(4):
        scene.turn(noise(scene))
        scene.run(1)
    assert scene.acted() == [("service:start", "2")]


def test_each_check_of_the_operators_own_is_shown_by_its_name() -> None:
    """Explain lists them apart, whatever the other ones say."""
    scene = Scene(combined())
    scene.run(5)
    step = scene.turn(noise(scene))
    looks = explain.explain(step, scene.policy, "2", scene.now)["looks"]
    assert [line.split(":")[0] for line in looks if line.startswith("CUSTOM")] == [
        "CUSTOM disk", "CUSTOM lag", "CUSTOM slow",
    ]  # fmt: skip


def look(outcome: Outcome, at: float) -> CheckResult:
    """One look of PROTOCOL."""
    return CheckResult(HEALER, "1", Kind.PROTOCOL, outcome, at - 0.1, at)


@pytest.mark.parametrize(
    ("outcomes", "streak", "quiet"),
    [
        ("AAA", 3, 0), ("T", 1, 1), ("ATT", 2, 2), ("RRRT", 4, 1), ("TTR", 3, 0), ("TTA", 1, 0),
        ("RTTRT", 5, 1), ("CST", 3, 3),
    ],
)  # fmt: skip
def test_silent_looks_are_those_without_any_answer(outcomes: str, streak: int, quiet: int) -> None:
    """Refusals are bad looks, and no silent ones: a starting node is not taken for a hung one."""
    words = {
        "A": Outcome.ANSWERED, "T": Outcome.TIMED_OUT, "R": Outcome.REFUSED, "C": Outcome.CLOSED,
        "S": Outcome.RESET,
    }  # fmt: skip
    track = Track.first(look(words[outcomes[0]], 1.0))
    for at, letter in enumerate(outcomes[1:], 2):
        track = track.then(look(words[letter], float(at)))
    assert (track.streak, track.quiet) == (streak, quiet)


@pytest.mark.parametrize(
    ("isr", "elr", "holders"),
    [
        ((), ("2",), ("2",)),
        ((), None, ()),
        (("1",), ("2",), ("1",)),
    ],
)
def test_who_else_may_lead_without_loss_is_remembered(
    isr: tuple[str, ...], elr: tuple[str, ...] | None, holders: tuple[str, ...]
) -> None:
    """A partition whose ISR is empty was last in sync where its ELR says."""
    part = PartitionFact(0, ("1", "2", "3"), isr, "-1", reassigning=False, elr=elr)
    topic = TopicFact("t", 2, unclean_election=False, partitions=(part,))
    assert digest(PeersFact(("1",), (), None, (topic,))).not_whole == {("t", 0): holders}
