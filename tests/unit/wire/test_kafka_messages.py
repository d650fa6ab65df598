"""The Kafka codec against an independent one, and against replies that a real cluster sent."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import subprocess
import sys
from typing import Any

import pytest
from kio.index import load_request_schema
from kio.schema.errors import ErrorCode
from tests.unit.wire import kafka_oracle as oracle

from kafka_self_healing.wire import kafka
from kafka_self_healing.wire.kafka.connection import encode_request, read_reply

NAMES = [f"{request.api.name}-v{version}" for request, version in oracle.PAIRS]
ROUNDS = 60


@pytest.mark.parametrize(("request_", "version"), oracle.PAIRS, ids=NAMES)
def test_random_replies_decode_as_the_oracle_says(
    request_: kafka.Request[Any], version: int
) -> None:
    """Whatever the independent codec writes, ours reads the same values out of it."""
    rng = random.Random(f"{request_.api.key}/{version}")
    for _ in range(ROUNDS):
        entity = oracle.random_reply(request_, version, rng)
        if isinstance(request_, kafka.Metadata):
            topics = [dataclasses.replace(topic, name="t") for topic in entity.topics]
            entity = dataclasses.replace(entity, topics=tuple(topics))
        if isinstance(request_, kafka.DescribeQuorum):
            entity = _with_one_metadata_partition(entity)
            if entity is None:
                continue
        frame = oracle.reply_frame(request_, version, entity)

        found = read_reply(request_, version, frame)

        assert found == oracle.in_our_words(request_, version, entity)


def _with_one_metadata_partition(entity: Any) -> Any:
    parts = [part for topic in entity.topics for part in topic.partitions]
    if not parts:
        return None
    part = dataclasses.replace(parts[0], partition_index=0)
    topic = dataclasses.replace(
        entity.topics[0], topic_name="__cluster_metadata", partitions=(part,)
    )
    return dataclasses.replace(entity, topics=(topic,))


def test_every_recorded_reply_decodes_as_the_oracle_says() -> None:
    """Replies of a real Kafka 4.3.1 (healthy, and with a fenced broker) mean the same to both."""
    recorded = oracle.recorded_frames()
    for record in recorded:
        entity = oracle.read(record.request, record.version, record.frame)
        found = read_reply(record.request, record.version, record.frame)
        assert found == oracle.in_our_words(record.request, record.version, entity), record.source
    assert len(recorded) > 60


def test_requests_are_written_as_the_oracle_writes_them() -> None:
    """Every request in every version has the bytes that the independent codec gives it."""
    for request, version, fields in _requests_with_fields():
        expected = oracle.request_frame(request, version, 5, **fields)
        assert encode_request(request, version, 5) == expected, (request, version)


def _requests_with_fields() -> list[tuple[kafka.Request[Any], int, dict[str, Any]]]:
    cases: list[tuple[kafka.Request[Any], int, dict[str, Any]]] = []

    def add(request: kafka.Request[Any], fields: Any) -> None:
        for version in range(request.lowest_version, request.api.highest + 1):
            schema = load_request_schema(request.api.key, version)
            module = sys.modules[schema.__module__]
            cases.append((request, version, fields(module, version)))

    add(
        kafka.ApiVersions(),
        lambda m, v: {
            "client_software_name": "kafka-self-healing",
            "client_software_version": "0",
        },
    )
    for names in (None, (), ("orders", "é")):
        add(kafka.Metadata(names), lambda m, v, names=names: _metadata_fields(m, v, names))
    add(kafka.DescribeQuorum(), _quorum_fields)
    for kind in kafka.EndpointType:
        add(
            kafka.DescribeCluster(kind),
            lambda m, v, kind=kind: {
                "endpoint_type": int(kind),
                "include_fenced_brokers": kind is kafka.EndpointType.BROKERS,
                "include_cluster_authorized_operations": False,
            },
        )
    add(kafka.DescribeLogDirs(), lambda m, v: {"topics": ()})
    milliseconds = dt.timedelta(milliseconds=5_000)
    add(
        kafka.ListPartitionReassignments(),
        lambda m, v: {"timeout": milliseconds, "topics": None},
    )
    every = kafka.DescribeConfigs((kafka.ConfigResource(kafka.ResourceType.BROKER, "2", None),))
    for request in (oracle.TOPIC_REQUEST, oracle.BROKER_REQUEST, every):
        add(request, lambda m, v, request=request: _config_fields(m, request))
    offsets = kafka.ListOffsets({"orders": (0, 7), "é": ()}, at=1_700_000_000_000)
    add(offsets, lambda m, v: _offset_fields(m, v, offsets))
    for cursor in (None, kafka.Cursor("orders", 3)):
        page = kafka.DescribeTopicPartitions(("orders", "é"), 11, cursor)
        add(page, lambda m, v, page=page: _page_fields(m, page))
    add(kafka.SaslHandshake("PLAIN"), lambda m, v: {"mechanism": "PLAIN"})
    for data in (b"", b"\0user\0secret", bytes(200)):
        add(kafka.SaslAuthenticate(data), lambda m, v, data=data: {"auth_bytes": data})
    return cases


def _offset_fields(module: Any, version: int, request: kafka.ListOffsets) -> dict[str, Any]:
    epoch = {"current_leader_epoch": -1} if version >= 4 else {}
    topics = tuple(
        module.ListOffsetsTopic(
            name=name,
            partitions=tuple(
                module.ListOffsetsPartition(partition_index=number, timestamp=request.at, **epoch)
                for number in numbers
            ),
        )
        for name, numbers in request.partitions.items()
    )
    timeout = dt.timedelta(milliseconds=request.timeout_ms)
    return {"replica_id": -1, "isolation_level": 0, "topics": topics, "timeout": timeout}


def _page_fields(module: Any, request: kafka.DescribeTopicPartitions) -> dict[str, Any]:
    cursor = request.cursor
    return {
        "topics": tuple(module.TopicRequest(name=name) for name in request.topics),
        "response_partition_limit": request.limit,
        "cursor": cursor
        and module.Cursor(topic_name=cursor.topic, partition_index=cursor.partition),
    }


def _metadata_fields(module: Any, version: int, names: tuple[str, ...] | None) -> dict[str, Any]:
    ids = {"topic_id": None} if version >= 10 else {}
    topics = (
        None
        if names is None
        else tuple(module.MetadataRequestTopic(name=name, **ids) for name in names)
    )
    return {
        "topics": topics,
        "allow_auto_topic_creation": False,
        "include_cluster_authorized_operations": False,
        "include_topic_authorized_operations": False,
    }


def _quorum_fields(module: Any, version: int) -> dict[str, Any]:
    partition = module.PartitionData(partition_index=0)
    return {"topics": (module.TopicData(topic_name="__cluster_metadata", partitions=(partition,)),)}


def _config_fields(module: Any, request: kafka.DescribeConfigs) -> dict[str, Any]:
    resources = tuple(
        module.DescribeConfigsResource(
            resource_type=int(resource.type),
            resource_name=resource.name,
            configuration_keys=resource.keys,
        )
        for resource in request.resources
    )
    return {"resources": resources, "include_synonyms": False, "include_documentation": False}


def _recorded(name: str, version: int, source: str) -> Any:
    for record in oracle.recorded_frames():
        key = (record.request.api.name, record.version, record.source)
        if key == (name, version, source):
            return read_reply(record.request, version, record.frame)
    raise AssertionError((name, version, source))


def test_a_controller_that_does_not_lead_says_nothing_but_error_6() -> None:
    """The values beside error 6 mean nothing, so they are None and never 0."""
    reply = _recorded("DescribeQuorum", 2, "controller follower")
    assert reply.error == kafka.NOT_LEADER_OR_FOLLOWER
    assert (reply.leader_id, reply.epoch, reply.voters, reply.nodes) == (None, None, None, None)


def test_fencing_is_said_or_none() -> None:
    """Below v2 a broker's fencing is not said; v2 lists the fenced broker."""
    source = "broker, one fenced"
    old = _recorded("DescribeCluster", 1, source)
    new = _recorded("DescribeCluster", 2, source)
    assert {node.fenced for node in old.nodes} == {None}
    assert sorted(node.fenced for node in new.nodes) == [False, False, True]


