"""Faults that only a whole daemon has: of its mail, of its store, and deaths at exact places."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

from kafka_self_healing.simulation.scenarios import CALM_AT_THE_END_S, FIRST_FAULT_S


class Place(StrEnum):
    """Where a process dies: at a line of its own code rather than at a moment."""

    BEFORE_COMMIT = "journal:before-commit"
    AFTER_COMMIT = "journal:after-commit"
    BEFORE_COMMAND = "command:before"
    AFTER_COMMAND = "command:after"
    AFTER_MAIL = "mail:sent"


@dataclass(frozen=True, slots=True)
class DiesAt:
    """The next time that the daemon comes by this place it is killed, and comes back later."""

    at_s: float
    place: Place
    down_s: float


@dataclass(frozen=True, slots=True)
class SleepsInAct:
    """Just after it has written down an intent, or a begun step, the daemon is stopped (SIGSTOP).

    Somebody removes its lock file and starts another one; after `for_s` the first one goes on.
    """

    at_s: float
    for_s: float
    in_step: bool = False


@dataclass(frozen=True, slots=True)
class SmtpDown:
    """The mail server refuses (`hangs`: accepts, and never answers) for a while."""

    at_s: float
    for_s: float
    hangs: bool = False


@dataclass(frozen=True, slots=True)
class StoreFull:
    """The disk of the state folder is full: nothing can be committed for a while."""

    at_s: float
    for_s: float


DaemonFault = DiesAt | SleepsInAct | SmtpDown | StoreFull


def draw_faults(seed: int, horizon_s: float) -> tuple[DaemonFault, ...]:
    """Draw what befalls the daemon itself, beside the faults of the scenario of the same seed."""
    rng = Random(f"tier b {seed}")
    end = max(FIRST_FAULT_S, horizon_s - CALM_AT_THE_END_S)
    found: list[DaemonFault] = []
    if rng.random() < 0.4:
        places = tuple(Place)
        for _ in range(rng.choice((1, 1, 2))):
            at = round(rng.uniform(20.0, end), 2)
            found.append(DiesAt(at, rng.choice(places), rng.uniform(0.5, 20.0)))
    if rng.random() < 0.1:
        found.append(SleepsInAct(FIRST_FAULT_S, rng.uniform(2.0, 60.0), rng.random() < 0.6))
    if rng.random() < 0.25:
        at = round(rng.uniform(FIRST_FAULT_S, end), 2)
        found.append(SmtpDown(at, rng.uniform(5.0, 90.0), rng.random() < 0.4))
    if rng.random() < 0.2:
        at = round(rng.uniform(FIRST_FAULT_S, end), 2)
        found.append(StoreFull(at, rng.choice((3.0, 20.0, 60.0))))
    return tuple(sorted(found, key=lambda fault: fault.at_s))
