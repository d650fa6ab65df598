"""What a broker says of the others: who is listed, who is fenced, the partitions and their ISR."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from kafka_self_healing.clock import Clock
from kafka_self_healing.model.evidence import PartitionFact, PeersFact, TopicFact
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.checks.kafka_connections import Connections, Door
from kafka_self_healing.wire.kafka import (
    ClusterReply,
    DescribeCluster,
    DescribeConfigs,
    DescribeTopicPartitions,
    KafkaConnection,
    KafkaUnsupportedError,
    KafkaWireError,
    Kept,
    KnownMetadata,
    ListPartitionReassignments,
    Metadata,
    TopicMetadata,
)

SETTINGS_KEPT_S: Final = 60.0
"""How long a topic's min.insync.replicas and unclean.leader.election.enable are believed."""

_MOVES_LIMIT_S: Final = 0.5
_MOVES_PAUSE_S: Final = 5.0
_CONFIGS_AT_ONCE: Final = 1000
_NO_LEADER: Final = "-1"
_ELR_TOPICS: Final = 500
_ELR_PAGES: Final = 4

Moves = frozenset[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class _Settings:
    min_isr: int | None
    unclean_election: bool | None
    read_at: float


class PeersReader:
    """Asks brokers as witnesses."""

    def __init__(self, access: Access) -> None:
        self._connections = Connections(access)
        self._forwarding = Connections(access)  # for requests that wait for the controller
        self._settings: Mapping[str, _Settings] = {}  # exchanged as a whole, whenever one changes
        self._mute_until: dict[str, float] = {}
        self._topics: dict[str, tuple[object, TopicFact]] = {}
        self._leaderless: set[str] = set()
        self._told: tuple[tuple[TopicMetadata, ...], Moves | None, Mapping[str, _Settings]] | None
        self._told = None
        self._told_facts: tuple[TopicFact, ...] = ()
        self._metadata = Metadata(known=KnownMetadata())
        self._describing = DescribeCluster(known=Kept())

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(self._connections.close(), self._forwarding.close())

    async def read(
        self, witness: NodeConfig, clock: Clock, timeout_s: float, *, kraft: bool
    ) -> PeersFact:
        """Return what `witness` says. Raises CheckError.

        A topic that it may not describe has no partitions (None). No topic at all and no error is
        what a user without rights is shown: `topics` is empty then, which the mind reads as blind.
        `controller` is None in KRaft mode, where a broker names a random one.
        """
        door = Door.of_broker(witness)
        asking = asyncio.create_task(self._moves(witness.id, door, clock, timeout_s))
        answered = False
        try:
            using = self._connections.using(witness.id, door, timeout_s=timeout_s)
            async with using as connection:
                cluster = await self._describe(connection, timeout_s)
                metadata = await connection.call(self._metadata, timeout_s=timeout_s)
                names = [topic.name for topic in metadata.topics]
                await self._read_settings(connection, names, clock, timeout_s)
                moves = await asking
                topics = self._facts(metadata.topics, moves)
                topics = await self._with_elr(connection, topics, timeout_s)
            answered = True
        finally:
            if not answered:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        controller = metadata.controller_id
        return PeersFact(
            listed=tuple(str(broker.id) for broker in metadata.brokers),
            fenced=_fenced(cluster),
            controller=None if kraft or controller is None else str(controller),
            topics=topics,
        )

    async def _describe(self, connection: KafkaConnection, timeout_s: float) -> ClusterReply | None:
        try:
            return await connection.call(self._describing, timeout_s=timeout_s)
        except KafkaUnsupportedError:  # Kafka before 2.8
            return None

    async def _read_settings(
        self, connection: KafkaConnection, names: list[str], clock: Clock, timeout_s: float
    ) -> None:
        now = clock.now().mono_s
        shown = set(names)
        if not self._settings.keys() <= shown:
            self._settings = {name: one for name, one in self._settings.items() if name in shown}
        due = [
            name
            for name in names
            if name not in self._settings or now - self._settings[name].read_at > SETTINGS_KEPT_S
        ]
        for start in range(0, len(due), _CONFIGS_AT_ONCE):
            request = DescribeConfigs.of_topics(tuple(due[start : start + _CONFIGS_AT_ONCE]))
            reply = await connection.call(request, timeout_s=timeout_s)
            read = {
                one.name: _Settings(
                    min_isr=one.integer("min.insync.replicas"),
                    unclean_election=one.boolean("unclean.leader.election.enable"),
                    read_at=now,
                )
                for one in reply.results
            }
            self._settings = {**self._settings, **read}

    async def _moves(
        self, witness: str, door: Door, clock: Clock, timeout_s: float
    ) -> Moves | None:
        """Return the partitions that are being moved; None: not known.

        The broker asks the controller for it. While there is none it does not answer, and one such
        question in a while is enough.
        """
        if clock.now().mono_s < self._mute_until.get(witness, 0.0):
            return None
        limit_s = min(_MOVES_LIMIT_S, timeout_s / 2)
        answered = False
        try:
            async with asyncio.timeout(limit_s):
                connection = await self._forwarding.get(witness, door, timeout_s=limit_s)
                reply = await connection.call(ListPartitionReassignments(), timeout_s=limit_s)
            answered = True
        except (KafkaWireError, TimeoutError):
            self._mute_until[witness] = clock.now().mono_s + _MOVES_PAUSE_S
            return None
        finally:
            if not answered:
                await self._forwarding.drop(witness)
        if reply.error:
            return None
        return frozenset((one.topic, one.partition) for one in reply.reassignments)

    def _facts(
        self, topics: tuple[TopicMetadata, ...], moves: Moves | None
    ) -> tuple[TopicFact, ...]:
        """Return the topics. A topic about which nothing changed keeps its fact.

        A cluster has up to 100,000 partitions, of which hardly one changes between two looks.
        """
        told, settings = self._told, self._settings
        if told is not None and told[0] is topics and told[2] is settings and told[1] == moves:
            return self._told_facts
        kept: dict[str, tuple[object, TopicFact]] = {}
        for topic in topics:
            known = settings.get(topic.name)
            moving = None if moves is None else _moving(topic, moves)
            limits = (known.min_isr, known.unclean_election) if known else (None, None)
            basis = (topic, limits, moving)
            before = self._topics.get(topic.name)
            kept[topic.name] = (
                before if before is not None and before[0] == basis else (basis, _topic(*basis))
            )
            if kept[topic.name] is not before:
                leaderless = any(one.leader_id is None for one in topic.partitions)
                (self._leaderless.add if leaderless else self._leaderless.discard)(topic.name)
        self._leaderless &= kept.keys()
        self._topics = kept
        self._told = topics, moves, settings
        self._told_facts = tuple(fact for _, fact in kept.values())
        return self._told_facts

    async def _with_elr(
        self, connection: KafkaConnection, topics: tuple[TopicFact, ...], timeout_s: float
    ) -> tuple[TopicFact, ...]:
        """Add who may lead the partitions that nobody leads, if the broker keeps account of it."""
        if not self._leaderless:
            return topics
        eligible: dict[tuple[str | None, int], tuple[str, ...]] = {}
        names = sorted(self._leaderless)[:_ELR_TOPICS]
        page: DescribeTopicPartitions | None = DescribeTopicPartitions(tuple(names))
        try:
            for _ in range(_ELR_PAGES):
                if page is None:
                    break
                reply = await connection.call(page, timeout_s=timeout_s)
                eligible.update(
                    ((topic.name, one.id), tuple(map(str, one.elr)))
                    for topic in reply.topics
                    for one in topic.partitions
                    if one.elr is not None
                )
                page = page.after(reply)
        except KafkaUnsupportedError:  # ZooKeeper mode, and KRaft before Kafka 3.7
            return topics
        return tuple(
            _elr(topic, eligible) if topic.name in self._leaderless else topic for topic in topics
        )


def _elr(topic: TopicFact, eligible: Mapping[tuple[str | None, int], tuple[str, ...]]) -> TopicFact:
    if topic.partitions is None:
        return topic
    partitions = tuple(
        replace(one, elr=eligible.get((topic.name, one.id))) if one.leader == _NO_LEADER else one
        for one in topic.partitions
    )
    return replace(topic, partitions=partitions)


def _fenced(reply: ClusterReply | None) -> tuple[str, ...] | None:
    if reply is None or reply.error or any(node.fenced is None for node in reply.nodes):
        return None
    return tuple(str(node.id) for node in reply.nodes if node.fenced)


def _moving(topic: TopicMetadata, moves: Moves) -> frozenset[int]:
    if not moves:
        return frozenset()
    return frozenset(one.id for one in topic.partitions if (topic.name, one.id) in moves)


def _topic(
    topic: TopicMetadata, limits: tuple[int | None, bool | None], moving: frozenset[int] | None
) -> TopicFact:
    if topic.error:
        return TopicFact(topic.name, *limits, partitions=None)
    partitions = tuple(
        PartitionFact(
            id=one.id,
            replicas=tuple(map(str, one.replicas)),
            isr=tuple(map(str, one.isr)),
            leader=_NO_LEADER if one.leader_id is None else str(one.leader_id),
            reassigning=None if moving is None else one.id in moving,
        )
        for one in topic.partitions
    )
    return TopicFact(topic.name, *limits, partitions=partitions)
