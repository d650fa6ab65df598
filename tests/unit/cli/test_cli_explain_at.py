"""`explain NODE --at TIME`: from the journal alone, without a daemon."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.cli.command_line import Run
from tests.unit.healing.scenes import Scene

from kafka_self_healing.model.control import Order
from kafka_self_healing.storage import Journal, open_store


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A node crashed while the healer was paused."""
    scene = Scene()
    scene.restart_healer()
    scene.run(20)
    scene.say(Order.PAUSE)
    scene.run(2)
    scene.crash("2")
    scene.run(10)
    return scene


@pytest.fixture
def state_dir(scene: Scene, tmp_path: Path) -> Path:
    """The state folder that its daemon left."""
    with closing(open_store(tmp_path)) as store:
        Journal(store, "test").append(scene.events)
    return tmp_path


def test_a_past_moment_in_words(scene: Scene, state_dir: Path, kheal: Run) -> None:
    """The paragraph, the guards of then, the story, and what the journal does not hold."""
    ended = kheal("explain", "2", "--at", "2023-11-14T22:13:51Z", "--state-dir", state_dir)

    lines = ended.out.splitlines()
    assert ended.code == 0, ended.err
    assert lines[0].startswith("node 2 at 2023-11-14T22:13:51.0Z: The healer ran in mode auto.")
    assert "service:start was refused: paused by ada" in lines[0]
    assert any(line.startswith("  not_paused refuses: paused by ada") for line in lines)
    assert "the story so far:" in lines
    assert lines[-1].startswith("not in the journal: what was seen")


def test_a_past_moment_as_json(state_dir: Path, kheal: Run) -> None:
    """One object; a time without a zone is UTC."""
    ended = kheal("explain", "2", "--at", "2023-11-14 22:13:51", "--json", "--state-dir", state_dir)

    assert json.loads(ended.out)["condition"] == "PROCESS_GONE"


def test_minutes_ago(state_dir: Path, kheal: Run) -> None:
    """Counted back from now: long after the journal's end the node is as it was left."""
    ended = kheal("explain", "2", "--at", "-10m", "--state-dir", state_dir)

    assert "PROCESS_GONE was" in ended.out


@pytest.mark.parametrize("text", ["yesterday", "-10", "-10x"])
def test_what_is_no_time_is_refused(state_dir: Path, kheal: Run, text: str) -> None:
    """With what may be written instead."""
    ended = kheal("explain", "2", "--at", text, "--state-dir", state_dir)

    assert ended.code == 2
    assert "-10m" in ended.err


def test_without_a_journal(tmp_path: Path, kheal: Run) -> None:
    """A folder without one is named."""
    ended = kheal("explain", "2", "--at", "-10m", "--state-dir", tmp_path)

    assert ended.code == 1
    assert "there is no journal" in ended.err
