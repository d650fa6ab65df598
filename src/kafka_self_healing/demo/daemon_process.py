"""The ordinary daemon, as a process of its own, and the questions the demo asks it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Self

from kafka_self_healing.api.client import ask
from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.tether import tethered
from kafka_self_healing.errors import ControlError

_STOP_LIMIT_S: Final = 10.0
_TAIL_BYTES: Final = 3000


class DaemonProcess:
    """Runs `kafka-self-healing run --config FILE` while the block lasts."""

    def __init__(self, configuration: Path, state_dir: Path, output: Path) -> None:
        self._configuration = configuration
        self._state_dir = state_dir
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def program(self) -> list[str]:
        """How the command line of this installation is called."""
        script = Path(sys.executable).with_name("kafka-self-healing")
        if script.is_file():
            return [str(script)]
        return [sys.executable, "-m", "kafka_self_healing.cli.main"]

    @property
    def command(self) -> list[str]:
        """The daemon's command line."""
        return [*self.program, "run", "--config", str(self._configuration)]

    def start(self) -> None:
        """Start it; it dies with us, however we end. Call this from the main thread."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                tethered(self.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal is for us; we then ask the daemon to end in order.
                start_new_session=True,
            )

    def close(self) -> int | None:
        """Ask it to end, and end it if it does not within 10 s; return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def require_alive(self) -> None:
        """Raise DemoError with its last words if it has ended."""
        if self._process is not None and self._process.poll() is not None:
            words = self._output.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
            raise DemoError(f"the daemon has ended ({self._process.returncode}):\n{words.strip()}")

    def ask(self, command: str, **more: object) -> dict[str, Any] | None:
        """Return the daemon's answer over its socket; None while it does not answer."""
        try:
            return ask(self._state_dir, {"command": command, **more})
        except ControlError:
            self.require_alive()
            return None

    def order(self, command: str, **more: object) -> None:
        """Give a command. Raises ControlError if it is not obeyed."""
        ask(self._state_dir, {"command": command, **more})
