"""What cannot be read never permits: blanking any one field brings no act that was refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from tests.unit.healing.scenes import AUTO, Scene, combined, split

from kafka_self_healing.model.evidence import (
    CheckResult,
    DataDirFact,
    Fact,
    HostFact,
    Kind,
    Outcome,
    PartitionFact,
    PeersFact,
    QuorumFact,
    ServiceFact,
    TopicFact,
    VoterFact,
)

Change = Callable[[Fact], Fact]


def blanks(cls: type[Any], *, but: frozenset[str] = frozenset()) -> list[str]:
    """The fields of a fact type that may be null."""
    return [field.name for field in fields(cls) if field.default is None and field.name not in but]


def in_service(name: str) -> Change:
    """Blank a field of the service manager's word."""
    return lambda fact: replace(fact, **{name: None}) if isinstance(fact, ServiceFact) else fact


def in_peers(name: str) -> Change:
    """Blank a field of every witness's metadata."""
    return lambda fact: replace(fact, **{name: None}) if isinstance(fact, PeersFact) else fact


def in_quorum(name: str) -> Change:
    """Blank a field of the leader's account."""
    return lambda fact: replace(fact, **{name: None}) if isinstance(fact, QuorumFact) else fact


def in_host(name: str) -> Change:
    """Blank a field of what the host says."""
    return lambda fact: replace(fact, **{name: None}) if isinstance(fact, HostFact) else fact


def in_dirs(name: str) -> Change:
    """Blank a field of every data directory."""

    blank: dict[str, Any] = {name: None}

    def change(fact: Fact) -> Fact:
        if not isinstance(fact, HostFact) or fact.data_dirs is None:
            return fact
        return replace(fact, data_dirs=tuple(replace(d, **blank) for d in fact.data_dirs))

    return change


def in_topics(name: str) -> Change:
    """Blank a field of every topic."""

    blank: dict[str, Any] = {name: None}

    def change(fact: Fact) -> Fact:
        if not isinstance(fact, PeersFact) or fact.topics is None:
            return fact
        return replace(fact, topics=tuple(replace(t, **blank) for t in fact.topics))

    return change


def in_partitions(name: str) -> Change:
    """Blank a field of every partition."""

    blank: dict[str, Any] = {name: None}

    def change(fact: Fact) -> Fact:
        if not isinstance(fact, PeersFact) or fact.topics is None:
            return fact
        topics = []
        for topic in fact.topics:
            parts = tuple(replace(p, **blank) for p in topic.partitions or ())
            topics.append(replace(topic, partitions=parts))
        return replace(fact, topics=tuple(topics))

    return change


def in_voters(name: str) -> Change:
    """Blank a field of every voter."""

    blank: dict[str, Any] = {name: None}

    def change(fact: Fact) -> Fact:
        if not isinstance(fact, QuorumFact) or fact.voters is None:
            return fact
        return replace(fact, voters=tuple(replace(v, **blank) for v in fact.voters))

    return change


BLANKS: dict[str, Change] = {
    **{f"service.{n}": in_service(n) for n in blanks(ServiceFact)},
    # `fenced` only repeats what a broker's metadata leaves out, and old brokers do not say it.
    **{f"peers.{n}": in_peers(n) for n in blanks(PeersFact, but=frozenset({"fenced"}))},
    **{f"topic.{n}": in_topics(n) for n in blanks(TopicFact)},
    **{f"partition.{n}": in_partitions(n) for n in blanks(PartitionFact)},
    **{f"quorum.{n}": in_quorum(n) for n in blanks(QuorumFact)},
    **{f"voter.{n}": in_voters(n) for n in blanks(VoterFact)},
    **{f"host.{n}": in_host(n) for n in blanks(HostFact)},
    **{f"data_dir.{n}": in_dirs(n) for n in blanks(DataDirFact)},
}


def busy(scene: Scene, **service: Any) -> None:
    """Node 2 hangs, and something forbids its restart."""
    scene.hang("2")
    scene.edit("2", **service)


def gone(scene: Scene, **service: Any) -> None:
    """Node 2 is gone, and something forbids its start."""
    scene.crash("2", **service)


def counted_in(scene: Scene) -> None:
    """Node 2 is silent to us alone."""
    scene.nodes["2"].up = True

    def lens(look: CheckResult) -> CheckResult:
        ours = look.subject == "2" and look.kind in {Kind.PROTOCOL, Kind.JVM}
        return replace(look, outcome=Outcome.TIMED_OUT, fact=None) if ours else look

    scene.lens = lens


