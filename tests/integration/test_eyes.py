"""The eyes on a real cluster: all kinds answered in health, and what a crash and a hang show."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.integration.clusters.eyes import LATE, Seen, open_eyes

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.model.access import CommandService
from kafka_self_healing.model.evidence import (
    CheckResult,
    HostFact,
    JvmFact,
    Kind,
    Outcome,
    PeersFact,
    QuorumFact,
    ServiceFact,
)
from kafka_self_healing.model.node import Cluster, NodeConfig, Role
from kafka_self_healing.model.policy import Policy

pytestmark = pytest.mark.cluster

UP_LIMIT_S = 60.0
OWN = {Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.SERVICE, Kind.HOST}


def inventory(cluster: EmbeddedCluster) -> Cluster:
    """Return the configuration that describes the embedded cluster."""
    command = tuple(cluster.control_command(by="healer"))
    nodes = {
        str(node.id): NodeConfig(
            id=str(node.id),
            roles=frozenset({Role.BROKER, Role.CONTROLLER}),
            host=node.host,
            kafka_port=node.kafka_port,
            controller_port=node.controller_port,
            jmx_port=node.jmx_port,
            data_dirs=(str(node.data_dir),),
            service=CommandService(
                start=(*command, "start", str(node.id)),
                stop=(*command, "stop", str(node.id)),
                kill=(*command, "kill", str(node.id)),
                status=(*command, "status", str(node.id)),
            ),
        )
        for node in cluster.nodes.values()
    }
    return Cluster("embedded", nodes=nodes)


@pytest.fixture
def whole(cluster: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    """The session's cluster with a topic, whole before and after."""
    cluster.wait_whole(timeout_s=UP_LIMIT_S)
    if "eyes" not in {one.topic for one in cluster.ask(1).partitions}:
        cluster.create_topics({"eyes": 3})
        cluster.wait_whole(timeout_s=UP_LIMIT_S)
    yield cluster
    for node in cluster.nodes:
        if cluster.status(node)["pid"]:
            cluster.fault(node, "CONT")
    cluster.start_all()
    cluster.wait_whole(timeout_s=UP_LIMIT_S)


async def healthy(seen: Seen) -> None:
    """Wait until every kind of every node was answered."""

    def all_answered() -> bool:
        found = [seen.last(kind, node) for kind in OWN | {Kind.QUORUM} for node in "123"]
        peers = [seen.last(Kind.PEERS, "embedded")]
        return all(one is not None and one.outcome is Outcome.ANSWERED for one in found + peers)

    await seen.until(all_answered, "an answer of each kind")


async def test_all_kinds_are_answered_in_health(whole: EmbeddedCluster) -> None:
    """Each kind brings its fact from a healthy node, with every field that the mind relies on."""
    async with open_eyes(inventory(whole)) as seen:
        await healthy(seen)
        await seen.until(lambda: any(_leader(r) for r in seen.results), "a leader")
    service, host, jvm = (
        getattr(seen.last(kind, "2"), "fact", None) for kind in (Kind.SERVICE, Kind.HOST, Kind.JVM)
    )
    assert isinstance(service, ServiceFact)
    assert (service.active, service.sub, service.stop_requested) == ("active", "running", False)
    assert (service.lock_held, service.tracer_pid) == (True, 0)
    assert service.process_state in {"S", "R"}
    assert isinstance(host, HostFact)
    assert host.data_dirs is not None
    assert [(d.same_device, d.has_identity, d.readable) for d in host.data_dirs] == [(True,) * 3]
    assert isinstance(jvm, JvmFact)
    assert (jvm.broker_state, jvm.offline_log_dirs, jvm.remaining_logs) == (3, 0, None)
    assert jvm.raft_state in {"leader", "follower"}
    assert jvm.raft_leader in {"1", "2", "3"}


async def test_witnesses_and_controllers_speak_of_the_cluster(whole: EmbeddedCluster) -> None:
    """Witnesses list all nodes and the topics with min ISR; the leader alone tells its voters."""
    async with open_eyes(inventory(whole)) as seen:
        await healthy(seen)
        await seen.until(lambda: any(_leader(r) for r in seen.results), "a leader")

        def listed() -> None:
            peers = getattr(seen.last(Kind.PEERS, "embedded"), "fact", None)
            assert isinstance(peers, PeersFact)
            assert (set(peers.listed or ()), peers.fenced) == ({"1", "2", "3"}, ())
            topic = next((topic for topic in peers.topics or () if topic.name == "eyes"), None)
            assert topic is not None
            assert (topic.min_isr, topic.unclean_election) == (2, False)
            assert all(set(p.isr or ()) == {"1", "2", "3"} for p in topic.partitions or ())
            assert all(p.reassigning is False for p in topic.partitions or ())

        await seen.until_holds(listed)
    led = next(r for r in seen.results if _leader(r))
    fact = led.fact
    assert isinstance(fact, QuorumFact)
    assert (led.subject, led.observer) == ("embedded", fact.leader)
    assert {voter.id for voter in fact.voters or ()} == {"1", "2", "3"}
    assert fact.now_ms is not None
    assert fact.fetch_timeout_ms == 1000
    others = [r for r in seen.results if r.kind is Kind.QUORUM and r.observer != fact.leader]
    assert {(r.outcome, _leader(r)) for r in others if r.outcome not in LATE} == {
        (Outcome.ANSWERED, None)
    }


