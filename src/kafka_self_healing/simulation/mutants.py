"""The mind with one protection removed: each must be caught by an invariant or a harm metric.

Some guards stand behind another protection. To show what such a guard is worth the other one is
weakened too: with it weakened and the guard in place nothing is broken, without the guard it is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from kafka_self_healing.model.control import Order
from kafka_self_healing.model.evidence import Family, Kind
from kafka_self_healing.model.policy import Budget, Mode, Policy
from kafka_self_healing.simulation import faults as f
from kafka_self_healing.simulation.runner import Outcome, play
from kafka_self_healing.simulation.scenarios import ALL_KINDS, Scenario, Shape
from kafka_self_healing.simulation.weakening import WEAKENINGS, without

APART = Shape(combined=0, controllers=3, brokers=3)
WIDE = Shape(combined=0, controllers=3, brokers=6)
ZOOKEEPER = Shape(combined=0, brokers=3, members=3, session_s=18.0)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One protection removed, and the scenario that shows it.

    `guard`: the row taken out of the matrix; `change`: a change of the policy instead; `weaken`:
    names of other protections that are weakened beside it. `caught_by`: the invariant.
    """

    name: str
    scenario: Scenario
    caught_by: str
    guard: str = ""
    weaken: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    policy: Policy = Policy()  # noqa: RUF009  frozen, so sharing it is safe
    mutant_policy: Policy | None = None


def _at(name: str, guard: str, caught_by: str, *faults: Any, **more: Any) -> Mutant:
    shape, loss = more.pop("shape", APART), more.pop("loss", 0.0)
    mode, horizon = more.pop("mode", Mode.AUTO), more.pop("horizon_s", 300.0)
    scenario = Scenario(more.pop("seed", 1), shape, tuple(faults), loss, mode, horizon)
    return Mutant(name, scenario, caught_by, guard, **more)


def _guard(guard: str, caught_by: str, *faults: Any, **more: Any) -> Mutant:
    return _at(guard, guard, caught_by, *faults, **more)


APART_NODES = ("100", "101", "102", "1", "2", "3")
BLIND = ("101", "102", "4", "5", "6")
EARLY = ("hung before the drop",)
LOW_BUDGET = Policy(start_budget=Budget(2, 3600.0))

