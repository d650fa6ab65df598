"""Our Kafka codec against real brokers and controllers, all requests in all versions."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import pytest

from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.secret import Secret
from kafka_self_healing.wire import kafka

pytestmark = pytest.mark.cluster

TIMEOUT_S = 10.0
SAFETY_OF_A_BROKER = ("broker.session.timeout.ms", "controller.quorum.fetch.timeout.ms")


class Node(Protocol):
    """What these tests need of a node of the fixture."""

    host: str
    kafka_port: int
    controller_port: int


class Cluster(Protocol):
    """What these tests need of the fixture `cluster`."""

    nodes: dict[int, Any]


async def _ask_all(host: str, port: int, request: kafka.Request[Any]) -> dict[int, Any]:
    """Return the reply (or our error) of each version that both sides speak."""
    connection = await kafka.connect(host, port, timeout_s=TIMEOUT_S)
    replies: dict[int, Any] = {}
    try:
        low, high = connection.apis[request.api.key]
        for version in range(max(low, request.lowest_version), min(high, request.api.highest) + 1):
            try:
                replies[version] = await connection.call(
                    request, timeout_s=TIMEOUT_S, max_version=version
                )
            except kafka.KafkaWireError as exc:
                replies[version] = exc
    finally:
        await connection.close()
    return replies


async def _leader(cluster: Cluster) -> int:
    """Return the leader's id; waits for an election that is under way."""
    while True:
        for node in cluster.nodes.values():
            replies = await _ask_all(node.host, node.controller_port, kafka.DescribeQuorum())
            if not replies[2].error:
                return int(replies[2].leader_id)
        await asyncio.sleep(0.1)


async def test_api_versions(cluster: Cluster) -> None:
    """Every version of ApiVersions gives the same offers; features come from v3 on."""
    for node in cluster.nodes.values():
        for port in (node.kafka_port, node.controller_port):
            replies = await _ask_all(node.host, port, kafka.ApiVersions())
            assert sorted(replies) == [0, 1, 2, 3, 4]
            assert {reply.error for reply in replies.values()} == {0}
            assert len({tuple(sorted(reply.apis.items())) for reply in replies.values()}) == 1
            assert [replies[version].features for version in (0, 1, 2)] == [None] * 3
            assert replies[4].features["metadata.version"] > 0


@pytest.mark.parametrize("topics", [None, ()], ids=["all topics", "no topics"])
async def test_metadata(cluster: Cluster, topics: tuple[str, ...] | None) -> None:
    """Every version lists the same brokers with their ports, and the same topics."""
    expected = sorted((node_id, node.kafka_port) for node_id, node in cluster.nodes.items())
    for node in cluster.nodes.values():
        replies = await _ask_all(node.host, node.kafka_port, kafka.Metadata(topics))
        assert sorted(replies) == list(range(1, 14))
        for reply in replies.values():
            assert sorted((broker.id, broker.port) for broker in reply.brokers) == expected
        names = {tuple(sorted(topic.name for topic in r.topics)) for r in replies.values()}
        assert len(names) == 1
        assert replies[1].cluster_id is None
        assert len({replies[version].cluster_id for version in range(2, 14)}) == 1
        if topics == ():
            assert names == {()}


async def test_metadata_of_a_topic_that_is_not_there(cluster: Cluster) -> None:
    """A named topic that does not exist has error 3 and is not created by asking."""
    node = next(iter(cluster.nodes.values()))
    for _ in range(2):
        replies = await _ask_all(node.host, node.kafka_port, kafka.Metadata(("not-there",)))
        errors = [[(x.name, x.error) for x in reply.topics] for reply in replies.values()]
        assert errors == [[("not-there", 3)]] * 13


async def test_partitions_read_the_same_in_all_versions(cluster: Cluster) -> None:
    """Partitions of existing topics have known replicas, whatever the version."""
    node = next(iter(cluster.nodes.values()))
    replies = await _ask_all(node.host, node.kafka_port, kafka.Metadata())
    listed = [
        {
            (topic.name, part.id, part.leader_id, part.replicas, frozenset(part.isr))
            for topic in reply.topics
            for part in topic.partitions
        }
        for reply in replies.values()
    ]
    assert all(partitions == listed[0] for partitions in listed)
    assert {broker for row in listed[0] for broker in row[3]} <= set(cluster.nodes)


