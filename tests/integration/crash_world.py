"""A small world to crash in: three "nodes" that are `sleep` processes under a service manager.

The manager is a shell script of the `command` protocol that writes down what it did; the eyes read
the processes themselves. The world's own notes are the judge, never the healer's journal.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kafka_self_healing.clock import boot_seconds, pause, utc_seconds
from kafka_self_healing.model.evidence import (
    HEALER,
    CheckResult,
    Fact,
    Kind,
    Outcome,
    PartitionFact,
    PeersFact,
    ProtocolFact,
    QuorumFact,
    TopicFact,
    VoterFact,
)
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin

NODES = ("1", "2", "3")
VICTIM = "2"
SESSION_S = 0.3

# A manager that cannot tell who asked for a stop: after `kill` and `stop` it names the operator.
# So only the healer's own memory can say that the stop was its own.
_SCRIPT = """#!/bin/sh
cd "{folder}/n$2" || exit 9
pid=0; read -r pid <pid
state=Z
if [ "$pid" -gt 0 ] && [ -r "/proc/$pid/status" ]; then
  while read -r key value rest; do [ "$key" = State: ] && state=$value; done <"/proc/$pid/status"
fi 2>/dev/null
alive() {{ [ "$state" != Z ] && [ "$state" != X ]; }}
note() {{ echo "$1 $node $(date +%s.%N)" >>"{folder}/acts"; }}
node=$2
case $1 in
status)
  read -r run <invocation; read -r by <stopped_by
  if alive; then echo state=running; echo "pid=$pid"
  elif [ "$by" = operator ]; then echo state=stopped; echo signal=KILL; echo stopped_by=operator
  else echo state=failed; echo signal=KILL; echo stopped_by=unknown
  fi
  echo "invocation=run-$run" ;;
start)
  exec 9>lock; flock 9
  if alive; then note start-of-a-running-one; exit 0; fi
  read -r run <invocation
  setsid sleep 3600 9>&- </dev/null >/dev/null 2>&1 &
  echo $! >pid; echo $! >>pids; echo $((run + 1)) >invocation; echo unknown >stopped_by
  rm -f sick; note start ;;
stop|kill)
  if ! alive; then note "$1-of-a-dead-one"; exit 1; fi
  echo operator >stopped_by; note "$1"; command kill -KILL "$pid" ;;
esac
"""

_CONFIG = """
mode: auto
state_dir: {state}
cluster:
  name: world
  session_timeout_s: {session}
  fetch_timeout_s: 0.1
  service:
    start: [{script}, start, "{{id}}"]
    stop: [{script}, stop, "{{id}}"]
    kill: [{script}, kill, "{{id}}"]
    status: [{script}, status, "{{id}}"]
    stop_timeout_s: 1
  nodes:
{nodes}
policy:
  interval_s: 0.2
  timeout_s: 1
  suspect_interval_s: 0.1
  suspect_timeout_s: 1
  silent_interval_s: 0.3
  gone_apart_s: 0.1
  warm_floor_s: 0.2
  stable_floor_s: 0.4
  stable_margin_s: 0.1
  start_leave_alone_margin_s: 0.2
  clear_looks: 2
ladders:
  PROCESS_HUNG: [{{action: service:restart, limit_s: 1.5}}]
logging: {{level: info, json: false}}
"""


@dataclass(frozen=True, slots=True)
class WorldAct:
    """What the world's service manager was told and did; `at` is in UTC seconds."""

    verb: str
    node: str
    at: float