MUTANTS: tuple[Mutant, ...] = (
    _guard("not_paused", "I4", f.Says(50, Order.PAUSE), f.Crash(60, "1")),
    _guard("not_in_maintenance", "I4", f.Says(50, Order.MAINTENANCE, "1"), f.Crash(60, "1")),
    _guard("has_lease", "I4", f.LeaseLost(50, 200), f.Crash(60, "1")),
    _guard(
        "known_node", "I3", f.NotCommissioned("6"), shape=WIDE, weaken=("no rule names it",)
    ),
    _guard("mode_permits", "I4", f.Crash(60, "1"), mode=Mode.OBSERVE),
    _guard("warmed_up", "I4", f.Crash(0.5, "1")),
    _guard("clock_is_sane", "I4", f.Crash(60, "1"), f.ClockStep(60.5, 3600.0)),
    _guard(
        "view_is_fresh", "I4-stale", f.Says(50, Order.MAINTENANCE, "1"), f.Crash(55, "1"),
        f.BadWeather(60, 200, 0.0, 2.9), f.Suspend(70, 25.0),
        f.Says(80, Order.MAINTENANCE_END, "1"),
        weaken=("ages of facts ignored", "no look after the proposal"),
    ),
    _guard(
        "viewpoint_is_sound", "I4", f.CutHealer(0.1, BLIND, 299),
        *(f.Says(30, Order.MAINTENANCE, id_) for id_ in BLIND), f.Hang(100, "1"), shape=WIDE,
        seed=2,
    ),
    _at(
        "reference hosts are not asked", "", "I4", f.CutOff(30, 200), f.Hang(100, "1"),
        removes=("reference hosts are not asked",), shape=replace(WIDE, references=True),
    ),
    _guard(
        "no_storm", "I4", *(f.Hang(100, id_) for id_ in "1234"),
        *(f.Says(125, Order.ACK, id_) for id_ in "234"), shape=WIDE,
    ),
    _guard(
        "two_families", "I3", f.Lie(60, "1", Family.MACHINE, 200),
        shape=replace(APART, kinds=ALL_KINDS - {Kind.JVM}),
    ),
    _guard(
        "no_unresolved_act", "I1", f.Clumsy(50, 200, slow_s=10.0), f.Crash(60, "1"),
        weaken=("open requests ignored",),
    ),
    _guard("one_at_a_time", "I1", f.Crash(60, "1"), f.Crash(60.1, "2")),
    _guard("restart_spacing", "I5", f.Hang(100, "1"), f.Hang(200, "2")),
    _guard("no_foreign_work", "I4", f.ForeignWork(50, "1", "job"), f.Crash(60, "1")),
    _guard(
        "data_dirs_present", "I3", f.StorageMissing(50, "1"), f.Crash(60, "1"),
        weaken=("no rule names it",),
    ),
    _guard("registration_released", "registration", f.Crash(60, "1"), shape=ZOOKEEPER),
    _guard(
        "start_order", "I2", f.Says(50, Order.MAINTENANCE), f.Crash(60, "2"), f.Crash(60, "3"),
        f.Crash(85, "1"), f.Says(100, Order.MAINTENANCE, "1"), f.Says(101, Order.MAINTENANCE_END),
        shape=replace(APART, unclean=True),
    ),
    _guard(
        "quorum_is_present", "I2", f.Says(50, Order.MAINTENANCE, "100"),
        f.Says(50, Order.MAINTENANCE, "101"), f.QuorumLoss(60, ("100", "101")), f.Crash(120, "1"),
    ),
    _guard(
        "quorum_is_safe", "I2", f.Says(50, Order.MAINTENANCE, "102"), f.Crash(55, "102"),
        f.Lie(90, "101", Family.OURS, 200), weaken=EARLY,
    ),
    _guard(
        "replicas_are_safe", "I2", f.Says(50, Order.MAINTENANCE, "3"), f.Crash(55, "3"),
        f.Lie(130, "1", Family.OURS, 100), shape=replace(APART, brokers=4), weaken=EARLY,
    ),
    _guard(
        "certificates_are_valid", "certificate", f.CertificateExpires(50, "1"), f.Hang(100, "1"),
        shape=replace(APART, tls=True),
    ),
    _guard("others_are_well", "others", f.OperatorStop(50, "2"), f.Hang(100, "1"), shape=WIDE),
    _guard(
        "not_latched", "latch", f.Hang(100, "1", None, 3.0), f.Says(140, Order.MAINTENANCE, "1"),
        f.Hang(200, "2"), shape=WIDE,
    ),
    _guard(
        "controller_last", "order", f.Says(50, Order.MAINTENANCE, "5"), f.Crash(60, "5"),
        f.Says(100, Order.ACK, "5"), f.Says(140, Order.MAINTENANCE, "2"),
        f.Lie(150, "2", Family.OURS, 200), f.Says(163, Order.MAINTENANCE_END, "2"),
        f.Says(163, Order.MAINTENANCE_END, "5"),
        shape=Shape(combined=5, min_isr=1), seed=4,
        weaken=(*EARLY, "the leader has no last place", "no look after the proposal"),
    ),
    _guard(
        "anti_flap", "I5", f.Hang(100, "1"), f.Hang(200, "1"), f.Says(230, Order.ACK, "1"),
        horizon_s=560.0,
    ),
    _guard("backoff_over", "I5", f.Terminate(60, "1")),
    _guard(
        "within_budget", "I5", f.Crash(60, "1"), f.Crash(90, "2"), f.Crash(120, "3"),
        policy=LOW_BUDGET,
    ),
    _guard("attempts_left", "I5", f.Crash(60, "1", 0.0, 5.0)),
    _guard("still_true", "I4", f.BadWeather(50, 100, 0.0, 2.9), f.Crash(60, "1")),
    _at(
        "a start on a disk that its last words call dead", "", "needless",
        f.DiskFails(60, "1", f.Disk.DEAD), removes=("last words are not read",),
        shape=replace(APART, kinds=ALL_KINDS - {Kind.HOST} | {Kind.LOG}),
    ),
    _at(
        "a start on a disk that its last words call full", "", "needless",
        f.DiskFails(60, "1", f.Disk.FULL), removes=("last words are not read",),
        shape=replace(APART, kinds=ALL_KINDS - {Kind.HOST} | {Kind.LOG}),
    ),
    _at(
        "a broker is started while the ensemble is lost", "quorum_is_present", "I2",
        f.Says(50, Order.MAINTENANCE, "1"), f.Crash(55, "1"), f.Says(80, Order.MAINTENANCE, "200"),
        f.Says(80, Order.MAINTENANCE, "201"), f.QuorumLoss(90, ("200", "201")),
        f.Says(130, Order.MAINTENANCE_END, "1"), shape=ZOOKEEPER,
        weaken=("a registration stands in no way",),
    ),
    _at(
        "ruok is believed", "", "I2", f.Says(50, Order.MAINTENANCE, "1"), f.Crash(55, "1"),
        f.Says(80, Order.MAINTENANCE, "201"), f.Crash(90, "201"), f.Isolate(95, "200", 200),
        f.Says(150, Order.MAINTENANCE_END, "1"), shape=ZOOKEEPER, removes=("ruok is believed",),
        weaken=("a registration stands in no way",),
    ),
    _at(
        "an ensemble is left without a majority", "quorum_is_safe", "I2",
        f.Says(50, Order.MAINTENANCE, "202"), f.Crash(55, "202"),
        f.Lie(90, "201", Family.OURS, 200), shape=ZOOKEEPER,
        weaken=(*EARLY, "bystanders are not asked"),
    ),
    _at(
        "a hung member is restarted before the drop", "", "I3", f.Hang(100, "202"), removes=EARLY,
        shape=ZOOKEEPER,
    ),
    _at(
        "a controller is restarted for its network", "", "I3", f.Isolate(60, "101", 200),
        removes=("what it reaches is not asked",),
    ),
    _at(
        "a broker is restarted for its network", "", "I3", f.Isolate(60, "1", 200),
        removes=("what it reaches is not asked",), shape=replace(ZOOKEEPER, brokers=4),
    ),
    _at(
        "a broker is restarted by the others' word alone", "", "I3",
        f.Lie(60, "1", Family.THEIRS, 200), removes=("its own word is not asked",),
        shape=replace(APART, brokers=4),
    ),
    _at(
        "a leader is restarted for the network between brokers", "", "I3",
        f.OneWayCut(60, "1", 200), removes=("its own fetches are not asked",),
        shape=replace(APART, brokers=4, kinds=ALL_KINDS | {Kind.CANARY}),
        weaken=("replicas are not asked", "bystanders are not asked"),
    ),
    _at(
        "the others' list is enough", "", "I2", f.Lie(60, "1", Family.THEIRS, 200),
        f.Hang(100, "1", 20.0), removes=("the others' list is enough",),
        shape=Shape(combined=0, controllers=3, brokers=4, min_isr=3),
    ),
    _at(
        "a stopped bystander is well", "", "others", f.Hang(100, "1"), f.Hang(105, "2"),
        removes=("a stopped bystander is well",), shape=WIDE, seed=2,
    ),
    _at(
        "a plan begins unapproved", "", "I4", *(f.Crash(60, id_) for id_ in APART_NODES),
        removes=("a plan begins unapproved",), mode=Mode.APPROVE,
    ),
    _at(
        "a plan has no order", "", "plan", f.Crash(60, "3"),
        *(f.Crash(100, id_) for id_ in APART_NODES), f.Says(140, Order.APPROVE, f.PLAN),
        removes=("a plan has no order",), mode=Mode.APPROVE,
    ),
    _at(
        "a plan goes on after a failure", "", "plan",
        *(f.Crash(60, id_, 0.0, 3.0 if id_ == "100" else None) for id_ in APART_NODES),
        f.Says(100, Order.APPROVE, f.PLAN), removes=("a plan goes on after a failure",),
        mode=Mode.APPROVE,
    ),
    _at(
        "approvals have no end", "", "I4", f.ForeignWork(50, "1", "job", 90.0), f.Crash(60, "1"),
        f.Says(80, Order.APPROVE, "1"), removes=("approvals have no end",), mode=Mode.APPROVE,
        policy=Policy(approval_s=30.0),
    ),
    _at(
        "an approval lifts everything", "", "I3", f.Crash(60, "1"),
        f.ForeignWork(70, "1", "job", 60.0), f.Says(80, Order.APPROVE, "1"),
        f.StorageMissing(90, "1"), removes=("an approval lifts everything",),
        weaken=("no rule names it",), mode=Mode.APPROVE,
    ),
    _at(
        "a restart of unknown end is over", "", "I1", f.Clumsy(90, 60, unknown=1.0),
        f.Hang(100, "1"), f.CutHealer(113.5, ("1",), 280), f.Hang(160, "2"), shape=WIDE,
        removes=("a restart of unknown end is over",), weaken=("bystanders are not asked",),
        horizon_s=420.0,
    ),
    _at(
        "a node is gone after one look", "", "hasty", f.Crash(60, "1"),
        mutant_policy=Policy(gone_looks=1, gone_apart_s=0.0),
    ),
    _at(
        "hung is restarted before the drop", "", "I3", f.Hang(100, "1"), removes=EARLY,
        shape=replace(APART, session_s=18.0),
    ),
    _at(
        "gone by the machine's word alone", "two_families", "I3",
        f.Lie(60, "1", Family.MACHINE, 200), removes=("gone by one family",),
    ),
)  # fmt: skip


