"""The load in a process of its own, so that neither disturbs the other's measurements.

Whoever watches the cluster shares no interpreter lock with the producer, and what kafka-python
leaves open when a broker refuses it (it does) ends with this process. Parent and child speak over a
socket pair, one JSON line asked (`report`, `stop`, `compare`), one answered; the child ends when
the parent closes its end or dies.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.load import Comparison, Gap, Load, LoadReport

_REPORT_LIMIT_S: Final = 10.0
_MARGIN_S: Final = 30.0
_END_LIMIT_S: Final = 5.0


class LoadProcess:
    """`Load` with the same answers, in a child process. Not thread-safe."""

    def __init__(
        self, bootstrap: Sequence[str], topic: str, *, log_file: Path, rate_per_s: float = 50.0
    ) -> None:
        """Name the cluster, an existing topic, and the file that takes the child's errors."""
        self._bootstrap = list(bootstrap)
        self._topic = topic
        self._rate_per_s = rate_per_s
        self._log_file = log_file
        self._child: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Begin to send and to read."""
        ours, theirs = socket.socketpair()
        arguments = [str(theirs.fileno()), self._topic, str(self._rate_per_s), *self._bootstrap]
        with theirs, self._log_file.open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "kafka_self_healing.demo.load_process", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                # Ctrl-C in a terminal is for the parent, which then asks for the report.
                start_new_session=True,
            )
        self._socket = ours

    def report(self) -> LoadReport:
        """Return the figures of this moment. Raises DemoError if the child does not answer."""
        return _report_from(self._ask({"do": "report"}, _REPORT_LIMIT_S))

    def stop(self, *, flush_s: float = 20.0) -> LoadReport:
        """Stop sending and reading as `Load.stop` does, and return the last report."""
        return _report_from(self._ask({"do": "stop", "flush_s": flush_s}, flush_s + _MARGIN_S))

    def compare(self, *, timeout_s: float = 60.0) -> Comparison:
        """Read everything back and compare, as `Load.compare` does."""
        answer = self._ask({"do": "compare", "timeout_s": timeout_s}, timeout_s + _MARGIN_S)
        answer["lost"] = tuple((start, end) for start, end in answer["lost"])
        return Comparison(**answer)

    def close(self) -> None:
        """End the child; safe to call again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._child is not None:
            try:
                self._child.wait(_END_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            self._child = None

    def _ask(self, request: dict[str, object], limit_s: float) -> dict[str, Any]:
        assert self._socket is not None
        self._socket.settimeout(limit_s)
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            received = bytearray()
            while not received.endswith(b"\n"):
                chunk = self._socket.recv(65536)
                if not chunk:
                    raise ConnectionResetError("it has ended")
                received += chunk
        except OSError as failure:
            raise DemoError(
                f"the load does not answer: {failure}; see {self._log_file}"
            ) from failure
        answer: dict[str, Any] = json.loads(received)
        if "error" in answer:
            raise DemoError(str(answer["error"]))
        return answer


def _report_from(answer: dict[str, Any]) -> LoadReport:
    answer["gaps"] = tuple(Gap(**gap) for gap in answer["gaps"])
    return LoadReport(**answer)


def serve(connection: socket.socket, load: Load) -> None:
    """Answer the parent's lines until it closes its end."""
    with connection.makefile("rb") as lines:
        for line in lines:
            request = json.loads(line)
            try:
                match request["do"]:
                    case "stop":
                        answer = asdict(load.stop(flush_s=request["flush_s"]))
                    case "compare":
                        answer = asdict(load.compare(timeout_s=request["timeout_s"]))
                    case _:
                        answer = asdict(load.report())
            except DemoError as failure:
                answer = {"error": str(failure)}
            connection.sendall(json.dumps(answer).encode() + b"\n")


def main(arguments: Sequence[str]) -> int:
    """Run the child: file descriptor, topic, records a second, addresses of the brokers."""
    descriptor, topic, rate_per_s, *bootstrap = arguments
    load = Load(bootstrap, topic, rate_per_s=float(rate_per_s))
    load.start()
    with socket.socket(fileno=int(descriptor)) as connection:
        serve(connection, load)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
