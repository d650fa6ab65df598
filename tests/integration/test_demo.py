"""The demo as a user runs it: a process of its own, judged by its exit code and what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kafka_self_healing.clock import boot_seconds, pause

pytestmark = pytest.mark.cluster

LIMIT_S = 400.0
GONE_LIMIT_S = 10.0
AT_ONCE = 2
"""How many demos run at the same time where that is asked for: most of a demo is waiting."""

OPTIONS = {
    "slow-start": ("--fault", "slow-start"),
    "hang": ("--fault", "hang"),
    "stop": ("--fault", "stop"),
    "quorum-loss": ("--fault", "quorum-loss"),
    "two-crashes": ("--fault", "two-crashes"),
    "none": ("--fault", "none"),
    "paused": ("--paused", "--seed", "5"),
    "no-heal": ("--no-heal", "--seed", "2"),
}
"""The demos that run so; first the longest, and those that must be calm beside calm ones."""


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start a demo in `folder`; its lines can be read."""
    arguments = ["demo", "--dir", str(folder), *options]
    return subprocess.Popen(
        [sys.executable, "-m", "kafka_self_healing.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the exit code and all that it wrote."""
    try:
        text, _ = process.communicate(timeout=LIMIT_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return process.returncode, text


def left_running(folder: Path) -> list[str]:
    """Return the command lines of processes that name the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in words and entry.parent.name != str(os.getpid()):
            found.append(words)
    return found


def nothing_is_left(folder: Path) -> bool:
    """Wait a moment for the last processes to end."""
    ends = boot_seconds() + GONE_LIMIT_S
    while left_running(folder) and boot_seconds() < ends:
        pause(0.1)
    return not left_running(folder)


def figures(folder: Path) -> dict[str, Any]:
    """Return the report's figures."""
    read: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return read


@pytest.fixture
def folder(tmp_path: Path, kafka_jars: list[Path], java: object) -> Path:
    """A new folder for a run; the jars and a Java are there."""
    assert kafka_jars
    assert java
    return tmp_path / "demo"


def test_crash_is_healed_and_nothing_is_left(folder: Path) -> None:
    """Exit 0, one start, no record lost, mails and reports kept, data and processes gone."""
    code, text = finish(start(folder, "--fault", "crash"))

    assert code == 0, text
    assert "RIGHT: it is started once" in text
    told = figures(folder)
    assert told["records"]["lost"] == 0
    assert told["victims"][0]["observer_s"]["in_sync"] > told["victims"][0]["observer_s"]["acted"]
    assert len(list((folder / "mails").glob("*.eml"))) == 2
    assert (folder / "state" / "journal.db").is_file()
    assert not list(folder.glob("cluster/node-*/data"))
    assert nothing_is_left(folder)


@dataclass(frozen=True, slots=True)
class Ended:
    """A demo that has ended: its folder, exit code, and all that it wrote."""

    folder: Path
    code: int
    text: str


@pytest.fixture(scope="module")
def demos(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    kafka_jars: list[Path],
    java: object,
) -> Iterator[dict[str, Future[Ended]]]:
    """All demos of `OPTIONS` whose tests were chosen, begun in that order."""
    assert kafka_jars
    assert java
    specs = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = {spec.params.get("demo") for spec in specs if spec is not None}
    begun: list[subprocess.Popen[str]] = []

    def run(name: str) -> Ended:
        folder = tmp_path_factory.mktemp(name) / "demo"
        begun.append(start(folder, *OPTIONS[name]))
        return Ended(folder, *finish(begun[-1]))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(run, name) for name in OPTIONS if name in chosen}
        pool.shutdown(wait=False, cancel_futures=True)
        for process in begun:
            process.terminate()


@pytest.fixture
def demo(request: pytest.FixtureRequest, demos: dict[str, Future[Ended]]) -> Ended:
    """The demo of a name, once it has ended."""
    return demos[request.param].result()


FAULTS = ["slow-start", "hang", "stop", "quorum-loss", "two-crashes", "none"]


@pytest.mark.heavy
@pytest.mark.parametrize("demo", FAULTS, indirect=True)
def test_every_other_fault_ends_right(demo: Ended) -> None:
    """The demo's own observer saw the right thing, and nothing is left."""
    assert demo.code == 0, demo.text
    assert "RIGHT: " in demo.text
    assert figures(demo.folder)["records"]["lost"] == 0
    assert nothing_is_left(demo.folder)


@pytest.mark.heavy
@pytest.mark.parametrize("demo", ["paused"], indirect=True)
def test_paused_waits_for_the_resume(demo: Ended) -> None:
    """Nothing is done while paused, it says why, and after the resume the node is healed."""
    assert demo.code == 0, demo.text
    explained = demo.text.index("(lifted by: kafka-self-healing resume)")
    assert explained < demo.text.index("  resumed") < demo.text.index("asked by healer")
    assert nothing_is_left(demo.folder)


@pytest.mark.heavy
@pytest.mark.parametrize("demo", ["no-heal"], indirect=True)
def test_without_healing_it_only_says_what_it_would_do(demo: Ended) -> None:
    """In mode observe there are zero acts, and the start that would be done is named."""
    assert demo.code == 0, demo.text
    assert "would act: service:start on node" in demo.text
    assert "asked by healer" not in demo.text
    assert "in_sync" not in figures(demo.folder)["victims"][0]["observer_s"]
    assert nothing_is_left(demo.folder)


def read_until(process: subprocess.Popen[str], is_there: Callable[[str], bool]) -> None:
    """Read the demo's lines until one is as wanted."""
    assert process.stdout is not None
    for line in process.stdout:
        if is_there(line):
            return
    pytest.fail("the demo ended before")


def test_ctrl_c_leaves_nothing(folder: Path) -> None:
    """SIGINT in the middle of the healing ends brokers, supervisor, load and daemon."""
    process = start(folder)
    read_until(process, lambda line: ": kill -9" in line)
    assert left_running(folder)

    process.send_signal(signal.SIGINT)
    code, text = finish(process)

    assert code == 130, text
    assert "nothing is left running" in text
    assert nothing_is_left(folder)


@pytest.mark.heavy
def test_a_killed_run_leaves_nothing_and_blocks_nothing(folder: Path) -> None:
    """After SIGKILL everything ends by itself, and the next run in the folder begins anew."""
    process = start(folder)
    read_until(process, lambda line: ": kill -9" in line)
    process.kill()
    finish(process)

    assert nothing_is_left(folder)

    following = start(folder)
    read_until(following, lambda line: "in sync after" in line)
    following.send_signal(signal.SIGTERM)
    code, text = finish(following)

    assert code == 130, text
    assert nothing_is_left(folder)
