"""What runs the suites runs all that were asked for, and tells which one failed."""

from __future__ import annotations

import pytest
from tests import budget


def test_each_suite_is_run_and_a_failure_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two beside the first, their words after those of the first; then the fourth."""
    suites = {
        "reach": ["--version"], "unit": ["--version"], "simulation": ["--markers"],
        "clusters": ["--no-such"],
    }  # fmt: skip
    monkeypatch.setattr(budget, "SUITES", suites)
    assert budget.main([]) == 1
    said = capfd.readouterr()
    verdicts = [line.split() for line in said.out.splitlines() if line.startswith("budget: ")]
    assert [(one[1], one[-1]) for one in verdicts[:4]] == [
        ("reach", "passed"),
        ("unit", "passed"),
        ("simulation", "passed"),
        ("clusters", "FAILED"),
    ]
    assert said.out.index("pytest ") < said.out.index("@pytest.mark")
    assert "--no-such" in said.err


def test_a_suite_runs_alone_where_its_neighbour_was_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The simulation alone is run, and its words are shown."""
    monkeypatch.setattr(budget, "SUITES", {"simulation": ["--version"]})
    assert budget.main(["simulation"]) == 0
    assert "pytest " in capfd.readouterr().out
