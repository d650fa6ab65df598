"""`Lab`: brings the hosts up, breaks them, and reads on them what was really done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.integration.real_daemon import RealDaemon

SCRIPT = Path(__file__).with_name("lab")
UP_LIMIT_S = 240.0
COMMAND_LIMIT_S = 60.0

POLICY = {"stable_floor_s": 12, "stable_margin_s": 3, "restart_spacing_s": 10}
"""Otherwise the defaults and Kafka's own sessions: only what comes after a healing is short."""


@dataclass(frozen=True, slots=True)
class Lab:
    """One lab that is up. `folder` holds its keys."""

    mode: str
    folder: Path

    @classmethod
    def up(cls, mode: str) -> Lab:
        """Bring it up; whatever was up before goes down first."""
        folder = Path(os.environ.get("LAB_DIR", "/var/tmp/kafka-self-healing-lab"))
        run("down")
        run("up", mode, limit_s=UP_LIMIT_S)
        return cls(mode, folder)

    def down(self) -> None:
        """Remove everything but the root file system."""
        run("down")

    def ssh(self, host: int, command: str) -> str:
        """Run a shell command on a host as root and return what it printed."""
        return run("ssh", str(host), command)

    def fault(self, name: str, host: int) -> None:
        """Break a host."""
        run("fault", name, str(host))

    def heal(self, name: str, host: int) -> None:
        """Undo a fault."""
        run("heal", name, str(host))

    def wait_in_sync(self, limit_s: float = 60.0) -> None:
        """Wait until every partition has a leader and all its replicas in sync."""
        run("wait", f"{limit_s:g}", limit_s=limit_s + 30.0)

    def main_pid(self, host: int, unit: str = "kafka") -> int:
        """Return the unit's main process; 0: none."""
        return int(self.ssh(host, f"systemctl show -p MainPID --value {unit}"))

    def starts(self, host: int, unit: str = "kafka") -> int:
        """Return how often systemd has started the unit since the boot of the host."""
        said = self.ssh(host, f"journalctl -q -b -u {unit} -o cat _PID=1 | grep -c ^Started || :")
        return int(said)

    def drop_in(self, host: int, text: str, unit: str = "kafka") -> None:
        """Change the unit until the next boot of the host."""
        folder = f"/run/systemd/system/{unit}.service.d"
        self.ssh(host, f"mkdir -p {folder}; printf '{text}' >{folder}/lab.conf")
        self.ssh(host, "systemctl daemon-reload")

    def access(self) -> dict[str, Any]:
        """How the healer reaches the hosts."""
        known_hosts = self.folder / "lab" / "known_hosts"
        return {
            "ssh": {
                "user": "healer",
                "identity_file": str(self.folder / "key"),
                "known_hosts_file": str(known_hosts),
                "config_file": str(self.folder / "lab" / "ssh_config"),
                "sudo": True,
            }
        }

    def nodes(self) -> list[dict[str, Any]]:
        """Return the inventory of the mode."""
        made: list[dict[str, Any]] = []
        for number in (1, 2, 3):
            broker: dict[str, Any] = {
                "id": number,
                "roles": ["broker", "controller"] if self.mode == "kraft" else ["broker"],
                "host": f"10.88.0.1{number}",
                "kafka_port": 9092,
                "jmx_port": 9999,
                "data_dirs": ["/var/lib/kafka"],
                "service": {"manager": "systemd", "unit": "kafka"},
            }
            made.append(broker)
            if self.mode == "kraft":
                broker["controller_port"] = 9093
            elif self.mode == "separate":
                made.append(_other(number, broker, "controller", "controller_port", 9093))
            else:
                made.append(_other(number, broker, "zookeeper", "zookeeper_port", 2181))
        return made

    def write_config(self, folder: Path, **changes: Any) -> Path:
        """Write the configuration of a daemon for the lab; its state folder lies beside it."""
        zookeeper = self.mode == "zk"
        sessions = {"session_timeout_s": 18} if zookeeper else {"session_timeout_s": 9}
        content = {
            "mode": "auto",
            "state_dir": str(folder / "state"),
            "cluster": {
                "name": "lab",
                "mode": "zookeeper" if zookeeper else "kraft",
                **sessions,
                "access": self.access(),
                "nodes": self.nodes(),
            },
            "policy": POLICY,
            "logging": {"json": False},
            **changes,
        }
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path


def _other(
    number: int, broker: dict[str, Any], role: str, port_key: str, port: int
) -> dict[str, Any]:
    """Return the second node of a host: its controller or its member of the ensemble."""
    unit = "kafka-controller" if role == "controller" else "zookeeper"
    node: dict[str, Any] = {
        "id": 10 + number if role == "controller" else 100 + number,
        "roles": [role],
        "host": broker["host"],
        port_key: port,
        "data_dirs": [f"/var/lib/{unit}"],
        "service": {"manager": "systemd", "unit": unit},
    }
    if role == "controller":
        node["jmx_port"] = 9998
    return node


@dataclass
class LabDaemon(RealDaemon):
    """The whole daemon, in the healer's network namespace."""

    namespace: str = field(default="/run/netns/lab-br")

    @property
    def command_line(self) -> list[str]:
        """How it is started."""
        inside = [str(shutil.which("nsenter")), f"--net={self.namespace}"]
        return [*inside, sys.executable, *self.argv, str(self.config)]


def run(*arguments: str, limit_s: float = COMMAND_LIMIT_S) -> str:
    """Run the lab's script and return what it printed; a failure says what was said."""
    ran = subprocess.run(
        [str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=limit_s,
        env={**os.environ, "LAB_PYTHON": sys.executable},
        check=False,
    )
    assert ran.returncode == 0, f"lab {' '.join(arguments)}: {ran.stdout}{ran.stderr}"
    return ran.stdout.strip()
