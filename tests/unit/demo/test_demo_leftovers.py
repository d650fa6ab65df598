"""Ending what a killed run left behind: the right processes, and never others."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.leftovers import STATE_NAME, RunState, end_leftovers, write_state
from kafka_self_healing.demo.processes import ProcessIdentity, identify


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for a forgotten broker."""
    process = subprocess.Popen(["sleep", "300"])
    yield process
    process.kill()
    process.wait()


def identity_of(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    """The identity of a running process."""
    identity = identify(process.pid)
    assert identity is not None
    return identity


GONE = ProcessIdentity(2**22 + 1, 1, "another boot")


def test_forgotten_process_is_ended(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """A node that outlived its supervisor is killed and named, and the state file goes."""
    write_state(tmp_path, RunState(GONE, GONE, {"1": identity_of(sleeper)}))

    assert [sleeper.pid] == end_leftovers(tmp_path)
    assert sleeper.wait(10) == -9
    assert not (tmp_path / STATE_NAME).exists()


@pytest.mark.parametrize("change", [{"started_ticks": 12}, {"boot_id": "another boot"}])
def test_process_that_reuses_the_pid_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], change: dict[str, object]
) -> None:
    """The same pid with another start or of another boot is somebody else's process."""
    other = replace(identity_of(sleeper), **change)  # type: ignore[arg-type]
    write_state(tmp_path, RunState(GONE, GONE, {"1": other}))

    assert end_leftovers(tmp_path) == []
    assert sleeper.poll() is None


def test_folder_in_use_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """A run whose parent and supervisor live is another person's demo: an error, no signal."""
    parent = identify(os.getppid())
    assert parent is not None
    write_state(tmp_path, RunState(identity_of(sleeper), parent, {}))

    with pytest.raises(DemoError, match="in use"):
        end_leftovers(tmp_path)

    assert sleeper.poll() is None


def test_folder_of_no_run_has_no_leftovers(tmp_path: Path) -> None:
    """A fresh folder needs nothing."""
    assert end_leftovers(tmp_path) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"supervisor": {"pid": "x"}}'])
def test_damaged_state_file_is_an_error(tmp_path: Path, text: str) -> None:
    """What cannot be understood is told; no process is guessed."""
    (tmp_path / STATE_NAME).write_text(text)

    with pytest.raises(DemoError, match="damaged"):
        end_leftovers(tmp_path)


def test_zombie_counts_as_gone(sleeper: subprocess.Popen[bytes]) -> None:
    """A process that has ended but was not reaped does not live."""
    identity = identity_of(sleeper)
    assert identity.is_alive()

    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)

    assert not identity.is_alive()
