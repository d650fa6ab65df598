"""The mind in the virtual world: no invariant is broken, and the same seed is the same run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kafka_self_healing.model.control import Order
from kafka_self_healing.simulation import faults
from kafka_self_healing.simulation.full_run import full_run, shares
from kafka_self_healing.simulation.mutants import MUTANTS, NOT_DRAWN
from kafka_self_healing.simulation.parallel import on_all_cores
from kafka_self_healing.simulation.runner import Outcome, play, run, timeline
from kafka_self_healing.simulation.scenario_file import of_plain
from kafka_self_healing.simulation.scenarios import Scenario, Shape, draw

SEEDS = 500
CORPUS = Path(__file__).with_name("corpus.jsonl")
"""What once broke an invariant, of the mind or of the simulation itself: a line each, with why."""

ZOOKEEPER = Shape(combined=0, brokers=3, members=3, session_s=18.0)


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    """Ordinary seeds, each played once for all tests."""
    return list(on_all_cores(run, range(SEEDS), "ordinary seeds", tell=False))


def test_no_invariant_is_broken(
    outcomes: list[Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    """Proves that the mind keeps every invariant in the drawn scenarios, and harms nobody."""
    with capsys.disabled():
        print(f"\ntier A: {len(outcomes)} seeds, {sum(not one.good for one in outcomes)} bad")
    assert {found.seed: found.violations for found in outcomes if not found.good} == {}
    assert [found.seed for found in outcomes if found.metric("harmful")] == []


def test_ordinary_seeds_visit_what_every_mutant_is_about(outcomes: list[Outcome]) -> None:
    """Proves that no protection is shown only by a scenario that is never drawn."""
    visited = shares(outcomes)
    unseen = {mutant.name for mutant in MUTANTS if not visited[mutant.name]}
    assert unseen <= NOT_DRAWN


def _of_corpus(line: str) -> tuple[str, Scenario]:
    said = json.loads(line)
    if "faults" in said:
        return said["why"], of_plain(said)
    return f"{said['seed']}: {said['why']}", draw(said["seed"], plain=said.get("plain", False))


def test_what_was_once_bad_stays_good() -> None:
    """Proves that what a seed once found does not come back."""
    scenarios = dict(_of_corpus(line) for line in CORPUS.read_text().splitlines())
    assert len(scenarios) >= 23
    outcomes = {why: play(scenario) for why, scenario in scenarios.items()}
    assert {why: found.violations for why, found in outcomes.items() if not found.good} == {}


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


def test_a_dead_broker_of_zookeeper_mode_is_started_once_when_it_is_released() -> None:
    """Proves that no start dies of NodeExists: one crash, one start, after the session."""
    outcome = play(Scenario(1, ZOOKEEPER, (faults.Crash(60.0, "2"),), horizon_s=400.0))
    assert [(act.node, act.action) for act in outcome.acts] == [("2", "service:start")]
    assert 12.0 <= outcome.acts[0].at_s - 60.0 <= 23.0
    assert outcome.good


def test_all_brokers_of_zookeeper_mode_come_back() -> None:
    """Proves the way back with no witness left: a session and two ticks, then one by one."""
    killed = tuple(faults.Crash(60.0, id_) for id_ in "123")
    outcome = play(Scenario(1, ZOOKEEPER, killed, horizon_s=500.0))
    assert sorted(act.node for act in outcome.acts) == ["1", "2", "3"]
    assert outcome.acts[0].at_s >= 60.0 + 18.0 + 4.0
    assert outcome.good


@pytest.mark.parametrize("seed", range(1, 4))
def test_an_ensemble_gets_its_dead_members_back(seed: int) -> None:
    """Proves that the dead members are started, and neither the survivor nor a broker touched."""
    lost = (faults.QuorumLoss(60.0, ("200", "202")),)
    outcome = play(Scenario(seed, ZOOKEEPER, lost, horizon_s=300.0))
    assert sorted(act.node for act in outcome.acts) == ["200", "202"]
    assert outcome.good


@pytest.mark.parametrize("member", ["200", "201", "202"])
def test_a_hung_member_is_restarted_leader_or_not(member: str) -> None:
    """Proves RESTART of an ensemble member, once the others do without it."""
    outcome = play(Scenario(1, ZOOKEEPER, (faults.Hang(60.0, member),), horizon_s=300.0))
    assert [(act.node, act.action) for act in outcome.acts] == [(member, "service:restart")]
    assert outcome.good


def test_an_expired_certificate_keeps_a_hung_broker_from_a_restart() -> None:
    """Proves that nothing is done; with a valid one the same hang is healed."""
    shape = Shape(tls=True)
    hang = faults.Hang(60.0, "2")
    ends = faults.CertificateExpires(50.0, "2")
    assert play(Scenario(1, shape, (ends, hang), horizon_s=400.0)).acts == ()
    healed = play(Scenario(1, shape, (hang,), horizon_s=400.0))
    assert [(act.node, act.action) for act in healed.acts] == [("2", "service:restart")]


def test_scenarios_vary() -> None:
    """Proves that drawing covers 3 to 9 nodes, both modes, TLS, and most kinds of faults."""
    drawn = [draw(seed) for seed in range(400)]
    shapes = [s.shape for s in drawn]
    sizes = {s.combined + s.controllers + s.brokers + s.members for s in shapes}
    kinds = {type(fault) for s in drawn for fault in s.faults}
    assert min(sizes) == 3
    assert max(sizes) == 9
    assert len(kinds) >= 19
    assert 90 <= sum(shape.members > 0 for shape in shapes) <= 180
    assert 60 <= sum(shape.tls for shape in shapes) <= 140


def test_simulate_writes_a_summary() -> None:
    """Proves what the command prints: one line if all is well."""
    lines: list[str] = []
    assert full_run(3, 0, lines.append) is True
    assert lines[-1].startswith("tier A: 3 scenarios, 0 with a broken invariant")


def test_a_timeline_has_a_line_a_change() -> None:
    """Proves that a seed's timeline names its faults and its decisions in order."""
    lines = timeline(0).splitlines()
    times = [float(line.split(maxsplit=1)[0]) for line in lines[1:]]
    assert lines[0].startswith("seed 0:")
    assert times == sorted(times)
