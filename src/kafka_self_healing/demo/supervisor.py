"""The small supervisor of the embedded cluster: keeps the nodes' processes, answers on a socket.

    python -m kafka_self_healing.demo.supervisor --dir DIR --parent PID [--grace SECONDS]

DIR holds `nodes.json` (what to run), `supervisor.sock` (0600; one JSON line asked, one answered),
`acts.jsonl` (every act and end), `state.json` (what a later run must end if we are killed).
It starts nothing by itself. When its parent dies, or on SIGTERM or SIGINT, it stops its nodes and
ends; if it is killed, the kernel kills the nodes.

One thread, one loop: the kernel binds a child's life to the thread that forked it.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kafka_self_healing.clock import boot_seconds, pause
from kafka_self_healing.demo.acts import ACTS_NAME, ActLog, count_acts, read_acts
from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.leftovers import STATE_NAME, RunState, write_state
from kafka_self_healing.demo.node_process import UNKNOWN, NodeProcess, read_definitions
from kafka_self_healing.demo.processes import ProcessIdentity, die_with_parent, identify
from kafka_self_healing.demo.supervisorctl import DEFAULT_TIMEOUT_S, SOCKET_NAME

LOCK_NAME: Final = "supervisor.lock"
DEFAULT_GRACE_S: Final = 2.0
_TICK_S: Final = 0.2
_REQUEST_LIMIT: Final = 64_000
_REQUEST_TIME_S: Final = 5.0
_MAX_CONNECTIONS: Final = 64

Answer = dict[str, object]


@dataclass(slots=True)
class _Caller:
    """One connection: what it has sent, and, once it waits for an end, for which node."""

    connection: socket.socket
    deadline_s: float
    received: bytearray = field(default_factory=bytearray)
    awaits: NodeProcess | None = None


class Supervisor:
    """Keeps the processes of one folder until it is told to end or its parent is gone."""

    def __init__(self, directory: Path, parent: ProcessIdentity, grace_s: float) -> None:
        me = identify(os.getpid())
        assert me is not None
        self._directory = directory
        self._parent = parent
        self._me = me
        self._grace_s = grace_s
        self._acts = ActLog(directory)
        self._nodes = {
            node: NodeProcess(node, definition)
            for node, definition in read_definitions(directory).items()
        }
        self._identities: dict[str, ProcessIdentity] = {}
        self._before_exec = die_with_parent(me.pid)
        self._selector = selectors.DefaultSelector()
        self._callers: list[_Caller] = []
        self._told_to_end = False

    def run(self) -> None:
        """Serve until the end, then stop every node. Raises OSError if no socket can be made."""
        listener = self._listen()
        self._catch_signals()
        self._write_state()
        self._acts.append("supervisor_started", None, "supervisor", pid=self._me.pid)
        try:
            while not self._told_to_end and self._parent.is_alive():
                for key, _ in self._selector.select(_TICK_S):
                    key.data()
                self._reap()
                self._answer_waiting()
        finally:
            self._selector.unregister(listener)
            listener.close()
            self._stop_all()
            why = "told to end" if self._told_to_end else "parent is gone"
            self._acts.append("supervisor_ended", None, "supervisor", detail=why)
            (self._directory / STATE_NAME).unlink(missing_ok=True)
            (self._directory / SOCKET_NAME).unlink(missing_ok=True)

    def _listen(self) -> socket.socket:
        (self._directory / SOCKET_NAME).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        before = os.umask(0o177)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
        finally:
            os.umask(before)
            os.close(folder)
        listener.listen(_MAX_CONNECTIONS)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener))
        return listener

    def _catch_signals(self) -> None:
        read_end, write_end = socket.socketpair()
        read_end.setblocking(False)
        write_end.setblocking(False)
        signal.set_wakeup_fd(write_end.fileno(), warn_on_full_buffer=False)
        self._wakeup = (read_end, write_end)
        self._selector.register(read_end, selectors.EVENT_READ, lambda: read_end.recv(4096))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_end)

    def _note_end(self, *_: object) -> None:
        self._told_to_end = True

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        if len(self._callers) >= _MAX_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        caller = _Caller(connection, boot_seconds() + _REQUEST_TIME_S)
        self._callers.append(caller)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._read(caller))

    def _read(self, caller: _Caller) -> None:
        try:
            chunk = caller.connection.recv(4096)
        except (BlockingIOError, ConnectionResetError):
            chunk = b""
        caller.received += chunk
        if not chunk or len(caller.received) > _REQUEST_LIMIT:
            self._hang_up(caller)
            return
        if not caller.received.endswith(b"\n"):
            return
        self._selector.unregister(caller.connection)
        try:
            request = json.loads(caller.received)
            answer = self._handle(request, caller)
        except (ValueError, TypeError, KeyError, AttributeError) as wrong:
            answer = {"ok": False, "message": f"not a request: {wrong!r}"}
        if answer is not None:
            self._reply(caller, answer)

    def _reply(self, caller: _Caller, answer: Answer) -> None:
        caller.connection.settimeout(1.0)
        # A caller that has gone misses the answer; what it asked for was done and is in the acts.
        with contextlib.suppress(OSError):
            caller.connection.sendall(json.dumps(answer).encode() + b"\n")
        self._hang_up(caller)

    def _hang_up(self, caller: _Caller) -> None:
        if caller.connection in self._selector.get_map():
            self._selector.unregister(caller.connection)
        caller.connection.close()
        self._callers.remove(caller)

    def _handle(self, request: dict[str, Any], caller: _Caller) -> Answer | None:
        """Carry out one request; None means that the answer comes when the node has ended."""
        command, by = str(request["command"]), str(request.get("by", UNKNOWN))
        if command == "journal":
            return self._journal()
        node = self._nodes.get(str(request["node"]))
        if node is None:
            return {"ok": False, "message": f"no node {request['node']}"}
        match command:
            case "status":
                return {"ok": True, **node.describe()}
            case "start":
                return self._start(node, by)
            case "stop" | "kill":
                limit_s = float(request.get("timeout_s", DEFAULT_TIMEOUT_S))
                return self._end(node, command, by, caller=caller, limit_s=limit_s)
            case "fault":
                return self._fault(node, str(request["signal"]))
            case _:
                return {"ok": False, "message": f"no command {command}"}

    def _journal(self) -> Answer:
        counts = count_acts(read_acts(self._directory))
        return {
            "ok": True,
            "pid": self._me.pid,
            "acts": str(self._directory / ACTS_NAME),
            "spawned": {node: count.spawned for node, count in counts.items()},
            "requests": {
                node: {f"{what} by {by}": number for (what, by), number in count.requests.items()}
                for node, count in counts.items()
            },
        }

    def _start(self, node: NodeProcess, by: str) -> Answer:
        if node.state == "stopping":
            self._acts.append("start", node.node, by, result="refused", pid=node.pid)
            return {"ok": False, "message": "still stopping", **node.describe()}
        if node.state == "running":
            self._acts.append("start", node.node, by, result="already_running", pid=node.pid)
            return {"ok": True, "message": "already running", **node.describe()}
        # Written before it is done, so that no process can exist that the acts do not know.
        self._acts.append("start", node.node, by, result="starting")
        try:
            pid = node.spawn(self._before_exec)
        except OSError as wrong:
            self._acts.append("exited", node.node, by, result="not_started", detail=str(wrong))
            return {"ok": False, "message": f"cannot be started: {wrong}", **node.describe()}
        identity = identify(pid)
        if identity is not None:
            self._identities[node.node] = identity
        self._write_state()
        self._acts.append("spawned", node.node, by, pid=pid, detail=node.invocation)
        return {"ok": True, **node.describe()}

    def _end(
        self, node: NodeProcess, command: str, by: str, *, caller: _Caller, limit_s: float
    ) -> Answer | None:
        pid = node.pid
        self._acts.append(
            command, node.node, by, result="signalled" if pid else "not_running", pid=pid
        )
        node.note_stop_request(by)
        if pid is None:
            return {"ok": True, "message": "not running", **node.describe()}
        node.send(signal.SIGTERM if command == "stop" else signal.SIGKILL)
        caller.awaits = node
        caller.deadline_s = boot_seconds() + limit_s
        return None

    def _fault(self, node: NodeProcess, name: str) -> Answer:
        """Signal a node as anybody on the machine could: nobody is noted as having asked."""
        try:
            number = signal.Signals[name if name.startswith("SIG") else f"SIG{name}"]
        except KeyError:
            return {"ok": False, "message": f"no signal {name}"}
        pid = node.pid
        self._acts.append(
            "fault", node.node, UNKNOWN, result=number.name if pid else "not_running", pid=pid
        )
        if pid is None:
            return {"ok": False, "message": "not running", **node.describe()}
        node.send(number)
        return {"ok": True, "signalled": number.name, "pid": pid}

    def _reap(self) -> None:
        gone = [node for node in self._nodes.values() if node.reap()]
        for node in gone:
            identity = self._identities.pop(node.node, None)
            pid = identity.pid if identity else None
            self._acts.append("exited", node.node, node.stopped_by, result=node.ending, pid=pid)
        if gone:
            self._write_state()

    def _answer_waiting(self) -> None:
        now_s = boot_seconds()
        for caller in list(self._callers):
            node = caller.awaits
            if node is None:
                if now_s > caller.deadline_s:
                    self._hang_up(caller)
            elif node.state != "stopping":
                self._reply(caller, {"ok": True, **node.describe()})
            elif now_s > caller.deadline_s:
                self._reply(caller, {"ok": False, "message": "has not ended", **node.describe()})

    def _stop_all(self) -> None:
        running = [node for node in self._nodes.values() if node.pid is not None]
        for node in running:
            node.note_stop_request("supervisor")
            node.send(signal.SIGTERM)
            node.send(signal.SIGCONT)  # A process that is held cannot answer TERM.
        self._reap_until(boot_seconds() + self._grace_s)
        for node in running:
            if node.pid is not None:
                node.send(signal.SIGKILL)
        self._reap_until(boot_seconds() + self._grace_s)

    def _reap_until(self, deadline_s: float) -> None:
        self._reap()
        while any(node.pid for node in self._nodes.values()) and boot_seconds() < deadline_s:
            pause(_TICK_S / 10)
            self._reap()

    def _write_state(self) -> None:
        write_state(self._directory, RunState(self._me, self._parent, self._identities))


def main(arguments: list[str]) -> int:
    """Run the supervisor of one folder; 1 if it cannot begin."""
    parser = argparse.ArgumentParser(prog="supervisor", description="keeps the embedded cluster")
    parser.add_argument("--dir", required=True, type=Path)
    parser.add_argument("--parent", required=True, type=int)
    parser.add_argument("--grace", default=DEFAULT_GRACE_S, type=float)
    options = parser.parse_args(arguments)
    directory = options.dir.resolve()
    parent = identify(options.parent)
    if parent is None:
        sys.stderr.write(f"supervisor: there is no process {options.parent} to work for\n")
        return 1
    with (directory / LOCK_NAME).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write(f"supervisor: another one works in {directory}\n")
            return 1
        try:
            Supervisor(directory, parent, options.grace).run()
        except (DemoError, OSError) as wrong:
            sys.stderr.write(f"supervisor: {wrong}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
