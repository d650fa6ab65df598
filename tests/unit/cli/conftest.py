"""The fixture of all tests of commands."""

from __future__ import annotations

import pytest
from tests.unit.cli.command_line import Run, runner


@pytest.fixture
def kheal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command and return its exit code, output and errors."""
    for name in ("KHEAL_CONFIG", "KHEAL_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    return runner(monkeypatch, capsys)
