"""One process that the supervisor keeps: its definition, its life, and what became of it.

The states are those of the `command` protocol. A process that ended is `stopped` if somebody asked
the supervisor for it, or if it ended as a clean stop does (exit 0, or by TERM, INT or HUP);
otherwise `failed`. Who asked is kept: an end that nobody asked us for is by `unknown`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from kafka_self_healing.demo.errors import DemoError

DEFINITIONS_NAME: Final = "nodes.json"
OPERATOR: Final = "operator"
UNKNOWN: Final = "unknown"
_CLEAN_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


@dataclass(frozen=True, slots=True)
class NodeDefinition:
    """How a node's process is started: arguments, working folder, and where its output goes."""

    argv: tuple[str, ...]
    cwd: str
    log_file: str


def write_definitions(directory: Path, definitions: Mapping[str, NodeDefinition]) -> None:
    """Write the nodes that the supervisor of `directory` keeps (by node id)."""
    text = json.dumps({node: asdict(one) for node, one in definitions.items()}, indent=1)
    (directory / DEFINITIONS_NAME).write_text(text + "\n", encoding="utf-8")


def read_definitions(directory: Path) -> dict[str, NodeDefinition]:
    """Return the nodes of `directory`.

    Raises DemoError if the file is missing or is not one that `write_definitions` wrote.
    """
    path = directory / DEFINITIONS_NAME
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(node): NodeDefinition(
                tuple(str(word) for word in entry["argv"]), entry["cwd"], entry["log_file"]
            )
            for node, entry in entries.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise DemoError(f"{path}: no readable list of nodes: {wrong!r}") from wrong


class NodeProcess:
    """The life of one node's process."""

    def __init__(self, node: str, definition: NodeDefinition) -> None:
        self.node = node
        self.definition = definition
        self.invocation = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._exit_code: int | None = None
        self._spawn_failed = False
        self._asked_by: str | None = None

    @property
    def pid(self) -> int | None:
        """The pid while the process lives (or has not been reaped)."""
        return self._process.pid if self._process is not None else None

    @property
    def state(self) -> str:
        """One of running, stopping, stopped, failed."""
        if self._process is not None:
            return "running" if self._asked_by is None else "stopping"
        if self._spawn_failed:
            return "failed"
        if self._exit_code is None or self._asked_by is not None or self._ended_cleanly():
            return "stopped"
        return "failed"

    @property
    def stopped_by(self) -> str:
        """Who asked for the stop; `unknown` if nobody asked us."""
        return self._asked_by or UNKNOWN

    @property
    def ending(self) -> str:
        """How the last process ended, in words: `signal 9`, `exit 143`, or nothing yet."""
        if self._exit_code is None:
            return ""
        if self._exit_code < 0:
            return f"signal {-self._exit_code}"
        return f"exit {self._exit_code}"

    def describe(self) -> dict[str, object]:
        """Return the keys of the `command` protocol; None where a key has no value."""
        code = self._exit_code if self._process is None else None
        running = self.state == "running"
        return {
            "state": self.state,
            "pid": self.pid,
            "exit_status": code if code is not None and code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "stopped_by": None if running else self.stopped_by,
            "restarts": 0,  # it starts nothing by itself
            "invocation": self.invocation or None,
        }

    def spawn(self, before_exec: Callable[[], None]) -> int:
        """Start the process in a session of its own and return its pid.

        Raises OSError if it cannot be started; the node is `failed` then.
        """
        assert self._process is None
        self.invocation = os.urandom(8).hex()
        self._asked_by = None
        self._exit_code = None
        self._spawn_failed = True
        with Path(self.definition.log_file).open("ab") as log:
            self._process = subprocess.Popen(
                self.definition.argv,
                cwd=self.definition.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # The supervisor has one thread, so nothing can hold a lock across this fork.
                preexec_fn=before_exec,  # noqa: PLW1509
            )
        self._spawn_failed = False
        return self._process.pid

    def note_stop_request(self, by: str) -> None:
        """Remember who asked for the stop. An operator's word outweighs anybody else's.

        Of a process that is already gone only an operator's request changes anything: it says that
        the node is to stay down, however it ended.
        """
        if by == OPERATOR or (self._process is not None and self._asked_by is None):
            self._asked_by = by

    def send(self, signal_number: signal.Signals) -> None:
        """Signal the process. It has not been reaped, so the pid is certainly its own."""
        assert self._process is not None
        self._process.send_signal(signal_number)

    def reap(self) -> bool:
        """Return whether the process has ended since the last call."""
        if self._process is None:
            return False
        code = self._process.poll()
        if code is None:
            return False
        self._exit_code = code
        self._process = None
        return True

    def _ended_cleanly(self) -> bool:
        code = self._exit_code or 0
        return code == 0 or any(code in (-number, 128 + number) for number in _CLEAN_SIGNALS)
