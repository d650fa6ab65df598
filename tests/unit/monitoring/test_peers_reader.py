"""What a witness is told again as it was: only while nothing that it was made of has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from kafka_self_healing.instant import Instant
from kafka_self_healing.model.evidence import PartitionFact, TopicFact
from kafka_self_healing.model.node import NodeConfig, Role
from kafka_self_healing.monitoring.checks import kafka_peers
from kafka_self_healing.monitoring.checks.kafka_connections import Door
from kafka_self_healing.monitoring.checks.kafka_peers import SETTINGS_KEPT_S, PeersReader
from kafka_self_healing.wire.kafka import (
    DescribeCluster,
    DescribeConfigs,
    DescribeTopicPartitions,
    KafkaUnsupportedError,
    ListPartitionReassignments,
    Metadata,
    TopicMetadata,
)
from kafka_self_healing.wire.kafka.metadata import BrokerMetadata, MetadataReply, PartitionMetadata

BROKERS = (BrokerMetadata(1, "h", 9092, None), BrokerMetadata(2, "h", 9093, None))
PART = PartitionMetadata(0, 0, 1, 5, (1, 2), (1, 2), ())
TOPIC = TopicMetadata("t", 0, internal=False, partitions=(PART,))
OTHER = replace(TOPIC, name="other")


@dataclass
class Said:
    """One answer, by its fields."""

    fields: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.fields[name]

    def integer(self, name: str) -> int | None:
        """A setting."""
        assert name == "min.insync.replicas"
        return self.fields["min_isr"]  # type: ignore[no-any-return]

    def boolean(self, name: str) -> bool | None:
        """Another one."""
        assert name == "unclean.leader.election.enable"
        return False


@dataclass
class Broker:
    """A cluster by the answers of its brokers; a gate holds a kind of request until it is set."""

    topics: tuple[TopicMetadata, ...] = (TOPIC,)
    min_isr: int = 1
    moves: tuple[tuple[str, int], ...] = ()
    elr: tuple[int, ...] = (2,)
    gates: dict[type[Any], asyncio.Event] = field(default_factory=dict)
    asked: list[type[Any]] = field(default_factory=list)

    async def call(self, request: Any, *, timeout_s: float) -> Any:
        """Answer."""
        del timeout_s
        self.asked.append(type(request))
        gate = self.gates.pop(type(request), None)
        if gate is not None:
            await gate.wait()
        match request:
            case DescribeCluster():
                raise KafkaUnsupportedError("DescribeCluster is not known here")
            case Metadata():
                return MetadataReply(None, "c", 1, BROKERS, self.topics)
            case DescribeConfigs():
                found = [Said({"name": t.name, "min_isr": self.min_isr}) for t in self.topics]
                return Said({"results": found})
            case ListPartitionReassignments():
                moves = [Said({"topic": topic, "partition": id_}) for topic, id_ in self.moves]
                return Said({"error": 0, "reassignments": moves})
            case DescribeTopicPartitions():
                part = Said({"id": 0, "elr": self.elr})
                found = [Said({"name": t.name, "partitions": [part]}) for t in self.topics]
                return Said({"topics": found, "next_cursor": None, "next_topic": None})
            case other:
                raise AssertionError(f"not expected: {other}")

    @asynccontextmanager
    async def using(self, *_: Any, **__: Any) -> AsyncIterator[Broker]:
        """Lend the connection."""
        yield self

    async def get(self, *_: Any, **__: Any) -> Broker:
        """Give the connection."""
        return self

    async def drop(self, *_: Any) -> None:
        """Nothing to be given up."""


@dataclass
class Clock:
    """A clock that stands."""

    at: float = 1000.0

    def now(self) -> Instant:
        """Return when it is."""
        return Instant(self.at, self.at)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    """The cluster, behind every connection."""
    made = Broker()
    monkeypatch.setattr(kafka_peers, "Connections", lambda access: made)
    monkeypatch.setattr(Door, "of_broker", lambda node: None)
    monkeypatch.setattr(DescribeTopicPartitions, "after", lambda self, reply: None)
    return made


async def ask(reader: PeersReader, clock: Clock, who: str = "1") -> tuple[TopicFact, ...]:
    """Let one witness tell."""
    node = NodeConfig(who, frozenset({Role.BROKER}))
    fact = await reader.read(node, clock, 5.0, kraft=True)  # type: ignore[arg-type]
    assert fact.topics is not None
    return fact.topics


def part(facts: tuple[TopicFact, ...], name: str = "t") -> PartitionFact:
    """Return the partition of a topic."""
    (found,) = (one for one in facts if one.name == name)
    assert found.partitions is not None
    return found.partitions[0]


async def test_what_is_told_again_is_the_same_object(broker: Broker) -> None:
    """By another witness too; settings that were read anew and are the same change no topic."""
    reader, clock = PeersReader(None), Clock()  # type: ignore[arg-type]
    first = await ask(reader, clock)
    assert await ask(reader, clock, "2") is first
    clock.at += SETTINGS_KEPT_S + 1
    again = await ask(reader, clock)
    assert again[0] is first[0]
    assert broker.asked.count(DescribeConfigs) == 2


async def test_a_setting_that_was_changed_is_told_once_it_is_read(broker: Broker) -> None:
    """Not before: a minute at most."""
    reader, clock = PeersReader(None), Clock()  # type: ignore[arg-type]
    await ask(reader, clock)
    broker.min_isr = 2
    assert (await ask(reader, clock))[0].min_isr == 1
    clock.at += SETTINGS_KEPT_S + 1
    assert (await ask(reader, clock))[0].min_isr == 2


async def test_a_witness_that_tells_while_settings_are_on_their_way_keeps_none_of_them(
    broker: Broker,
) -> None:
    """The old settings, told meanwhile, are not told again after the new ones have come."""
    reader, clock = PeersReader(None), Clock()  # type: ignore[arg-type]
    await ask(reader, clock)
    broker.min_isr = 2
    clock.at += SETTINGS_KEPT_S
    moves = broker.gates[ListPartitionReassignments] = asyncio.Event()
    early = asyncio.create_task(ask(reader, clock, "1"))
    while ListPartitionReassignments in broker.gates:
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    clock.at += 0.2
    configs = broker.gates[DescribeConfigs] = asyncio.Event()
    late = asyncio.create_task(ask(reader, clock, "2"))
    while DescribeConfigs in broker.gates:
        await asyncio.sleep(0)
    moves.set()
    assert (await early)[0].min_isr == 1
    configs.set()
    assert (await late)[0].min_isr == 2
    assert (await ask(reader, clock))[0].min_isr == 2


async def test_a_topic_that_one_witness_does_not_know_is_read_anew(broker: Broker) -> None:
    """Its settings were forgotten; nothing of the old ones is told."""
    reader, clock = PeersReader(None), Clock()  # type: ignore[arg-type]
    both = broker.topics = (TOPIC, OTHER)
    assert len(await ask(reader, clock)) == 2
    broker.topics = (TOPIC,)
    assert [one.name for one in await ask(reader, clock, "2")] == ["t"]
    broker.topics, broker.min_isr = both, 3
    facts = await ask(reader, clock)
    assert {one.name: one.min_isr for one in facts}["other"] == 3


async def test_moves_that_begin_and_end_are_told(broker: Broker) -> None:
    """Of the same topics, by the same settings."""
    reader, clock = PeersReader(None), Clock()  # type: ignore[arg-type]
    seen = []
    for moves in ((), (("t", 0),), ()):
        broker.moves = moves
        seen.append(part(await ask(reader, clock)).reassigning)
    assert seen == [False, True, False]


async def test_who_may_lead_is_asked_while_nobody_leads(broker: Broker) -> None:
    """At each look, also when the topics are told as before; and no longer once somebody leads."""
    reader, clock = PeersReader(None), Clock()  # type: ignore[arg-type]
    headless = replace(TOPIC, partitions=(PART._replace(leader_id=None, isr=()),))
    broker.topics = (headless, OTHER)
    assert part(await ask(reader, clock)).elr == ("2",)
    broker.elr = (1, 2)
    assert part(await ask(reader, clock)).elr == ("1", "2")
    assert part(await ask(reader, clock), "other").elr is None
    asked = broker.asked.count(DescribeTopicPartitions)
    broker.topics = (TOPIC, OTHER)
    assert part(await ask(reader, clock)).elr is None
    assert broker.asked.count(DescribeTopicPartitions) == asked
