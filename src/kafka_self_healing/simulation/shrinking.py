"""Makes a failing scenario small: fewer faults, simpler ones, a smaller cluster, shorter times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, replace
from typing import Any

from kafka_self_healing.model.policy import Mode
from kafka_self_healing.simulation import faults
from kafka_self_healing.simulation.scenarios import FIRST_FAULT_S, Scenario, cluster_of

MOST_RUNS = 400
TAIL_S = 1.0
"""What is kept of the time after the first thing that went wrong."""

Fails = Callable[[Scenario], float | None]
"""Returns when (virtual seconds) the scenario goes wrong in the way in question, or None."""


class Shrinker:
    """Tries smaller scenarios and keeps those that still go wrong."""

    def __init__(self, fails: Fails, most_runs: int = MOST_RUNS) -> None:
        self._fails, self._left = fails, most_runs

    def shrink(self, scenario: Scenario) -> Scenario:
        """Return the smallest found. Raises ValueError if it does not go wrong at all."""
        if self._fails(scenario) is None:
            raise ValueError("nothing goes wrong in this scenario")
        smaller = self._fewer_faults(scenario)
        while True:
            found = self._first(smaller)
            if found is None:
                return self._shorter(smaller)
            smaller = found

    def _bad(self, scenario: Scenario) -> bool:
        self._left -= 1
        return self._left >= 0 and _fits(scenario) and self._fails(scenario) is not None

    def _fewer_faults(self, scenario: Scenario) -> Scenario:
        """Delta debugging: leave out halves, then quarters, at last single faults."""
        size = max(1, len(scenario.faults) // 2)
        while True:
            at, left_out = 0, False
            while at < len(scenario.faults):
                kept = scenario.faults[:at] + scenario.faults[at + size :]
                smaller = replace(scenario, faults=kept)
                if self._bad(smaller):
                    scenario, left_out = smaller, True
                else:
                    at += size
            if size == 1 and not left_out:
                return scenario
            size = max(1, size // 2)

    def _first(self, scenario: Scenario) -> Scenario | None:
        return next((one for one in _simpler(scenario) if self._bad(one)), None)

    def _shorter(self, scenario: Scenario) -> Scenario:
        at = self._fails(scenario)
        assert at is not None
        shorter = replace(scenario, horizon_s=round(min(scenario.horizon_s, at + TAIL_S), 1))
        return shorter if self._bad(shorter) else scenario


def _simpler(scenario: Scenario) -> Iterator[Scenario]:
    """Yield scenarios that are simpler in one respect."""
    plainer = (
        replace(scenario, loss=0.0),
        replace(scenario, auto_restart=False),
        replace(scenario, mode=Mode.AUTO),
    )
    yield from (one for one in plainer if one != scenario)
    yield from (replace(scenario, shape=shape) for shape in _shapes(scenario))
    for index, fault in enumerate(scenario.faults):
        for simpler in _faults(fault):
            struck = (*scenario.faults[:index], simpler, *scenario.faults[index + 1 :])
            yield replace(scenario, faults=tuple(sorted(struck, key=lambda one: one.at_s)))
    early = min((fault.at_s for fault in scenario.faults), default=0.0)
    if early > FIRST_FAULT_S:
        by = early - FIRST_FAULT_S
        yield replace(scenario, faults=tuple(_moved(one, -by) for one in scenario.faults))


def _shapes(scenario: Scenario) -> Iterator[Any]:
    shape = scenario.shape
    for one in fields(shape):
        value = getattr(shape, one.name)
        if one.name in {"combined", "controllers", "brokers", "members"}:
            if value > 0:
                yield _with(shape, one.name, value - 1)
        elif one.name in {"topics", "partitions"}:
            if value > 1:
                yield _with(shape, one.name, 1)
        elif one.default is not MISSING and value != one.default and one.name != "session_s":
            yield _with(shape, one.name, one.default)


def _faults(fault: faults.Fault) -> Iterator[faults.Fault]:
    for one in fields(fault):
        value = getattr(fault, one.name)
        if one.default is not MISSING and value != one.default:
            yield _with(fault, one.name, one.default)
        elif one.name in {"at_s", "for_s"} and isinstance(value, float) and value != round(value):
            yield _with(fault, one.name, float(round(value)))


def _moved(fault: faults.Fault, by_s: float) -> faults.Fault:
    moved: faults.Fault = _with(fault, "at_s", round(fault.at_s + by_s, 2))
    return moved


def _with(one: Any, name: str, value: object) -> Any:
    return replace(one, **{name: value})


def _fits(scenario: Scenario) -> bool:
    """Whether every node that a fault strikes is there, and the cluster can be one."""
    shape = scenario.shape
    keepers = shape.combined + shape.controllers + shape.members
    brokers = shape.combined + shape.brokers
    if keepers < 1 or brokers < 1 or brokers < shape.rf - 1:
        return False
    known = {*cluster_of(shape).nodes, ""}
    for fault in scenario.faults:
        targets = getattr(fault, "targets", (getattr(fault, "target", ""),))
        if not set(targets) <= known:
            return False
    return True
