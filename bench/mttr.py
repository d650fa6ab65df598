"""Seconds from a fault to all partitions in sync: our healing beside the best possible script.

Run: `python -m bench.mttr [--rounds 5] [--session 9] [--faults crash,hang] [--out FILE]`.

An embedded cluster of three nodes; ours and the floor take turns, each round with a daemon that has
an empty state folder, is warm and has known all nodes well for the stable window. All of its knobs
are at their defaults. The floor is the same act by a script at the best moment (crash: start at
once; hang: kill and start at the drop), with our daemon in `observe`. Both sides of a round strike
a node of the same kind: the active controller in even rounds, another node in odd ones. Exit code
1: a median ratio is above its limit, or a round did not go as it must.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import yaml

from bench.mttr_page import LIMITS, Machine, Round, judge, line_of, page, table
from bench.mttr_poll import Course, follow
from kafka_self_healing.clock import boot_seconds, pause
from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.demo.daemon_process import DaemonProcess
from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.interruption import Interruption, interruptible
from kafka_self_healing.demo.jars import JarFetcher, pinned_jars
from kafka_self_healing.demo.java import Java, find_java
from kafka_self_healing.demo.layout import ClusterSettings, Node
from kafka_self_healing.demo.progress import progress_for
from kafka_self_healing.model.event import Decided, IncidentChanged
from kafka_self_healing.model.policy import Mode, Policy
from kafka_self_healing.storage import Journal, open_store

TOPICS: Final = {"orders": 6, "payments": 6}
CLUSTER: Final = "bench"
DEMO_SESSION_S: Final = 3.0
HEALER, SCRIPT = "healer", "script"
EXPECTED: Final = {"crash": ["start"], "hang": ["kill", "start"]}
BLOWS: Final = {"crash": "KILL", "hang": "STOP"}
_ROUND_LIMIT_S: Final = 120.0
_READY_LIMIT_S: Final = 300.0
_UP_LIMIT_S: Final = 120.0
_LOOK_S: Final = 0.5
_PHASE_S: Final = 5.0


class Bench:
    """One running cluster, and the rounds played on it."""

    def __init__(self, cluster: EmbeddedCluster, folder: Path, session_s: float) -> None:
        self._cluster = cluster
        self._folder = folder
        self._session_s = session_s
        self._rounds = 0

    def play(self, fault: str, side: str, number: int) -> Round:
        """Play one round of one side, from a new daemon to all partitions in sync again.

        Raises DemoError if the cluster or the daemon is not fit for a round.
        """
        self._rounds += 1
        self._cluster.wait_whole(timeout_s=_UP_LIMIT_S)
        place = self._folder / f"round-{self._rounds}"
        place.mkdir()
        configuration, state = place / "kafka-self-healing.yaml", place / "state"
        mode = Mode.AUTO if side == "ours" else Mode.OBSERVE
        _write_configuration(configuration, self._cluster, mode, state, self._session_s)
        with DaemonProcess(configuration, state, place / "daemon.log") as daemon:
            wait_ready(daemon, Policy().stable_window_s(self._session_s))
            # The daemon's looks have a rhythm; the blow must not always fall on the same beat.
            pause(random.Random(number).uniform(0.0, _PHASE_S))
            leader = wait_ready(daemon, Policy().stable_window_s(self._session_s))
            victim = self._victim(number, leader)
            played = self._strike(fault, side, number, victim, is_controller=victim == leader)
        return played.with_story(_story(state, victim, played.struck_at))

    def _victim(self, number: int, leader: int) -> int:
        if number % 2 == 0:
            return leader
        others = [node for node in self._cluster.nodes if node != leader]
        return others[number // 2 % len(others)]

    def _strike(
        self, fault: str, side: str, number: int, victim: int, *, is_controller: bool
    ) -> Round:
        cluster = self._cluster
        acts_before = len(cluster.acts())
        load, busy_before = os.getloadavg()[0], _cpu_seconds()
        struck_at = boot_seconds()
        cluster.fault(victim, BLOWS[fault])
        by_script = side == "floor"
        if by_script and fault == "crash":
            _start_at_once(cluster, victim)
        on_drop = _restart(cluster, victim) if by_script and fault == "hang" else _nothing
        course = Course(victim, frozenset(cluster.nodes), struck_at)
        over = follow(cluster, course, on_drop, limit_s=_ROUND_LIMIT_S)
        busy = _busy(busy_before, _cpu_seconds())
        acts = cluster.acts()[acts_before:]
        ours = [
            act.what for act in acts if act.by == HEALER and act.what in {"start", "kill", "stop"}
        ]
        wrong = "" if over else f"not in sync {_ROUND_LIMIT_S:g} s after the blow"
        if ours != (EXPECTED[fault] if side == "ours" else []):
            wrong = f"the healer's acts were {ours}"
        began = [act.boot for act in acts if act.what == "spawned" and act.node == str(victim)]
        if not over:
            _mend(cluster, victim)
        return Round(
            session_s=self._session_s,
            fault=fault,
            side=side,
            number=number,
            victim=victim,
            is_controller=is_controller,
            struck_at=struck_at,
            seconds=course.whole_since - struck_at if course.whole_since and over else None,
            dropped_s=course.dropped_at - struck_at if course.dropped_at else None,
            started_s=began[0] - struck_at if began else None,
            load=load,
            busy=busy,
            wrong=wrong,
        )


def wait_ready(daemon: DaemonProcess, stable_s: float) -> int:
    """Wait until the daemon is warm and knows all nodes well for so long; return the controller.

    Raises DemoError if it has ended, or after 300 s.
    """
    ends = boot_seconds() + _READY_LIMIT_S
    while boot_seconds() < ends:
        status, answer = daemon.ask("status"), daemon.ask("nodes")
        if status is not None and answer is not None:
            rows: list[dict[str, Any]] = answer["nodes"]
            quiet = not status["warming_up"] and not status["incidents"]
            leaders = [int(row["node"]) for row in rows if row["leads"]]
            if quiet and leaders and min(row["well_for_s"] for row in rows) >= stable_s:
                return leaders[0]
        pause(_LOOK_S)
    raise DemoError(f"the daemon does not know all nodes well after {_READY_LIMIT_S:g} s")


def _nothing() -> None:
    """Leave the act to somebody else."""


def _start_at_once(cluster: EmbeddedCluster, victim: int) -> None:
    """Start it as soon as the supervisor has noticed the end."""
    while cluster.start(victim, by=SCRIPT).get("message") == "already running":
        pause(0.002)


def _restart(cluster: EmbeddedCluster, victim: int) -> Callable[[], None]:
    def kill_and_start() -> None:
        cluster.kill(victim, by=SCRIPT)
        cluster.start(victim, by=SCRIPT)

    return kill_and_start


def _mend(cluster: EmbeddedCluster, victim: int) -> None:
    """Bring the victim of a failed round back, so that the others can be played."""
    cluster.kill(victim, by=SCRIPT)
    cluster.start(victim, by=SCRIPT)


def _write_configuration(
    path: Path, cluster: EmbeddedCluster, mode: Mode, state: Path, session_s: float
) -> None:
    """Write what a user has to say of such a cluster, and no knob beside it."""
    control = cluster.control_command(by=HEALER)
    content: dict[str, Any] = {
        "mode": mode.value,
        "state_dir": str(state),
        "cluster": {
            "name": CLUSTER,
            "service": {
                "manager": "command",
                **{verb: [*control, verb, "{id}"] for verb in ("start", "stop", "kill", "status")},
            },
            "nodes": [_node(node) for node in cluster.nodes.values()],
        },
    }
    if session_s == DEMO_SESSION_S:
        # What `ClusterSettings` gives the brokers with that session; 9 s are Kafka's defaults.
        content["cluster"] |= {"session_timeout_s": session_s, "fetch_timeout_s": 1}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _node(node: Node) -> dict[str, Any]:
    return {
        "id": node.id,
        "roles": ["broker", "controller"],
        "host": node.host,
        "kafka_port": node.kafka_port,
        "controller_port": node.controller_port,
        "jmx_port": node.jmx_port,
        "data_dirs": [str(node.data_dir)],
    }


def _story(state: Path, victim: int, struck_at: float) -> dict[str, float]:
    """Return what the journal says of the victim: seconds from the blow to each step."""
    found: dict[str, float] = {}
    with closing(open_store(state, read_only=True)) as store:
        for entry in Journal(store, CLUSTER).entries():
            event = entry.event
            after = event.at.mono_s - struck_at
            if after < 0.0:
                continue
            if isinstance(event, IncidentChanged) and str(victim) in event.incident.nodes:
                found.setdefault("suspected", after)
                if event.incident.confirmed is not None:
                    found.setdefault("diagnosed", after)
            elif isinstance(event, Decided) and event.node == str(victim):
                found.setdefault(f"decided to {event.answer.value}", after)
    return found


def _cpu_seconds() -> tuple[int, int]:
    """Return the machine's clock ticks so far: (busy, all)."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    ticks = [int(field) for field in fields]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _busy(before: tuple[int, int], after: tuple[int, int]) -> float:
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def play_all(
    session_s: float,
    faults: Sequence[str],
    rounds: int,
    tell: Callable[[Round], None],
    *,
    interruption: Interruption,
) -> None:
    """Play the rounds of one session length on a cluster of its own; `tell` each at its end.

    Raises DemoError if the cluster does not come up, or not again.
    """
    java, jars = find_java(), JarFetcher().fetch(pinned_jars(), progress_for(sys.stderr))
    with tempfile.TemporaryDirectory(prefix="bench-mttr-") as folder:
        settings = ClusterSettings(session_timeout_ms=round(session_s * 1000))
        place = Path(folder)
        made = EmbeddedCluster.prepare(place / "cluster", settings, java=java, jars=jars)
        with made as cluster, interruption:
            cluster.start_all()
            cluster.wait_whole(timeout_s=_UP_LIMIT_S)
            cluster.create_topics(TOPICS)
            bench = Bench(cluster, place, session_s)
            for number in range(1, rounds + 1):
                for fault in faults:
                    # Who goes first alternates: a machine that grows busy must not favour a side.
                    sides = ("ours", "floor") if number % 2 else ("floor", "ours")
                    for side in sides:
                        tell(bench.play(fault, side, number))


