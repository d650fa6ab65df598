"""The faults that the demo can strike with: what each breaks, when, and what is right then.

They are data: `tour` strikes, `verdict` compares what came of it with `Right`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from kafka_self_healing.demo.slow_start import SLOW_START_PROPERTIES
from kafka_self_healing.model.incident import Condition

START: Final = ("start",)
KILL_AND_START: Final = ("kill", "start")


class Blow(StrEnum):
    """How a node is broken. The values are signals, or the supervisor's own stop."""

    KILL = "KILL"
    FREEZE = "STOP"
    OPERATOR_STOP = "operator's stop"


BLOW_WORDS: Final = {
    Blow.KILL: "kill -9",
    Blow.FREEZE: "SIGSTOP (it hangs)",
    Blow.OPERATOR_STOP: "stopped by its operator through the supervisor",
}


@dataclass(frozen=True, slots=True)
class Strike:
    """One blow at the nodes with these places in the list of victims.

    `after_return`: not at once, but when the victims of the strike before are in sync again.
    """

    victims: tuple[int, ...]
    blow: Blow
    after_return: bool = False


@dataclass(frozen=True, slots=True)
class Right:
    """What is right, judged from outside.

    `acts`: for each victim the healer's commands, in order; everybody else is left alone.
    `drop_first`: no act before all other nodes have dropped the victim. `apart_s`: least seconds
    between acts on different nodes. `after_return`: the second blow falls once the first victim is
    in sync again. `said`: a condition that the healer must have named.
    `heals`: the victims are in sync at the end, and the healer says that it was its doing.
    """

    acts: tuple[tuple[str, ...], ...] = ()
    drop_first: bool = False
    apart_s: float = 1.0
    after_return: bool = False
    said: Condition | None = None
    heals: bool = True


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, in words and in data.

    `segments`: how many unflushed segments the first victim gets before. `limit_s`: seconds until
    all must be over; `watch_s`: seconds to watch where nothing may be done.
    """

    name: str
    breaks: str
    is_right: str
    right: Right
    strikes: tuple[Strike, ...] = ()
    segments: int = 0
    limit_s: float = 120.0
    watch_s: float = 15.0
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def number_of_victims(self) -> int:
        """How many different nodes are struck."""
        return len({victim for strike in self.strikes for victim in strike.victims})

    def choose(self, nodes: Sequence[int], seed: int) -> tuple[int, ...]:
        """Return the victims: the same for the same seed, any node, the controller too."""
        order = random.Random(seed).sample(sorted(nodes), len(nodes))  # noqa: S311 - no secret
        return tuple(order[: self.number_of_victims])


_ALL: Final = (
    Fault(
        name="crash",
        breaks="one node is killed with kill -9",
        is_right="it is started once, the others are left alone, and it is proven well",
        right=Right((START,), said=Condition.PROCESS_GONE),
        strikes=(Strike((0,), Blow.KILL),),
    ),
    Fault(
        name="hang",
        breaks="one node is frozen with SIGSTOP: its process runs and answers nobody",
        is_right="nothing until the others have dropped it; then one kill and one start",
        right=Right((KILL_AND_START,), drop_first=True, said=Condition.PROCESS_HUNG),
        strikes=(Strike((0,), Blow.FREEZE),),
    ),
    Fault(
        name="stop",
        breaks="an operator stops one node through the supervisor",
        is_right="hands off, and it says so; the operator then starts the node again",
        right=Right(((),), said=Condition.STOPPED_BY_OPERATOR, heals=False),
        strikes=(Strike((0,), Blow.OPERATOR_STOP),),
    ),
    Fault(
        name="quorum-loss",
        breaks="two of three nodes are killed at once: no controller quorum is left",
        is_right="the dead voters are started one by one, the survivor is left alone",
        right=Right((START, START), apart_s=3.0, said=Condition.QUORUM_LOST),
        strikes=(Strike((0, 1), Blow.KILL),),
        limit_s=150.0,
    ),
    Fault(
        name="two-crashes",
        breaks="a second node is killed as soon as the first is in sync again, not yet healed",
        is_right="both are healed by one act each, never two at a time",
        right=Right((START, START), apart_s=3.0, after_return=True, said=Condition.PROCESS_GONE),
        strikes=(Strike((0,), Blow.KILL), Strike((1,), Blow.KILL, after_return=True)),
        limit_s=150.0,
    ),
    Fault(
        name="slow-start",
        breaks="one node is killed with thousands of unflushed segments, which it must read first",
        is_right="it is started once, then left alone while its recovery makes progress",
        right=Right((START,), said=Condition.RECOVERING_LOGS),
        strikes=(Strike((0,), Blow.KILL),),
        segments=15_000,
        limit_s=300.0,
        properties=SLOW_START_PROPERTIES,
    ),
    Fault(
        name="none",
        breaks="nothing is broken for 60 s",
        is_right="no incident and no act",
        right=Right(heals=False),
        watch_s=60.0,
    ),
)

FAULTS: Final[Mapping[str, Fault]] = {fault.name: fault for fault in _ALL}
