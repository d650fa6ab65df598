"""Kafka's own protocol, read only: the requests a watcher needs, on one warm connection a listener.

Usable on its own: standard library and `kafka_self_healing.errors` only. Absent fields are None.
"""

from kafka_self_healing.wire.kafka.api_versions import ApiVersions, ApiVersionsReply
from kafka_self_healing.wire.kafka.cluster import (
    ClusterNode,
    ClusterReply,
    DescribeCluster,
    EndpointType,
)
from kafka_self_healing.wire.kafka.configs import (
    ConfigResource,
    ConfigsReply,
    ConfigValues,
    DescribeConfigs,
    ResourceType,
)
from kafka_self_healing.wire.kafka.connection import KafkaConnection, connect
from kafka_self_healing.wire.kafka.errors import (
    NOT_LEADER_OR_FOLLOWER,
    STORAGE_ERROR,
    KafkaAuthorisationError,
    KafkaClosedError,
    KafkaProtocolError,
    KafkaRefusedError,
    KafkaResetError,
    KafkaTimedOutError,
    KafkaTlsError,
    KafkaUnreachableError,
    KafkaUnsupportedError,
    KafkaWireError,
    KafkaWrongListenerError,
)
from kafka_self_healing.wire.kafka.log_dirs import DescribeLogDirs, LogDir, LogDirsReply
from kafka_self_healing.wire.kafka.metadata import (
    BrokerMetadata,
    Metadata,
    MetadataReply,
    PartitionMetadata,
    TopicMetadata,
)
from kafka_self_healing.wire.kafka.quorum import (
    DescribeQuorum,
    QuorumEndpoint,
    QuorumNode,
    QuorumReplica,
    QuorumReply,
)
from kafka_self_healing.wire.kafka.reassignments import (
    ListPartitionReassignments,
    Reassignment,
    ReassignmentsReply,
)
from kafka_self_healing.wire.kafka.request import Api, Request

__all__ = [
    "NOT_LEADER_OR_FOLLOWER",
    "STORAGE_ERROR",
    "Api",
    "ApiVersions",
    "ApiVersionsReply",
    "BrokerMetadata",
    "ClusterNode",
    "ClusterReply",
    "ConfigResource",
    "ConfigValues",
    "ConfigsReply",
    "DescribeCluster",
    "DescribeConfigs",
    "DescribeLogDirs",
    "DescribeQuorum",
    "EndpointType",
    "KafkaAuthorisationError",
    "KafkaClosedError",
    "KafkaConnection",
    "KafkaProtocolError",
    "KafkaRefusedError",
    "KafkaResetError",
    "KafkaTimedOutError",
    "KafkaTlsError",
    "KafkaUnreachableError",
    "KafkaUnsupportedError",
    "KafkaWireError",
    "KafkaWrongListenerError",
    "ListPartitionReassignments",
    "LogDir",
    "LogDirsReply",
    "Metadata",
    "MetadataReply",
    "PartitionMetadata",
    "QuorumEndpoint",
    "QuorumNode",
    "QuorumReplica",
    "QuorumReply",
    "Reassignment",
    "ReassignmentsReply",
    "Request",
    "ResourceType",
    "TopicMetadata",
    "connect",
]
