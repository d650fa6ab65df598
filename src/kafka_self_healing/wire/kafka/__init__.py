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
from kafka_self_healing.wire.kafka.connection import KafkaConnection
from kafka_self_healing.wire.kafka.errors import (
    NOT_LEADER_OR_FOLLOWER,
    STORAGE_ERROR,
    KafkaAuthenticationError,
    KafkaAuthorisationError,
    KafkaClosedError,
    KafkaProtocolError,
    KafkaRefusedError,
    KafkaResetError,
    KafkaSetupError,
    KafkaTimedOutError,
    KafkaTlsError,
    KafkaUnreachableError,
    KafkaUnsupportedError,
    KafkaWireError,
    KafkaWrongListenerError,
)
from kafka_self_healing.wire.kafka.kerberos import KerberosLogin
from kafka_self_healing.wire.kafka.log_dirs import DescribeLogDirs, LogDir, LogDirsReply
from kafka_self_healing.wire.kafka.metadata import (
    BrokerMetadata,
    KnownMetadata,
    Metadata,
    MetadataReply,
    PartitionMetadata,
    TopicMetadata,
)
from kafka_self_healing.wire.kafka.offsets import (
    ListOffsets,
    OffsetPlace,
    OffsetsReply,
    PartitionOffset,
)
from kafka_self_healing.wire.kafka.opening import connect, login_wanted
from kafka_self_healing.wire.kafka.primitives import Kept
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
from kafka_self_healing.wire.kafka.sasl import BearerLogin, PlainLogin, SaslLogin
from kafka_self_healing.wire.kafka.sasl_requests import (
    AuthenticateReply,
    HandshakeReply,
    SaslAuthenticate,
    SaslHandshake,
)
from kafka_self_healing.wire.kafka.scram import ScramLogin
from kafka_self_healing.wire.kafka.topic_partitions import (
    Cursor,
    DescribeTopicPartitions,
    ElrPartition,
    ElrTopic,
    TopicPartitionsReply,
)

__all__ = [
    "NOT_LEADER_OR_FOLLOWER",
    "STORAGE_ERROR",
    "Api",
    "ApiVersions",
    "ApiVersionsReply",
    "AuthenticateReply",
    "BearerLogin",
    "BrokerMetadata",
    "ClusterNode",
    "ClusterReply",
    "ConfigResource",
    "ConfigValues",
    "ConfigsReply",
    "Cursor",
    "DescribeCluster",
    "DescribeConfigs",
    "DescribeLogDirs",
    "DescribeQuorum",
    "DescribeTopicPartitions",
    "ElrPartition",
    "ElrTopic",
    "EndpointType",
    "HandshakeReply",
    "KafkaAuthenticationError",
    "KafkaAuthorisationError",
    "KafkaClosedError",
    "KafkaConnection",
    "KafkaProtocolError",
    "KafkaRefusedError",
    "KafkaResetError",
    "KafkaSetupError",
    "KafkaTimedOutError",
    "KafkaTlsError",
    "KafkaUnreachableError",
    "KafkaUnsupportedError",
    "KafkaWireError",
    "KafkaWrongListenerError",
    "Kept",
    "KerberosLogin",
    "KnownMetadata",
    "ListOffsets",
    "ListPartitionReassignments",
    "LogDir",
    "LogDirsReply",
    "Metadata",
    "MetadataReply",
    "OffsetPlace",
    "OffsetsReply",
    "PartitionMetadata",
    "PartitionOffset",
    "PlainLogin",
    "QuorumEndpoint",
    "QuorumNode",
    "QuorumReplica",
    "QuorumReply",
    "Reassignment",
    "ReassignmentsReply",
    "Request",
    "ResourceType",
    "SaslAuthenticate",
    "SaslHandshake",
    "SaslLogin",
    "ScramLogin",
    "TopicMetadata",
    "TopicPartitionsReply",
    "connect",
    "login_wanted",
]