def test_a_recorded_reassignment_and_its_topic() -> None:
    """A move that waits for a fenced broker is listed with what is added and removed."""
    reply = _recorded("ListPartitionReassignments", 0, "broker, one fenced")
    moves = {(move.topic, move.partition) for move in reply.reassignments}
    assert ("lonely", 0) in moves
    assert all(move.adding or move.removing for move in reply.reassignments)


def test_a_node_that_lacks_our_version_answers_in_version_0() -> None:
    """Error 35 comes with a body of version 0 whatever was asked, and is still read."""
    frame = bytes.fromhex("00000007" + "0023" + "00000001" + "0012" + "0000" + "0002")
    reply = read_reply(kafka.ApiVersions(), 3, frame)
    assert (reply.error, reply.apis) == (35, {18: (0, 2)})


@pytest.mark.parametrize(
    ("api", "code", "error"),
    [
        (kafka.DescribeCluster(), 114, kafka.KafkaWrongListenerError),
        (kafka.DescribeCluster(), 42, kafka.KafkaWrongListenerError),
        (kafka.DescribeCluster(), 31, kafka.KafkaWrongListenerError),
        (
            kafka.DescribeCluster(kafka.EndpointType.CONTROLLERS),
            31,
            kafka.KafkaAuthorisationError,
        ),
        (kafka.ListPartitionReassignments(), 31, kafka.KafkaAuthorisationError),
        (kafka.ListPartitionReassignments(), 35, kafka.KafkaUnsupportedError),
    ],
)
def test_codes_that_speak_of_us_are_raised(
    api: kafka.Request[Any], code: int, error: type[kafka.KafkaWireError]
) -> None:
    """A missing right or the wrong listener is an exception; other codes stay in the reply."""
    rng = random.Random(code)
    entity = oracle.random_reply(api, 0, rng)
    entity = dataclasses.replace(entity, error_code=ErrorCode(code))
    frame = oracle.reply_frame(api, 0, entity)
    with pytest.raises(error, match=f"error {code}"):
        read_reply(api, 0, frame)


