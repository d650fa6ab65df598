"""The embedded Kafka cluster: real brokers as local processes under the demo's supervisor.

The interface blocks; asynchronous callers use `asyncio.to_thread`. Typical use::

    with EmbeddedCluster.prepare(folder, ClusterSettings(), java=java, jars=jars) as cluster:
        cluster.start_all()
        cluster.wait_whole(timeout_s=60)
        cluster.create_topics({"orders": 6})
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from kafka_self_healing.clock import boot_seconds, pause
from kafka_self_healing.demo.acts import ACTS_NAME, Act, read_acts
from kafka_self_healing.demo.errors import DemoError
from kafka_self_healing.demo.java import Java
from kafka_self_healing.demo.kafka_client import kafka_module
from kafka_self_healing.demo.layout import (
    ClusterSettings,
    Node,
    broker_definition,
    format_storage,
    plan_nodes,
    write_properties,
)
from kafka_self_healing.demo.leftovers import end_leftovers
from kafka_self_healing.demo.node_process import (
    DEFINITIONS_NAME,
    OPERATOR,
    read_definitions,
    write_definitions,
)
from kafka_self_healing.demo.supervisorctl import DEFAULT_TIMEOUT_S, ask
from kafka_self_healing.demo.witness import Picture, ask_node

REPLICATION_FACTOR: Final = 3
MIN_IN_SYNC: Final = 2
_LOOK_EVERY_S: Final = 0.1
_ASK_TIMEOUT_S: Final = 1.0
_SUPERVISOR_LIMIT_S: Final = 15.0
_LOG_TAIL_BYTES: Final = 2000


class EmbeddedCluster:
    """A few combined broker and controller nodes on loopback, kept by a supervisor."""

    def __init__(self, directory: Path, nodes: Mapping[int, Node], cluster_id: str) -> None:
        self.directory = directory
        self.nodes = dict(nodes)
        self.cluster_id = cluster_id
        self._supervisor: subprocess.Popen[bytes] | None = None

    @classmethod
    def prepare(
        cls, directory: Path, settings: ClusterSettings, *, java: Java, jars: Sequence[Path]
    ) -> Self:
        """Lay out a new cluster in `directory`; nothing runs yet.

        Ends what a killed run left there and removes that run's nodes and acts. Raises DemoError if
        the folder is in use or the storage cannot be formatted.
        """
        directory = directory.resolve()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        end_leftovers(directory)
        _remove_last_run(directory)
        nodes = plan_nodes(directory, settings.nodes)
        write_properties(nodes, settings)
        cluster_id = format_storage(nodes, java, jars, settings)
        definitions = {
            str(node.id): broker_definition(node, java, jars, settings) for node in nodes.values()
        }
        write_definitions(directory, definitions)
        return cls(directory, nodes, cluster_id)

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

    @property
    def bootstrap(self) -> list[str]:
        """`host:port` of every node."""
        return [f"{node.host}:{node.kafka_port}" for node in self.nodes.values()]

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

    def start(self, node: int, *, by: str = OPERATOR) -> dict[str, object]:
        """Start a node's process (no-op if it runs). Raises DemoError if that fails."""
        return self._act("start", node, by)

    def stop(
        self, node: int, *, by: str = OPERATOR, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> dict[str, object]:
        """Stop a node by TERM. Raises DemoError if it has not ended after `timeout_s` seconds."""
        return self._act("stop", node, by, timeout_s=timeout_s)

    def kill(self, node: int, *, by: str = OPERATOR) -> dict[str, object]:
        """Stop a node by KILL, as asked of the supervisor (a stop on purpose, not a crash)."""
        return self._act("kill", node, by)

    def fault(self, node: int, signal_name: str) -> dict[str, object]:
        """Signal a node behind the supervisor's back: `KILL` is a crash, `STOP` a hang, `CONT`."""
        return self._request({"command": "fault", "node": str(node), "signal": signal_name})

    def status(self, node: int) -> dict[str, object]:
        """Return the keys of the `command` protocol; a key without value is None."""
        return self._request({"command": "status", "node": str(node)})

    def acts(self) -> list[Act]:
        """Return every act and end that the supervisor wrote down."""
        return read_acts(self.directory)

    def start_all(self) -> None:
        """Start every node."""
        for node in self.nodes:
            self.start(node)

    def ask(self, node: int, *, timeout_s: float = _ASK_TIMEOUT_S) -> Picture:
        """Return the cluster in the words of `node`. Raises OSError if it does not answer."""
        one = self.nodes[node]
        return ask_node((one.host, one.kafka_port), timeout_s)

    def wait_whole(self, *, timeout_s: float) -> float:
        """Wait until all nodes list all nodes and every partition is in sync; return the seconds.

        Raises DemoError with the reason and the end of the logs after `timeout_s` seconds.
        """
        everyone = frozenset(self.nodes)

        def is_whole() -> bool:
            return all(self.ask(node).is_whole(everyone) for node in self.nodes)

        return self.wait_until(is_whole, "all nodes in sync", timeout_s=timeout_s)

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
        told = "\n".join(self._last_words(node) for node in self.nodes.values())
        raise DemoError(f"not within {timeout_s:g} s: {what} ({reason})\n{told}")

    def create_topics(
        self,
        partitions: Mapping[str, int],
        *,
        replication_factor: int = REPLICATION_FACTOR,
        min_in_sync: int = MIN_IN_SYNC,
    ) -> None:
        """Create topics (name: number of partitions) and wait until each has its leaders."""
        wanted = {
            name: {
                "num_partitions": number,
                "replication_factor": min(replication_factor, len(self.nodes)),
                "configs": {"min.insync.replicas": str(min(min_in_sync, len(self.nodes)))},
            }
            for name, number in partitions.items()
        }
        self.create_topics_as(wanted)

    def create_topics_as(self, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        """Create topics in kafka-python's own terms (`assignments`, `configs` ...)."""
        kafka = kafka_module()
        admin = kafka.KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.create_topics(dict(wanted), timeout_ms=30_000, wait_for_metadata=True)
        except kafka.errors.KafkaError as failure:
            raise DemoError(f"topics {sorted(wanted)} cannot be created: {failure}") from failure
        finally:
            admin.close()

    def _act(
        self, command: str, node: int, by: str, *, timeout_s: float = DEFAULT_TIMEOUT_S
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

    def _last_words(self, node: Node) -> str:
        state = self.status(node.id)
        try:
            tail = node.log_file.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        except FileNotFoundError:
            tail = "(no log)"
        return f"node {node.id} is {state.get('state')}; its log ends:\n{tail}"


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
