"""A configuration is exchanged as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.config.config_files import ENVIRON, changed

from kafka_self_healing.config import ConfigurationManager
from kafka_self_healing.errors import ConfigError
from kafka_self_healing.model.policy import Mode


def test_a_good_file_comes_into_force_as_a_whole(tmp_path: Path) -> None:
    """Reload returns the new settings, and they are the current ones."""
    path = tmp_path / "c.yaml"
    path.write_text(changed({}))
    manager = ConfigurationManager(path, ENVIRON)
    before = manager.current
    path.write_text(changed({"mode": "auto", "policy.interval_s": 2}))

    fresh = manager.reload()

    assert before.mode is Mode.OBSERVE
    assert manager.current is fresh
    assert (fresh.mode, fresh.policy.interval_s) == (Mode.AUTO, 2.0)


@pytest.mark.parametrize("text", ["", "mode: auto\n", "cluster: [", "\tx"])
def test_a_bad_file_changes_nothing(text: str, tmp_path: Path) -> None:
    """The old settings stay in force, and a good file heals it."""
    path = tmp_path / "c.yaml"
    path.write_text(changed({}))
    manager = ConfigurationManager(path, ENVIRON)
    before = manager.current
    path.write_text(text)

    with pytest.raises(ConfigError):
        manager.reload()

    assert manager.current is before
    path.write_text(changed({"seed": 3}))
    assert manager.reload().policy.seed == 3


def test_a_file_that_vanished_changes_nothing(tmp_path: Path) -> None:
    """A missing file at reload is an error, not an empty configuration."""
    path = tmp_path / "c.yaml"
    path.write_text(changed({}))
    manager = ConfigurationManager(path, ENVIRON)
    path.unlink()

    with pytest.raises(ConfigError, match="no such file"):
        manager.reload()

    assert manager.current.cluster.name == "orders"


def test_what_a_running_daemon_cannot_change_is_refused(tmp_path: Path) -> None:
    """Another state folder or another cluster needs a stop and a start."""
    path = tmp_path / "c.yaml"
    path.write_text(changed({}))
    manager = ConfigurationManager(path, ENVIRON)
    path.write_text(changed({"state_dir": "/elsewhere", "cluster.name": "other", "mode": "auto"}))

    with pytest.raises(ConfigError) as caught:
        manager.reload()

    assert [problem.path for problem in caught.value.problems] == ["state_dir", "cluster.name"]
    assert manager.current.mode is Mode.OBSERVE


def test_there_is_no_manager_without_a_good_file(tmp_path: Path) -> None:
    """The first load raises what is wrong."""
    with pytest.raises(ConfigError):
        ConfigurationManager(tmp_path / "none.yaml")
