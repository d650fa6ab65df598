"""docs/checks.md names every kind, outcome and bound that the checks have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kafka_self_healing.model.access import CanaryConfig
from kafka_self_healing.model.evidence import Kind, Outcome
from kafka_self_healing.monitoring.checks import canary, certificate, http, zookeeper

PAGE = (Path(__file__).parents[2] / "docs" / "checks.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_row(kind: Kind) -> None:
    """What is looked at, what it needs and what it costs is said of each kind."""
    assert any(row.startswith(f"`{kind.value}`") for row in ROWS)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_explained(outcome: Outcome) -> None:
    """Each way in which a question can end is in the table."""
    assert any(f"`{outcome.value}`" in row for row in ROWS)


def test_numbers_are_those_of_the_code() -> None:
    """Intervals and bounds that the page names are in force."""
    assert (certificate.INTERVAL_S, "once an hour" in PAGE) == (3600.0, True)
    assert (CanaryConfig("").interval_s, "every 30 s" in PAGE) == (30.0, True)
    assert (canary.REPLICAS, "up to three replicas" in PAGE) == (3, True)
    assert (http.MAX_BODY_BYTES, "at most 1 MiB" in PAGE) == (1 << 20, True)
    assert (zookeeper.ASK_AGAIN_S, "after five minutes" in PAGE) == (300.0, True)
