"""Each confirm value matters: half of it is hasty, double of it is slow."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.boundaries import VALUES, Value, measured

DOCUMENT = Path(__file__).parents[2] / "docs" / "explanation" / "simulation.md"
SLOWER = 1.1
"""Double of a value must cost at least a tenth more time, or one more of what is counted."""


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.name)
def test_half_of_it_is_hasty(value: Value) -> None:
    """Proves that with half of the value something worse happens, where anything was found."""
    if value.hasty is None:
        assert value.why
    else:
        assert measured(value, value.hasty, 0.5) > measured(value, value.hasty, 1.0)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.name)
def test_double_of_it_is_slow(value: Value) -> None:
    """Proves that with double of the value healing or telling takes longer."""
    if value.slow is None:
        assert value.why
    else:
        assert measured(value, value.slow, 2.0) > SLOWER * measured(value, value.slow, 1.0)


def test_the_documentation_has_every_value() -> None:
    """Proves that the table in the document leaves none out."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [value.name for value in VALUES if f"| `{value.name}` |" not in text] == []
