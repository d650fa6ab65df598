"""Hosts that are down or frozen, and what must not be mistaken for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.healing.outcasts import without
from tests.unit.healing.scenes import KINDS, Lens, Scene, combined, split, zookeeper

from kafka_self_healing.model.evidence import CheckResult, HostFact, Kind, Outcome
from kafka_self_healing.model.incident import Condition, IncidentState
from kafka_self_healing.model.node import Cluster

CLUSTERS = [(combined(), "2"), (split(), "2"), (split(), "5"), (zookeeper(), "2")]
NAMES = ["combined", "controller", "broker", "zookeeper"]


def state(scene: Scene, subject: str) -> tuple[Condition, bool] | None:
    """The newest diagnosis of a subject: its condition, and whether it is confirmed."""
    found = scene.found(subject)
    return (found.condition, found.confirmed) if found else None


def host_says(node: str, **said: Any) -> Lens:
    """Let a look at a node's host end without an answer, and say this."""

    def lens(look: CheckResult) -> CheckResult:
        if look.subject != node or look.kind not in {Kind.HOST, Kind.SERVICE}:
            return look
        fact = HostFact(reachable=False, **said) if look.kind is Kind.HOST else None
        return replace(look, outcome=Outcome.TIMED_OUT, fact=fact)

    return lens


def power_cut(cluster: Cluster, node: str, ping: bool | None = False) -> Scene:
    """The host of a node is off."""
    scene = Scene(cluster)
    scene.run(5)
    scene.lens = host_says(node, ping=ping)
    scene.crash(node)
    scene.cut(node)
    return scene


def frozen_host(cluster: Cluster, node: str, ping: bool | None = True) -> Scene:
    """The host of a node is frozen: its kernel answers, nothing else."""
    scene = Scene(cluster)
    scene.run(5)
    scene.lens = host_says(node, ping=ping)
    scene.hang(node)
    return scene


@pytest.mark.parametrize(("cluster", "node"), CLUSTERS, ids=NAMES)
def test_a_host_that_is_off_is_named_when_the_others_have_dropped_its_node(
    cluster: Cluster, node: str
) -> None:
    """Counted in, it may be we who are blind; a person is told, nothing is done."""
    scene = power_cut(cluster, node)
    scene.until(lambda: state(scene, node) == (Condition.HOST_DOWN, True), 60)
    assert scene.incident(node).state is IncidentState.ESCALATED
    scene.run(60)
    assert state(scene, node) == (Condition.HOST_DOWN, True)
    assert scene.acted() == []


@pytest.mark.parametrize(("cluster", "node"), CLUSTERS, ids=NAMES)
@pytest.mark.parametrize("ping", [True, None])
def test_a_host_whose_kernel_alone_answers_is_frozen(
    cluster: Cluster, node: str, ping: bool | None
) -> None:
    """Its port opens, or it answers a ping; sshd is as silent as Kafka."""
    scene = frozen_host(cluster, node, ping)
    scene.until(lambda: state(scene, node) == (Condition.HOST_FROZEN, True), 60)
    scene.run(60)
    assert scene.acted() == []
    assert scene.incident(node).state is IncidentState.ESCALATED


def test_a_frozen_host_whose_backlog_is_full_is_still_frozen() -> None:
    """Connections time out then, too; the ping tells it from one that is off."""
    scene = power_cut(combined(), "2", ping=True)
    scene.run(60)
    assert state(scene, "2") == (Condition.HOST_FROZEN, True)


def test_our_way_alone_is_no_host_that_is_down() -> None:
    """The others go on counting it in: VIEWPOINT_LOST."""
    scene = Scene(combined())
    scene.run(5)
    scene.lens = host_says("2", ping=False)
    scene.cut("2")
    scene.run(60)
    assert state(scene, "2") == (Condition.VIEWPOINT_LOST, True)


def test_where_most_are_dark_no_host_is_called_down() -> None:
    """It is the healer that is blind: one notice, and nothing of each node."""
    scene = Scene(combined())
    scene.run(5)
    scene.cut("1", "2", "3")
    scene.run(60)
    assert state(scene, "test/VIEWPOINT_LOST") == (Condition.VIEWPOINT_LOST, True)
    assert not any(found.confirmed for id_ in "123" if (found := scene.found(id_)) is not None)


@pytest.mark.parametrize("kind", [Kind.HOST, Kind.PEERS])
@pytest.mark.parametrize("make", [power_cut, frozen_host])
def test_a_kind_that_is_missing_names_no_host(make: Any, kind: Kind) -> None:
    """Not configured, or nobody to ask: a person is told that it cannot be told."""
    cluster = split()
    if kind is Kind.HOST:
        nodes = {i: replace(n, kinds=KINDS - {kind}) for i, n in cluster.nodes.items()}
        cluster = replace(cluster, nodes=nodes)
    scene = make(cluster, "5")
    if kind is Kind.PEERS:
        for id_ in scene.nodes:
            scene.lens = without(kind, id_, scene.lens)
    scene.run(90)
    assert state(scene, "5") == (Condition.UNDIAGNOSED, True)
    assert scene.acted() == []


def test_a_host_that_can_be_asked_is_not_frozen() -> None:
    """A hung process on a living host is PROCESS_HUNG."""
    scene = Scene(split())
    scene.run(5)
    scene.hang("5")
    scene.until(lambda: scene.acts, 60)
    assert scene.acts[0][1].condition is Condition.PROCESS_HUNG
