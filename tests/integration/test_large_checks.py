"""The ordinary eyes on 2,000 partitions, with a user of few rights, while replicas are moved."""

from __future__ import annotations

import resource
from dataclasses import replace

import pytest
from tests.integration.clusters.eyes import Seen, open_eyes
from tests.integration.clusters.inventory import NAME, by_plain, kraft_inventory
from tests.integration.clusters.kraft import CONTROLLERS
from tests.integration.clusters.large import BROKERS, MOVING, TOPICS, VEILED
from tests.integration.clusters.secured import HEALER
from tests.integration.clusters.servers import RealCluster

from kafka_self_healing.model.evidence import (
    CheckResult,
    JvmFact,
    Kind,
    Outcome,
    PeersFact,
    QuorumFact,
)

pytestmark = [pytest.mark.cluster, pytest.mark.heavy]

LOOKS = 4
OWN = (Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.SERVICE, Kind.HOST)


def answered(seen: Seen) -> list[CheckResult]:
    """Return the looks at the peers that brought a fact; a busy machine may be late with one."""
    looks = [one for one in seen.results if one.kind is Kind.PEERS]
    assert {one.outcome for one in looks} <= {Outcome.ANSWERED, Outcome.TIMED_OUT}, looks
    return [one for one in looks if one.outcome is Outcome.ANSWERED]


def assert_topics(seen: Seen) -> None:
    """The newest look at the peers knows all topics, and the one move."""
    peers = seen.fact(Kind.PEERS, NAME)
    assert isinstance(peers, PeersFact)
    assert (set(peers.listed or ()), peers.fenced) == (set(BROKERS), ())
    topics = {topic.name: topic for topic in peers.topics or ()}
    assert topics.keys() >= {*TOPICS, MOVING}
    for name, (partitions, replicas, least) in TOPICS.items():
        topic = topics[name]
        assert len(topic.partitions or ()) == partitions
        assert {len(one.replicas or ()) for one in topic.partitions or ()} == {replicas}
        assert topic.min_isr == (None if name == VEILED else least)
        assert {one.reassigning for one in topic.partitions or ()} == {False}
    (moved,) = topics[MOVING].partitions or ()
    assert (moved.reassigning, set(moved.replicas or ())) == (True, {"1", "2", "3", "4"})
    assert sum(len(topic.partitions or ()) for topic in topics.values()) == 2000


def assert_nodes_well(seen: Seen) -> None:
    """One controller leads, and each broker runs."""
    facts = [one.fact for one in seen.results if isinstance(one.fact, QuorumFact)]
    assert {fact.leader for fact in facts} & set(CONTROLLERS)
    states = [seen.fact(Kind.JVM, broker) for broker in BROKERS]
    assert [one.broker_state for one in states if isinstance(one, JvmFact)] == [3] * len(BROKERS)


async def test_all_is_right_at_two_thousand_partitions(large_cluster: RealCluster) -> None:
    """Every topic has its partitions and min ISR, the veiled one None, and one move is seen."""
    began_s = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    async with open_eyes(kraft_inventory(large_cluster, by_plain())) as seen:
        await seen.until_answered((*OWN, Kind.PEERS), BROKERS)
        await seen.until_answered((*OWN, Kind.QUORUM), CONTROLLERS)
        await seen.until(lambda: len(answered(seen)) >= LOOKS, f"{LOOKS} looks at the peers")
        await seen.until_holds(lambda: assert_topics(seen))
        await seen.until_holds(lambda: assert_nodes_well(seen))
    looks = answered(seen)
    spent_s = resource.getrusage(resource.RUSAGE_SELF).ru_utime - began_s
    took = [one.ended - one.started for one in looks]
    print(
        f"\nlarge: first look at the peers {took[0]:.2f} s, later ones {min(took[1:]):.3f}-"
        f"{max(took[1:]):.3f} s; {len(seen.results)} looks, {spent_s:.1f} s CPU"
    )


async def test_a_wrong_password_is_refused_on_both_listeners(large_cluster: RealCluster) -> None:
    """By PLAIN without TLS, too, a wrong password is told as that by brokers and controllers."""
    reach = by_plain((HEALER[0], "WRONG-S3cret"))
    async with open_eyes(kraft_inventory(large_cluster, reach)) as seen:
        await seen.until(lambda: bool(seen.ended(Kind.PEERS, NAME)), "a look at the peers")
        await seen.until(lambda: bool(seen.ended(Kind.QUORUM, "11")), "a look at a controller")
    for kind, about in ((Kind.PEERS, NAME), (Kind.QUORUM, "11")):
        assert seen.ended(kind, about) == {Outcome.AUTHENTICATION}
    assert not [one for one in seen.results if "S3cret" in one.error]


async def test_controllers_without_rights_are_not_taken_for_dead(
    large_cluster: RealCluster,
) -> None:
    """Without any login at a controller the quorum is unknown to us, and liveness is still seen."""
    reach = by_plain()
    reach = replace(reach, controller=replace(reach.controller, sasl=None))
    async with open_eyes(kraft_inventory(large_cluster, reach)) as seen:
        await seen.until(lambda: bool(seen.ended(Kind.QUORUM, "11")), "a look at a controller")
        await seen.until_answered((Kind.PROTOCOL,), CONTROLLERS)
    assert seen.ended(Kind.QUORUM, "11") == {Outcome.AUTHENTICATION}
