"""The canary on real clusters: a record through each broker, plain and secured, and what it tells.

The topics that it makes here are deleted again: the clusters are left as they were found.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.integration.clusters.inventory import (
    Reach,
    by_certificate,
    by_scram,
    by_token,
    secured_inventory,
    tls_of,
)
from tests.integration.clusters.secured import ADMIN, HEALER, STRANGER, SecuredCluster, allow, give
from tests.integration.test_eyes import inventory

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.demo.kafka_client import kafka_module
from kafka_self_healing.hosts import LocalHost
from kafka_self_healing.model.access import (
    CanaryConfig,
    ListenerAccess,
    SaslConfig,
    SaslMechanism,
)
from kafka_self_healing.model.evidence import CanaryFact, CheckResult, Kind, Outcome
from kafka_self_healing.model.node import Cluster, NodeConfig
from kafka_self_healing.monitoring.checks.canary import CanaryMonitoringPlugin
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.secret import Secret

pytestmark = pytest.mark.cluster

MADE = CanaryConfig("kheal-canary", create=True, retention_s=600.0)
TIMEOUT_S = 20.0


async def see(plugin: CanaryMonitoringPlugin, watched: Cluster, node: NodeConfig) -> CheckResult:
    """Look once."""
    clock = SystemClock()
    context = LookContext(
        kind=Kind.CANARY,
        cluster=watched,
        timeout_s=TIMEOUT_S,
        clock=clock,
        logger=logging.getLogger("test"),
        host=LocalHost(clock),
        service=None,
        on_hint=lambda why: None,
    )
    (result,) = await plugin.check(node, context)
    return result


async def through_all(watched: Cluster, canary: CanaryConfig) -> dict[str, CheckResult]:
    """Look once at each broker, by one plugin."""
    plugin = CanaryMonitoringPlugin(canary=canary)
    try:
        return {id_: await see(plugin, watched, node) for id_, node in watched.nodes.items()}
    finally:
        await plugin.close()


@pytest.fixture
def whole(cluster: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    """The session's cluster, without our topic afterwards."""
    yield cluster
    first = next(iter(cluster.nodes.values()))
    servers = [f"{first.host}:{first.kafka_port}"]
    admin = kafka_module("kafka.admin").KafkaAdminClient(bootstrap_servers=servers)
    try:
        admin.delete_topics([MADE.topic])
    finally:
        admin.close()
    cluster.wait_whole(timeout_s=TIMEOUT_S)


async def test_a_record_goes_through_each_broker(whole: EmbeddedCluster) -> None:
    """The topic is made with a partition for each broker, and each brings a record back."""
    watched = inventory(whole)
    missing = CanaryConfig(MADE.topic)
    for result in (await through_all(watched, missing)).values():
        assert result.outcome is Outcome.PROTOCOL
        assert "set canary.create" in result.error
    for _ in range(2):  # made, and found
        results = await through_all(watched, MADE)
        partitions = set()
        for result in results.values():
            assert (result.outcome, result.error) == (Outcome.ANSWERED, "")
            assert isinstance(result.fact, CanaryFact)
            assert result.fact.produce_ms is not None
            assert result.fact.consume_ms is not None
            assert 0 < result.fact.produce_ms < TIMEOUT_S * 1000
            partitions.add(result.fact.partition)
        assert partitions == {0, 1, 2}


async def test_a_broker_that_leads_nothing_is_not_tried(whole: EmbeddedCluster) -> None:
    """Without a partition of its own there is nothing to try, and nothing to complain of."""
    watched = inventory(whole)
    await through_all(watched, MADE)
    other = replace(next(iter(watched.nodes.values())), id="99")
    plugin = CanaryMonitoringPlugin(canary=MADE)
    result = await see(plugin, watched, other)
    await plugin.close()
    assert result.outcome is Outcome.ANSWERED
    assert result.fact == CanaryFact(topic=MADE.topic)


