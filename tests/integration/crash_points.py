"""Dies at every crash point of one healing: `python -m tests.integration.crash_points ...`.

The first run heals a fault and counts the points that it hit. Then the healing is repeated once
for each point: the daemon is killed there by SIGKILL, a fresh one is started on the same state
folder, and the world is judged. Each daemon is a process of its own, forked from this one so that
nothing is imported twice.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.integration import crash_daemon
from tests.integration.crash_world import VICTIM, World

from kafka_self_healing.api.client import ask
from kafka_self_healing.clock import boot_seconds, pause
from kafka_self_healing.errors import ControlError
from kafka_self_healing.healing.memory import Memory, fold
from kafka_self_healing.model.event import Event, RequestChanged
from kafka_self_healing.model.recovery import RequestState
from kafka_self_healing.storage import Journal, open_store

HEAL_LIMIT_S = 25.0
EXPECTED = {"crash": {"start": 1}, "hang": {"kill": 1, "start": 1}}
ACT_MARGIN_S = 0.05


@dataclass(slots=True)
class Run:
    """One healing with a death at `point` ("": none): how the daemons ended, what was wrong."""

    fault: str
    point: str
    name: str = ""
    killed: bool = False
    seconds: float = 0.0
    hits: dict[str, int] = field(default_factory=dict)
    acts: dict[str, int] = field(default_factory=dict)
    intents: int = 0
    wrong: list[str] = field(default_factory=list)


class Daemon:
    """A forked daemon process; its log is in the world's folder."""

    def __init__(self, world: World, point: str, life: int) -> None:
        self._world = world
        self.hits = world.folder / f"hits-{life}"
        self._pid = os.fork()
        self._status: int | None = None
        if self._pid == 0:
            _become(world, self.hits, point)

    def poll(self) -> int | None:
        """Return how it ended (-n: by signal n); None: it runs."""
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status

    def stop(self) -> int:
        """Ask it to end and return how it did; after 10 s it is killed."""
        os.kill(self._pid, signal.SIGTERM)
        began = boot_seconds()
        while self.poll() is None:
            if boot_seconds() - began > 10.0:
                os.kill(self._pid, signal.SIGKILL)
            pause(0.01)
        return self._status or 0


def _become(world: World, hits: Path, point: str) -> None:
    """Be the daemon until it ends; never return."""
    code = 1
    try:
        log = os.open(world.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ[crash_daemon.HITS] = str(hits)
        os.environ[crash_daemon.DEADLY] = point
        crash_daemon.run(world.config, world)
        code = 0
    except BaseException:  # noqa: BLE001
        # The child must not go on as a second harness, whatever happens.
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def heal(folder: Path, fault: str, point: str) -> Run:
    """Heal one fault; die at `point` and go on with a fresh daemon; judge the world."""
    run = Run(fault, point)
    world = World(folder)
    began = boot_seconds()
    world.build()
    try:
        world.strike(fault)
        status = _one_life(world, run, point, life=1)
        if status == -signal.SIGKILL and point:
            run.killed = True
            status = _one_life(world, run, "", life=2)
        if status != 0:
            run.wrong.append(f"the daemon ended with status {status}")
        names = (folder / "hits-1").read_text(encoding="ascii").split()
        run.name, run.hits = names[-1] if run.killed else "", dict(Counter(names))
        _judge_world(world, run)
        _judge_journal(world, run)
    finally:
        world.end()
    run.seconds = round(boot_seconds() - began, 2)
    if not run.wrong:
        shutil.rmtree(folder)
    return run


def _one_life(world: World, run: Run, point: str, *, life: int) -> int:
    """Run a daemon until all is well, ask it to end, and return how it did."""
    daemon = Daemon(world, point, life)
    status = _until_healed(world, daemon, run)
    return daemon.stop() if status is None else status


def _until_healed(world: World, daemon: Daemon, run: Run) -> int | None:
    """Wait until all is well, or the daemon has ended: then return how."""
    began = boot_seconds()
    while boot_seconds() - began < HEAL_LIMIT_S:
        if (status := daemon.poll()) is not None:
            return status
        if world.runs(VICTIM) and _all_well(world):
            return None
        pause(0.05)
    run.wrong.append(f"not healed within {HEAL_LIMIT_S:g} s, daemon {daemon.poll()}")
    return None


def _all_well(world: World) -> bool:
    try:
        said = ask(world.state_dir, {"command": "status"})
    except ControlError:
        return False
    settled = not said["incidents"] and not said["acts"] and not said["warming_up"]
    return settled and set(said["nodes"].values()) == {"well"}


def _judge_world(world: World, run: Run) -> None:
    for act in world.acts():
        run.acts[act.verb] = run.acts.get(act.verb, 0) + 1
        if act.node != VICTIM:
            run.wrong.append(f"{act.verb} of node {act.node}, which was well")
    if run.acts != EXPECTED[run.fault]:
        run.wrong.append(f"acts {run.acts}, right were {EXPECTED[run.fault]}")
    if world.living(VICTIM) != 1:
        run.wrong.append(f"{world.living(VICTIM)} processes live")
    if not world.runs(VICTIM):
        run.wrong.append("the node was left stopped")


def _judge_journal(world: World, run: Run) -> None:
    store = open_store(world.state_dir, read_only=True)
    try:
        journal = Journal(store, "world")
        journal.verify()
        events = [entry.event for entry in journal.entries()]
    finally:
        store.close()
    memory = fold(Memory(), events)
    if memory.incidents or memory.requests or memory.owed_starts or memory.latch:
        run.wrong.append(f"left open: {memory.incidents} {memory.requests} {memory.owed_starts}")
    _judge_intents(world, run, events)


def _judge_intents(world: World, run: Run, events: list[Event]) -> None:
    """No command before its intent was written down, and none twice for one intent."""
    began: dict[str, float] = {}
    for event in events:
        if isinstance(event, RequestChanged) and event.request.state is RequestState.EXECUTING:
            began.setdefault(event.request.id, event.at.utc_s)
    run.intents = len(began)
    times = [*began.values(), float("inf")]
    done: list[tuple[int, str]] = []
    for act in world.acts():
        intent = sum(at <= act.at + ACT_MARGIN_S for at in times)
        if not intent:
            run.wrong.append(f"{act.verb} without an intent")
        done.append((intent, act.verb))
    if len(set(done)) != len(done):
        run.wrong.append(f"one intent was carried out twice: {done}")


def main(arguments: list[str]) -> int:
    """FOLDER FAULT [POINT...]: print one JSON line for each run; without points one run, whole."""
    folder, fault, points = Path(arguments[0]), arguments[1], arguments[2:]
    for point in points or [""]:
        run = heal(folder / f"{fault}-{point.replace(':', '-') or 'whole'}", fault, point)
        print(json.dumps(asdict(run)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
