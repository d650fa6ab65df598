"""A service of tiny shell scripts around `sleep`, for the real service manager `command`."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from kafka_self_healing.clock import SystemClock
from kafka_self_healing.model.access import CommandService

_LIBRARY = """#!/bin/sh
dir="$(dirname "$0")"
pid="$(cat "$dir/pid" 2>/dev/null)"
alive() {
  [ -n "$pid" ] && grep -q '^State:.[^ZX]' "/proc/$pid/status" 2>/dev/null
}
"""
_START = 'alive && exit 0\nsleep 600 &\necho $! >"$dir/pid"\n'
_STOP = 'alive || exit 1\nkill -TERM "$pid"\n'
_KILL = 'alive || exit 1\nkill -KILL "$pid"\n'
_STATUS = """if alive
then echo state=running; echo "pid=$pid"
else echo state=stopped; echo stopped_by=healer
fi
"""


class ShellService:
    """Four scripts in a folder. `rewrite` puts another body in the place of one of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for verb, body in {
            "start": _START, "stop": _STOP, "kill": _KILL, "status": _STATUS,
        }.items():  # fmt: skip
            self.rewrite(verb, body)

    @property
    def config(self) -> CommandService:
        """How a configuration names it."""
        start, stop, kill, status = (
            (str(self._folder / verb),) for verb in ("start", "stop", "kill", "status")
        )
        return CommandService(start=start, stop=stop, kill=kill, status=status)

    def rewrite(self, verb: str, body: str) -> None:
        """Replace what `verb` does; `$dir`, `$pid` and `alive` are at hand."""
        path = self._folder / verb
        path.write_text(_LIBRARY + body, encoding="utf-8")
        path.chmod(0o700)

    def pid(self, name: str = "pid") -> int:
        """Return the pid that a script has written; 0: none."""
        path = self._folder / name
        text = path.read_text(encoding="ascii").strip() if path.exists() else ""
        return int(text or 0)

    def remove(self, verb: str) -> None:
        """Take the program of `verb` away."""
        (self._folder / verb).unlink()

    async def clean_up(self) -> None:
        """Kill every process of which a script has written the pid, and wait for its end."""
        pids = [self.pid(path.name) for path in self._folder.glob("*pid")]
        for pid in filter(is_alive, pids):
            os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(10.0):
            while any(map(is_ours, pids)):
                await SystemClock().sleep(0.01)


def is_ours(pid: int) -> bool:
    """Return whether a process is a child of ours that was not yet reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return int(text.rpartition(")")[2].split()[1]) == os.getpid()


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and was not yet reaped does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return pid > 0 and text.rpartition(")")[2].split()[0] not in {"Z", "X"}