async def test_crash_is_seen(whole: EmbeddedCluster) -> None:
    """kill -9: port refused, unit failed by signal 9, no lock held, no stop request."""
    async with open_eyes(inventory(whole)) as seen:
        await healthy(seen)
        began = SystemClock().now().mono_s
        whole.fault(2, "KILL")
        await seen.until(lambda: _gone(seen), "node 2 gone")
        listener = seen.last(Kind.LISTENER, "2")
        service = seen.last(Kind.SERVICE, "2")
    assert listener is not None
    assert service is not None
    assert isinstance(service.fact, ServiceFact)
    assert listener.outcome is Outcome.REFUSED
    fact = service.fact
    assert (fact.active, fact.result, fact.signal) == ("failed", "signal", 9)
    assert (fact.lock_held, fact.stop_requested, fact.pid) == (False, False, 0)
    print(f"\ncrash known after {max(listener.ended, service.ended) - began:.2f} s")


async def test_hang_is_silent_and_stopped(whole: EmbeddedCluster) -> None:
    """SIGSTOP: the protocol and the JVM time out three times, the process is in state T.

    Meanwhile the others are looked at as ever. And what our looks leave in the frozen process's
    backlog is far from filling it.
    """
    async with open_eyes(inventory(whole)) as seen:
        await healthy(seen)
        began = SystemClock().now().mono_s
        whole.fault(3, "STOP")
        await seen.until(
            lambda: _silent(seen, "3") >= 3 and _state(seen, "3") == "T", "node 3 silent, held"
        )
        took_s = SystemClock().now().mono_s - began
        await seen.until(lambda: "3" not in (_listed(seen) or {"3"}), "node 3 dropped")
        dropped_s = SystemClock().now().mono_s - began
        listener = seen.last(Kind.LISTENER, "3")
        waiting = _waiting(whole.nodes[3].kafka_port)
        whole.fault(3, "CONT")
    assert listener is not None
    assert listener.outcome is Outcome.ANSWERED
    assert 0 < waiting <= 2 * (Policy().silent_looks + 3), "LISTENER and PROTOCOL share the port"
    longest_s = max(_longest_s(seen, node, kind, began) for node in "12" for kind in OWN)
    assert all(_answered(seen, node, kind, began) >= 2 for node in "12" for kind in OWN)
    assert {r.outcome for r in seen.results if r.subject in {"1", "2"}} - LATE == {Outcome.ANSWERED}
    print(f"\nhang: three silent looks after {took_s:.2f} s, drop seen after {dropped_s:.2f} s,")
    print(f"the others' verdicts at most {longest_s:.2f} s apart, {waiting} connections waiting")


def _leader(result: CheckResult) -> str | None:
    return result.fact.leader if isinstance(result.fact, QuorumFact) else None


def _gone(seen: Seen) -> bool:
    listener, service = seen.last(Kind.LISTENER, "2"), seen.last(Kind.SERVICE, "2")
    fact = service.fact if service else None
    refused = listener is not None and listener.outcome is Outcome.REFUSED
    return refused and isinstance(fact, ServiceFact) and fact.active == "failed"


def _silent(seen: Seen, node: str) -> int:
    count = 0
    for result in reversed(
        [r for r in seen.results if (r.kind, r.subject) == (Kind.PROTOCOL, node)]
    ):
        if result.outcome is not Outcome.TIMED_OUT:
            break
        count += 1
    return count


def _waiting(port: int) -> int:
    """Return how many connections wait to be accepted at a port of this machine."""
    listening = "0A"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for row in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            _, local, _, state, queues = row.split()[:5]
            if state == listening and int(local.rpartition(":")[2], 16) == port:
                return int(queues.partition(":")[2], 16)
    raise AssertionError(f"nobody listens on port {port}")


def _answered(seen: Seen, node: str, kind: Kind, since: float) -> int:
    """Return how many looks at one kind of a node were answered that began since then."""
    looks = [r for r in seen.results if (r.kind, r.subject) == (kind, node) and r.started >= since]
    return sum(r.outcome is Outcome.ANSWERED for r in looks)


def _longest_s(seen: Seen, node: str, kind: Kind, since: float) -> float:
    """Return the longest time between two verdicts on one kind of a node."""
    ended = [r.ended for r in seen.results if (r.kind, r.subject) == (kind, node)]
    return max(after - before for before, after in pairwise(ended) if after >= since)


def _state(seen: Seen, node: str) -> str | None:
    result = seen.last(Kind.SERVICE, node)
    fact = result.fact if result else None
    return fact.process_state if isinstance(fact, ServiceFact) else None


def _listed(seen: Seen) -> set[str] | None:
    result = seen.last(Kind.PEERS, "embedded")
    fact = result.fact if result else None
    return set(fact.listed or ()) if isinstance(fact, PeersFact) else None
