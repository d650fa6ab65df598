"""Who is asked about the others: in turn, from other racks, and the same ones while it matters."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from tests.unit.monitoring.fake_eyes import make_cluster

from kafka_self_healing.model.evidence import HEALER, CheckResult, Kind, Outcome
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring import HealthChecker
from kafka_self_healing.monitoring.witnesses import Witnesses


def brokers(number: int, racks: int = 0) -> list[NodeConfig]:
    """Return nodes, racked in blocks as inventories are written."""
    nodes = list(make_cluster(number).nodes.values())
    if not racks:
        return nodes
    size = -(-number // racks)
    return [replace(node, rack=f"r{at // size}") for at, node in enumerate(nodes)]


def checker_of(nodes: list[NodeConfig]) -> HealthChecker:
    """Return a checker that has heard nothing."""
    return HealthChecker([node.id for node in nodes], silent_looks=3)


def rounds(
    witnesses: Witnesses, number: int, *, closely: bool = False, apart_s: float = 5.0
) -> list[tuple[str | None, ...]]:
    """Return the ids of the witnesses of `number` rounds."""
    found = []
    for turn in range(number):
        chosen = [
            witnesses.choose(slot, turn * apart_s, closely=closely)
            for slot in range(witnesses.slots)
        ]
        found.append(tuple(node.id if node else None for node in chosen))
    return found


@pytest.mark.parametrize(("number", "slots"), [(1, 1), (2, 2), (3, 3), (6, 3), (7, 2), (1000, 2)])
def test_three_are_asked_a_round_and_two_of_many(number: int, slots: int) -> None:
    """In a small cluster each node still has two witnesses beside itself."""
    nodes = brokers(number)
    assert Witnesses(nodes, checker_of(nodes)).slots == slots


def test_everybody_is_asked_in_turn() -> None:
    """Twenty brokers are all asked within ten rounds, and no pair follows itself."""
    nodes = brokers(20)
    found = rounds(Witnesses(nodes, checker_of(nodes)), 10)
    assert sorted(int(id_ or 0) for pair in found for id_ in pair) == list(range(1, 21))


def test_the_witnesses_of_a_round_are_in_different_racks() -> None:
    """Nodes are listed rack by rack; each pair is from two racks, and all are asked in the end."""
    nodes = brokers(12, racks=3)
    rack = {node.id: node.rack for node in nodes}
    found = rounds(Witnesses(nodes, checker_of(nodes)), 12)
    assert all(a and b and rack[a] != rack[b] for a, b in found)
    assert {id_ for pair in found for id_ in pair} == set(rack)


def test_while_it_matters_the_same_ones_are_asked_again() -> None:
    """Their word is renewed each second; after ten seconds others come, not all in one moment."""
    nodes = brokers(20)
    witnesses = Witnesses(nodes, checker_of(nodes))
    found = rounds(witnesses, 25, closely=True, apart_s=1.0)
    assert len(set(found[:10])) == 1
    assert len({pair[0] for pair in found}) == 3
    changes = [
        sum(a != b for a, b in zip(before, after, strict=True))
        for before, after in itertools.pairwise(found)
    ]
    assert sum(changes) == 3
    assert max(changes) == 1


def test_a_witness_that_comes_into_trouble_is_replaced_at_once() -> None:
    """However closely is looked: a witness of itself is none."""
    nodes = brokers(20)
    checker = checker_of(nodes)
    witnesses = Witnesses(nodes, checker)
    first = witnesses.choose(0, 0.0, closely=True)
    assert first is not None
    checker.hear(CheckResult(HEALER, first.id, Kind.JVM, Outcome.TIMED_OUT, 0.0, 1.0))
    second = witnesses.choose(0, 1.0, closely=True)
    assert second is not None
    assert second.id != first.id


def test_with_nobody_well_those_that_answer_are_asked() -> None:
    """All are in trouble: whoever answers its own protocol still serves; a dead one does not."""
    nodes = brokers(3)
    checker = checker_of(nodes)
    for node in nodes:
        checker.hear(CheckResult(HEALER, node.id, Kind.JVM, Outcome.TIMED_OUT, 0.0, 1.0))
    checker.hear(CheckResult(HEALER, "2", Kind.PROTOCOL, Outcome.REFUSED, 0.0, 1.0))
    found = rounds(Witnesses(nodes, checker), 1)
    assert set(found[0]) == {"1", "3", None}


def test_who_is_in_trouble_but_answers_fills_a_round_up() -> None:
    """Of two witnesses each would hear of itself by one alone, and one word is not enough."""
    nodes = brokers(3)
    checker = checker_of(nodes)
    checker.hear(CheckResult(HEALER, "2", Kind.JVM, Outcome.TIMED_OUT, 0.0, 1.0))
    found = rounds(Witnesses(nodes, checker), 1)
    assert set(found[0]) == {"1", "2", "3"}
