"""Would systemd kill with us what we start? Then a start from here is no start that lasts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

CGROUP = Path("/proc/self/cgroup")
SAFE_MODES = frozenset({"process", "none"})
ASK_TIMEOUT_S = 5.0


def unsafe_start(cgroup: Path = CGROUP, systemctl: str = "systemctl") -> str:
    """Return why a process started from here dies with the healer's unit; "" if it does not.

    Only a service of which this process (or the shell around it) is the main one ends with it: a
    healer that somebody runs by hand, or from cron, leaves what it started behind. Such a unit
    must have `KillMode=process`; one that cannot be read counts as unsafe.
    """
    unit = _unit(cgroup)
    if not unit:
        return ""
    command = [systemctl, "show", "--property=MainPID", "--property=KillMode", unit]
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    keys = dict(line.partition("=")[::2] for line in said.splitlines())
    main = keys.get("MainPID") or os.environ.get("SYSTEMD_EXEC_PID", "")
    mode = keys.get("KillMode", "unknown")
    if main not in {str(os.getpid()), str(os.getppid())} or mode in SAFE_MODES:
        return ""
    return (
        f"the healer's unit {unit} has KillMode {mode}: systemd would end every broker that is "
        "started from here together with the healer. Set KillMode=process in it"
    )


def _unit(cgroup: Path) -> str:
    """Return the service that this process belongs to, or ""."""
    try:
        paths = [line.rpartition(":")[2] for line in cgroup.read_text().splitlines()]
    except OSError:
        return ""
    for path in paths:
        for part in reversed(path.split("/")):
            if part.endswith(".service") and not part.startswith("user@"):
                return part
    return ""