def test_bytes_behind_a_reply_are_refused() -> None:
    """A reply that is longer than its message is not read as if nothing were wrong."""
    record = oracle.recorded_frames()[0]
    with pytest.raises(kafka.KafkaProtocolError, match="1 bytes are left over"):
        read_reply(record.request, record.version, record.frame + b"\0")


def test_pages_are_followed_to_the_last() -> None:
    """Each page's cursor makes the next request; a page without one is the last."""
    request = kafka.DescribeTopicPartitions(("a", "b"))
    first = kafka.TopicPartitionsReply((), kafka.Cursor("a", 7))
    second = request.after(first)
    assert second == kafka.DescribeTopicPartitions(("a", "b"), cursor=kafka.Cursor("a", 7))
    assert second.after(kafka.TopicPartitionsReply((), None)) is None


@pytest.mark.parametrize("back", [("a", 7), ("a", 6), ("A", 8)])
def test_pages_that_go_round_in_a_circle_are_refused(back: tuple[str, int]) -> None:
    """A node whose next page does not lie behind this one cannot keep us reading for ever."""
    request = kafka.DescribeTopicPartitions(cursor=kafka.Cursor("a", 7))
    with pytest.raises(kafka.KafkaProtocolError, match="begins before"):
        request.after(kafka.TopicPartitionsReply((), kafka.Cursor(*back)))


def test_a_login_does_not_show_in_the_text_of_its_messages() -> None:
    """What may hold a password stands in no repr, so that no log and no traceback has it."""
    sent, got = kafka.SaslAuthenticate(b"secret"), kafka.AuthenticateReply(0, None, b"secret")
    assert "secret" not in f"{sent!r} {sent} {got!r} {got}"


def test_settings_are_read_as_numbers_and_switches() -> None:
    """Absent, secret or odd values are None; ints and switches are typed."""
    values = {"a": "2", "b": "true", "c": None, "d": "many"}
    result = kafka.ConfigValues(2, "t", 0, None, values)
    assert [result.integer(key) for key in "acdx"] == [2, None, None, None]
    assert [result.boolean(key) for key in "bacx"] == [True, None, None, None]


def test_the_package_loads_nothing_but_itself_and_the_standard_library() -> None:
    """The codec can be used on its own: no third-party module is loaded by importing it."""
    code = (
        "import sys; import kafka_self_healing.wire.kafka\n"
        "tops = {m.split('.')[0] for m in sys.modules}\n"
        "sys.stdout.write(' '.join(sorted(tops - set(sys.stdlib_module_names))))"
    )
    run = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": "src"},
    )
    assert run.stderr == ""
    assert [name for name in run.stdout.split() if not name.startswith("_")] == [
        "kafka_self_healing"
    ]
