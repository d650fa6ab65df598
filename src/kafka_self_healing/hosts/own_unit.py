"""Would systemd kill with us what we start? Then a start from here is no start that lasts."""

from __future__ import annotations

import subprocess
from pathlib import Path

CGROUP = Path("/proc/self/cgroup")
SAFE_MODES = frozenset({"process", "none"})
ASK_TIMEOUT_S = 5.0


def unsafe_start(cgroup: Path = CGROUP, systemctl: str = "systemctl") -> str:
    """Return why a process started from here dies with the healer's unit; "" if it does not.

    Outside of a systemd service nothing ends what we leave behind. Inside one, its `KillMode` must
    be `process`; if that cannot be read it counts as unsafe.
    """
    unit = _unit(cgroup)
    if not unit:
        return ""
    command = [systemctl, "show", "--property=KillMode", "--value", unit]
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        said = f"unreadable: {error}"
    if said in SAFE_MODES:
        return ""
    return (
        f"the healer's unit {unit} has KillMode {said or 'unknown'}: systemd would end every "
        "broker that is started from here together with the healer. Set KillMode=process in it"
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
