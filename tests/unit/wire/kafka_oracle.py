"""An independent codec (kio) as the judge of ours: what it writes and reads, in our words."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import random
import typing
import uuid
from pathlib import Path
from typing import Any

from kio.index import load_request_schema, load_response_schema
from kio.schema.errors import ErrorCode
from kio.serial import entity_reader, entity_writer

from kafka_self_healing.wire import kafka

CLIENT_ID = "kafka-self-healing"
TOPIC_REQUEST = kafka.DescribeConfigs.of_topics(("orders", "nope"))
BROKER_REQUEST = kafka.DescribeConfigs.of_broker(1, ("broker.session.timeout.ms",))
REQUESTS: tuple[kafka.Request[Any], ...] = (
    kafka.ApiVersions(),
    kafka.Metadata(),
    kafka.DescribeQuorum(),
    kafka.DescribeCluster(),
    kafka.DescribeLogDirs(),
    kafka.ListPartitionReassignments(),
    TOPIC_REQUEST,
    kafka.ListOffsets({"orders": (0, 7)}),
    kafka.DescribeTopicPartitions(),
    kafka.SaslHandshake("SCRAM-SHA-512"),
    kafka.SaslAuthenticate(b"n,,n=user,r=nonce"),
)
PAIRS = [(r, v) for r in REQUESTS for v in range(r.api.lowest, r.api.highest + 1)]
NUMBERS = {"int8": 7, "int16": 15, "uint16": 16, "int32": 31, "int64": 63}
# Codes that ours turns into exceptions have tests of their own.
ERRORS = [ErrorCode(code) for code in (0, 0, 3, 5, 6, 9, 56)]


@dataclasses.dataclass(frozen=True)
class RecordedFrame:
    """A reply that a real Kafka 4.3.1 sent, without its size."""

    source: str
    request: kafka.Request[Any]
    version: int
    frame: bytes


def recorded_frames() -> list[RecordedFrame]:
    """Return the recorded replies."""
    text = (Path(__file__).parent / "data" / "kafka_frames.json").read_text()
    by_key = {request.api.key: request for request in REQUESTS}
    return [
        RecordedFrame(r["from"], by_key[r["api"]], r["version"], bytes.fromhex(r["frame"]))
        for r in json.loads(text)
    ]


def header_size(request: kafka.Request[Any], version: int) -> int:
    """Return the bytes before the body of a reply."""
    return 4 if request.api.key == 18 or not request.api.is_flexible(version) else 5


def written(entity: Any) -> bytes:
    """Return the bytes of a kio entity."""
    out = io.BytesIO()
    entity_writer(type(entity))(out, entity)
    return out.getvalue()


def read(request: kafka.Request[Any], version: int, frame: bytes) -> Any:
    """Return the kio entity of a reply frame."""
    reader = entity_reader(load_response_schema(request.api.key, version))
    entity, size = reader(frame, header_size(request, version))
    assert header_size(request, version) + size == len(frame)
    return entity


def request_frame(request: kafka.Request[Any], version: int, number: int, **fields: Any) -> bytes:
    """Return what kio would send, without its size."""
    schema = load_request_schema(request.api.key, version)
    names = {field.name for field in dataclasses.fields(schema)}
    body = schema(**{name: value for name, value in fields.items() if name in names})
    header_schema: Any = schema.__header_schema__
    header = header_schema(
        request_api_key=request.api.key,
        request_api_version=version,
        correlation_id=number,
        client_id=CLIENT_ID,
    )
    return written(header) + written(body)


def random_reply(request: kafka.Request[Any], version: int, rng: random.Random) -> Any:
    """Return a random kio reply entity."""
    return _entity(load_response_schema(request.api.key, version), rng)


def reply_frame(request: kafka.Request[Any], version: int, entity: Any) -> bytes:
    """Return the frame of a kio reply entity, for correlation id 7."""
    header = (7).to_bytes(4, "big") + b"\0" * (header_size(request, version) - 4)
    return header + written(entity)


def _entity(schema: Any, rng: random.Random) -> Any:
    hints = typing.get_type_hints(schema)
    return schema(
        **{
            field.name: _value(field.metadata.get("kafka_type"), hints[field.name], rng)
            for field in dataclasses.fields(schema)
        }
    )


def _value(kind: str | None, hint: Any, rng: random.Random) -> Any:
    optional = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    nullable = len(optional) < len(typing.get_args(hint))
    if nullable and kind in {None, *NUMBERS} and len(optional) == 1:  # an array or a structure
        return None if rng.random() < 0.3 else _value(kind, optional[0], rng)
    if typing.get_origin(hint) is tuple:
        length = rng.choice((0, 1, 2, 3, 20 if kind else 3))
        return tuple(_value(kind, typing.get_args(hint)[0], rng) for _ in range(length))
    if dataclasses.is_dataclass(hint):
        return _entity(hint, rng)
    if kind in NUMBERS:
        signed = kind != "uint16"
        number = rng.choice((0, 1, rng.getrandbits(NUMBERS[kind])))
        return -number if signed and rng.random() < 0.2 else number
    match kind:
        case "string":
            if nullable and rng.random() < 0.3:
                return None
            return "".join(rng.choice("aZ-.é\u4e2d") for _ in range(rng.choice((0, 1, 9, 200))))
        case "bool":
            return rng.random() < 0.5
        case "uuid":
            return rng.choice((None, uuid.UUID(int=rng.getrandbits(128) | 1)))
        case "error_code":
            return rng.choice(ERRORS)
        case "bytes":
            return rng.randbytes(rng.choice((0, 1, 40, 300)))
        case "timedelta_i32" | "timedelta_i64":
            return dt.timedelta(milliseconds=rng.randrange(10_000))
    raise AssertionError(kind)


def in_our_words(request: kafka.Request[Any], version: int, entity: Any) -> Any:
    """Return the reply dataclass that ours must decode `entity` to."""
    match request:
        case kafka.ApiVersions():
            return _api_versions(entity, version)
        case kafka.Metadata():
            return _metadata(entity, version)
        case kafka.DescribeQuorum():
            return _quorum(entity, version)
        case kafka.DescribeCluster():
            return _cluster(entity, version)
        case kafka.DescribeLogDirs():
            return kafka.LogDirsReply(
                entity.error_code.value if version >= 3 else None,
                tuple(_log_dir(result, version) for result in entity.results),
            )
        case kafka.ListPartitionReassignments():
            moves = tuple(
                kafka.Reassignment(
                    topic.name,
                    part.partition_index,
                    part.replicas,
                    part.adding_replicas,
                    part.removing_replicas,
                )
                for topic in entity.topics
                for part in topic.partitions
            )
            return kafka.ReassignmentsReply(entity.error_code.value, entity.error_message, moves)
        case kafka.DescribeConfigs():
            return kafka.ConfigsReply(
                tuple(
                    kafka.ConfigValues(
                        result.resource_type,
                        result.resource_name,
                        result.error_code.value,
                        result.error_message,
                        {config.name: config.value for config in result.configs},
                    )
                    for result in entity.results
                )
            )
        case kafka.ListOffsets():
            return kafka.OffsetsReply(
                tuple(
                    kafka.PartitionOffset(
                        topic.name,
                        part.partition_index,
                        part.error_code.value,
                        _known(part.timestamp),
                        _known(part.offset),
                        _known(part.leader_epoch) if version >= 4 else None,
                    )
                    for topic in entity.topics
                    for part in topic.partitions
                )
            )
        case kafka.DescribeTopicPartitions():
            return _topic_partitions(entity)
        case kafka.SaslHandshake():
            return kafka.HandshakeReply(entity.error_code.value, entity.mechanisms)
        case kafka.SaslAuthenticate():
            lifetime_s = entity.session_lifetime.total_seconds() if version >= 1 else 0.0
            return kafka.AuthenticateReply(
                entity.error_code.value,
                entity.error_message,
                entity.auth_bytes,
                round(lifetime_s * 1000) or None,
            )
    raise AssertionError(request)


def _topic_partitions(entity: Any) -> kafka.TopicPartitionsReply:
    cursor = entity.next_cursor
    return kafka.TopicPartitionsReply(
        tuple(
            kafka.ElrTopic(
                topic.name,
                topic.error_code.value,
                topic.topic_id,
                topic.is_internal,
                tuple(
                    kafka.ElrPartition(
                        part.partition_index,
                        part.error_code.value,
                        _known(part.leader_id),
                        _known(part.leader_epoch),
                        part.replica_nodes,
                        part.isr_nodes,
                        part.eligible_leader_replicas,
                        part.last_known_elr,
                        part.offline_replicas,
                    )
                    for part in topic.partitions
                ),
            )
            for topic in entity.topics
        ),
        cursor and kafka.Cursor(cursor.topic_name, cursor.partition_index),
    )


def _known(number: int) -> int | None:
    return None if number == -1 else number


def _api_versions(entity: Any, version: int) -> kafka.ApiVersionsReply:
    apis = {key.api_key: (key.min_version, key.max_version) for key in entity.api_keys}
    features = epoch = None
    if version >= 3:
        levels = {x.name: x.max_version_level for x in entity.finalized_features}
        features = levels or None  # a tagged field that is empty is not sent
        epoch = _known(entity.finalized_features_epoch)
    return kafka.ApiVersionsReply(entity.error_code.value, apis, features, epoch)


def _metadata(entity: Any, version: int) -> kafka.MetadataReply:
    topics = [
        kafka.TopicMetadata(
            topic.name,
            topic.error_code.value,
            topic.is_internal,
            tuple(
                kafka.PartitionMetadata(
                    part.partition_index,
                    part.error_code.value,
                    _known(part.leader_id),
                    part.leader_epoch if version >= 7 else None,
                    part.replica_nodes,
                    part.isr_nodes,
                    part.offline_replicas if version >= 5 else None,
                )
                for part in topic.partitions
            ),
        )
        for topic in entity.topics
    ]
    return kafka.MetadataReply(
        error=entity.error_code.value if version >= 13 else None,
        cluster_id=entity.cluster_id if version >= 2 else None,
        controller_id=_known(entity.controller_id),
        brokers=tuple(
            kafka.BrokerMetadata(b.node_id, b.host, b.port, b.rack) for b in entity.brokers
        ),
        topics=tuple(topics),
    )


def _replicas(states: Any, version: int) -> tuple[kafka.QuorumReplica, ...]:
    return tuple(
        kafka.QuorumReplica(
            id=state.replica_id,
            directory_id=state.replica_directory_id if version >= 2 else None,
            end_offset=_known(state.log_end_offset),
            last_fetch_ms=_known(state.last_fetch_timestamp) if version >= 1 else None,
            last_caught_up_ms=_known(state.last_caught_up_timestamp) if version >= 1 else None,
        )
        for state in states
    )


def _quorum(entity: Any, version: int) -> kafka.QuorumReply:
    message = entity.error_message if version >= 2 else None
    if entity.error_code.value:
        return kafka.QuorumReply(entity.error_code.value, message)
    part = entity.topics[0].partitions[0]
    if part.error_code.value:
        return kafka.QuorumReply(
            part.error_code.value, part.error_message if version >= 2 else None
        )
    nodes = None
    if version >= 2:
        nodes = tuple(
            kafka.QuorumNode(
                node.node_id,
                tuple(kafka.QuorumEndpoint(x.name, x.host, x.port) for x in node.listeners),
            )
            for node in entity.nodes
        )
    return kafka.QuorumReply(
        error=0,
        message=message,
        leader_id=_known(part.leader_id),
        epoch=part.leader_epoch,
        high_watermark=_known(part.high_watermark),
        voters=_replicas(part.current_voters, version),
        observers=_replicas(part.observers, version),
        nodes=nodes,
    )


def _cluster(entity: Any, version: int) -> kafka.ClusterReply:
    said = version >= 2 and entity.endpoint_type == 1
    return kafka.ClusterReply(
        error=entity.error_code.value,
        message=entity.error_message,
        endpoint_type=entity.endpoint_type if version >= 1 else None,
        cluster_id=entity.cluster_id,
        controller_id=_known(entity.controller_id),
        nodes=tuple(
            kafka.ClusterNode(b.broker_id, b.host, b.port, b.rack, b.is_fenced if said else None)
            for b in entity.brokers
        ),
    )


def _log_dir(result: Any, version: int) -> kafka.LogDir:
    return kafka.LogDir(
        path=result.log_dir,
        error=result.error_code.value,
        total_bytes=_known(result.total_bytes) if version >= 4 else None,
        usable_bytes=_known(result.usable_bytes) if version >= 4 else None,
        cordoned=result.is_cordoned if version >= 5 else None,
    )
