"""Programs that say what the real ones said: `systemctl`, `journalctl` and `docker`, recorded.

The recordings are of systemd 252 (Debian 12) and of docker 20.10 with a client of 28, asked exactly
what the service managers ask.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).with_name("recorded")


def recording(name: str) -> dict[str, dict[str, Any]]:
    """Return all situations of a recording by their names."""
    found: dict[str, dict[str, Any]] = json.loads((_FOLDER / f"{name}.json").read_text())
    return found


SYSTEMD = recording("systemd_252")
DOCKER = recording("docker_20")


def put_systemd(folder: Path, situation: dict[str, Any]) -> None:
    """Write a `systemctl` and a `journalctl` into `folder` that know one situation."""
    said = folder / "said"
    said.mkdir(exist_ok=True)
    (said / "show").write_text("".join(f"{line}\n" for line in situation["show"]))
    (said / "state").write_text(situation["state"])
    (said / "journal").write_text("".join(f"{line}\n" for line in situation["journal"]))
    (said / "heard").write_text(situation["heard"])
    _program(
        folder / "systemctl",
        f'echo "$*" >>{said}/asked\n'
        f"case $1 in\nshow) cat {said}/show; exit {situation['show_rc']} ;;\n"
        f"is-system-running) cat {said}/state ;;\nesac",
    )
    _program(
        folder / "journalctl",
        f'echo "journalctl $*" >>{said}/asked\n'
        f'case "$*" in\n*UNIT=*) cat {said}/journal; exit {situation["journal_rc"]} ;;\n'
        f"*) cat {said}/heard; exit {situation['heard_rc']} ;;\nesac",
    )


def put_docker(folder: Path, situation: dict[str, Any]) -> None:
    """Write a `docker` into `folder` that knows one situation."""
    said = folder / "said"
    said.mkdir(exist_ok=True)
    for key in ("inspect", "inspect_err", "events"):
        (said / key).write_text(situation[key])
    _program(
        folder / "docker",
        f'echo "$*" >>{said}/asked\nwhile [ "$1" = --host ]; do shift 2; done\n'
        f"case $1 in\ninspect) cat {said}/inspect; cat {said}/inspect_err >&2; "
        f"exit {situation['inspect_rc']} ;;\n"
        f"events) cat {said}/events; exit {situation['events_rc']} ;;\nesac",
    )


def asked(folder: Path) -> list[str]:
    """Return what the programs in `folder` were asked, in order."""
    file = folder / "said" / "asked"
    return file.read_text().splitlines() if file.exists() else []


def _program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
