"""The embedded Kafka cluster: real brokers as local processes under the demo's supervisor.

The interface blocks; asynchronous callers use `asyncio.to_thread`. Typical use::

    with EmbeddedCluster.prepare(folder, ClusterSettings(), java=java, jars=jars) as cluster:
        cluster.start_all()
        cluster.wait_whole(timeout_s=60)
        cluster.create_topics({"orders": 6})
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.java import Java
from kafka_self_healing.demo.kafka_client import kafka_module
from kafka_self_healing.demo.layout import (
    ClusterSettings,
    Node,
    broker_definition,
    format_storage,
    plan_nodes,
    write_properties,
)
from kafka_self_healing.demo.node_process import write_definitions
from kafka_self_healing.demo.supervised import Supervised, clean_folder
from kafka_self_healing.demo.witness import Picture, ask_node

REPLICATION_FACTOR: Final = 3
MIN_IN_SYNC: Final = 2
_ASK_TIMEOUT_S: Final = 1.0


class EmbeddedCluster(Supervised):
    """A few combined broker and controller nodes on loopback, kept by a supervisor."""

    def __init__(self, directory: Path, nodes: Mapping[int, Node], cluster_id: str) -> None:
        super().__init__(directory)
        self.nodes = dict(nodes)
        self.cluster_id = cluster_id

    @classmethod
    def prepare(
        cls, directory: Path, settings: ClusterSettings, *, java: Java, jars: Sequence[Path]
    ) -> Self:
        """Lay out a new cluster in `directory`; nothing runs yet.

        Ends what a killed run left there and removes that run's nodes and acts. Raises DemoError if
        the folder is in use or the storage cannot be formatted.
        """
        directory = clean_folder(directory)
        nodes = plan_nodes(directory, settings.nodes)
        write_properties(nodes, settings)
        cluster_id = format_storage(nodes, java, jars, settings)
        definitions = {
            str(node.id): broker_definition(node, java, jars, settings) for node in nodes.values()
        }
        write_definitions(directory, definitions)
        return cls(directory, nodes, cluster_id)

    @property
    def bootstrap(self) -> list[str]:
        """`host:port` of every node."""
        return [f"{node.host}:{node.kafka_port}" for node in self.nodes.values()]

    def start_all(self) -> None:
        """Start every node."""
        for node in self.nodes:
            self.start(node)

    def ask(self, node: int, *, timeout_s: float = _ASK_TIMEOUT_S) -> Picture:
        """Return the cluster in the words of `node`. Raises OSError if it does not answer."""
        one = self.nodes[node]
        return ask_node((one.host, one.kafka_port), timeout_s)

    def wait_whole(self, *, timeout_s: float) -> float:
        """Wait until all nodes list all nodes and every partition is in sync; return the seconds.

        Raises DemoError with the reason and the end of the logs after `timeout_s` seconds.
        """
        everyone = frozenset(self.nodes)

        def is_whole() -> bool:
            return all(self.ask(node).is_whole(everyone) for node in self.nodes)

        return self.wait_until(is_whole, "all nodes in sync", timeout_s=timeout_s)

    def create_topics(
        self,
        partitions: Mapping[str, int],
        *,
        replication_factor: int = REPLICATION_FACTOR,
        min_in_sync: int = MIN_IN_SYNC,
    ) -> None:
        """Create topics (name: number of partitions) and wait until each has its leaders."""
        wanted = {
            name: {
                "num_partitions": number,
                "replication_factor": min(replication_factor, len(self.nodes)),
                "configs": {"min.insync.replicas": str(min(min_in_sync, len(self.nodes)))},
            }
            for name, number in partitions.items()
        }
        self.create_topics_as(wanted)

    def create_topics_as(self, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        """Create topics in kafka-python's own terms (`assignments`, `configs` ...)."""
        kafka = kafka_module()
        admin = kafka.KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.create_topics(dict(wanted), timeout_ms=30_000, wait_for_metadata=True)
        except kafka.errors.KafkaError as failure:
            raise DemoError(f"topics {sorted(wanted)} cannot be created: {failure}") from failure
        finally:
            admin.close()
