"""The truth: processes, sessions, the controller quorum. Timings are those measured on Kafka 4."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from kafka_self_healing.model.evidence import Family, PeersFact
from kafka_self_healing.model.node import Cluster, NodeConfig
from kafka_self_healing.simulation.agenda import Agenda
from kafka_self_healing.simulation.replicas import Replicas

NO_QUORUM_EXIT_S = 62.0
"""A broker that cannot register exits after this long."""

KEPT_SNAPSHOTS = 40


class Phase(StrEnum):
    """How far a process is on its way."""

    DOWN = "down"
    BOOTING = "booting"
    RECOVERING = "recovering"
    WAITING = "waiting"
    SERVING = "serving"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was true of a node since `at` (virtual seconds)."""

    at: float
    alive: bool
    frozen: bool
    counted: bool
    phase: Phase


@dataclass(slots=True)
class Node:
    """One node's truth. `run` grows with each process, so that late events know they are late."""

    id: str
    config: NodeConfig
    pid: int = 0
    run: int = 0
    phase: Phase = Phase.DOWN
    frozen: bool = False
    controller_up: bool = False
    exit_status: int | None = None
    signal: int | None = None
    stop_requested: bool = False
    masked: bool = False
    job: str = ""
    tracer: int = 0
    host_lock: str = ""
    by_hand: bool = False
    dark: bool = False
    isolated: bool = False
    jmx_off: bool = False
    storage_missing: bool = False
    lie: Family | None = None
    commissioned: bool = True
    boot_s: float = 2.0
    recovery_s: float = 0.0
    recovery_began: float = 0.0
    dies_after_s: float | None = None
    session: int = 0
    last_fetch: float = 0.0
    photo: PeersFact | None = None
    version: int = 0
    since: dict[str, float] = field(default_factory=dict)
    ended_at: float = 0.0
    snapshots: deque[Snapshot] = field(default_factory=lambda: deque(maxlen=KEPT_SNAPSHOTS))

    @property
    def alive(self) -> bool:
        """Whether a process of it exists, whoever started it."""
        return self.phase is not Phase.DOWN

    @property
    def serves(self) -> bool:
        """Whether it does its work."""
        return self.phase is Phase.SERVING and not self.frozen

    @property
    def votes(self) -> bool:
        """Whether its controller takes part in the quorum."""
        return self.controller_up and not self.frozen and not self.isolated


