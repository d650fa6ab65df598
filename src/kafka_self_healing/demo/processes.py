"""Which process is meant: a pid and the moment it was started, and how a child dies with us.

A pid alone is reused by the kernel; together with the start time (clock ticks since boot, from
`/proc/PID/stat`) and the boot's own id it names one process for ever. Linux only.
"""

from __future__ import annotations

import ctypes
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PR_SET_PDEATHSIG: Final = 1
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process: its pid, its start in clock ticks since boot, and the boot it belongs to."""

    pid: int
    started_ticks: int
    boot_id: str

    def is_alive(self) -> bool:
        """Return whether this very process still runs (a zombie does not)."""
        state, started = _state_and_start(self.pid)
        return state not in ("", "Z", "X") and started == self.started_ticks and self._same_boot()

    def send(self, signal_number: signal.Signals) -> bool:
        """Signal the process if it is still the one meant; return whether it was signalled."""
        if not self.is_alive():
            return False
        try:
            os.kill(self.pid, signal_number)
        except ProcessLookupError:
            return False
        return True

    def as_dict(self) -> dict[str, object]:
        """Return what the state file holds."""
        return {"pid": self.pid, "started_ticks": self.started_ticks, "boot_id": self.boot_id}

    def _same_boot(self) -> bool:
        return self.boot_id == _boot_id()


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of a running process, or None if there is none of this pid."""
    state, started = _state_and_start(pid)
    if state in ("", "Z", "X"):
        return None
    return ProcessIdentity(pid, started, _boot_id())


def identity_from(fields: Mapping[str, object]) -> ProcessIdentity:
    """Return the identity that `as_dict` wrote.

    Raises KeyError or TypeError if the fields are not those.
    """
    pid, ticks, boot_id = fields["pid"], fields["started_ticks"], fields["boot_id"]
    if not (isinstance(pid, int) and isinstance(ticks, int) and isinstance(boot_id, str)):
        raise TypeError(f"not a process identity: {dict(fields)!r}")
    return ProcessIdentity(pid, ticks, boot_id)


def die_with_parent(parent_pid: int) -> Callable[[], None]:
    """Return what a new child calls before exec so that the kernel kills it when we die.

    The signal is bound to the *thread* that forked: call this from the main thread only. A parent
    that died before the request was made is noticed by its changed pid.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent_pid:
            os._exit(127)

    return before_exec


def _state_and_start(pid: int) -> tuple[str, int]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    # The command's name may hold blanks and brackets: the last bracket ends it.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()