async def test_quorum_on_every_controller_listener(cluster: Cluster) -> None:
    """The leader answers in all versions; the others say error 6 and nothing else."""
    leader = await _leader(cluster)
    for node_id, node in cluster.nodes.items():
        replies = await _ask_all(node.host, node.controller_port, kafka.DescribeQuorum())
        assert sorted(replies) == [0, 1, 2]
        for version, reply in replies.items():
            if node_id != leader:
                assert reply.error == kafka.NOT_LEADER_OR_FOLLOWER
                assert (reply.leader_id, reply.epoch, reply.voters) == (None, None, None)
                continue
            assert (reply.error, reply.leader_id) == (0, leader)
            assert {voter.id for voter in reply.voters} == set(cluster.nodes)
            fetched = [voter.last_fetch_ms for voter in reply.voters]
            assert all(isinstance(ms, int) for ms in fetched) == (version >= 1)


async def test_cluster_from_a_broker_and_from_a_controller(cluster: Cluster) -> None:
    """Brokers list brokers (fencing from v2 on); controllers list controllers and the leader."""
    leader = await _leader(cluster)
    for node in cluster.nodes.values():
        brokers = await _ask_all(node.host, node.kafka_port, kafka.DescribeCluster())
        assert sorted(brokers) == [0, 1, 2]
        for version, reply in brokers.items():
            fencing = {broker.id: broker.fenced for broker in reply.nodes}
            assert fencing == dict.fromkeys(cluster.nodes, False if version >= 2 else None)
        request = kafka.DescribeCluster(kafka.EndpointType.CONTROLLERS)
        controllers = await _ask_all(node.host, node.controller_port, request)
        assert sorted(controllers) == [1, 2]
        for reply in controllers.values():
            ports = {controller.id: controller.port for controller in reply.nodes}
            assert ports == {key: value.controller_port for key, value in cluster.nodes.items()}
            assert reply.controller_id == leader
            assert {controller.fenced for controller in reply.nodes} == {None}


async def test_the_wrong_listener_is_named(cluster: Cluster) -> None:
    """Asking a controller for brokers, or for metadata, is `wrong_listener` in all versions."""
    for node in cluster.nodes.values():
        replies = await _ask_all(node.host, node.controller_port, kafka.DescribeCluster())
        assert [reply.outcome for reply in replies.values()] == ["wrong_listener"] * 3
        connection = await kafka.connect(node.host, node.controller_port, timeout_s=TIMEOUT_S)
        try:
            with pytest.raises(kafka.KafkaWrongListenerError):
                await connection.call(kafka.Metadata(), timeout_s=TIMEOUT_S)
        finally:
            await connection.close()


async def test_log_dirs(cluster: Cluster) -> None:
    """Every version lists the same directories; sizes from v4 on."""
    for node in cluster.nodes.values():
        replies = await _ask_all(node.host, node.kafka_port, kafka.DescribeLogDirs())
        assert sorted(replies) == [1, 2, 3, 4, 5]
        paths = {tuple(x.path for x in reply.directories) for reply in replies.values()}
        assert len(paths) == 1
        for version, reply in replies.items():
            (directory,) = reply.directories
            assert directory.error == 0
            if version < 4:
                assert (directory.total_bytes, directory.usable_bytes) == (None, None)
            else:
                assert 0 < directory.usable_bytes <= directory.total_bytes


async def test_reassignments_and_settings(cluster: Cluster) -> None:
    """A cluster at rest moves nothing; each broker tells its settings in all versions."""
    for node_id, node in cluster.nodes.items():
        (moves,) = (
            await _ask_all(node.host, node.kafka_port, kafka.ListPartitionReassignments())
        ).values()
        assert (moves.error, moves.reassignments) == (0, ())
        request = kafka.DescribeConfigs.of_broker(node_id, SAFETY_OF_A_BROKER)
        replies = await _ask_all(node.host, node.kafka_port, request)
        assert sorted(replies) == [1, 2, 3, 4]
        numbers = {
            tuple(reply.results[0].integer(key) for key in SAFETY_OF_A_BROKER)
            for reply in replies.values()
        }
        assert len(numbers) == 1
        assert all(number > 0 for number in numbers.pop())


