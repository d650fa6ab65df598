"""The figures of `bench.mttr`: single rounds, medians, ratios, and the page that shows them."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from kafka_self_healing.clock import utc_seconds
from kafka_self_healing.demo.jars import KAFKA_VERSION

LIMITS: Final[Mapping[str, float]] = {"crash": 1.15, "hang": 1.3}
"""What the median ratio of ours to the floor may be at most, at Kafka's default session."""

JUDGED_SESSION_S: Final = 9.0
STEPS: Final = ("suspected", "diagnosed", "decided to act")
"""The keys of a round's `story`, in their order."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one side. Seconds count from the blow; None: it was not seen.

    `seconds`: until all partitions were in sync for good. `started_s`: until the victim's new
    process existed. `load`: the one-minute load average at the blow; `busy`: the part of all CPU
    time that was used from the blow to the end. `story`: the healer's own steps. `wrong`: what did
    not go as it must, or nothing.
    """

    session_s: float
    fault: str
    side: str
    number: int
    victim: int
    is_controller: bool
    struck_at: float
    seconds: float | None
    dropped_s: float | None
    started_s: float | None
    load: float
    busy: float
    wrong: str = ""
    story: Mapping[str, float] = field(default_factory=dict)

    def with_story(self, story: Mapping[str, float]) -> Self:
        """Return it with the healer's steps, which only its journal knows."""
        return replace(self, story=story)


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when it was measured."""

    cpu: str
    cores: int
    memory_gib: float
    software: str
    date: str

    @classmethod
    def here(cls, *, java: str) -> Self:
        """Describe this machine, now."""
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
        versions = f"Linux {platform.release()}, Python {platform.python_version()}, {java}"
        when = datetime.fromtimestamp(utc_seconds(), UTC)
        return cls(
            cpu=_cpu_model(),
            cores=os.cpu_count() or 0,
            memory_gib=memory,
            software=f"{versions}, Kafka {KAFKA_VERSION}",
            date=f"{when:%Y-%m-%d %H:%M} UTC",
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """Both sides of one fault at one session length: seconds of each, and the rounds' ratios."""

    session_s: float
    fault: str
    ours: tuple[float, ...]
    floor: tuple[float, ...]
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)

    @property
    def limit(self) -> float | None:
        """What the ratio may be at most; None where it is only reported."""
        return LIMITS[self.fault] if self.session_s == JUDGED_SESSION_S else None


def summaries(rounds: Iterable[Round]) -> list[Summary]:
    """Return a summary of each fault and session of which a round was played by both sides."""
    pairs: dict[tuple[float, str], dict[int, dict[str, float]]] = {}
    for one in rounds:
        if one.seconds is not None and not one.wrong:
            of_fault = pairs.setdefault((one.session_s, one.fault), {})
            of_fault.setdefault(one.number, {})[one.side] = one.seconds
    found = []
    for (session_s, fault), numbered in pairs.items():
        both = [(pair["ours"], pair["floor"]) for pair in numbered.values() if len(pair) == 2]
        if both:
            ours, floor = zip(*both, strict=True)
            ratios = tuple(mine / best for mine, best in both)
            found.append(Summary(session_s, fault, ours, floor, ratios))
    return found


def judge(rounds: Sequence[Round]) -> list[str]:
    """Return a sentence for each ratio above its limit and each round that went wrong."""
    sentences = [
        f"{one.fault}: the median ratio {one.ratio:.2f} is above {one.limit}"
        for one in summaries(rounds)
        if one.limit is not None and one.ratio > one.limit
    ]
    sentences += [f"{_name(one)}: {one.wrong}" for one in rounds if one.wrong]
    return sentences


def line_of(one: Round) -> str:
    """Return one round as a line."""
    steps = " ".join(f"{step} {one.story[step]:.1f}" for step in STEPS if step in one.story)
    return (
        f"{_name(one)}: in sync {_s(one.seconds)} s; dropped {_s(one.dropped_s)}"
        f" started {_s(one.started_s)} {steps} (node {one.victim}"
        f"{', controller' if one.is_controller else ''}; load {one.load:.1f},"
        f" CPU {one.busy:.0%}){' WRONG: ' + one.wrong if one.wrong else ''}"
    )


def table(rounds: Sequence[Round]) -> str:
    """Return the medians as a table of plain text."""
    lines = [f"{'session':>7} {'fault':<6} {'rounds':>6} {'ours s':>7} {'floor s':>7} ratio limit"]
    lines += [
        f"{one.session_s:>7g} {one.fault:<6} {len(one.ratios):>6}"
        f" {statistics.median(one.ours):>7.1f} {statistics.median(one.floor):>7.1f}"
        f" {one.ratio:>5.2f} {one.limit or '-'}"
        for one in summaries(rounds)
    ]
    return "\n".join(lines)


