"""The full run of `make sim`: many seeds on all cores, the mutants anew, and the page of it."""

# ruff: noqa: E501  a paragraph of the page is a line

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from kafka_self_healing.clock import boot_seconds
from kafka_self_healing.simulation import tier_b
from kafka_self_healing.simulation.mutants import MUTANTS, shown, visits
from kafka_self_healing.simulation.parallel import on_all_cores
from kafka_self_healing.simulation.runner import Outcome, run, timeline
from kafka_self_healing.simulation.scenarios import draw
from kafka_self_healing.simulation.tier_b import runner as tier_b_runner

Say = Callable[[str], None]
TOTALS: Final = ("acts", "needless", "harmful", "missed", "overtaken", "hasty", "unwatched")
CHANCES: Final = 21
"""A mutant's scenario is played with its own chance and the 20 after it; fewer in a short run."""

SEEDS_A_CHANCE: Final = 1000


@dataclass(slots=True)
class Tier:
    """What the seeds of one tier came to."""

    name: str
    seeds: int = 0
    took_s: float = 0.0
    totals: Counter[str] = field(default_factory=Counter)
    broken: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome, write: Say) -> None:
        """Add a seed; one with a broken invariant is told at once."""
        self.seeds += 1
        for name in TOTALS:
            self.totals[name] += dict(outcome.metrics).get(name, 0)
        if not outcome.good:
            self.broken.append(outcome)
            first = outcome.violations[0]
            write(f"{self.name}, seed {outcome.seed}: {first.code} at {first.at_s} s: {first.text}")

    def sentence(self) -> str:
        """Return what became of it."""
        figures = ", ".join(f"{self.totals[name]} {name}" for name in TOTALS)
        return f"{self.name}: {self.seeds} scenarios, {len(self.broken)} with a broken invariant; {figures}"

    @property
    def pace(self) -> str:
        """Return how many were played in a minute."""
        cores = len(os.sched_getaffinity(0))
        return f"{60 * self.seeds / max(1e-9, self.took_s):.0f} a minute on {cores} cores"


@dataclass(slots=True)
class Drawn:
    """What kinds of scenarios the seeds are, and which guards were the only reason in them."""

    faults: Counter[str] = field(default_factory=Counter)
    visited: Counter[str] = field(default_factory=Counter)


def shares(outcomes: Sequence[Outcome]) -> Counter[str]:
    """Return how many of these seeds visit the kind of scenario that each mutant is about."""
    found: Counter[str] = Counter()
    for outcome in outcomes:
        scenario = draw(outcome.seed)
        found.update(m.name for m in MUTANTS if visits(m, scenario, outcome.alone))
    return found


def full_run(seeds: int, tier_b_seeds: int, write: Say, save: Say | None = None) -> bool:
    """Run both tiers, and the mutants anew if a page is wanted. True: no invariant broken, no harm."""
    tier_a, drawn = Tier("tier A"), Drawn()
    began = boot_seconds()
    for outcome in on_all_cores(run, range(seeds), "tier A"):
        tier_a.add(outcome, write)
        drawn.visited += shares([outcome])
        drawn.faults.update({type(fault).__name__ for fault in draw(outcome.seed).faults})
    tier_a.took_s = boot_seconds() - began
    tiers = [tier_a]
    if tier_b_seeds:
        second, began = Tier("tier B"), boot_seconds()
        for outcome in on_all_cores(tier_b_runner.run, range(tier_b_seeds), "tier B"):
            second.add(outcome, write)
        second.took_s = boot_seconds() - began
        tiers.append(second)
    for tier in tiers:
        for outcome in tier.broken:
            write(f"seed {outcome.seed}: {len(outcome.violations)} invariants broken\n")
            write((timeline if tier is tier_a else tier_b_runner.timeline)(outcome.seed) + "\n")
        write(f"{tier.sentence()}; {tier.pace}")
    if save is not None:
        most = min(CHANCES, 1 + seeds // SEEDS_A_CHANCE)
        play = partial(mutant_chances, most=most)
        chances = list(on_all_cores(play, range(len(MUTANTS)), "mutants"))
        save(_page(tiers, drawn, chances, most))
    return not any(tier.broken or tier.totals["harmful"] for tier in tiers)


def mutant_chances(index: int, most: int) -> int:
    """Return with how many of so many chances a mutant shows what its protection is worth."""
    mutant = MUTANTS[index]
    seeds = range(mutant.scenario.seed, mutant.scenario.seed + most)
    return sum(shown(mutant, seed) for seed in seeds)


def _page(tiers: Sequence[Tier], drawn: Drawn, chances: Sequence[int], most: int) -> str:
    seeds = tiers[0].seeds
    lines = [f"- {tier.sentence()}; {tier.pace}." for tier in tiers]
    for tier in tiers:
        for outcome in tier.broken:
            codes = ", ".join(sorted({violation.code for violation in outcome.violations}))
            lines.append(f"- {tier.name}, seed {outcome.seed}: {codes}")
    kinds = [f"| {name} | {100 * n / seeds:.1f} % |" for name, n in drawn.faults.most_common()]
    guards = [
        f"| {f'`{m.name}`' if m.guard == m.name else m.name} | {100 * drawn.visited[m.name] / seeds:.1f} % | {shown} of {most} |"
        for m, shown in zip(MUTANTS, chances, strict=True)
    ]
    b_seeds = tiers[1].seeds if len(tiers) > 1 else 0
    return PAGE.format(
        seeds=seeds, b_seeds=b_seeds, lines="\n".join(lines), kinds="\n".join(kinds),
        guards="\n".join(guards), chances=most, tier_b=(tier_b.__doc__ or "").partition("\n")[0],
    )  # fmt: skip


PAGE: Final = """# The latest full run of the simulation

Written by `kafka-self-healing simulate --seeds {seeds} --tier-b {b_seeds} --page docs/explanation/simulation-report.md`, as `make sim` does with 20,000 and 500 seeds. What is simulated and judged: [simulation.md](simulation.md). Tier B: {tier_b}

{lines}

## What the seeds visit

Share of the seeds in which a fault of the kind strikes:

| fault | seeds |
|---|---|
{kinds}

## What the guards are worth

*Seeds*: the share of ordinary seeds that visit the mutant's kind of scenario: the guard was at some time the only reason against an act, or the faults are those of the mutant. *Chances*: with how many of {chances} chances (of looks, delays, elections) the mutant's own scenario shows that the protection makes the difference.

| protection | seeds | chances |
|---|---|---|
{guards}
"""
