"""The lab's fixtures. Each module has a lab of its own mode, and a daemon that has warmed up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.hosts import Lab, LabDaemon


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The hosts, in the mode that the module names."""
    made = Lab.up(request.module.MODE)
    yield made
    made.down()


@pytest.fixture(scope="module")
def daemon(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabDaemon]:
    """One daemon for the module, so that no test pays for the warm-up again."""
    folder: Path = tmp_path_factory.mktemp("daemon")
    with LabDaemon(lab.write_config(folder)) as running:
        yield running
        assert running.stop() == 0, running.log