def page(rounds: Sequence[Round], here: Machine) -> str:
    """Return the page of the documentation."""
    parts = [_HEAD, _medians(rounds), _where(here, rounds), _ROUNDS_HEAD]
    parts += [_of_session(session, rounds) for session in _sessions(rounds)]
    return "\n".join(parts)


_HEAD: Final = """\
# How long healing takes

Written by `python -m bench.mttr --demo-rounds 2 --out docs/explanation/mttr.md`; do not edit.

The time runs from the fault until all partitions are in sync again: the first moment at which both
other nodes' metadata, asked every 100 ms by a client that shares nothing with the healer, lists all
three nodes and shows every partition in sync, and goes on to do so for 2 s. What metadata says
before the cluster has noticed the fault does not count.

**Ours** is the daemon in mode `auto`. The **floor** is the same act by a script that knows at once
what is wrong: after a crash it starts the node immediately; a hung node it kills and starts at the
poll that first shows that the others have dropped it. Our daemon runs beside it in `observe`, so
both sides bear the same load. Nobody can be much faster than the floor: a crashed broker is not let
in before its old session has ended, and killing a silent one before it is dropped would be a guess.

The two take turns. Every round has a new state folder and begins when the daemon is warm and has
known all nodes well for the stable window (60 s); every setting is at its default. Both sides of a
round strike the same kind of node: the active controller in even rounds, another one in odd ones.
The loss of a controller costs an election on top, after which the session counts anew.

## Medians
"""

_ROUNDS_HEAD: Final = """\
## Single rounds

Seconds from the fault. *Dropped*: the poll first saw that a node no longer listed the victim;
*started*: its new process existed. *Suspected*, *diagnosed*, *decided*: the healer's journal; the
floor's daemon only watches. *CPU*: how busy the whole machine was during the round.
"""


def _medians(rounds: Sequence[Round]) -> str:
    lines = [
        "| session | fault | rounds | ours, s | floor, s | median of the rounds' ratios | limit |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in summaries(rounds):
        limit = f"{one.limit}" if one.limit is not None else "only reported"
        lines.append(
            f"| {one.session_s:g} s | {one.fault} | {len(one.ratios)}"
            f" | {statistics.median(one.ours):.1f} | {statistics.median(one.floor):.1f}"
            f" | **{one.ratio:.2f}** ({min(one.ratios):.2f}–{max(one.ratios):.2f}) | {limit} |"
        )
    return "\n".join([*lines, "", _SESSIONS])


_SESSIONS: Final = """\
A session of 9 s is Kafka's default; 3 s is what the demo gives its brokers, with the heartbeat, the
election and the fetch timeout shortened alike.
"""


def _where(here: Machine, rounds: Sequence[Round]) -> str:
    loads = [one.load for one in rounds]
    return (
        f"## Where and when\n\n{here.date}, {here.cores} cores ({here.cpu}), "
        f"{here.memory_gib:.0f} GiB memory; {here.software}. Three brokers, the daemon and the "
        f"poll shared this machine with other work: its load average at the faults was "
        f"{min(loads):.1f} to {max(loads):.1f} (median {statistics.median(loads):.1f}).\n"
    )


_COLUMNS: Final = """\
| fault | round | side | victim | in sync | suspected | diagnosed | decided | dropped | started \
| load | CPU |"""


def _of_session(session_s: float, rounds: Sequence[Round]) -> str:
    lines = [
        f"### Session {session_s:g} s",
        "",
        _COLUMNS,
        "|---" * _COLUMNS.count(" | ") + "|---|",
    ]
    mine = [one for one in rounds if one.session_s == session_s]
    for one in sorted(mine, key=lambda one: (one.fault, one.number, one.side != "ours")):
        steps = "".join(f" | {_s(one.story.get(step))}" for step in STEPS)
        if one.side != "ours":
            steps = " | " * len(STEPS)
        lines.append(
            f"| {one.fault} | {one.number} | {one.side}"
            f" | {one.victim}{' (controller)' if one.is_controller else ''}"
            f" | **{_s(one.seconds)}**{steps} | {_s(one.dropped_s)} | {_s(one.started_s)}"
            f" | {one.load:.1f} | {one.busy:.0%} |"
        )
    lines += [f"\nRound {one.number}, {one.fault}, {one.side}: {one.wrong}." for one in mine
              if one.wrong]  # fmt: skip
    return "\n".join([*lines, ""])


def _sessions(rounds: Iterable[Round]) -> list[float]:
    return sorted({one.session_s for one in rounds}, reverse=True)


def _name(one: Round) -> str:
    return f"{one.session_s:g} s {one.fault} {one.number} {one.side}"


def _s(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.1f}"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