class World:
    """The folder of one world. `build` starts its nodes, `end` kills whatever lives in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "healer.yaml"
        self.state_dir = folder / "state"

    def build(self) -> None:
        """Write the service manager and the configuration, and start the nodes."""
        self.folder.mkdir(parents=True)
        script = self.folder / "ctl"
        script.write_text(_SCRIPT.format(folder=self.folder), encoding="utf-8")
        script.chmod(0o700)
        lines = []
        for number, node in enumerate(NODES):
            data = self._node(node) / "data"
            data.mkdir(parents=True)
            (data / "meta.properties").write_text("node.id=" + node, encoding="ascii")
            for name, text in {"pid": "0", "invocation": "0", "stopped_by": "unknown"}.items():
                (self._node(node) / name).write_text(text + "\n", encoding="ascii")
            ports = f"kafka_port: {9100 + number}, controller_port: {9200 + number}"
            lines.append(
                f"    - {{id: {node}, roles: [broker, controller], host: 127.0.0.1, {ports},"
                f' data_dirs: ["{data}"]}}'
            )
        text = _CONFIG.format(
            state=self.state_dir, session=SESSION_S, script=script, nodes="\n".join(lines)
        )
        self.config.write_text(text, encoding="utf-8")
        for node in NODES:
            subprocess.run([script, "start", node], check=True)
        (self.folder / "acts").unlink()

    def strike(self, fault: str) -> None:
        """Break the victim behind the manager's back: `crash` or `hang`."""
        pid = self.pid(VICTIM)
        os.kill(pid, signal.SIGKILL if fault == "crash" else signal.SIGSTOP)
        while self.process_state(VICTIM) not in {"", "T", "Z"}:
            pause(0.005)
        (self._node(VICTIM) / "sick").write_text(f"{boot_seconds()}", encoding="ascii")

    def pid(self, node: str) -> int:
        """Return the pid of a node's latest process."""
        return int((self._node(node) / "pid").read_text(encoding="ascii") or 0)

    def process_state(self, node: str) -> str:
        """Return the kernel's letter of a node's process; "": it has ended."""
        return _state_of(self.pid(node))

    def dropped(self, node: str) -> bool:
        """Whether the others have dropped a node: it has been sick for longer than a session."""
        try:
            since = float((self._node(node) / "sick").read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return False
        return boot_seconds() - since > SESSION_S

    def runs(self, node: str) -> bool:
        """Whether a node's process runs and is not stopped."""
        return self.process_state(node) not in {"", "T", "Z", "X"}

    def living(self, node: str) -> int:
        """Return how many of all processes that were ever started for a node live."""
        pids = (self._node(node) / "pids").read_text(encoding="ascii").split()
        return sum(_state_of(int(pid)) not in {"", "Z", "X"} for pid in pids)

    def acts(self) -> list[WorldAct]:
        """Return what the manager did since the world was built, in order."""
        path = self.folder / "acts"
        if not path.exists():
            return []
        rows = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
        return [WorldAct(verb, node, float(at)) for verb, node, at in rows]

    def end(self) -> None:
        """Kill every process that was started in this world."""
        for node in NODES:
            path = self._node(node) / "pids"
            for pid in path.read_text(encoding="ascii").split() if path.exists() else []:
                if _state_of(int(pid)) not in {"", "Z", "X"}:
                    os.kill(int(pid), signal.SIGKILL)

    def _node(self, node: str) -> Path:
        return self.folder / f"n{node}"


def _state_of(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return text[text.rindex(")") + 1 :].split()[0]


class WorldEyes(MonitoringPlugin):
    """Sees the world's processes as Kafka's own listeners and protocol would show them."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def kinds(self) -> frozenset[Kind]:
        """What Kafka says of itself."""
        return frozenset({Kind.LISTENER, Kind.PROTOCOL, Kind.PEERS, Kind.QUORUM})

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Answer at once: a node that is gone refuses, one that is stopped is silent."""
        state, at = self._world.process_state(target.id), context.clock.now().mono_s
        outcome, fact = Outcome.ANSWERED, self._fact(target.id, context.kind)
        if state in {"", "Z", "X"}:
            outcome, fact = Outcome.REFUSED, None
        elif state == "T" and context.kind is not Kind.LISTENER:
            outcome, fact = Outcome.TIMED_OUT, None
        of_cluster = context.kind in {Kind.PEERS, Kind.QUORUM}
        observer, subject = (target.id, context.cluster.name) if of_cluster else (HEALER, target.id)
        return [CheckResult(observer, subject, context.kind, outcome, at, at, fact)]

    def _fact(self, node: str, kind: Kind) -> Fact | None:
        match kind:
            case Kind.PROTOCOL:
                return ProtocolFact()
            case Kind.PEERS:
                return self._peers()
            case Kind.QUORUM:
                return self._quorum(node)
            case _:
                return None

    def _peers(self) -> PeersFact:
        there = tuple(node for node in NODES if not self._world.dropped(node))
        part = PartitionFact(0, NODES, there, leader=NODES[0], reassigning=False)
        topic = TopicFact("orders", min_isr=2, unclean_election=False, partitions=(part,))
        return PeersFact(listed=there, controller=NODES[0], topics=(topic,))

    def _quorum(self, node: str) -> QuorumFact:
        leader, now_ms = NODES[0], int(utc_seconds() * 1000)
        if node != leader:
            return QuorumFact(leader=leader, epoch=1)
        stamps = {n: now_ms - (100_000 if self._world.dropped(n) else 0) for n in NODES}
        voters = tuple(VoterFact(n, stamps[n], stamps[n]) for n in NODES)
        return QuorumFact(leader, 1, fetch_timeout_ms=100, now_ms=now_ms, voters=voters)