def _strikes(*kinds: type, members: bool | None = None) -> Callable[[Scenario], bool]:
    """Return whether one of these faults strikes, in ZooKeeper mode or not."""

    def told(scenario: Scenario) -> bool:
        mode = members is None or members is (scenario.shape.members > 0)
        return mode and any(isinstance(fault, kinds) for fault in scenario.faults)

    return told


def _keeper_hangs(scenario: Scenario) -> bool:
    return scenario.shape.members > 0 and any(
        isinstance(fault, f.Hang) and fault.target.startswith("20") for fault in scenario.faults
    )


def _early(scenario: Scenario) -> bool:
    return any(isinstance(fault, f.Crash) and fault.at_s < 15.0 for fault in scenario.faults)


def _times(count: int, *kinds: type) -> Callable[[Scenario], bool]:
    """Return whether so many of these faults strike."""
    return lambda scenario: sum(isinstance(one, kinds) for one in scenario.faults) >= count


KINDS: dict[str, Callable[[Scenario], bool]] = {
    "no_storm": _times(2, f.Hang, f.HostFreezes, f.PowerCut),
    "quorum_is_present": _strikes(f.QuorumLoss),
    "anti_flap": _times(2, f.Hang),
    "within_budget": _times(3, f.Crash),
    "a start on a disk that its last words call dead": _strikes(f.DiskFails),
    "a start on a disk that its last words call full": _strikes(f.DiskFails),
    "a controller is restarted for its network": _strikes(f.Isolate),
    "a broker is restarted for its network": _strikes(f.Isolate),
    "a broker is restarted by the others' word alone": _strikes(f.Lie),
    "a leader is restarted for the network between brokers": _strikes(f.OneWayCut),
    "a restart of unknown end is over": _strikes(f.Clumsy, f.HealerCrash),
    "known_node": _strikes(f.NotCommissioned),
    "warmed_up": _early,
    "view_is_fresh": _strikes(f.BadWeather, f.Suspend),
    "data_dirs_present": _strikes(f.StorageMissing),
    "two_families": _strikes(f.Lie),
    "no_unresolved_act": _strikes(f.Clumsy),
    "viewpoint_is_sound": _strikes(f.CutHealer),
    "reference hosts are not asked": _strikes(f.CutOff),
    "certificates_are_valid": _strikes(f.CertificateExpires),
    "quorum_is_safe": _strikes(f.Lie, f.QuorumLoss),
    "replicas_are_safe": _strikes(f.Hang, f.Lie),
    "the others' list is enough": _strikes(f.Lie),
    "a stopped bystander is well": _times(2, f.Hang),
    "controller_last": _strikes(f.Hang, f.Lie),
    "a broker is started while the ensemble is lost": _strikes(f.QuorumLoss, members=True),
    "ruok is believed": _strikes(f.QuorumLoss, f.Isolate, members=True),
    "an ensemble is left without a majority": _strikes(f.Lie, f.QuorumLoss, members=True),
    "a hung member is restarted before the drop": _keeper_hangs,
    "a node is gone after one look": _strikes(f.Crash),
    "hung is restarted before the drop": _strikes(f.Hang),
    "gone by the machine's word alone": _strikes(f.Lie),
}
"""What a scenario must have so that it visits what a mutant is about, beside its guard alone."""


