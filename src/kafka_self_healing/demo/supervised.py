"""`Supervised`: the processes of one folder, kept by the demo's supervisor and ended with us.

The interface blocks; asynchronous callers use `asyncio.to_thread`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from kafka_self_healing.clock import boot_seconds, pause
from kafka_self_healing.demo.acts import ACTS_NAME, Act, read_acts
from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.leftovers import end_leftovers
from kafka_self_healing.demo.node_process import DEFINITIONS_NAME, OPERATOR, read_definitions
from kafka_self_healing.demo.supervisorctl import DEFAULT_TIMEOUT_S, ask

_LOOK_EVERY_S: Final = 0.1
_ASK_TIMEOUT_S: Final = 1.0
_SUPERVISOR_LIMIT_S: Final = 15.0
_LOG_TAIL_BYTES: Final = 2000


class Supervised:
    """Starts, stops and breaks the nodes that `nodes.json` of a folder names."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._supervisor: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Start the supervisor; it starts no node. Raises DemoError if it does not answer."""
        self._supervisor = start_supervisor(self.directory)

    def close(self) -> None:
        """Stop every node and the supervisor; safe to call again, and after any failure."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        supervisor.terminate()
        try:
            supervisor.wait(_SUPERVISOR_LIMIT_S)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()
        end_leftovers(self.directory)

    def control_command(self, *, by: str) -> list[str]:
        """Return the `command` service manager's arguments; verb and node id are to be added."""
        module = "kafka_self_healing.demo.supervisorctl"
        return [sys.executable, "-m", module, "--dir", str(self.directory), "--by", by]

    def start(self, node: int | str, *, by: str = OPERATOR) -> dict[str, object]:
        """Start a node's process (no-op if it runs). Raises DemoError if that fails."""
        return self._act("start", node, by)

    def stop(
        self, node: int | str, *, by: str = OPERATOR, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> dict[str, object]:
        """Stop a node by TERM. Raises DemoError if it has not ended after `timeout_s` seconds."""
        return self._act("stop", node, by, timeout_s=timeout_s)

    def kill(self, node: int | str, *, by: str = OPERATOR) -> dict[str, object]:
        """Stop a node by KILL, as asked of the supervisor (a stop on purpose, not a crash)."""
        return self._act("kill", node, by)

    def fault(self, node: int | str, signal_name: str) -> dict[str, object]:
        """Signal a node behind the supervisor's back: `KILL` is a crash, `STOP` a hang, `CONT`."""
        return self._request({"command": "fault", "node": str(node), "signal": signal_name})

    def status(self, node: int | str) -> dict[str, object]:
        """Return the keys of the `command` protocol; a key without value is None."""
        return self._request({"command": "status", "node": str(node)})

    def acts(self) -> list[Act]:
        """Return every act and end that the supervisor wrote down."""
        return read_acts(self.directory)

    def wait_until(self, is_so: Callable[[], bool], what: str, *, timeout_s: float) -> float:
        """Ask `is_so` every 0.1 s until it holds; an OSError counts as no. Return the seconds.

        Raises DemoError after `timeout_s` seconds, with the last reason and each node's state.
        """
        began_s = boot_seconds()
        reason = "not so"
        while boot_seconds() - began_s < timeout_s:
            try:
                if is_so():
                    return boot_seconds() - began_s
                reason = "not so"
            except OSError as failure:
                reason = str(failure)
            pause(_LOOK_EVERY_S)
        told = "\n".join(self._last_words(node) for node in read_definitions(self.directory))
        raise DemoError(f"not within {timeout_s:g} s: {what} ({reason})\n{told}")

    def _act(
        self, command: str, node: int | str, by: str, *, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> dict[str, object]:
        request = {"command": command, "node": str(node), "by": by, "timeout_s": timeout_s}
        answer = self._request(request, timeout_s=timeout_s)
        if answer["ok"] is not True:
            raise DemoError(f"{command} of node {node}: {answer.get('message')}")
        return answer

    def _request(self, request: dict[str, object], *, timeout_s: float = 0.0) -> dict[str, object]:
        try:
            return ask(str(self.directory), request, timeout_s + 5.0)
        except (OSError, ValueError) as failure:
            raise DemoError(f"the supervisor does not answer: {failure}") from failure

    def _last_words(self, node: str) -> str:
        state = self.status(node)
        try:
            log_file = Path(read_definitions(self.directory)[node].log_file)
            tail = log_file.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        except FileNotFoundError:
            tail = "(no log)"
        return f"node {node} is {state.get('state')}; its log ends:\n{tail}"


def clean_folder(directory: Path) -> Path:
    """Make `directory` ready for a new run and return it resolved.

    Ends what a killed run left there and removes that run's nodes and acts. Raises DemoError if
    the folder is in use.
    """
    directory = directory.resolve()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    end_leftovers(directory)
    _remove_last_run(directory)
    return directory


def start_supervisor(directory: Path) -> subprocess.Popen[bytes]:
    """Start the supervisor of `directory` for this process and wait until it answers.

    Ends what a killed one left first. Raises DemoError with its words if it does not come up.
    """
    end_leftovers(directory)
    log_file = directory / "supervisor.log"
    arguments = ["--dir", str(directory), "--parent", str(os.getpid())]
    with log_file.open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "kafka_self_healing.demo.supervisor", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C in a terminal is for us; we then ask the supervisor to end in order.
            start_new_session=True,
        )
    deadline_s = boot_seconds() + _SUPERVISOR_LIMIT_S
    while supervisor.poll() is None and boot_seconds() < deadline_s:
        try:
            ask(str(directory), {"command": "journal"}, _ASK_TIMEOUT_S)
        except OSError:
            pause(_LOOK_EVERY_S / 5)
        else:
            return supervisor
    supervisor.kill()
    supervisor.wait()
    words = log_file.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL_BYTES:]
    raise DemoError(f"the supervisor does not come up: {words.strip()}")


def _remove_last_run(directory: Path) -> None:
    """Remove the nodes that our own list in this folder names, and nothing else."""
    if not (directory / DEFINITIONS_NAME).is_file():
        return
    for definition in read_definitions(directory).values():
        folder = Path(definition.cwd)
        if folder.parent == directory:
            shutil.rmtree(folder, ignore_errors=True)
    (directory / ACTS_NAME).unlink(missing_ok=True)
    (directory / DEFINITIONS_NAME).unlink()
