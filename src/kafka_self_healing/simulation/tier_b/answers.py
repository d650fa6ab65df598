"""What a Kafka listener of the simulation answers to the requests of the real checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka_self_healing.model.evidence import Fact, Kind, Outcome, PeersFact, QuorumFact
from kafka_self_healing.simulation.replicas import NOBODY
from kafka_self_healing.simulation.tier_b.network import Network
from kafka_self_healing.wire import kafka
from kafka_self_healing.wire.kafka.cluster import ClusterNode, EndpointType
from kafka_self_healing.wire.kafka.configs import ConfigValues, ResourceType
from kafka_self_healing.wire.kafka.errors import KafkaRefusedError
from kafka_self_healing.wire.kafka.metadata import BrokerMetadata, PartitionMetadata
from kafka_self_healing.wire.kafka.quorum import QuorumReplica

if TYPE_CHECKING:
    from kafka_self_healing.simulation.tier_b.wire import SimConnection

FETCH_TIMEOUT = "controller.quorum.fetch.timeout.ms"


class Answers:
    """Makes replies of the world's facts; the same metadata are the same objects."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._metadata: dict[int, tuple[PeersFact, kafka.MetadataReply]] = {}

    async def hello(self, link: SimConnection, timeout_s: float) -> None:
        """Answer if the process does. Raises Unanswered."""
        await self._read(link, Kind.PROTOCOL, timeout_s)

    async def to(self, request: object, link: SimConnection, timeout_s: float) -> Any:
        """Answer a request. Raises Unanswered, KafkaUnsupportedError."""
        match request:
            case kafka.DescribeCluster():
                return _cluster(self._peers(link) or await self._silence(timeout_s))
            case kafka.Metadata():
                fact = await self._read(link, Kind.PEERS, timeout_s)
                assert isinstance(fact, PeersFact)
                return self._reply(fact)
            case kafka.DescribeConfigs(resources=resources):
                return kafka.ConfigsReply(tuple(self._configs(one) for one in resources))
            case kafka.ListPartitionReassignments():
                if not self._network.world.settled:  # the controller is asked, and there is none
                    await self._network.silence(timeout_s)
                return kafka.ReassignmentsReply(0, None, ())
            case kafka.DescribeQuorum():
                fact = await self._read(link, Kind.QUORUM, timeout_s)
                assert isinstance(fact, QuorumFact)
                return _quorum(fact)
            case _:
                raise kafka.KafkaUnsupportedError(f"{link.where}: offers no {request!r}")

    async def _read(self, link: SimConnection, kind: Kind, timeout_s: float) -> Fact | None:
        outcome, fact = await self._network.read(link.node, kind, timeout_s)
        if outcome is not Outcome.ANSWERED:  # its port is shut, though the process is the same
            raise KafkaRefusedError(f"{link.where}: {outcome.value}")
        return fact

    def _peers(self, link: SimConnection) -> PeersFact | None:
        outcome, fact = self._network.truth(link.node, Kind.PEERS)
        return fact if outcome is Outcome.ANSWERED and isinstance(fact, PeersFact) else None

    async def _silence(self, timeout_s: float) -> PeersFact:
        await self._network.silence(timeout_s)
        raise AssertionError("silence has no end")

    def _reply(self, fact: PeersFact) -> kafka.MetadataReply:
        known = self._metadata.get(id(fact))
        if known is None or known[0] is not fact:
            self._metadata = {key: one for key, one in self._metadata.items() if key != id(fact)}
            if len(self._metadata) > 8:
                self._metadata.clear()
            known = self._metadata[id(fact)] = (fact, _metadata(fact))
        return known[1]

    def _configs(self, resource: kafka.ConfigResource) -> ConfigValues:
        world = self._network.world
        values: dict[str, str | None] = {}
        if resource.type is ResourceType.BROKER:
            values[FETCH_TIMEOUT] = str(int(world.cluster.fetch_timeout_s * 1000))
        else:
            topic = next(t for t in world.replicas.topics if t.name == resource.name)
            values["min.insync.replicas"] = str(topic.min_isr)
            values["unclean.leader.election.enable"] = "true" if topic.unclean else "false"
        return ConfigValues(resource.type, resource.name, 0, None, values)


def _cluster(fact: PeersFact) -> kafka.ClusterReply:
    fenced = fact.fenced or ()
    nodes = tuple(
        ClusterNode(int(id_), f"node-{id_}.sim", 9092, None, id_ in fenced)
        for id_ in (*(fact.listed or ()), *fenced)
    )
    return kafka.ClusterReply(0, None, EndpointType.BROKERS, "sim", None, nodes)


def _metadata(fact: PeersFact) -> kafka.MetadataReply:
    brokers = tuple(
        BrokerMetadata(int(id_), f"node-{id_}.sim", 9092, None) for id_ in fact.listed or ()
    )
    topics = tuple(
        kafka.TopicMetadata(
            topic.name,
            0,
            internal=False,
            partitions=tuple(
                PartitionMetadata(
                    one.id,
                    0,
                    None if one.leader in {None, NOBODY} else int(one.leader or NOBODY),
                    None,
                    tuple(map(int, one.replicas or ())),
                    tuple(map(int, one.isr or ())),
                    None,
                )
                for one in topic.partitions or ()
            ),
        )
        for topic in fact.topics or ()
    )
    controller = None if fact.controller is None else int(fact.controller)
    return kafka.MetadataReply(0, "sim", controller, brokers, topics)


def _quorum(fact: QuorumFact) -> kafka.QuorumReply:
    if fact.leader is None:
        return kafka.QuorumReply(kafka.NOT_LEADER_OR_FOLLOWER, None)
    voters = tuple(
        QuorumReplica(
            int(one.id), None, None, _stamp(one.last_fetch_ms), _stamp(one.last_caught_up_ms)
        )
        for one in fact.voters or ()
    )
    return kafka.QuorumReply(0, None, int(fact.leader), fact.epoch, None, voters, ())


def _stamp(ms: int | None) -> int | None:
    return None if ms is None or ms < 0 else ms
