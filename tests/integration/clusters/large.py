"""The larger cluster: five brokers, three controllers, 2,000 partitions, a user with few rights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.integration.clusters.kraft import (
    CONTROLLERS,
    format_servers,
    kafka_line,
    kraft_properties,
)
from tests.integration.clusters.secured import ADMIN, HEALER, allow, give
from tests.integration.clusters.servers import (
    CONTROLLER,
    Plan,
    Program,
    RealCluster,
    plan_servers,
    write_servers,
)

from kafka_self_healing.demo.kafka_client import kafka_module
from kafka_self_healing.demo.layout import write_settings
from kafka_self_healing.demo.supervised import clean_folder
from kafka_self_healing.model.node import Role

BROKERS: Final = ("1", "2", "3", "4", "5")
PROTOCOLS: Final = {
    "INTERNAL": "PLAINTEXT",
    "CLIENTS": "SASL_PLAINTEXT",
    CONTROLLER: "SASL_PLAINTEXT",
}
TOPICS: Final = {
    "once": (200, 1, 1),
    "twice": (300, 2, 1),
    "loose": (400, 3, 1),
    "usual": (500, 3, 2),
    "usual-too": (500, 3, 2),
    "strict": (95, 3, 3),
    "veiled": (4, 3, 2),
}
"""Name: partitions, replication factor, min.insync.replicas. With `MOVING` 2,000 partitions."""

VEILED: Final = "veiled"
"""The topic whose configuration the healer may not read."""

MOVING: Final = "moving"
"""One partition, whose replicas are being moved from 1, 2 to 3, 4, a few bytes a second."""

_LATE: Final = ("strict", VEILED)
_PLAIN: Final = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_RECORD: Final = b"x" * 65_536
_RECORDS: Final = 512
_FETCH_BYTES: Final = 65_536
_CREATE_TIMEOUT_MS: Final = 120_000
_FILL_LIMIT_S: Final = 120.0


def large_cluster(directory: Path, program: Program) -> RealCluster:
    """Lay out the cluster in `directory`; nothing runs yet."""
    directory = clean_folder(directory)
    plans = {id_: Plan(frozenset({Role.CONTROLLER}), [CONTROLLER]) for id_ in CONTROLLERS}
    plans |= {id_: Plan(frozenset({Role.BROKER}), ["INTERNAL", "CLIENTS"]) for id_ in BROKERS}
    servers = plan_servers(directory, plans)
    for server in servers.values():
        properties = kraft_properties(server, servers, PROTOCOLS)
        write_settings(server.properties_file, {**properties, **_guarded()})
    format_servers(program, servers)
    lines = {id_: kafka_line(program, server) for id_, server in servers.items()}
    write_servers(directory, servers, lines)
    return RealCluster(directory, servers, look_at="INTERNAL")


def fill(cluster: RealCluster) -> None:
    """Make the topics, give the healer its few rights, and begin a move that does not end."""
    from kafka.admin import ACLOperation, ResourceType

    see, configs = ACLOperation.DESCRIBE, ACLOperation.DESCRIBE_CONFIGS
    everywhere = [(ResourceType.CLUSTER, "kafka-cluster"), (ResourceType.TOPIC, "*")]
    rules = [allow(HEALER[0], right, on) for right in (see, configs) for on in everywhere]
    rules.append(allow(HEALER[0], configs, (ResourceType.TOPIC, VEILED), deny=True))
    with cluster.admin() as admin:
        give(admin, rules)
    wanted = _wanted()
    late = {name: wanted.pop(name) for name in _LATE}
    _create(cluster, wanted)
    with cluster.admin() as admin:
        _throttle(admin)
    # A broker may be far behind with what it does about the metadata: of a throttle and a move that
    # it learns at once it does the move first. It shows a topic before it does what came with it,
    # but after all that came before: so both are done by who shows the second.
    for name, topic in late.items():
        _create(cluster, {name: topic})
    _write(cluster)
    with cluster.admin() as admin:
        admin.alter_partition_reassignments({_moving_partition(): [3, 4]})
    cluster.wait_until(lambda: _is_moving(cluster), "the move has begun", timeout_s=_FILL_LIMIT_S)


def _create(cluster: RealCluster, wanted: Mapping[str, dict[str, Any]]) -> None:
    """Make topics, and wait until every broker shows them, whole."""

    def is_there() -> bool:
        shown = [{one.topic for one in cluster.ask(node.id).partitions} for node in cluster.brokers]
        return all(wanted.keys() <= topics for topics in shown) and cluster.is_whole()

    with cluster.admin() as admin:
        admin.create_topics(dict(wanted), timeout_ms=_CREATE_TIMEOUT_MS, wait_for_metadata=False)
    cluster.wait_until(is_there, f"topics {', '.join(wanted)}", timeout_s=_FILL_LIMIT_S)


def _is_moving(cluster: RealCluster) -> bool:
    (moved,) = [one for one in cluster.ask("1").partitions if one.topic == MOVING]
    return moved.replicas == {1, 2, 3, 4} and not moved.is_whole


def _wanted() -> dict[str, dict[str, Any]]:
    wanted: dict[str, dict[str, Any]] = {
        name: {
            "num_partitions": partitions,
            "replication_factor": replicas,
            "configs": {"min.insync.replicas": str(least)},
        }
        for name, (partitions, replicas, least) in TOPICS.items()
    }
    throttled = dict.fromkeys(
        ("leader.replication.throttled.replicas", "follower.replication.throttled.replicas"), "*"
    )
    wanted[MOVING] = {
        "assignments": {0: [1, 2]},
        "configs": {"min.insync.replicas": "1", **throttled},
    }
    return wanted


def _throttle(admin: Any) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType

    rates = dict.fromkeys(
        ("leader.replication.throttled.rate", "follower.replication.throttled.rate"), "1"
    )
    resources = [
        ConfigResource(ConfigResourceType.BROKER, broker, configs=rates) for broker in BROKERS
    ]
    admin.alter_configs(resources, raise_on_unknown=False)  # the client's list of names is short


def _write(cluster: RealCluster) -> None:
    bootstrap = [f"{one.host}:{one.ports['INTERNAL']}" for one in cluster.brokers]
    # Without waiting for the followers: these, too, are throttled.
    producer = kafka_module().KafkaProducer(bootstrap_servers=bootstrap, acks=1)
    try:
        for _ in range(_RECORDS):
            producer.send(MOVING, _RECORD).get(timeout=30)
    finally:
        producer.close()


def _moving_partition() -> Any:
    return kafka_module("kafka.structs").TopicPartition(MOVING, 0)


def _guarded() -> Mapping[str, str]:
    users = " ".join(f'user_{name}="{password}"' for name, password in (ADMIN, HEALER))
    own = f'username="{ADMIN[0]}" password="{ADMIN[1]}"'
    return {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{ADMIN[0]}",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": f"{_PLAIN} {own} {users};",
        "listener.name.clients.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.clients.plain.sasl.jaas.config": f"{_PLAIN} {users};",
        "replica.fetch.max.bytes": str(_FETCH_BYTES),
        "replica.fetch.response.max.bytes": str(_FETCH_BYTES),
        "log.index.size.max.bytes": "4096",
    }