class World:
    """Nodes, quorum and partitions of one KRaft cluster in virtual time."""

    def __init__(self, cluster: Cluster, replicas: Replicas, agenda: Agenda, rng: Random) -> None:
        self.cluster = cluster
        self.replicas = replicas
        self.agenda = agenda
        self.rng = rng
        self.nodes = {id_: Node(id_, config) for id_, config in cluster.nodes.items()}
        self.voters = tuple(self.nodes[id_] for id_ in cluster.voters)
        self.leader: str | None = None
        self.epoch = 0
        self.leader_since = 0.0
        self.leaderless_since: float | None = None
        self.changed_at = -1.0e9
        self.excused: set[str] = set()
        """Nodes that an operator has taken over; their being down is known."""
        self._pids = 100
        self.on_closed: Callable[[str], None] | None = None
        """Called when a node's connections are closed: the eyes' hint."""

    # --- the beginning -------------------------------------------------------------------------

    def begin(self) -> None:
        """Bring the cluster up, as if it had run for long."""
        for node in self.nodes.values():
            if not node.commissioned:
                node.last_fetch = -1.0e9
                continue
            self._new_process(node)
            node.phase = Phase.SERVING
            node.controller_up = node.config.is_voter
            if node.config.is_broker:
                self.replicas.register(node.id)
        self.leader = self.rng.choice([v.id for v in self.voters if v.controller_up])
        self.epoch = 7
        self.leader_since = -1000.0
        for node in self.nodes.values():
            self.touch(node)
        self.changed_at = -1.0e9

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return self.agenda.now

    def touch(self, node: Node, *, expected: bool = False) -> None:
        """Note that something became true of a node; `expected`: as a consequence long due."""
        node.version += 1
        if not expected:
            self.changed_at = self.now
        counted = node.id in self.replicas.unfenced
        node.snapshots.append(Snapshot(self.now, node.alive, node.frozen, counted, node.phase))

    def was(self, node: Node, at: float) -> Snapshot:
        """Return what was true of a node at a moment."""
        found = node.snapshots[0]
        for snapshot in node.snapshots:
            if snapshot.at > at:
                break
            found = snapshot
        return found

    def healthy(self, node: Node) -> bool:
        """Whether the node serves, is counted in, and follows the quorum."""
        if not node.serves or node.isolated:
            return False
        counted = not node.config.is_broker or node.id in self.replicas.unfenced
        return counted and (not node.config.is_voter or (node.votes and self.leader is not None))

    def counted(self, node: Node) -> bool:
        """Whether the others still count the node in, as broker or as voter."""
        broker = node.config.is_broker and node.id in self.replicas.unfenced
        limit = 3 * self.cluster.fetch_timeout_s
        voter = node.config.is_voter and (node.votes or self.now - node.last_fetch <= limit)
        return broker or voter

    @property
    def majority(self) -> int:
        """How many voters make a quorum."""
        return len(self.voters) // 2 + 1

    # --- processes ------------------------------------------------------------------------------

    def _new_process(self, node: Node) -> None:
        self._pids += 1
        node.pid, node.run = self._pids, node.run + 1
        node.frozen = node.stop_requested = False
        node.exit_status = node.signal = None
        node.tracer = 0

    def start(self, node: Node, *, by_hand: bool = False) -> bool:
        """Start a process; False if nothing was started (one runs, masked)."""
        if node.alive or (node.masked and not by_hand):
            return False
        self._new_process(node)
        node.by_hand, node.commissioned = by_hand, True
        node.phase, run = Phase.BOOTING, node.run
        if node.config.is_voter:
            self.agenda.after(self.rng.uniform(0.7, 1.6), self._controller_opens, node, run)
        if node.config.is_broker:
            self.agenda.after(node.boot_s, self._booted, node, run)
        if node.dies_after_s is not None:
            self.agenda.after(node.dies_after_s, self._die, node, run)
        self.touch(node)
        return True

    def _die(self, node: Node, run: int) -> None:
        if node.run == run and node.alive:
            self.end(node, exit_status=1)

    def _controller_opens(self, node: Node, run: int) -> None:
        if node.run != run or not node.alive:
            return
        node.controller_up = True
        if not node.config.is_broker:
            node.phase = Phase.SERVING
        self.touch(node)
        self.voter_back(node)

    def _booted(self, node: Node, run: int) -> None:
        if node.run != run or node.phase is not Phase.BOOTING:
            return
        if node.recovery_s > 0:
            node.phase, node.recovery_began = Phase.RECOVERING, self.now
            self.touch(node)
            self.agenda.after(node.recovery_s, self._recovered, node, run)
        else:
            self._wait(node)

    def _recovered(self, node: Node, run: int) -> None:
        if node.run == run and node.phase is Phase.RECOVERING:
            node.recovery_s = 0.0
            self._wait(node)

    def _wait(self, node: Node) -> None:
        node.phase = Phase.WAITING
        self.touch(node)
        self.agenda.after(NO_QUORUM_EXIT_S, self._gave_up, node, node.run)
        self._try_register(node)

    def _gave_up(self, node: Node, run: int) -> None:
        if node.run == run and node.phase is Phase.WAITING and self.leader is None:
            self.end(node, exit_status=1)

    def _try_register(self, node: Node) -> None:
        """A KRaft broker waits, unregistered, until its old session has run out."""
        ready = node.phase is Phase.WAITING and not node.frozen and not node.isolated
        if not ready or self.leader is None or node.id in self.replicas.unfenced:
            return
        node.phase = Phase.SERVING
        self.replicas.register(node.id)
        self.touch(node)
        self.agenda.after(self.rng.uniform(0.2, 1.5), self._rejoin, node, node.run)

    def _rejoin(self, node: Node, run: int) -> None:
        if node.run != run or not node.serves or self.leader is None or node.isolated:
            return
        if node.id not in self.replicas.unfenced:
            return
        serves = self.nodes
        if self.replicas.rejoin(node.id, lambda id_: serves[id_].serves):
            self._all_rejoin()

    def _all_rejoin(self) -> None:
        for other in self.nodes.values():
            if other.config.is_broker and other.serves:
                self.agenda.after(self.rng.uniform(0.2, 1.5), self._rejoin, other, other.run)

    def end(self, node: Node, *, exit_status: int | None = None, signal: int | None = None) -> None:
        """The process ends; if it was counted in, its session goes on for a while."""
        if not node.alive:
            return
        self._voter_lost(node)
        self._session_runs_out(node)
        node.exit_status, node.signal, node.ended_at = exit_status, signal, self.now
        node.phase, node.pid, node.frozen = Phase.DOWN, 0, False
        node.controller_up = node.by_hand = False
        node.tracer = 0
        if self.on_closed is not None:
            self.agenda.after(0.02, self.on_closed, node.id)
        self.touch(node)

    def freeze(self, node: Node) -> None:
        """The process is stopped by SIGSTOP, or hangs."""
        if not node.alive or node.frozen:
            return
        self._voter_lost(node)
        self._session_runs_out(node)
        node.frozen = True
        self.touch(node)

    def thaw(self, node: Node) -> None:
        """A frozen process goes on; if it was dropped, it registers anew."""
        if not node.alive or not node.frozen:
            return
        node.frozen = False
        self._back(node)

    def isolate(self, node: Node) -> None:
        """Cut a node from all its peers, not from us."""
        if node.isolated:
            return
        node.photo = self.replicas.fact(frozenset())
        self._voter_lost(node)
        self._session_runs_out(node)
        node.isolated = True
        self.touch(node)

    def rejoin_network(self, node: Node) -> None:
        """The peers are reachable again."""
        if node.isolated:
            node.isolated, node.photo = False, None
            self._back(node)

    def _back(self, node: Node) -> None:
        node.session += 1
        if node.config.is_broker and node.phase is Phase.SERVING:
            if node.id in self.replicas.unfenced:
                self.agenda.after(self.rng.uniform(0.2, 1.5), self._rejoin, node, node.run)
            else:
                node.phase = Phase.WAITING
                self.agenda.after(self.rng.uniform(0.3, 1.2), self._try_register, node)
        self.touch(node)
        if node.votes:
            self.voter_back(node)

    def stop(self, node: Node, *, requested: bool) -> None:
        """A controlled shutdown: it leaves the ISRs first and ends as on SIGTERM."""
        if not node.alive or node.phase is Phase.STOPPING:
            return
        node.frozen = False  # a manager's TERM comes with CONT
        node.stop_requested = requested
        node.phase = Phase.STOPPING
        takes = self.rng.uniform(0.8, 2.0) if self.leader is not None else 30.0
        if self.leader is not None and node.id in self.replicas.unfenced:
            node.session += 1
            self.replicas.drop(node.id)
            self._all_rejoin()
        self.touch(node)
        self.agenda.after(takes, self._stopped, node, node.run)

    def _stopped(self, node: Node, run: int) -> None:
        if node.run == run and node.phase is Phase.STOPPING:
            self.end(node, exit_status=143)

    # --- sessions and the quorum ------------------------------------------------------------------

    def _heartbeats(self, node: Node) -> bool:
        return node.serves and not node.isolated

    def _session_runs_out(self, node: Node) -> None:
        if node.id in self.replicas.unfenced and self._heartbeats(node):
            node.session += 1
            left = self.cluster.session_timeout_s - self.rng.uniform(0.0, 2.0)
            self.agenda.after(left, self._session_over, node, node.session)

    def _session_over(self, node: Node, session: int) -> None:
        if node.session != session or self.leader is None:
            return
        if node.id in self.replicas.unfenced and not self._heartbeats(node):
            self.replicas.drop(node.id)
            self.touch(node, expected=True)
            self._try_register(node)
            self._all_rejoin()

    def _voter_lost(self, node: Node) -> None:
        if not node.votes:
            return
        node.last_fetch = self.now
        left = sum(v.votes for v in self.voters) - 1
        if node.id == self.leader:
            self._resign(self.epoch)
            self.agenda.after(self.rng.uniform(1.0, 4.0), self._elect)
        elif left < self.majority:
            self.agenda.after(self.rng.uniform(2.0, 3.5), self._resign_if_alone, self.epoch)

    def _resign_if_alone(self, epoch: int) -> None:
        if sum(v.votes for v in self.voters) < self.majority:
            self._resign(epoch)

    def _resign(self, epoch: int) -> None:
        if self.epoch == epoch and self.leader is not None:
            self.leader = None
            self.leaderless_since = self.now
            self.changed_at = self.now

    def voter_back(self, node: Node) -> None:
        """A controller takes part again: it follows, or there may be an election."""
        node.last_fetch = self.now
        if self.leader is None:
            self.agenda.after(self.rng.uniform(1.0, 3.0), self._elect)

    def _elect(self) -> None:
        live = [v for v in self.voters if v.votes]
        if self.leader is not None or len(live) < self.majority:
            return
        self.leader = self.rng.choice(live).id
        self.epoch += 1
        self.leader_since, self.leaderless_since = self.now, None
        self.changed_at = self.now
        for node in self.nodes.values():
            # A new controller gives every session its whole length again.
            if node.id in self.replicas.unfenced and not self._heartbeats(node):
                node.session += 1
                wait = self.cluster.session_timeout_s
                self.agenda.after(wait, self._session_over, node, node.session)
            self._try_register(node)
        self._all_rejoin()
