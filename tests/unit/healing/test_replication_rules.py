"""Replicas: offline, moved; leaders that serve nobody; brokers that cannot log in at the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.healing.outcasts import without
from tests.unit.healing.scenes import KINDS, Lens, Scene, combined, split

from kafka_self_healing.model.control import Order
from kafka_self_healing.model.evidence import (
    CheckResult,
    Kind,
    Outcome,
    PartitionFact,
    PeersFact,
)
from kafka_self_healing.model.incident import Condition, IncidentState
from kafka_self_healing.model.node import Cluster
from kafka_self_healing.model.recovery import StopStyle

REFUSED = "ERROR ... SaslAuthenticationException: Authentication failed during authentication"


def state(scene: Scene, subject: str) -> tuple[Condition, bool] | None:
    """The newest diagnosis of a subject: its condition, and whether it is confirmed."""
    found = scene.found(subject)
    return (found.condition, found.confirmed) if found else None


def with_kinds(cluster: Cluster, *kinds: Kind) -> Cluster:
    """The same, with more kinds configured."""
    more = {i: replace(n, kinds=KINDS | set(kinds)) for i, n in cluster.nodes.items()}
    return replace(cluster, nodes=more)


def partitions(change: Callable[[PartitionFact], PartitionFact]) -> Lens:
    """Change every partition that a witness shows."""

    def lens(look: CheckResult) -> CheckResult:
        fact = look.fact
        if not isinstance(fact, PeersFact) or fact.topics is None:
            return look
        topics = tuple(
            replace(topic, partitions=tuple(change(part) for part in topic.partitions or ()))
            for topic in fact.topics
        )
        return replace(look, fact=replace(fact, topics=topics))

    return lens


def fled(part: PartitionFact) -> PartitionFact:
    """Everybody has left the ISR of what broker 5 leads."""
    return replace(part, isr=("5",)) if part.leader == "5" else part


def alone(part: PartitionFact) -> PartitionFact:
    """Broker 5 and the others do not reach each other."""
    isr = part.isr or ()
    return fled(part) if part.leader == "5" else replace(part, isr=tuple(set(isr) - {"5"}))


def all_behind(part: PartitionFact) -> PartitionFact:
    """Broker 6 is behind everywhere, and so is everybody in what 5 leads."""
    isr = part.isr or ()
    return fled(part) if part.leader == "5" else replace(part, isr=tuple(set(isr) - {"4", "6"}))


def lost_records(*nodes: str, outcome: Outcome = Outcome.TIMED_OUT, lens: Lens) -> Lens:
    """The canary's records to these brokers are lost."""

    def canary(look: CheckResult) -> CheckResult | None:
        if look.kind is Kind.CANARY and look.subject in nodes:
            return replace(look, outcome=outcome, fact=None)
        return lens(look)

    return canary


def zombie(
    change: Callable[[PartitionFact], PartitionFact] = fled,
    lost: tuple[str, ...] = ("5",),
    outcome: Outcome = Outcome.TIMED_OUT,
) -> Scene:
    """Broker 5 of 4, 5, 6 is listed, and what it leads serves nobody."""
    scene = Scene(with_kinds(split(), Kind.CANARY))
    scene.run(5)
    scene.lens = lost_records(*lost, outcome=outcome, lens=partitions(change))
    return scene


def test_a_leader_that_serves_nobody_needs_two_witnesses_and_time() -> None:
    """Our canary and its followers agree for 30 s; its RESTART would cost the last copies."""
    scene = zombie()
    scene.run(20)
    assert state(scene, "5") == (Condition.COUNTED_NOT_SERVING, False)
    scene.run(20)
    assert state(scene, "5") == (Condition.COUNTED_NOT_SERVING, True)
    assert scene.found("test/UNDER_REPLICATED") is None
    assert scene.acted() == []
    assert "replicas_at_risk" in scene.reasons("5")


def test_a_person_may_have_it_restarted_all_the_same() -> None:
    """An approval lifts the refusal; the stop is an orderly one, once."""
    scene = zombie()
    scene.run(40)
    scene.say(Order.APPROVE, scene.incident("5").id)
    scene.run(10)
    assert scene.acted() == [("service:restart", "5")]
    assert scene.acts[0][1].stop_style is StopStyle.GRACEFUL


@pytest.mark.parametrize(
    "scene",
    [
        zombie(change=lambda part: part),
        zombie(change=all_behind),
        zombie(lost=("4", "5", "6")),
        zombie(lost=()),
        zombie(outcome=Outcome.AUTHORISATION),
    ],
    ids=["no follower fled", "they are behind others too", "lost everywhere", "served", "refused"],
)
def test_one_of_the_two_witnesses_is_not_enough(scene: Scene) -> None:
    """A canary alone, or followers alone, confirm nothing."""
    scene.run(90)
    assert state(scene, "5") != (Condition.COUNTED_NOT_SERVING, True)
    assert scene.acted() == []


