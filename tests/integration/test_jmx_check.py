"""The JMX check at real nodes: the MBeans of Kafka 4 and 3.9 have the names that it asks for."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import fields
from typing import cast

import pytest
from tests.integration.clusters.inventory import (
    Reach,
    kraft_inventory,
    secured_inventory,
    zookeeper_inventory,
)
from tests.integration.clusters.secured import SecuredCluster
from tests.integration.clusters.servers import RealCluster
from tests.integration.clusters.zookeeper import ZooKeeperCluster
from tests.integration.conftest import MakeCluster

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.demo.layout import ClusterSettings
from kafka_self_healing.demo.slow_start import SLOW_START_PROPERTIES, fill_for_slow_start
from kafka_self_healing.hosts import Host
from kafka_self_healing.model.evidence import JvmFact, Kind, Outcome
from kafka_self_healing.model.node import Cluster, NodeConfig, Role
from kafka_self_healing.monitoring import JMXMonitoringPlugin
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.wire.jmx import JmxClient

pytestmark = pytest.mark.cluster

LIMIT_S = 20.0
RECOVERY_LIMIT_S = 120.0
RUNNING = 3
MACHINE = {"open_files", "max_files", "heap"}
SERVER = MACHINE | {"idle", "request_queue"}
BROKER = SERVER | {"broker_state", "offline_log_dirs", "under_replicated"}
CONTROLLER = {"active_controller", "offline_partitions"}
RAFT = {"raft_state", "raft_leader", "metadata_errors", "applied_lag_ms"}


def looked(cluster: Cluster) -> LookContext:
    """Return the context of a look."""
    return LookContext(
        kind=Kind.JVM,
        cluster=cluster,
        timeout_s=LIMIT_S,
        clock=SystemClock(),
        logger=logging.getLogger("test"),
        host=cast("Host", None),  # it is not asked
        service=None,
        on_hint=lambda why: None,
    )


async def look(plugin: JMXMonitoringPlugin, cluster: Cluster, node: NodeConfig) -> JvmFact:
    """Look at one node and return its fact."""
    (result,) = await plugin.check(node, looked(cluster))
    assert isinstance(result.fact, JvmFact), result
    return result.fact


async def look_if_up(
    plugin: JMXMonitoringPlugin, cluster: Cluster, node: NodeConfig
) -> JvmFact | None:
    """Look at a node that dies or starts; None: it does not answer just now."""
    (result,) = await plugin.check(node, looked(cluster))
    assert result.outcome not in {Outcome.TLS, Outcome.AUTHENTICATION}, result
    return result.fact if isinstance(result.fact, JvmFact) else None


async def facts(cluster: Cluster) -> dict[str, JvmFact]:
    """Look at every node twice; return the second facts, which were read by known shapes.

    Waits for the meters of nodes that were started just now: they tick every five seconds.
    """
    plugin = JMXMonitoringPlugin()
    nodes = [node for node in cluster.nodes.values() if node.jmx_port is not None]
    async with asyncio.timeout(LIMIT_S):
        for node in nodes:
            while not node.is_member and (await look(plugin, cluster, node)).idle is None:
                await asyncio.sleep(0.5)
    first = {node.id: known(await look(plugin, cluster, node)) for node in nodes}
    second = {node.id: await look(plugin, cluster, node) for node in nodes}
    await plugin.close()
    assert {id_: known(fact) for id_, fact in second.items()} == first
    return second


def known(fact: JvmFact) -> set[str]:
    """Return the names of the fields that are not None."""
    return {one.name for one in fields(fact) if getattr(fact, one.name) is not None}


def is_sane(fact: JvmFact) -> bool:
    """Return whether the numbers of a healthy node are such."""
    assert fact.open_files is not None
    assert fact.max_files is not None
    assert fact.heap is not None
    assert 0 < fact.open_files < fact.max_files
    assert 0.0 < fact.heap <= 1.0
    assert fact.idle is None or 0.3 < fact.idle < 2.0
    assert fact.applied_lag_ms is None or 0 <= fact.applied_lag_ms < 60_000
    assert not math.isnan(fact.heap)
    return (fact.metadata_errors or 0, fact.offline_log_dirs or 0) == (0, 0)


async def test_combined_nodes(cluster: EmbeddedCluster) -> None:
    """Kafka 4, both roles in one process: every field that is not of ZooKeeper or of a start."""
    roles = frozenset({Role.BROKER, Role.CONTROLLER})
    nodes = {
        str(node.id): NodeConfig(str(node.id), roles, host=node.host, jmx_port=node.jmx_port)
        for node in cluster.nodes.values()
    }
    found = await facts(Cluster("embedded", nodes=nodes))
    assert {id_: known(fact) for id_, fact in found.items()} == dict.fromkeys(
        nodes, BROKER | CONTROLLER | RAFT
    )
    assert all(is_sane(fact) for fact in found.values())
    assert [fact.broker_state for fact in found.values()] == [3, 3, 3]
    assert sorted(fact.active_controller is True for fact in found.values()) == [False, False, True]
    (leader,) = {fact.raft_leader for fact in found.values()}
    assert leader is not None
    assert found[leader].active_controller


async def test_the_names_of_a_recovery_can_be_searched_for(cluster: EmbeddedCluster) -> None:
    """A pattern within the name, as it is used for the gauges of a recovery, finds others here."""
    node = cluster.nodes[1]
    client = JmxClient(node.host, node.jmx_port, timeout_s=LIMIT_S)
    found = await client.query("kafka.log:type=LogManager,name=Offline*Count,*")
    assert found == ["kafka.log:type=LogManager,name=OfflineLogDirectoryCount"]
    assert await client.query("kafka.log:type=LogManager,name=remaining*ToRecover,*") == []
    await client.close()


async def test_secured_nodes(secured_cluster: SecuredCluster) -> None:
    """The same over TLS with a password."""
    found = await facts(secured_inventory(secured_cluster))
    assert {frozenset(known(fact)) for fact in found.values()} == {
        frozenset(BROKER | CONTROLLER | RAFT)
    }
    assert all(is_sane(fact) for fact in found.values())


@pytest.mark.heavy
async def test_separate_nodes(separate_cluster: RealCluster) -> None:
    """Brokers know nothing of partitions offline, controllers nothing of broker states."""
    inventory = kraft_inventory(separate_cluster, Reach("PLAINTEXT"))
    found = await facts(inventory)
    for id_, fact in found.items():
        is_broker = inventory.nodes[id_].is_broker
        assert known(fact) == RAFT | (BROKER if is_broker else SERVER | CONTROLLER), id_
        assert is_sane(fact)
    assert sum(fact.active_controller is True for fact in found.values()) == 1


@pytest.mark.heavy
async def test_nodes_in_zookeeper_mode(zookeeper_cluster: ZooKeeperCluster) -> None:
    """Kafka 3.9: no raft, a session instead, one controller; ZooKeeper servers: the JVM alone."""
    inventory = zookeeper_inventory(zookeeper_cluster)
    found = await facts(inventory)
    members = {id_: found.pop(id_) for id_, node in inventory.nodes.items() if node.is_member}
    assert {frozenset(known(fact)) for fact in members.values()} == {frozenset(MACHINE)}
    assert {frozenset(known(fact)) for fact in found.values()} == {
        frozenset(BROKER | CONTROLLER | {"session"})
    }
    assert all(is_sane(fact) for fact in found.values())
    assert {fact.session for fact in found.values()} == {"CONNECTED"}
    assert sum(fact.active_controller is True for fact in found.values()) == 1


@pytest.mark.heavy
async def test_a_recovery_is_seen_falling(make_cluster: MakeCluster) -> None:
    """A start after a crash with thousands of segments: logs and segments left, until it runs."""
    settings = ClusterSettings(extra_properties=SLOW_START_PROPERTIES)
    cluster = await asyncio.to_thread(make_cluster, settings)
    await asyncio.to_thread(fill_for_slow_start, cluster, 2, segments=4000)
    cluster.fault(2, "KILL")
    cluster.wait_until(lambda: not cluster.status(2)["pid"], "node 2 is dead", timeout_s=LIMIT_S)
    cluster.start(2)
    node = NodeConfig("2", frozenset(Role) - {Role.ENSEMBLE}, jmx_port=cluster.nodes[2].jmx_port)
    plugin, inventory = JMXMonitoringPlugin(), Cluster("embedded", nodes={"2": node})
    seen: list[JvmFact] = []
    async with asyncio.timeout(RECOVERY_LIMIT_S):
        while not seen or seen[-1].broker_state != RUNNING:
            fact = await look_if_up(plugin, inventory, node)
            seen += [fact] if fact is not None else []
            await asyncio.sleep(0.1)
    await plugin.close()
    logs = [fact.remaining_logs for fact in seen if fact.remaining_logs is not None]
    segments = [fact.remaining_segments for fact in seen if fact.remaining_segments is not None]
    assert logs == sorted(logs, reverse=True)
    assert len(set(logs)) > 2
    assert max(segments) > 0
    assert (seen[-1].remaining_logs, seen[-1].remaining_segments) == (None, None)
    print(
        f"\nlogs left {logs[0]}..{logs[-1]} in {len(logs)} looks, segments at most {max(segments)}"
    )
