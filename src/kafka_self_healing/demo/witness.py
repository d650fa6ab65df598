"""What one node says of the cluster, asked by the demo's own client on a fresh connection."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.kafka_client import kafka_module

_METADATA_VERSION: Final = 9
_CLIENT_ID: Final = "demo-witness"


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition as a node describes it; `leader` is -1 if there is none."""

    topic: str
    number: int
    leader: int
    replicas: frozenset[int]
    in_sync: frozenset[int]

    @property
    def is_whole(self) -> bool:
        """Whether it has a leader and all its replicas are in sync."""
        return self.leader >= 0 and self.in_sync == self.replicas


@dataclass(frozen=True, slots=True)
class Picture:
    """The cluster in one node's words: listed (unfenced) brokers, controller, partitions."""

    brokers: frozenset[int]
    controller: int
    partitions: tuple[Partition, ...]

    def is_whole(self, brokers: frozenset[int]) -> bool:
        """Return whether these brokers are listed and every partition is whole."""
        return self.brokers == brokers and all(one.is_whole for one in self.partitions)

    def in_sync_everywhere(self, broker: int) -> bool:
        """Return whether `broker` is listed and in sync in each partition that it holds."""
        mine = [one for one in self.partitions if broker in one.replicas]
        return broker in self.brokers and all(broker in one.in_sync for one in mine)


def ask_node(
    address: tuple[str, int], timeout_s: float, *, tls: ssl.SSLContext | None = None
) -> Picture:
    """Ask the node at `address` (host, port) for its metadata of all topics; `tls` None: plainly.

    Raises OSError if it cannot be reached or does not answer within `timeout_s` seconds a step, and
    DemoError if it answers something else.
    """
    metadata = kafka_module("kafka.protocol.metadata")
    protocol = kafka_module("kafka.protocol.parser").KafkaProtocol(client_id=_CLIENT_ID)
    protocol.send_request(metadata.MetadataRequest(topics=None, version=_METADATA_VERSION))
    kafka_error: type[Exception] = kafka_module("kafka.errors").KafkaError
    with _open(address, timeout_s, tls) as connection:
        connection.sendall(protocol.send_bytes())
        while True:
            received = connection.recv(65536)
            if not received:
                raise ConnectionResetError(f"{address} closed the connection")
            try:
                answers: Sequence[tuple[int, Any]] = protocol.receive_bytes(received)
            except kafka_error as wrong:
                raise DemoError(f"{address} answers no metadata: {wrong}") from wrong
            if answers:
                return _picture(answers[0][1])


def _open(address: tuple[str, int], timeout_s: float, tls: ssl.SSLContext | None) -> socket.socket:
    connection = socket.create_connection(address, timeout=timeout_s)
    if tls is None:
        return connection
    try:
        return tls.wrap_socket(connection, server_hostname=address[0])
    except OSError:
        connection.close()
        raise


def _picture(answer: Any) -> Picture:
    return Picture(
        frozenset(broker.node_id for broker in answer.brokers),
        answer.controller_id,
        tuple(
            Partition(
                topic.name,
                partition.partition_index,
                partition.leader_id,
                frozenset(partition.replica_nodes),
                frozenset(partition.isr_nodes),
            )
            for topic in answer.topics
            for partition in topic.partitions
        ),
    )