@pytest.fixture
def guarded(secured_cluster: SecuredCluster) -> Iterator[SecuredCluster]:
    """The secured cluster, without our topic and its rights afterwards."""
    yield secured_cluster
    names = kafka_module("kafka.admin")
    with secured_cluster.admin("SCRAM") as admin:
        admin.delete_topics([MADE.topic])
        on = names.ResourcePatternFilter(
            names.ResourceType.TOPIC, MADE.topic, names.ACLResourcePatternType.LITERAL
        )
        admin.delete_acls(
            [names.ACLFilter(None, None, names.ACLOperation.ANY, names.ACLPermissionType.ANY, on)]
        )
    secured_cluster.wait_whole(timeout_s=TIMEOUT_S)


async def one(reach: Reach, guarded: SecuredCluster) -> CheckResult:
    """Look at node 1, reached as said."""
    watched = secured_inventory(guarded, reach)
    plugin = CanaryMonitoringPlugin(canary=MADE)
    try:
        return await see(plugin, watched, watched.nodes["1"])
    finally:
        await plugin.close()


async def test_every_login_and_every_missing_right(guarded: SecuredCluster) -> None:
    """Rights and logins that are wrong are told as such; every login that is right goes through."""
    pki = guarded.pki
    watched = secured_inventory(guarded, by_scram(pki, ADMIN))
    for result in (await through_all(watched, MADE)).values():
        assert (result.outcome, result.error) == (Outcome.ANSWERED, "")
    wrongs = {
        "DESCRIBE": by_scram(pki, STRANGER),
        "WRITE": by_scram(pki),
        "not accept": by_scram(pki, (HEALER[0], "WRONG")),
    }
    for said, reach in wrongs.items():
        result = await one(reach, guarded)
        refused = Outcome.AUTHENTICATION if said == "not accept" else Outcome.AUTHORISATION
        assert result.outcome is refused, result
        if refused is Outcome.AUTHORISATION:
            assert said in result.error
        assert HEALER[1] not in result.error
    names = kafka_module("kafka.admin")
    with guarded.admin("SCRAM") as admin:
        topic = (names.ResourceType.TOPIC, MADE.topic)
        rights = (names.ACLOperation.WRITE, names.ACLOperation.READ)
        admin.create_acls([allow(HEALER[0], right, topic) for right in rights])
    token = guarded.issuer.token(HEALER[0])
    oauth = SaslConfig(SaslMechanism.OAUTHBEARER, token=Secret(token))
    weaker = SaslConfig(SaslMechanism.SCRAM_SHA_256, HEALER[0], Secret(HEALER[1]))
    named = replace(tls_of(pki), server_name="localhost")
    for reach in (
        by_scram(pki),
        replace(by_scram(pki), kafka=ListenerAccess(named, weaker)),
        by_certificate(pki),
        by_token(pki, oauth),
    ):
        result = await one(reach, guarded)
        assert (result.outcome, result.error) == (Outcome.ANSWERED, ""), reach.listener
        assert isinstance(result.fact, CanaryFact)
        assert result.fact.partition is not None


async def test_create_is_all_that_the_making_needs(guarded: SecuredCluster) -> None:
    """Besides READ and WRITE the healer needs CREATE on the topic, and nothing else."""
    names = kafka_module("kafka.admin")
    topic = (names.ResourceType.TOPIC, MADE.topic)
    rights = names.ACLOperation
    with guarded.admin("SCRAM") as admin:
        give(admin, [allow(HEALER[0], right, topic) for right in (rights.READ, rights.WRITE)])
    without = await one(by_scram(guarded.pki), guarded)
    with guarded.admin("SCRAM") as admin:
        give(admin, [allow(HEALER[0], rights.CREATE, topic)])
    made = await one(by_scram(guarded.pki), guarded)
    assert without.outcome is Outcome.AUTHORISATION, without
    assert "CREATE" in without.error
    assert (made.outcome, made.error) == (Outcome.ANSWERED, "")
