"""A start from inside a unit that systemd empties is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kafka_self_healing.hosts.own_unit import unsafe_start

NO_PID = 4_194_305
"""Above the highest that Linux gives to a process."""


@pytest.fixture
def cgroup(tmp_path: Path) -> Path:
    """A /proc/self/cgroup of a process in healer.service."""
    path = tmp_path / "cgroup"
    path.write_text("0::/system.slice/healer.service\n")
    return path


def _systemctl(tmp_path: Path, mode: str, main: int) -> str:
    path = tmp_path / "systemctl"
    path.write_text(f"#!/bin/sh\necho MainPID={main}\necho KillMode={mode}\n")
    path.chmod(0o755)
    return str(path)


def test_outside_of_a_service_every_start_is_safe(tmp_path: Path) -> None:
    """In a terminal or a container nothing ends what we leave behind."""
    path = tmp_path / "cgroup"
    path.write_text("0::/user.slice/user-0.slice/user@0.service/app.slice\n")
    assert unsafe_start(path, _systemctl(tmp_path, "control-group", os.getpid())) == ""


def test_killmode_process_is_safe(tmp_path: Path, cgroup: Path) -> None:
    """With KillMode=process systemd ends the healer alone."""
    assert unsafe_start(cgroup, _systemctl(tmp_path, "process", os.getpid())) == ""


def test_killmode_control_group_is_refused_with_the_remedy(tmp_path: Path, cgroup: Path) -> None:
    """The default KillMode would take the brokers along; the text says what to set."""
    said = unsafe_start(cgroup, _systemctl(tmp_path, "control-group", os.getpid()))
    assert "healer.service" in said
    assert "KillMode=process" in said


def test_a_unit_of_somebody_else_ends_nothing_with_us(tmp_path: Path, cgroup: Path) -> None:
    """Run from cron or a CI runner, our end is not the end of that unit."""
    assert unsafe_start(cgroup, _systemctl(tmp_path, "control-group", NO_PID)) == ""


def test_unreadable_killmode_of_our_own_unit_counts_as_unsafe(
    tmp_path: Path, cgroup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards fail closed: systemd has told us that we are the unit's process."""
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    assert "KillMode=process" in unsafe_start(cgroup, str(tmp_path / "missing"))