def no_identity(scene: Scene) -> None:
    """Node 2 is gone, and its data directory is not mounted."""
    scene.crash("2")

    def lens(look: CheckResult) -> CheckResult:
        if look.subject != "2" or not isinstance(look.fact, HostFact):
            return look
        where = DataDirFact("/data", same_device=False, has_identity=False, readable=True)
        return replace(look, fact=replace(look.fact, data_dirs=(where,)))

    scene.lens = lens


def other_voter_stale(scene: Scene) -> None:
    """Nodes 2 and 3 of five hang, one after the other: no majority is risked, no storm."""
    scene.hang("2")
    scene.isolate("3")


SITUATIONS: dict[str, Callable[[Scene], None]] = {
    "healthy": lambda scene: None,
    "operator's stop": lambda scene: scene.operator_stop("2"),
    "masked": lambda scene: gone(scene, unit_file="masked"),
    "terminated": lambda scene: scene.terminate("2"),
    "terminated by a signal": lambda scene: gone(scene, signal=15),
    "started by hand": lambda scene: gone(scene, lock_held=True),
    "job queued": lambda scene: gone(scene, job="start"),
    "another tool's lock": lambda scene: gone(scene, host_lock="ansible"),
    "auto-restart": lambda scene: gone(scene, active="activating", sub="auto-restart"),
    "not mounted": no_identity,
    "debugger": lambda scene: busy(scene, tracer_pid=99, process_state="S"),
    "stopped by a debugger": lambda scene: busy(scene, process_state="t"),
    "state D": lambda scene: busy(scene, process_state="D"),
    "being stopped": lambda scene: busy(scene, active="deactivating", stop_requested=True),
    "counted in": counted_in,
    "quorum lost": lambda scene: scene.hang("1", "2"),
    "another voter stale": other_voter_stale,
}


def acts(name: str, change: Change | None, *, pure: bool = False) -> set[tuple[str, str]]:
    """What is done within 25 s of the break: all that is done at once, or at the drop."""
    scene = Scene(split() if pure else combined(), policy=AUTO)
    scene.run(5)
    SITUATIONS[name](scene)
    inner = scene.lens

    def lens(look: CheckResult) -> CheckResult | None:
        seen = inner(look)
        if seen is None or change is None or seen.fact is None:
            return seen
        return replace(seen, fact=change(seen.fact))

    scene.lens = lens
    scene.run(25)
    return set(scene.acted())


@pytest.mark.parametrize("name", SITUATIONS)
def test_no_situation_of_the_table_brings_an_act(name: str) -> None:
    """Each of these situations is refused when everything can be read."""
    assert acts(name, None) == set()


@pytest.mark.parametrize("name", SITUATIONS)
def test_blanking_any_one_field_brings_no_act(name: str) -> None:
    """Whatever single field cannot be read, what was refused stays refused."""
    acted = {
        blank: found for blank, change in BLANKS.items() if (found := acts(name, change)) != set()
    }
    assert acted == {}


@pytest.mark.parametrize("name", ["healthy", "counted in", "quorum lost"])
def test_blanking_brings_no_act_on_dedicated_nodes_either(name: str) -> None:
    """The same with controllers and brokers apart."""
    acted = {
        blank: found
        for blank, change in BLANKS.items()
        if (found := acts(name, change, pure=True)) != set()
    }
    assert acted == {}


def test_a_topic_that_cannot_be_read_keeps_a_node_from_counting_as_healed() -> None:
    """In sync everywhere cannot be said where one topic is hidden: not yet healed."""
    scene = Scene()
    scene.run(5)
    change = in_topics("partitions")
    scene.lens = lambda look: replace(look, fact=change(look.fact)) if look.fact else look
    scene.crash("2")
    scene.run(200)
    assert scene.acted() == [("service:start", "2")]
    assert scene.closed == []


def test_a_partition_out_of_sight_is_not_forgotten() -> None:
    """The last known in-sync replicas stay known while the partition cannot be read."""
    scene = Scene()
    scene.run(5)
    scene.hands = "idle"
    scene.crash("2")
    scene.run(15)
    known = dict(scene.memory.not_whole)
    change = in_partitions("isr")
    scene.lens = lambda look: replace(look, fact=change(look.fact)) if look.fact else look
    scene.run(10)
    assert known
    assert scene.memory.not_whole == known
