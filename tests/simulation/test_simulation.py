"""The mind in the virtual world: no invariant is broken, and the same seed is the same run."""

from __future__ import annotations

import pytest

from kafka_self_healing.model.control import Order
from kafka_self_healing.simulation import faults
from kafka_self_healing.simulation.runner import play, run, simulate, timeline
from kafka_self_healing.simulation.scenarios import Scenario, Shape, draw

SEEDS = 150
CHUNK = 15
ONCE_BAD: tuple[int, ...] = (
    57, 162, 230, 286, 342, 425, 445, 470, 487, 553, 647, 658, 805, 867, 1392,
)  # fmt: skip
"""Seeds that once broke an invariant, of the mind or of the simulation itself."""


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_invariant_is_broken(first: int) -> None:
    """Proves that the mind keeps every invariant in 150 drawn scenarios."""
    broken = {
        seed: outcome.violations
        for seed in range(first, first + CHUNK)
        if not (outcome := run(seed)).good
    }
    assert not broken


def test_once_bad_seeds_stay_good() -> None:
    """Proves that what a seed once found does not come back."""
    outcomes = {seed: run(seed) for seed in ONCE_BAD}
    assert {seed: found.violations for seed, found in outcomes.items() if not found.good} == {}


def test_the_same_seed_is_the_same_run() -> None:
    """Proves determinism: outcome, acts, violations and the journal's digest are equal."""
    for seed in (3, 7, 57):
        assert run(seed, trace=True) == run(seed, trace=True)


def test_other_seeds_are_other_runs() -> None:
    """Proves that the digest tells runs apart."""
    assert run(3).digest != run(7).digest


def test_a_crash_is_started_once() -> None:
    """Proves the plainest case: one crash, one start of that node, nothing else."""
    outcome = play(Scenario(1, Shape(), (faults.Crash(60.0, "2"),), horizon_s=300.0))
    assert [(act.node, act.action) for act in outcome.acts] == [("2", "service:start")]
    assert outcome.good


def test_calm_brings_no_act() -> None:
    """Proves that a healthy cluster, seen with losses, is left alone."""
    outcome = play(Scenario(1, Shape(), loss=0.02))
    assert outcome.acts == ()
    assert outcome.good


def test_a_stop_on_purpose_is_respected() -> None:
    """Proves that what an operator stopped stays stopped."""
    outcome = play(Scenario(1, Shape(), (faults.OperatorStop(60.0, "2"),), horizon_s=300.0))
    assert outcome.acts == ()


def test_a_pause_holds() -> None:
    """Proves that nothing is done while paused, and that resume lets it be done."""
    said = (faults.Says(50.0, Order.PAUSE), faults.Crash(60.0, "2"))
    assert play(Scenario(1, Shape(), said, horizon_s=200.0)).acts == ()
    resumed = (*said, faults.Says(120.0, Order.RESUME))
    outcome = play(Scenario(1, Shape(), resumed, horizon_s=300.0))
    assert [act.at_s > 120.0 for act in outcome.acts] == [True]


def test_dead_voters_are_started_and_the_survivor_is_not_touched() -> None:
    """Proves the way back from a lost quorum: the dead voters only, one by one."""
    outcome = play(Scenario(1, Shape(), (faults.QuorumLoss(60.0, ("1", "2")),), horizon_s=300.0))
    assert sorted(act.node for act in outcome.acts) == ["1", "2"]
    assert outcome.good


def test_scenarios_vary() -> None:
    """Proves that drawing covers 3 to 9 nodes and most kinds of faults."""
    drawn = [draw(seed) for seed in range(400)]
    sizes = {s.shape.combined + s.shape.controllers + s.shape.brokers for s in drawn}
    kinds = {type(fault) for s in drawn for fault in s.faults}
    assert min(sizes) == 3
    assert max(sizes) == 9
    assert len(kinds) >= 18


def test_simulate_writes_a_summary() -> None:
    """Proves what the command prints: one line if all is well."""
    lines: list[str] = []
    assert simulate(range(3), lines.append) is True
    assert lines[-1].startswith("3 scenarios, 0 with a broken invariant")


def test_a_timeline_has_a_line_a_change() -> None:
    """Proves that a seed's timeline names its faults and its decisions in order."""
    lines = timeline(0).splitlines()
    times = [float(line.split(maxsplit=1)[0]) for line in lines[1:]]
    assert lines[0].startswith("seed 0:")
    assert times == sorted(times)
