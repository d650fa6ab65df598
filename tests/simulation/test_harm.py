"""The metrics of harm tell healers apart, and ours does none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kafka_self_healing.model.evidence import Family
from kafka_self_healing.simulation import faults
from kafka_self_healing.simulation.comparison import Run, Who, compare, heal, single
from kafka_self_healing.simulation.harm_page import page
from kafka_self_healing.simulation.harm_report import Figures, broken
from kafka_self_healing.simulation.meter import Moment, Trouble
from kafka_self_healing.simulation.scenarios import Scenario, Shape

ZOOKEEPER = Shape(combined=0, brokers=3, members=3, session_s=18.0)
SEEDS = range(12)


def _runs(*struck: faults.Fault, shape: Shape | None = None) -> dict[Who, Run]:
    scenario = Scenario(1, shape or Shape(), struck, horizon_s=400.0)
    return {who: heal(scenario, who) for who in Who}


def _whys(run: Run) -> set[str]:
    return {why.partition(": ")[2] for why in run.count.whys}


def test_port_checks_hit_what_they_cannot_reach() -> None:
    """Proves that a filter before the port makes the script alone restart a healthy node."""
    runs = _runs(faults.Lie(100.0, "2", Family.OURS, 60.0))
    assert any("a serving node was hit" in why for why in _whys(runs[Who.PORT]))
    assert runs[Who.OURS].count.acts == 0
    assert runs[Who.SYSTEMD].count.acts == 0


def test_nobody_acts_on_a_host_out_of_reach() -> None:
    """Proves that an order that does not reach its host does nothing, whoever gives it."""
    runs = _runs(faults.CutHealer(100.0, ("2",), 60.0))
    assert runs[Who.PORT].count.acts >= 1
    assert {runs[who].count.harmful for who in Who} == {0}


def test_reference_hosts_are_no_nodes_of_the_port_checks() -> None:
    """Proves that the script knows its list only: without a way out it hits nothing outside."""
    runs = _runs(faults.CutOff(100.0, 100.0), shape=Shape(references=True))
    assert {who: run.count.acts for who, run in runs.items()} == dict.fromkeys(Who, 0)


def test_port_checks_break_a_majority() -> None:
    """Proves that the meter sees a quorum go: one voter hangs, another one's port is filtered."""
    runs = _runs(faults.Hang(60.0, "1"), faults.Lie(61.0, "2", Family.OURS, 60.0))
    assert any("a majority is gone" in why for why in _whys(runs[Who.PORT]))
    assert runs[Who.OURS].count.harmful == 0


def test_port_checks_start_what_somebody_has_stopped() -> None:
    """Proves that acts against a person's order are counted, and that ours does none."""
    runs = _runs(faults.OperatorStop(100.0, "1"))
    assert runs[Who.PORT].count.unwanted >= 1
    assert runs[Who.OURS].count.acts == 0


def test_port_checks_restart_a_log_recovery_again_and_again() -> None:
    """Proves needless acts: what recovers its logs would have come back by itself."""
    runs = _runs(faults.Crash(100.0, "2", recovery_s=70.0))
    assert runs[Who.PORT].count.needless >= 2
    assert runs[Who.OURS].count.needless == 0
    assert [Moment.HEALED in episode.moments for episode in runs[Who.OURS].episodes] == [True]


def test_systemd_starts_die_of_the_old_registration() -> None:
    """Proves harm in ZooKeeper mode: three starts die as on real Kafka, ours waits for one."""
    runs = _runs(faults.Crash(100.0, "2"), shape=ZOOKEEPER)
    assert 2 <= runs[Who.SYSTEMD].count.harmful <= 5
    assert (runs[Who.OURS].count.harmful, runs[Who.OURS].count.acts) == (0, 1)


def test_systemd_gives_up_at_its_start_limit() -> None:
    """Proves the start limit: five starts in ten seconds, then nothing, as measured."""
    runs = _runs(faults.Crash(100.0, "2", dies_after_s=0.9))
    assert runs[Who.SYSTEMD].count.acts == 5


def test_only_ours_heals_a_hang() -> None:
    """Proves what a hang costs: nobody else sees it, ours is done soon after the session."""
    runs = {run.who: run for run in single(2, faults.Hang)}
    assert runs[Who.PORT].in_sync_s is None
    assert runs[Who.SYSTEMD].in_sync_s is None
    ours = runs[Who.OURS]
    assert ours.in_sync_s is not None
    assert [episode.trouble for episode in ours.episodes] == [Trouble.HANG]


def test_a_start_on_a_missing_disk_is_harmful() -> None:
    """Proves that the meter sees the disk, which the script does not look at."""
    runs = _runs(faults.StorageMissing(50.0, "2"), faults.Crash(100.0, "2"))
    assert "harmful: a start on a missing disk" in _whys(runs[Who.PORT])
    assert runs[Who.OURS].count.acts == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_ours_does_no_harm_in_drawn_scenarios(seed: int) -> None:
    """Proves that what is judged over all seeds holds in the first of them."""
    ours = next(run for run in compare(seed) if run.who is Who.OURS)
    assert ours.count.harmful == 0
    assert ours.count.unwanted == 0


def test_the_page_says_what_does_not_hold() -> None:
    """Proves that the verdict can fail: one harmful act, a late crash, a missed failure."""
    report = {who: Figures() for who in Who}
    runs = _runs(faults.Crash(100.0, "2"))
    for who, run in runs.items():
        report[who].add(run)
        for fault, mode, session_s in (("crash", "KRaft", 9.0), ("crash", "ZooKeeper", 18.0)):
            report[who].in_sync[fault, mode, session_s] = [20.0]
        report[who].in_sync["hang", "KRaft", 9.0] = [18.0]
    assert broken(report) == []
    assert "All of it holds." in page(report, 1)
    ours = report[Who.OURS]
    ours.count.update(harmful=1, missed=1)
    ours.in_sync["crash", "KRaft", 9.0] = [26.0]
    ours.in_sync["hang", "KRaft", 9.0] = [None]
    found = broken(report)
    assert len(found) == 6
    assert found[0] == "1 harmful acts of ours, not 0"
    assert "It does not hold: " in page(report, 1)


def test_the_same_seed_is_measured_alike() -> None:
    """Proves that figures are reproducible."""
    first, again = compare(5), compare(5)
    assert [replace(run, episodes=()) for run in first] == [replace(r, episodes=()) for r in again]
    assert [run.episodes for run in first] == [run.episodes for run in again]
