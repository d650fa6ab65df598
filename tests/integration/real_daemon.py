"""The daemon as a process of its own on the embedded cluster, with a short policy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from kafka_self_healing.api.client import ask
from kafka_self_healing.clock import boot_seconds, pause
from kafka_self_healing.demo.acts import Act
from kafka_self_healing.demo.cluster import EmbeddedCluster
from kafka_self_healing.demo.tether import tethered
from kafka_self_healing.errors import ControlError

ROOT = Path(__file__).parents[2]
WARM_LIMIT_S = 40.0
HEAL_LIMIT_S = 90.0
END_LIMIT_S = 30.0
HEALER = "healer"

POLICY = {
    "interval_s": 1,
    "warm_floor_s": 2,
    "stable_floor_s": 4,
    "stable_margin_s": 1,
    "confirm_s": 10,
    "slot_s": 3,
    "slot_quorum_lost_s": 2,
    "start_leave_alone_margin_s": 3,
}


def write_config(path: Path, cluster: EmbeddedCluster, **changes: Any) -> Path:
    """Write the configuration of a daemon for the cluster; its state folder lies beside it."""
    control = cluster.control_command(by=HEALER)
    service = {verb: [*control, verb, "{id}"] for verb in ("start", "stop", "kill", "status")}
    nodes = [
        {
            "id": node.id,
            "roles": ["broker", "controller"],
            "host": node.host,
            "kafka_port": node.kafka_port,
            "controller_port": node.controller_port,
            "jmx_port": node.jmx_port,
            "data_dirs": [str(node.data_dir)],
        }
        for node in cluster.nodes.values()
    ]
    content = {
        "mode": "auto",
        "state_dir": str(path.parent / "state"),
        "cluster": {
            "name": "demo",
            "session_timeout_s": 3,
            "fetch_timeout_s": 1,
            "service": {"manager": "command", **service, "stop_timeout_s": 10},
            "nodes": nodes,
        },
        "policy": POLICY,
        "logging": {"json": False},
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


@dataclass
class RealDaemon:
    """Runs while the block lasts; `argv` is its command line. The log is beside the file."""

    config: Path
    argv: Sequence[str] = ("-m", "kafka_self_healing.cli.main", "run", "--config")
    env: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def state_dir(self) -> Path:
        """Its state folder."""
        return self.config.parent / "state"

    @property
    def command_line(self) -> list[str]:
        """How it is started."""
        return [sys.executable, *self.argv, str(self.config)]

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.config.parent / "log").read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        with (self.config.parent / "log").open("ab") as log:
            self._process = subprocess.Popen(
                tethered(self.command_line),
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.env},
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.poll() is None:
            assert self._process is not None
            self._process.kill()
            self._process.wait()

    def poll(self) -> int | None:
        """Return how it ended; None: it runs."""
        assert self._process is not None
        return self._process.poll()

    def wait(self, timeout_s: float) -> int:
        """Wait until it has ended by itself and return how."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> int:
        """Ask it to end and return its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(END_LIMIT_S)

    def ask(self, command: str, **more: Any) -> dict[str, Any]:
        """Return its answer; raises ControlError."""
        return ask(self.state_dir, {"command": command, **more})

    def kheal(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run an operator's command against it."""
        command = [sys.executable, "-m", "kafka_self_healing.cli.main", *arguments]
        return subprocess.run(
            [*command, "--state-dir", str(self.state_dir)],
            capture_output=True,
            text=True,
            timeout=20.0,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """Run an operator's command with --json and return what it printed."""
        ran = self.kheal(*arguments, "--json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def wait_until(self, is_so: Callable[[dict[str, Any]], bool], what: str, limit_s: float) -> Any:
        """Ask for the status until `is_so` holds, and return it; fail after `limit_s` seconds."""
        began, said = boot_seconds(), dict[str, Any]()
        while boot_seconds() - began < limit_s:
            assert self.poll() is None, f"the daemon has ended ({self.poll()}):\n{self.log}"
            try:
                said = self.ask("status")
            except ControlError:
                pause(0.1)
                continue
            if is_so(said):
                return said
            pause(0.1)
        raise AssertionError(f"not within {limit_s:g} s: {what}\n{json.dumps(said)}\n{self.log}")

    def wait_warm(self) -> None:
        """Wait until it has warmed up and has known every node healthy for the stable window."""
        stable_s = 5.0
        self.wait_until(lambda s: bool(s["nodes"]) and not s["warming_up"], "warm", WARM_LIMIT_S)

        def stable(_: dict[str, Any]) -> bool:
            rows = self.ask("nodes")["nodes"]
            return all(row["state"] == "well" and row["well_for_s"] > stable_s for row in rows)

        self.wait_until(stable, "all nodes well", WARM_LIMIT_S)

    def wait_healed(self, acts: int) -> None:
        """Wait until no incident is open and so many acts are done."""
        self.wait_until(
            lambda s: not s["incidents"] and not s["acts"] and s["acts_done"] >= acts,
            f"healed by {acts} acts",
            HEAL_LIMIT_S,
        )


def requests_since(cluster: EmbeddedCluster, mark: float) -> list[tuple[str, str | None]]:
    """Return what the healer asked of the supervisor since `mark`: (verb, node), in order."""
    return [(act.what, act.node) for act in acts_since(cluster, mark) if act.by == HEALER]


def acts_since(cluster: EmbeddedCluster, mark: float) -> list[Act]:
    """Return every request of a start, stop or kill since `mark` (boot-clock seconds)."""
    verbs = {"start", "stop", "kill"}
    return [act for act in cluster.acts() if act.boot > mark and act.what in verbs]


def spawned_since(cluster: EmbeddedCluster, mark: float) -> list[str | None]:
    """Return the nodes for which a process was started since `mark`, in order."""
    return [act.node for act in cluster.acts() if act.boot > mark and act.what == "spawned"]
