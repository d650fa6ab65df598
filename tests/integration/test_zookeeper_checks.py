"""The ordinary eyes on a cluster in ZooKeeper mode: brokers and members, well and broken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.integration.clusters.eyes import LATE, Seen, open_eyes
from tests.integration.clusters.inventory import NAME, with_node, zookeeper_inventory
from tests.integration.clusters.kraft import BROKERS
from tests.integration.clusters.zookeeper import MEMBERS, ZooKeeperCluster

from kafka_self_healing.model.access import TlsConfig, ZooKeeperAccess
from kafka_self_healing.model.evidence import (
    JvmFact,
    Kind,
    Outcome,
    PeersFact,
    ProtocolFact,
    QuorumFact,
)
from kafka_self_healing.model.node import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.heavy]

UP_LIMIT_S = 60.0
OWN = (Kind.LISTENER, Kind.PROTOCOL, Kind.SERVICE, Kind.HOST)


@pytest.fixture
def whole(zookeeper_cluster: ZooKeeperCluster) -> Iterator[ZooKeeperCluster]:
    """The cluster, whole again afterwards."""
    yield zookeeper_cluster
    zookeeper_cluster.mend(timeout_s=UP_LIMIT_S)


def member(seen: Seen, node: str) -> ProtocolFact | None:
    """Return the newest words of a member about itself."""
    fact = seen.fact(Kind.PROTOCOL, node)
    return fact if isinstance(fact, ProtocolFact) else None


def leader(seen: Seen) -> str | None:
    """Return the member that calls itself the leader."""
    modes = {node: fact.mode for node in MEMBERS if (fact := member(seen, node)) is not None}
    return next((node for node, mode in modes.items() if mode == "leader"), None)


async def in_health(seen: Seen) -> str:
    """Wait until all kinds were answered and a member led; return it."""
    await seen.until_answered((*OWN, Kind.PEERS, Kind.JVM), BROKERS)
    await seen.until_answered((*OWN, Kind.QUORUM), MEMBERS)
    await seen.until(lambda: leader(seen) is not None, "a leader")
    led = leader(seen)
    assert led is not None
    return led


async def test_all_kinds_are_answered_in_health(whole: ZooKeeperCluster) -> None:
    """Brokers list each other and name the controller, sessions are connected, members serve."""
    async with open_eyes(zookeeper_inventory(whole)) as seen:
        await in_health(seen)
        await seen.until_holds(lambda: assert_brokers_well(seen))
        await seen.until_holds(lambda: assert_members_well(seen))


def assert_brokers_well(seen: Seen) -> None:
    """The newest words about the brokers."""
    peers = seen.fact(Kind.PEERS, NAME)
    assert isinstance(peers, PeersFact)
    assert (set(peers.listed or ()), peers.controller in BROKERS) == (set(BROKERS), True)
    assert {one.name: one.min_isr for one in peers.topics or ()}.get("orders") == 2
    for broker in BROKERS:
        jvm = seen.fact(Kind.JVM, broker)
        assert isinstance(jvm, JvmFact)
        assert (jvm.broker_state, jvm.session) == (3, "CONNECTED")


def assert_members_well(seen: Seen) -> None:
    """The newest words of the members: one leads, the others follow."""
    led = leader(seen)
    assert led is not None
    for node in MEMBERS:
        fact = member(seen, node)
        assert fact is not None
        assert (fact.serving, fact.version) == (True, "3.8.4")
        assert fact.mode == ("leader" if node == led else "follower")
    quorum = seen.fact(Kind.QUORUM, led)
    assert isinstance(quorum, QuorumFact)
    assert (quorum.mode, quorum.leader) == ("leader", led)


async def test_words_that_are_not_whitelisted_are_named(whole: ZooKeeperCluster) -> None:
    """A member as it comes out of the box is well, and says which words it refuses."""
    async with open_eyes(zookeeper_inventory(whole)) as seen:
        await in_health(seen)

        def told() -> None:
            open_fact, shut_fact = member(seen, "zk1"), member(seen, "zk3")
            assert open_fact is not None
            assert shut_fact is not None
            assert open_fact.ruok is True
            assert "ruok" not in (open_fact.refused or ())
            assert "ruok" in (shut_fact.refused or ())
            assert shut_fact.serving is True

        await seen.until_holds(told)


async def test_members_are_asked_through_tls(whole: ZooKeeperCluster) -> None:
    """With TLS set the secured ports bring the same facts, and their certificate."""
    pki = whole.pki
    shown = str(pki.healer)
    tls = TlsConfig(ca_file=str(pki.ca), cert_file=shown, key_file=shown)
    inventory = zookeeper_inventory(whole)
    for node in ("zk1", "zk2"):
        port = whole.servers[node].ports["TLS"]
        known = inventory.nodes[node]
        secured = replace(known, zookeeper_port=port, zookeeper=ZooKeeperAccess(tls=tls))
        inventory = with_node(inventory, secured)
    async with open_eyes(inventory) as seen:
        await in_health(seen)
        await seen.until_answered((Kind.CERTIFICATE,), ("zk1", "zk2"))
    assert {fact.version for node in MEMBERS if (fact := member(seen, node))} == {"3.8.4"}


@pytest.mark.parametrize(
    ("node", "port", "files", "outcomes"),
    [
        ("zk1", "TLS", None, {Outcome.TLS}),
        ("zk1", "TLS", "foreign_ca", {Outcome.TLS}),
        ("zk2", "TLS", "ca", {Outcome.TLS, Outcome.CLOSED}),
        ("zk1", "CLIENT", "ca", {Outcome.TLS, Outcome.CLOSED}),
    ],
    ids=["no TLS", "another authority", "no client certificate", "TLS at the plain port"],
)
async def test_wrong_tls_is_named(
    whole: ZooKeeperCluster, node: str, port: str, files: str | None, outcomes: set[Outcome]
) -> None:
    """Wrong TLS of a member is told as that, with what to do."""
    inventory = _with_tls(whole, node, port, files)
    async with open_eyes(inventory) as seen:
        await seen.until(lambda: bool(seen.ended(Kind.PROTOCOL, node)), "a look at the member")
    told = [one for one in seen.results if one.kind is Kind.PROTOCOL and one.subject == node]
    assert seen.ended(Kind.PROTOCOL, node) <= outcomes, told
    assert all(one.error for one in told)


def _with_tls(whole: ZooKeeperCluster, node: str, port: str, files: str | None) -> Cluster:
    inventory = zookeeper_inventory(whole)
    tls = None if files is None else TlsConfig(ca_file=str(getattr(whole.pki, files)))
    access = ZooKeeperAccess(tls=tls)
    known = inventory.nodes[node]
    wrong = replace(known, zookeeper_port=whole.servers[node].ports[port], zookeeper=access)
    return with_node(inventory, wrong)


async def test_a_hung_member_is_silent_and_the_brokers_are_well(whole: ZooKeeperCluster) -> None:
    """SIGSTOP of a follower: its own silence; no broker loses anything."""
    async with open_eyes(zookeeper_inventory(whole)) as seen:
        led = await in_health(seen)
        victim = next(node for node in MEMBERS if node != led)
        whole.fault(victim, "STOP")
        held_at = len(seen.results)
        await seen.until(
            lambda: seen.outcome(Kind.PROTOCOL, victim) is Outcome.TIMED_OUT, "a silent member"
        )
        await seen.until_holds(lambda: assert_brokers_well(seen))
    after = [one for one in seen.results[held_at:] if one.subject in BROKERS]
    assert {one.outcome for one in after} - LATE == {Outcome.ANSWERED}


async def test_a_lost_ensemble_is_told(whole: ZooKeeperCluster) -> None:
    """Two of three members dead: the survivor serves nobody, the sessions look for another."""
    async with open_eyes(zookeeper_inventory(whole)) as seen:
        await in_health(seen)
        for victim in ("zk2", "zk3"):
            whole.fault(victim, "KILL")

        def lost() -> None:
            survivor = member(seen, "zk1")
            assert survivor is not None
            assert survivor.serving is False
            for broker in BROKERS:
                jvm = seen.fact(Kind.JVM, broker)
                assert isinstance(jvm, JvmFact)
                assert jvm.session not in (None, "CONNECTED")

        await seen.until_holds(lost)