@pytest.mark.parametrize("kind", [Kind.CANARY, Kind.PEERS, Kind.PROTOCOL, Kind.SERVICE])
def test_a_kind_that_is_missing_confirms_no_zombie(kind: Kind) -> None:
    """Whatever it stands on must be seen."""
    scene = zombie()
    for id_ in scene.nodes if kind is Kind.PEERS else ("5",):
        scene.lens = without(kind, id_, scene.lens)
    scene.run(90)
    assert state(scene, "5") != (Condition.COUNTED_NOT_SERVING, True)
    assert scene.acted() == []


def test_a_leader_that_is_itself_behind_may_be_cut_off() -> None:
    """Its own fetches do not go through either: it may be the network, and nobody is restarted."""
    scene = zombie(change=alone)
    scene.run(90)
    assert state(scene, "5") == (Condition.UNDIAGNOSED, True)
    assert scene.acted() == []


def refused_login(words: str = REFUSED, in_sync: int | None = None) -> Scene:
    """Broker 5 is well, its log says `words`; it is in no ISR but that of this partition."""
    scene = Scene(with_kinds(split(), Kind.LOG))
    scene.run(5)
    scene.nodes["5"].last_words = words

    def out(part: PartitionFact) -> PartitionFact:
        if part.id == in_sync:
            return replace(part, leader="4", isr=("4", "5"))
        return replace(part, leader="4", isr=("4", "6"))

    scene.lens = partitions(out)
    return scene


def test_a_broker_that_cannot_log_in_at_the_others_is_told_and_left_alone() -> None:
    """A restart would take it out of the cluster for good."""
    scene = refused_login()
    scene.run(20)
    assert state(scene, "5") == (Condition.INTER_BROKER_AUTH_BROKEN, False)
    scene.run(20)
    assert state(scene, "5") == (Condition.INTER_BROKER_AUTH_BROKEN, True)
    assert scene.incident("5").state is IncidentState.ESCALATED
    assert scene.acted() == []


@pytest.mark.parametrize(
    "scene",
    [refused_login(words="INFO all is well"), refused_login(in_sync=0)],
    ids=["its log says nothing", "it is in an ISR"],
)
def test_without_its_log_or_with_an_isr_it_is_something_else(scene: Scene) -> None:
    """Replicas that lag have many causes."""
    scene.run(60)
    assert state(scene, "5") is None
    assert state(scene, "test/UNDER_REPLICATED") == (Condition.UNDER_REPLICATED, True)
    assert scene.acted() == []


def test_partitions_without_a_leader_are_watched_then_told() -> None:
    """With who was last in sync; a minute later a person is called."""
    scene = Scene(combined())
    scene.run(5)
    scene.lens = partitions(lambda p: replace(p, leader="-1", isr=("3",)) if p.id == 0 else p)
    subject = "test/PARTITIONS_OFFLINE"
    scene.run(10)
    assert state(scene, subject) == (Condition.PARTITIONS_OFFLINE, False)
    scene.run(25)
    assert state(scene, subject) == (Condition.PARTITIONS_OFFLINE, True)
    assert scene.incident(subject).nodes == ("3",)
    assert "to be brought back first: 3" in " ".join(scene.incident(subject).evidence)
    assert scene.incident(subject).state is IncidentState.CONFIRMED
    scene.run(62)
    assert scene.incident(subject).state is IncidentState.ESCALATED


def test_a_lost_quorum_is_all_that_is_told_of_what_follows_from_it() -> None:
    """No partition is called offline while nobody knows; survivors are not diagnosed."""
    scene = Scene(split(), hands="idle")
    scene.run(5)
    scene.crash("1", "2")
    scene.run(60)
    assert scene.step is not None
    confirmed = {subject for subject, one in scene.step.diagnoses if one.confirmed}
    assert confirmed == {"1", "2", "test/QUORUM_LOST"}


@pytest.mark.parametrize(("moving", "told"), [(True, True), (None, False), (False, False)])
def test_a_reassignment_is_a_note(moving: bool | None, told: bool) -> None:
    """It is shown, and nobody is called; not readable is no reassignment."""
    scene = Scene(combined())
    scene.lens = partitions(lambda part: replace(part, reassigning=moving))
    scene.run(60)
    assert (scene.found("test/REASSIGNMENT_RUNNING") is not None) is told
    assert scene.notices == []


def test_records_that_are_lost_for_long_are_told_though_no_follower_shows_it() -> None:
    """Ours is one witness: a person is told, nothing is done."""
    scene = zombie(change=lambda part: part)
    scene.run(60)
    assert state(scene, "5") == (Condition.UNDIAGNOSED, True)
    assert scene.acted() == []
