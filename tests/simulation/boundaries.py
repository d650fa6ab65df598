"""What each confirm value is worth: the same scenarios with half of it and with double."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from kafka_self_healing.healing import assessment, peers
from kafka_self_healing.healing.diagnosis import probe
from kafka_self_healing.model.control import Order
from kafka_self_healing.model.evidence import Family
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.simulation import faults as f
from kafka_self_healing.simulation.comparison import Who, heal
from kafka_self_healing.simulation.meter import Moment
from kafka_self_healing.simulation.runner import play
from kafka_self_healing.simulation.scenarios import Scenario, Shape

APART = Shape(combined=0, controllers=3, brokers=3)
WIDE = Shape(combined=0, controllers=3, brokers=6)
ZOOKEEPER = Shape(combined=0, brokers=3, members=3, session_s=18.0)
Measure = Callable[[Scenario, Policy], float]
NEVER_S = 3600.0


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a value: the faults that show it, what is measured, in words."""

    faults: tuple[f.Fault, ...]
    measure: Measure
    what: str
    shape: Shape = APART
    loss: float = 0.0
    horizon_s: float = 300.0
    seeds: tuple[int, ...] = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the policy (or a constant of the mind), and what half and double of it change.

    `hasty`: half of it makes this worse; `slow`: double of it makes this worse. None: nothing was
    found that it changes, and `why` says so.
    """

    name: str
    hasty: Side | None
    slow: Side | None
    why: str = ""

    @contextmanager
    def times(self, factor: float) -> Iterator[Policy]:
        """Give a policy with the value changed."""
        if self.name in CONSTANTS:
            with ExitStack() as stack:
                for owner, name in CONSTANTS[self.name]:
                    stack.enter_context(_set(owner, name, factor * getattr(owner, name)))
                yield Policy()
            return
        changed: dict[str, Any] = {}
        for name in self.name.split(" and "):
            known = getattr(Policy(), name)
            changed[name] = (
                max(1, int(known * factor)) if isinstance(known, int) else known * factor
            )
        yield replace(Policy(), **changed)


CONSTANTS: dict[str, tuple[tuple[Any, str], ...]] = {
    "STALE_VOTER_FETCHES": ((peers, "STALE_VOTER_FETCHES"),),
    "NOT_SERVING_S": ((assessment, "NOT_SERVING_S"), (probe, "NOT_SERVING_S")),
}


@contextmanager
def _set(owner: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def measured(value: Value, side: Side, factor: float) -> float:
    """Return the mean over some chances with so much of the value; the judge keeps the default."""
    found = []
    for seed in side.seeds:
        scenario = Scenario(seed, side.shape, side.faults, side.loss, horizon_s=side.horizon_s)
        with value.times(factor) as policy:
            found.append(side.measure(scenario, policy))
    return round(sum(found) / len(found), 2)


# --- what is measured -----------------------------------------------------------------------------


def broken(code: str) -> Measure:
    """Return a count of violations of one invariant."""
    return lambda scenario, policy: sum(
        violation.code == code for violation in play(scenario, mind=policy).violations
    )


def after(moment: Moment) -> Measure:
    """Return the seconds from the first failure to a moment; an hour, if it never came."""

    def seconds(scenario: Scenario, policy: Policy) -> float:
        episodes = heal(scenario, Who.OURS, policy).episodes
        found = episodes[0].after(moment) if episodes else None
        return NEVER_S if found is None else found

    return seconds


def hasty(scenario: Scenario, policy: Policy) -> float:
    """Starts of a process that was gone for less than two seconds."""
    return play(scenario, mind=policy).metric("hasty")


def wrong(scenario: Scenario, policy: Policy) -> float:
    """Acts that were needless or harmful."""
    count = heal(scenario, Who.OURS, policy).count
    return count.needless + count.harmful


def acts(scenario: Scenario, policy: Policy) -> float:
    """Acts."""
    return heal(scenario, Who.OURS, policy).count.acts


def notices(scenario: Scenario, policy: Policy) -> float:
    """Notices to people."""
    return heal(scenario, Who.OURS, policy).notices


def after_told(scenario: Scenario, policy: Policy) -> float:
    """Seconds from the first fault until somebody is told; an hour, if nobody is."""
    told = heal(scenario, Who.OURS, policy).told_s
    return told[0] - scenario.faults[0].at_s if told else NEVER_S


def closed(scenario: Scenario, policy: Policy) -> float:
    """The second of the run at which the last incident was over."""
    return max(heal(scenario, Who.OURS, policy).closed_s, default=NEVER_S)


def endings(scenario: Scenario, policy: Policy) -> float:
    """Incidents that were over."""
    return len(heal(scenario, Who.OURS, policy).closed_s)


# --- the table ------------------------------------------------------------------------------------

CRASH = (f.Crash(60.0, "2"),)
HANG = (f.Hang(60.0, "2"),)
EARLY = (f.Crash(0.5, "2"),)
SUSPECTED = f.JmxOff(50.0, "101", 60.0)
STORM: tuple[f.Fault, ...] = (
    *(f.Hang(60.0, id_) for id_ in "1234"),
    *(f.Says(85.0, Order.ACK, id_) for id_ in "234"),
)
TO_THE_ACT = "seconds from the failure to the act"
TO_HEALTH = "seconds from the failure to health"

VALUES: tuple[Value, ...] = (
    Value("gone_looks", None, None, "looks are a second apart: gone_apart_s asks for two anyway"),
    Value(
        "gone_apart_s",
        Side((f.Crash(100.0, "2"),), hasty, "starts within 2 s of the end", horizon_s=110.0),
        Side(CRASH, after(Moment.ACTED), TO_THE_ACT, horizon_s=90.0),
    ),
    Value(
        "silent_looks",
        Side(
            (f.Isolate(60.0, "2", 60.0), f.JmxOff(70.0, "2", 40.0), f.Hang(85.0, "2", 1.7)),
            wrong, "restarts of what was silent for 1.7 s", horizon_s=95.0, seeds=(1, 2, 3, 4),
        ),
        Side(HANG, after(Moment.ACTED), TO_THE_ACT, horizon_s=90.0),
    ),
    Value(
        "confirm_s",
        Side((f.Lie(60.0, "2", Family.OURS, 24.0),), notices, "calls for nothing",
             horizon_s=120.0),
        Side((f.Lie(60.0, "2", Family.OURS, 180.0),), after_told,
             "seconds until somebody is told", horizon_s=200.0, seeds=(1,)),
    ),
    Value(
        "clear_looks", None,
        Side((f.CutHealer(60.0, ("2",), 40.0),), closed, "when the incident is over",
             horizon_s=170.0, seeds=(1,)),
        "halved nothing was found to change: most incidents end by what is known, not by counting",
    ),
    Value(
        "stable_floor_s",
        Side((f.Hang(60.0, "2", None, 45.0),), notices, "notices of a healing that did not last",
             horizon_s=200.0, seeds=(1,)),
        Side(CRASH, closed, "when the incident is over", horizon_s=260.0, seeds=(1,)),
    ),
    Value(
        "terminated_hold_s",
        Side((f.Terminate(40.0, "2"), f.StartedBySomebody(130.0, "2")), acts,
             "starts before the person who stopped it", horizon_s=145.0, seeds=(1,)),
        Side((f.Terminate(40.0, "2"),), after(Moment.HEALED), TO_HEALTH, horizon_s=300.0,
             seeds=(1,)),
    ),
    Value(
        "boot_hold_s",
        Side((f.PowerCut(40.0, "2", 20.0), f.StartedBySomebody(105.0, "2")), acts,
             "starts before the boot's own", horizon_s=115.0, seeds=(1,)),
        Side((f.PowerCut(40.0, "2", 20.0),), after(Moment.HEALED), TO_HEALTH, horizon_s=210.0,
             seeds=(1,)),
    ),
    Value(
        "storm_window_s", None, None,
        "others_are_well refuses a restart beside a sick node before a storm is counted",
    ),
    Value(
        "storm_quiet_s", None,
        Side(STORM, after(Moment.ACTED), TO_THE_ACT, shape=WIDE, horizon_s=330.0, seeds=(1,)),
        "halved only the act comes earlier: nothing in this world strikes twice a minute apart",
    ),
    Value(
        "warm_rounds and warm_floor_s",
        Side(EARLY, broken("I4"), "acts of a healer that has hardly looked", horizon_s=40.0,
             seeds=(1,)),
        Side(EARLY, after(Moment.ACTED), TO_THE_ACT, horizon_s=60.0, seeds=(1,)),
    ),
    Value("warm_rounds", None,
          Side(EARLY, after(Moment.ACTED), TO_THE_ACT, horizon_s=60.0, seeds=(1,)),
          "halved alone it changes nothing: three rounds take as long as warm_floor_s"),
    Value("warm_floor_s", None,
          Side(EARLY, after(Moment.ACTED), TO_THE_ACT, horizon_s=60.0, seeds=(1,)),
          "halved alone it changes nothing: three rounds take as long"),
    Value(
        "STALE_VOTER_FETCHES",
        Side((SUSPECTED, f.Hang(60.0, "101", 5.5)), wrong, "restarts of what wakes by itself",
             horizon_s=80.0),
        Side((SUSPECTED, f.Hang(60.0, "101")), after(Moment.ACTED), TO_THE_ACT, horizon_s=90.0,
             seeds=(1,)),
    ),
    Value(
        "NOT_SERVING_S",
        Side(tuple(f.Crash(60.0, id_) for id_ in ("200", "201")), endings,
             "incidents, also of members between two leaders", shape=ZOOKEEPER,
             horizon_s=150.0, seeds=(12, 16)),
        None, "doubled nothing was found to change: an election is over in less",
    ),
)  # fmt: skip
"""`hasty` must be worse with half, `slow` with double of the value."""