def machine(java: Java) -> Machine:
    """Return the words for this machine."""
    return Machine.here(java=f"Java {java.version}")


def main() -> int:
    """Play, print each round and the table, write the page; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds a side and fault")
    parser.add_argument("--session", type=float, default=9.0, choices=(9.0, DEMO_SESSION_S))
    parser.add_argument("--faults", default="crash,hang", help="which, joined by commas")
    parser.add_argument("--demo-rounds", type=int, default=0, help="then so many at 3 s")
    parser.add_argument("--out", type=Path, help="write the page here, anew after each round")
    wishes = parser.parse_args()
    faults = wishes.faults.split(",")
    if not set(faults) <= set(LIMITS):
        parser.error(f"--faults: of {', '.join(LIMITS)}")
    here, rounds = machine(find_java()), []

    def tell(played: Round) -> None:
        rounds.append(played)
        print(line_of(played), flush=True)
        if wishes.out is not None:
            wishes.out.write_text(page(rounds, here), encoding="utf-8")

    with interruptible() as interruption:
        play_all(wishes.session, faults, wishes.rounds, tell, interruption=interruption)
        if wishes.demo_rounds:
            play_all(DEMO_SESSION_S, faults, wishes.demo_rounds, tell, interruption=interruption)
    print(table(rounds))
    wrong = judge(rounds)
    for sentence in wrong:
        print(sentence)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
