"""Runs the mutants; with `--table` prints the table of docs/explanation/simulation.md."""

from __future__ import annotations

import argparse
import sys

from kafka_self_healing.simulation.mutants import MUTANTS, Mutant, shown

HEAD = (
    "| protection removed | seed | faults of its scenario | also weakened | caught by |",
    "|---|---|---|---|---|",
)


def row(mutant: Mutant) -> str:
    """Return one line of the table."""
    faults = ", ".join(
        f"{type(fault).__name__} {getattr(fault, 'target', '') or ''}".strip()
        + f" at {fault.at_s:g} s"
        for fault in mutant.scenario.faults
    )
    weak = ", ".join(mutant.weaken) or "–"
    name = f"`{mutant.name}`" if mutant.guard == mutant.name else mutant.name
    return f"| {name} | {mutant.scenario.seed} | {faults} | {weak} | {mutant.caught_by} |"


def table() -> str:
    """Return the whole table; it is made of the data only, nothing is run for it."""
    return "\n".join((*HEAD, *(row(mutant) for mutant in MUTANTS)))


def main() -> int:
    """Print the table, or run every mutant and say which one is not caught."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="print the table only")
    if parser.parse_args().table:
        print(table())
        return 0
    missed = 0
    for mutant in MUTANTS:
        found = shown(mutant, mutant.scenario.seed)
        missed += not found
        print(f"{'caught' if found else 'MISSED'}  {mutant.name}  {mutant.caught_by}")
    print(f"{len(MUTANTS) - missed} of {len(MUTANTS)} mutants caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
