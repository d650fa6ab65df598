"""What one turn of the mind costs at 1,000 nodes, and at 100: `python -m bench.step [--turns N]`.

The nodes are looked at in turn, each kind every 5 s. A full turn brings 200 fresh results, a small
one a single result. 20 of the brokers are sick and no act is asked for: silent, and still counted
in by the others. Beside that, the same with 20 that ask for an act which is refused: half ended,
half dropped, mode `observe`, so that all guards are asked each turn. Exit code 1: a ratio is above
its limit; the times themselves are only reported.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from kafka_self_healing.healing.healer import step
from kafka_self_healing.healing.memory import Memory
from kafka_self_healing.healing.view import View
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.evidence import (
    HEALER,
    CheckResult,
    Fact,
    HostFact,
    JvmFact,
    Kind,
    Outcome,
    PartitionFact,
    PeersFact,
    QuorumFact,
    ServiceFact,
    TopicFact,
    VoterFact,
)
from kafka_self_healing.model.node import Cluster, NodeConfig, Role
from kafka_self_healing.model.policy import Policy

FULL: Final = 200
SICK: Final = 20
PARTITIONS_A_BROKER: Final = 20
VOTERS: Final = ("c1", "c2", "c3")
KINDS: Final = (Kind.SERVICE, Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.HOST)
WITNESSES_A_ROUND: Final = 2
ROUND_S: Final = 5.0
SETTLED_S: Final = 120.0
GROWTH_LIMIT: Final = 12.0
SMALL_LIMIT: Final = 0.1

RUNNING: Final = ServiceFact(
    active="active", sub="running", result="success", pid=9, process_state="S", restarts=0,
    unit_file="enabled", job="", stop_requested=False, tracer_pid=0, lock_held=True,
    host_lock=False, invocation="run",
)  # fmt: skip
KILLED: Final = replace(
    RUNNING, active="failed", sub="failed", result="signal", signal=9, pid=0, process_state=None,
    tracer_pid=None, lock_held=False,
)  # fmt: skip


class Watched:
    """A cluster whose state does not change, its looks in turn, and the mind that sees them."""

    def __init__(self, size: int, *, asking: bool = False) -> None:
        """Let the mind see enough rounds for every incident to be open, told and refused.

        `asking`: the sick ask for acts.
        """
        self.now = 1000.0
        brokers = [str(i) for i in range(1, size - len(VOTERS) + 1)]
        nodes = {id_: _node(id_, Role.CONTROLLER) for id_ in VOTERS}
        nodes |= {id_: _node(id_, Role.BROKER) for id_ in brokers}
        apart = len(brokers) // SICK
        self.sick = {brokers[i * apart]: asking and i % 2 == 0 for i in range(SICK)}
        self.dropped = frozenset(self.sick) if asking else frozenset()
        self.brokers, self.topics = brokers, _topics(brokers, frozenset(self.sick))
        self.policy = Policy()
        self.memory, self.view = Memory(), View.warm(Cluster("bench", nodes=nodes))
        self.looks = self._cycle()
        self.a_round = len(nodes) * len(KINDS) + len(VOTERS) + WITNESSES_A_ROUND
        self.turn(self.a_round)
        settled = self.now + SETTLED_S
        while self.now < settled:
            self.turn(FULL)
        said = dict(self.last.diagnoses)
        assert set(self.sick) <= set(said), "each sick node must have been noticed"
        assert all(said[id_].confirmed for id_ in self.sick)

    def turn(self, results: int) -> float:
        """Take one turn with so many fresh results; return its seconds (CPU)."""
        heard = []
        for look in itertools.islice(self.looks, results):
            self.now += ROUND_S / self.a_round
            heard.append(replace(look, started=self.now - 0.01, ended=self.now))
        now = Instant(self.now, 1.7e9 + self.now)
        began = time.process_time()
        self.last = step(self.memory, self.view, heard, self.policy, now)
        took = time.process_time() - began
        self.memory, self.view = self.last.memory, self.last.view
        return took

    def _cycle(self) -> Iterator[CheckResult]:
        """Give the looks of one round after the other; each round asks two other witnesses."""
        living = itertools.cycle([id_ for id_ in self.brokers if id_ not in self.sick])
        while True:
            for id_ in self.view.cluster.nodes:
                for kind in KINDS:
                    yield self._look(id_, kind)
            for who in itertools.islice(living, WITNESSES_A_ROUND):
                yield self._cluster_look(who, Kind.PEERS, self._metadata())
            for id_ in VOTERS:
                fact = self._account() if id_ == VOTERS[0] else QuorumFact()
                yield self._cluster_look(id_, Kind.QUORUM, fact)

    def _look(self, node: str, kind: Kind) -> CheckResult:
        ended = self.sick.get(node)
        facts: dict[Kind, Fact] = {
            Kind.SERVICE: KILLED if ended else RUNNING,
            Kind.JVM: JvmFact(broker_state=3),
            Kind.HOST: HostFact(reachable=True),
        }
        fact = facts.get(kind)
        outcome = Outcome.ANSWERED
        if ended is not None and kind in {Kind.LISTENER, Kind.PROTOCOL, Kind.JVM}:
            outcome, fact = Outcome.REFUSED if ended else Outcome.TIMED_OUT, None
        return CheckResult(HEALER, node, kind, outcome, 0.0, 0.0, fact)

    def _cluster_look(self, who: str, kind: Kind, fact: Fact) -> CheckResult:
        return CheckResult(who, "bench", kind, Outcome.ANSWERED, 0.0, 0.0, fact)

    def _metadata(self) -> PeersFact:
        listed = tuple(id_ for id_ in self.brokers if id_ not in self.dropped)
        return PeersFact(listed=listed, fenced=tuple(self.dropped), topics=self.topics)

    def _account(self) -> QuorumFact:
        at = int(self.now * 1000)
        voters = tuple(VoterFact(id_, at, at) for id_ in VOTERS)
        return QuorumFact(VOTERS[0], 5, 2000, at, voters, ())


def _node(id_: str, role: Role) -> NodeConfig:
    return NodeConfig(id_, frozenset({role}), kinds=frozenset(KINDS))


def _topics(brokers: list[str], down: frozenset[str]) -> tuple[TopicFact, ...]:
    """Return a topic a broker: it and the two after it hold its partitions, if they live."""
    found = []
    for at, broker in enumerate(brokers):
        replicas = tuple(brokers[(at + i) % len(brokers)] for i in range(3))
        isr = tuple(id_ for id_ in replicas if id_ not in down)
        partitions = tuple(
            PartitionFact(id=i, replicas=replicas, isr=isr, leader=isr[0], reassigning=False)
            for i in range(PARTITIONS_A_BROKER)
        )
        found.append(TopicFact(f"topic-{broker}", 2, unclean_election=False, partitions=partitions))
    return tuple(found)


def _median_ms(watched: Watched, turns: int, results: int) -> float:
    return statistics.median(watched.turn(results) for _ in range(turns)) * 1000


def main() -> int:
    """Print each figure and whether its limit holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=200)
    turns = parser.parse_args().turns
    large, small = Watched(1000), Watched(100)
    asking = Watched(1000, asking=True)
    full, of_100 = _median_ms(large, turns, FULL), _median_ms(small, turns, FULL)
    one = _median_ms(large, turns, 1)
    growth, share = full / of_100, one / full
    print(f"median of {turns} turns, ms:")
    print(f"  1,000 nodes, {FULL} fresh results {full:8.3f}")
    print(f"    100 nodes, {FULL} fresh results {of_100:8.3f}")
    print(f"  1,000 nodes,   1 fresh result  {one:8.3f}")
    for results in (FULL, 1):
        took = _median_ms(asking, turns, results)
        print(f"  the first with {SICK} refused acts, {results:3} results {took:8.3f}")
    good = True
    for name, ratio, limit in (
        ("1,000 nodes / 100 nodes", growth, GROWTH_LIMIT),
        ("one result / full turn", share, SMALL_LIMIT),
    ):
        holds = ratio <= limit
        good &= holds
        print(f"{name:<28}{ratio:12.3f}   limit {limit:g}: {'holds' if holds else 'BROKEN'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
