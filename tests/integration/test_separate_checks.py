"""The ordinary eyes on separate controllers: who is who in health, a hang and a death of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.integration.clusters.eyes import LATE, Seen, open_eyes
from tests.integration.clusters.inventory import NAME, Reach, kraft_inventory
from tests.integration.clusters.kraft import BROKERS, CONTROLLERS
from tests.integration.clusters.servers import RealCluster

from kafka_self_healing.model.evidence import (
    CheckResult,
    JvmFact,
    Kind,
    Outcome,
    PeersFact,
    QuorumFact,
    ServiceFact,
)

pytestmark = [pytest.mark.cluster, pytest.mark.heavy]

UP_LIMIT_S = 60.0
STALE_MS = 2000
OWN = (Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.SERVICE, Kind.HOST)
PLAIN = Reach("PLAINTEXT")


def quorum(seen: Seen) -> QuorumFact | None:
    """Return the newest account of a leader."""
    for one in reversed(seen.results):
        if isinstance(one.fact, QuorumFact) and one.fact.leader is not None:
            return one.fact
    return None


def stale_ms(fact: QuorumFact, voter: str) -> int:
    """Return how long ago `voter` fetched, by the leader's clock."""
    fetched = next(one.last_fetch_ms for one in fact.voters or () if one.id == voter)
    assert fact.now_ms is not None
    assert fetched is not None
    return fact.now_ms - fetched


async def in_health(seen: Seen) -> QuorumFact:
    """Wait until all kinds were answered and a leader spoke; return what it said."""
    await seen.until_answered((*OWN, Kind.PEERS), BROKERS)
    await seen.until_answered((*OWN, Kind.QUORUM), CONTROLLERS)
    await seen.until(lambda: quorum(seen) is not None, "a leader")
    told = quorum(seen)
    assert told is not None
    return told


@pytest.fixture
def whole(separate_cluster: RealCluster) -> Iterator[RealCluster]:
    """The cluster, whole again afterwards."""
    yield separate_cluster
    separate_cluster.mend(timeout_s=UP_LIMIT_S)


async def test_brokers_and_controllers_are_told_apart(whole: RealCluster) -> None:
    """Brokers are listed, controllers vote, the brokers only observe; JVMs tell each role."""
    async with open_eyes(kraft_inventory(whole, PLAIN)) as seen:
        await in_health(seen)
        await seen.until_holds(lambda: assert_roles(seen))


def assert_roles(seen: Seen) -> None:
    """The newest words about who is who."""
    peers, told = seen.fact(Kind.PEERS, NAME), quorum(seen)
    assert isinstance(peers, PeersFact)
    assert (set(peers.listed or ()), peers.fenced) == (set(BROKERS), ())
    assert {one.name: one.min_isr for one in peers.topics or ()}.get("orders") == 2
    assert told is not None
    assert told.leader in CONTROLLERS
    assert {voter.id for voter in told.voters or ()} == set(CONTROLLERS)
    assert set(told.observers or ()) == set(BROKERS)
    for node in (*BROKERS, *CONTROLLERS):
        jvm = seen.fact(Kind.JVM, node)
        assert isinstance(jvm, JvmFact)
        assert jvm.broker_state == (3 if node in BROKERS else None)
        assert jvm.raft_leader == told.leader


async def test_a_hung_follower_is_seen_by_its_leader_alone(whole: RealCluster) -> None:
    """SIGSTOP of a follower: its own silence and a stale fetch; brokers and metadata are well."""
    async with open_eyes(kraft_inventory(whole, PLAIN)) as seen:
        told = await in_health(seen)
        victim = next(one for one in CONTROLLERS if one != told.leader)
        held_at = len(seen.results)
        whole.fault(victim, "STOP")

        def known() -> None:
            fact, service = quorum(seen), seen.fact(Kind.SERVICE, victim)
            assert fact is not None
            assert stale_ms(fact, victim) > STALE_MS
            assert isinstance(service, ServiceFact)
            assert service.process_state == "T"
            assert seen.outcome(Kind.PROTOCOL, victim) is Outcome.TIMED_OUT

        await seen.until_holds(known)
        await seen.until_answered((*OWN, Kind.PEERS), BROKERS)
        after = seen.results[held_at:]
    brokers = [one for one in after if one.observer in BROKERS or one.subject in BROKERS]
    assert {one.outcome for one in brokers} - LATE == {Outcome.ANSWERED}
    assert _listed(after) == {frozenset(BROKERS)}


async def test_a_dead_leader_is_followed_by_another(whole: RealCluster) -> None:
    """kill -9 of the leader: another controller leads soon, and no broker is missed meanwhile."""
    async with open_eyes(kraft_inventory(whole, PLAIN)) as seen:
        told = await in_health(seen)
        assert told.leader is not None
        held_at = len(seen.results)
        whole.fault(told.leader, "KILL")

        def another() -> bool:
            fact = quorum(seen)
            return fact is not None and fact.leader not in (None, told.leader)

        await seen.until(another, "another leader")
        await seen.until(
            lambda: seen.outcome(Kind.PROTOCOL, str(told.leader)) is Outcome.REFUSED,
            "a refused connection",
        )
    assert _listed(seen.results[held_at:]) <= {frozenset(BROKERS)}


async def test_a_lost_quorum_names_no_leader(whole: RealCluster) -> None:
    """With two of three controllers dead nobody leads, though the brokers list each other."""
    async with open_eyes(kraft_inventory(whole, PLAIN)) as seen:
        await in_health(seen)
        for victim in CONTROLLERS[:2]:
            whole.fault(victim, "KILL")
        survivor = CONTROLLERS[2]

        def lost() -> None:
            fact, jvm = seen.fact(Kind.QUORUM, survivor), seen.fact(Kind.JVM, "1")
            assert isinstance(fact, QuorumFact)
            assert fact.leader is None
            assert isinstance(jvm, JvmFact)
            assert jvm.applied_lag_ms is not None
            assert jvm.applied_lag_ms > STALE_MS

        await seen.until_holds(lost)
        assert _listed([one for one in seen.results if one.kind is Kind.PEERS]) == {
            frozenset(BROKERS)
        }
    await asyncio.to_thread(whole.mend, timeout_s=UP_LIMIT_S)


def _listed(results: list[CheckResult]) -> set[frozenset[str]]:
    facts = [one.fact for one in results if isinstance(one.fact, PeersFact)]
    return {frozenset(fact.listed or ()) for fact in facts}