async def test_settings_of_topics(cluster: Cluster) -> None:
    """Existing topics tell min.insync.replicas; a missing one has error 3 of its own."""
    node = next(iter(cluster.nodes.values()))
    metadata = (await _ask_all(node.host, node.kafka_port, kafka.Metadata()))[13]
    names = (*(topic.name for topic in metadata.topics), "not-there")
    replies = await _ask_all(node.host, node.kafka_port, kafka.DescribeConfigs.of_topics(names))
    for reply in replies.values():
        found = {result.name: result for result in reply.results}
        assert found.pop("not-there").error == 3
        for result in found.values():
            assert result.integer("min.insync.replicas") is not None
            assert result.boolean("unclean.leader.election.enable") is not None


@pytest.fixture
def paged(cluster: EmbeddedCluster) -> EmbeddedCluster:
    """The session's cluster with a topic of three partitions."""
    if "paged" not in {one.topic for one in cluster.ask(1).partitions}:
        cluster.create_topics({"paged": 3})
        cluster.wait_whole(timeout_s=60.0)
    return cluster


async def test_offsets_of_an_empty_topic(paged: EmbeddedCluster) -> None:
    """Each version gives the leader's offsets of its partitions, and error 6 of the others'."""
    node = next(iter(paged.nodes.values()))
    metadata = (await _ask_all(node.host, node.kafka_port, kafka.Metadata(("paged",))))[13]
    leaders = {part.id: part.leader_id for part in metadata.topics[0].partitions}
    for place in kafka.OffsetPlace:
        request = kafka.ListOffsets({"paged": tuple(leaders)}, place)
        replies = await _ask_all(node.host, node.kafka_port, request)
        assert sorted(replies) == list(range(1, 11))
        for version, reply in replies.items():
            found = {one.partition: one for one in reply.offsets}
            for partition, leader in leaders.items():
                one = found[partition]
                if leader != node.id:
                    assert (one.error, one.offset) == (kafka.NOT_LEADER_OR_FOLLOWER, None)
                    continue
                assert (one.topic, one.error, one.offset) == ("paged", 0, 0)
                if version < 4:
                    assert one.leader_epoch is None


async def test_partitions_page_by_page(paged: EmbeddedCluster) -> None:
    """With one partition a page three pages are read, each partition once, with its ELR."""
    node = next(iter(paged.nodes.values()))
    connection = await kafka.connect(node.host, node.kafka_port, timeout_s=TIMEOUT_S)
    found: list[kafka.ElrPartition] = []
    try:
        page: kafka.DescribeTopicPartitions | None
        page = kafka.DescribeTopicPartitions(("paged",), limit=1)
        pages = 0
        while page is not None:
            reply = await connection.call(page, timeout_s=TIMEOUT_S)
            pages += 1
            found += [part for topic in reply.topics for part in topic.partitions]
            page = page.after(reply)
        missing = kafka.DescribeTopicPartitions(("not-there",))
        (unknown,) = (await connection.call(missing, timeout_s=TIMEOUT_S)).topics
    finally:
        await connection.close()
    assert (pages, [part.id for part in found]) == (3, [0, 1, 2])
    assert {part.elr for part in found} == {()}
    assert all(set(part.isr) == set(paged.nodes) for part in found)
    assert (unknown.name, unknown.error) == ("not-there", 3)


async def test_a_ping_is_answered_as_often_as_it_is_asked(cluster: EmbeddedCluster) -> None:
    """Brokers and controllers answer the version of ApiVersions that nobody knows."""
    for node in cluster.nodes.values():
        for port in (node.kafka_port, node.controller_port):
            connection = await kafka.connect(node.host, port, greet=False, timeout_s=TIMEOUT_S)
            try:
                for _ in range(3):
                    await connection.ping(timeout_s=TIMEOUT_S)
            finally:
                await connection.close()


async def test_a_login_is_refused_where_there_is_none(cluster: EmbeddedCluster) -> None:
    """A plaintext listener says that it takes no login; nothing secret is sent."""
    node = next(iter(cluster.nodes.values()))
    login = kafka.PlainLogin("user", Secret("never-sent"))
    for port in (node.kafka_port, node.controller_port):
        with pytest.raises(kafka.KafkaAuthenticationError, match="takes no login"):
            await kafka.connect(node.host, port, sasl=login, timeout_s=TIMEOUT_S)