NOT_DRAWN = frozenset(
    {
        "a plan begins unapproved",
        "a plan has no order",
        "a plan goes on after a failure",
        "approvals have no end",
        "an approval lifts everything",
    }
)
"""Mutants of what begins with an approval: in drawn scenarios nobody approves anything."""


def visits(mutant: Mutant, scenario: Scenario, alone: tuple[str, ...]) -> bool:
    """Whether a run was of the mutant's kind. `alone`: guards that were once the only reason."""
    kind = KINDS.get(mutant.name)
    return (mutant.name in alone) or (kind is not None and kind(scenario))


def run_mutant(mutant: Mutant, *, removed: bool, trace: bool = False) -> Outcome:
    """Run a mutant's scenario with its protection removed, or still in place."""
    policy = mutant.policy
    with ExitStack() as stack:
        for name in mutant.weaken + (mutant.removes if removed else ()):
            stack.enter_context(WEAKENINGS[name]())
        if removed and mutant.guard:
            stack.enter_context(without(mutant.guard))
        if removed and mutant.mutant_policy is not None:
            policy = mutant.mutant_policy
        return play(mutant.scenario, policy=policy, trace=trace)


def caught(mutant: Mutant, outcome: Outcome) -> bool:
    """Whether the invariant, or the harm metric, that is meant to catch it has done so."""
    if mutant.caught_by in dict(outcome.metrics):
        return outcome.metric(mutant.caught_by) > 0
    return any(violation.code == mutant.caught_by for violation in outcome.violations)


def shown_with(mutant: Mutant, chances: int) -> int | None:
    """Return the first seed, of so many from its own on, that shows what its protection is worth.

    Caught without the protection, not with it. None: there is none.
    """
    own = mutant.scenario.seed
    return next((seed for seed in range(own, own + chances) if shown(mutant, seed)), None)


def shown(mutant: Mutant, seed: int) -> bool:
    """Whether its scenario, with the chance of another seed, shows what its protection is worth."""
    other = replace(mutant, scenario=replace(mutant.scenario, seed=seed))
    found, kept = run_mutant(other, removed=True), run_mutant(other, removed=False)
    return caught(other, found) and not caught(other, kept)
