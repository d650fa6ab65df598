"""The demo's folder: whose it is, what a new run removes, and what stays."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.folder import RunFolder, default_root
from kafka_self_healing.demo.processes import identify
from kafka_self_healing.demo.tether import tethered


def test_a_new_run_removes_the_last_one(tmp_path: Path) -> None:
    """Journal, mails and reports of the run before are gone; other files stay."""
    with RunFolder.claim(tmp_path / "demo") as folder:
        folder.state.mkdir()
        (folder.state / "journal.db").write_text("old")
        folder.report.write_text("old")
        (folder.root / "mine.txt").write_text("kept")

    with RunFolder.claim(tmp_path / "demo") as folder:
        assert not folder.state.exists()
        assert not folder.report.exists()
        assert (folder.root / "mine.txt").read_text() == "kept"


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    """The second run in the same folder is told so and touches nothing."""
    with RunFolder.claim(tmp_path / "demo") as folder:
        folder.report.write_text("mine")
        with pytest.raises(DemoError, match="another demo is at work"):
            RunFolder.claim(tmp_path / "demo").__enter__()

        assert folder.report.read_text() == "mine"


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """A folder with other things in it is not taken, so that nothing in it is removed."""
    (tmp_path / "state").mkdir()

    with pytest.raises(DemoError, match="not empty"):
        RunFolder.claim(tmp_path).__enter__()

    assert (tmp_path / "state").is_dir()


def test_only_the_data_is_removed_at_the_end(tmp_path: Path) -> None:
    """Brokers' data goes; their logs and the supervisor's acts stay."""
    with RunFolder.claim(tmp_path / "demo") as folder:
        node = folder.cluster / "node-1"
        (node / "data").mkdir(parents=True)
        (node / "kafka.log").write_text("log")

        folder.remove_data()

        assert not (node / "data").exists()
        assert (node / "kafka.log").exists()


def test_default_folder_is_always_the_same(tmp_path: Path) -> None:
    """It follows the environment and nothing else: a next run finds what a killed one left."""
    root = default_root({"XDG_STATE_HOME": str(tmp_path)})

    assert root == tmp_path / "kafka-self-healing" / "demo"


PARENT = """
import subprocess, sys
from kafka_self_healing.demo.processes import identify
from kafka_self_healing.demo.tether import tethered
child = subprocess.Popen(tethered([sys.executable, "-c", "import time; time.sleep(60)"]))
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_a_tethered_process_dies_with_its_parent() -> None:
    """Even when the parent is killed by KILL, nothing is left."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = identify(int(parent.stdout.readline()))
        assert child is not None
        parent.kill()
        parent.wait()

    for _ in range(200):
        if not child.is_alive():
            break
        subprocess.run(["sleep", "0.05"], check=True)
    else:
        pytest.fail(f"{child} lives on")


def test_a_tethered_command_keeps_its_words() -> None:
    """The command's own arguments and its exit code are passed on."""
    code = "import json, sys; print(json.dumps(sys.argv[1:])); sys.exit(3)"

    done = subprocess.run(
        tethered([sys.executable, "-c", code, "--config", "a b"]),
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 3
    assert json.loads(done.stdout) == ["--config", "a b"]
