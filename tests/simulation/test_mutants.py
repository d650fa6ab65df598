"""Every protection of the mind is worth something: remove it, and an invariant notices."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.mutants import table

from kafka_self_healing.healing.guards import MATRIX
from kafka_self_healing.simulation.mutants import MUTANTS, Mutant, caught, run_mutant, shown_with

MORE = 20
DOCUMENT = Path(__file__).parents[2] / "docs" / "explanation" / "simulation.md"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_mutant_is_caught(mutant: Mutant) -> None:
    """Proves that the protection makes the difference: caught without it, not with it.

    With the chance of its recorded seed, or of one of the 20 after it.
    """
    assert shown_with(mutant, MORE + 1) is not None


def test_every_guard_has_its_mutant() -> None:
    """Proves that no row of the guard matrix is without a mutant."""
    assert {row.name for row in MATRIX} <= {mutant.guard for mutant in MUTANTS}


def test_mutants_leave_the_mind_as_it_was() -> None:
    """Proves that a mutant's changes are undone when its run is over."""
    run_mutant(MUTANTS[0], removed=True)
    assert len(MATRIX) == len({row.name for row in MATRIX})
    assert not caught(MUTANTS[0], run_mutant(MUTANTS[0], removed=False))


def test_the_documentation_shows_this_table() -> None:
    """Proves that the document's table is the one that the script prints."""
    assert table() in DOCUMENT.read_text(encoding="utf-8")
