"""The truth: processes on their way up and down. Timings are those measured on real Kafka.

Who keeps the metadata is a world of its own: `kraft` and `zookeeper`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from random import Random

from kafka_self_healing.model.node import Cluster
from kafka_self_healing.simulation.agenda import Agenda
from kafka_self_healing.simulation.faults import Disk
from kafka_self_healing.simulation.manager import Manager
from kafka_self_healing.simulation.node import Node, Phase, Snapshot
from kafka_self_healing.simulation.replicas import Replicas

UNUSABLE = frozenset({Disk.FULL, Disk.DEAD})
FALSE_PEACE_S = (1.0, 3.0)
"""How long a process that goes on after a freeze still tells what it knew before."""

JOINS_AGAIN_S = 2.0
"""After so long a follower asks again to be counted in sync, if nobody could decide it."""


class World(ABC):
    """Nodes and partitions of one cluster in virtual time; who keeps its metadata, others say."""

    gives_up_s: float
    """How long a broker that cannot register waits before it exits."""

    def __init__(self, cluster: Cluster, replicas: Replicas, agenda: Agenda, rng: Random) -> None:
        self.cluster = cluster
        self.replicas = replicas
        self.agenda = agenda
        self.rng = rng
        self.nodes = {id_: Node(id_, config) for id_, config in cluster.nodes.items()}
        self.keepers = tuple(self.nodes[id_] for id_ in cluster.keepers)
        self.members = bool(cluster.members)
        self.leader: str | None = None
        self.epoch = 0
        self.leader_since = 0.0
        self.leaderless_since: float | None = None
        self.changed_at = -1.0e9
        self.cut_off_at: float | None = None
        """Since when none of the reference hosts can be reached."""
        self.excused: set[str] = set()
        """Nodes that an operator has taken over; their being down is known."""
        self.manager = Manager(agenda, self.start, self.touch)
        self._pids = 100
        self.on_closed: Callable[[str], None] | None = None
        """Called when a node's connections are closed: the eyes' hint."""

    # --- who keeps the metadata -------------------------------------------------------------------

    @property
    @abstractmethod
    def settled(self) -> bool:
        """Whether somebody can change the metadata now."""

    @abstractmethod
    def registered(self, id_: str) -> bool:
        """Whether a broker's registration stands, be its process alive or not."""

    @abstractmethod
    def counted(self, node: Node) -> bool:
        """Whether the others still count the node in."""

    @abstractmethod
    def follows(self, node: Node) -> bool:
        """Whether a keeper takes part in a quorum that is led."""

    @abstractmethod
    def keeper_lost(self, node: Node, *, hung: bool) -> None:
        """A keeper is about to take part no longer."""

    @abstractmethod
    def keeper_back(self, node: Node) -> None:
        """A keeper takes part again: it follows, or there may be an election."""

    @abstractmethod
    def session_runs_out(self, node: Node) -> None:
        """A broker is about to be silent: its session goes on for a while."""

    @abstractmethod
    def try_register(self, node: Node) -> None:
        """A broker that waits tries to be counted in."""

    @abstractmethod
    def deregister(self, node: Node) -> None:
        """A broker says goodbye, if there is anybody to say it to."""

    # --- the beginning -------------------------------------------------------------------------

    def begin(self) -> None:
        """Bring the cluster up, as if it had run for long."""
        for node in self.nodes.values():
            if not node.commissioned:
                node.last_fetch = -1.0e9
                continue
            self._new_process(node)
            node.phase = Phase.SERVING
            node.keeper_up = node.config.is_keeper
            if node.config.is_broker:
                self.replicas.register(node.id)
        self.leader = self.rng.choice([v.id for v in self.keepers if v.keeper_up])
        self.epoch = 7
        self.leader_since = -1000.0
        self.settle_down()
        for node in self.nodes.values():
            self.touch(node)
        self.changed_at = -1.0e9

    @abstractmethod
    def settle_down(self) -> None:
        """What else is so when a cluster has run for long."""

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
        if not node.serves or node.isolated or node.choked or node.cast_out or node.zombie:
            return False
        counted = not node.config.is_broker or node.id in self.replicas.unfenced
        return counted and (not node.config.is_keeper or self.follows(node))

    @property
    def majority(self) -> int:
        """How many keepers make a quorum."""
        return len(self.keepers) // 2 + 1

    @property
    @abstractmethod
    def able(self) -> int:
        """How many keepers are there that could make a quorum, as anybody can know."""

    @property
    def living(self) -> int:
        """How many keepers can take part."""
        return sum(keeper.votes for keeper in self.keepers)

    # --- processes ------------------------------------------------------------------------------

    def _new_process(self, node: Node) -> None:
        self._pids += 1
        node.pid, node.run = self._pids, node.run + 1
        node.frozen = node.stop_requested = node.ours = node.by_manager = False
        node.exit_status = node.signal = None
        node.tracer, node.choked, node.cast_out, node.zombie = 0, 0.0, False, False
        node.last_words = ""

    def start(self, node: Node, *, by_hand: bool = False, ours: bool = False) -> bool:
        """Start a process; False if nothing was started (one runs, masked, no power …)."""
        if node.alive or node.without_power:
            return False
        if not by_hand and (node.masked or self.manager.limits(node)):
            return False
        self._new_process(node)
        self.manager.started(node)
        node.by_hand, node.commissioned, node.ours = by_hand, True, ours
        node.phase, run = Phase.BOOTING, node.run
        if node.config.is_keeper:
            self.agenda.after(self.rng.uniform(0.7, 1.6), self._keeper_opens, node, run)
        if node.config.is_broker:
            self.agenda.after(node.boot_s, self._booted, node, run)
        if node.dies_after_s is not None:
            self.agenda.after(node.dies_after_s, self._die, node, run)
        if node.disk in UNUSABLE:
            self.agenda.after(self.rng.uniform(0.8, 2.0), self._die, node, run)
        else:
            self.replicas.new_directories(node.id)
        if node.not_after is not None and self.now >= node.not_after:
            self.agenda.after(self.rng.uniform(2.6, 7.7), self._die, node, run)
        self.touch(node)
        return True

    def _die(self, node: Node, run: int) -> None:
        if node.run == run and node.alive:
            self.end(node, exit_status=1)

    def _keeper_opens(self, node: Node, run: int) -> None:
        if node.run != run or not node.alive:
            return
        node.keeper_up = True
        if not node.config.is_broker:
            node.phase = Phase.SERVING
        self.touch(node)
        self.keeper_back(node)

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
        self.agenda.after(self.gives_up_s, self._gave_up, node, node.run)
        self.try_register(node)

    def _gave_up(self, node: Node, run: int) -> None:
        if node.run == run and node.phase is Phase.WAITING and self.leader is None:
            self.end(node, exit_status=1)

    def rejoin(self, node: Node, run: int) -> None:
        """A broker that is counted in has caught up with its leaders."""
        if node.run != run or not node.serves or node.isolated:
            return
        if not self.settled:  # nobody writes down who is in sync
            self.agenda.after(JOINS_AGAIN_S, self.rejoin, node, run)
            return
        if node.id not in self.replicas.unfenced or node.muted:
            return
        nodes = self.nodes
        reach = lambda id_: nodes[id_].serves and not (nodes[id_].muted or nodes[id_].zombie)  # noqa: E731
        if self.replicas.rejoin(node.id, reach):
            self.all_rejoin()

    def all_rejoin(self) -> None:
        """Whoever lives catches up with the leaders that there are now."""
        for other in self.nodes.values():
            if other.config.is_broker and other.serves:
                self.agenda.after(self.rng.uniform(0.2, 1.5), self.rejoin, other, other.run)

    def end(self, node: Node, *, exit_status: int | None = None, signal: int | None = None) -> None:
        """The process ends; if it was counted in, its session goes on for a while."""
        if not node.alive:
            return
        self.keeper_lost(node, hung=False)
        self.session_runs_out(node)
        node.exit_status, node.signal, node.ended_at = exit_status, signal, self.now
        node.phase, node.pid, node.frozen = Phase.DOWN, 0, False
        node.photo = None
        if not node.by_hand:
            self.manager.ended(node)
        node.keeper_up = node.by_hand = False
        node.tracer = 0
        if self.on_closed is not None:
            self.agenda.after(0.02, self.on_closed, node.id)
        self.touch(node)

    def freeze(self, node: Node) -> None:
        """The process is stopped by SIGSTOP, or hangs."""
        if not node.alive or node.frozen:
            return
        self.keeper_lost(node, hung=True)
        self.session_runs_out(node)
        node.frozen = True
        if node.config.is_broker and node.photo is None:
            node.photo = self.replicas.fact(frozenset())
        self.touch(node)

    def thaw(self, node: Node) -> None:
        """A frozen process goes on; if it was dropped, it registers anew."""
        if not node.alive or not node.frozen:
            return
        node.frozen = False
        self.agenda.after(self.rng.uniform(*FALSE_PEACE_S), self._sees_again, node, node.run)
        self._back(node)

    def _sees_again(self, node: Node, run: int) -> None:
        if node.run == run and not node.isolated and not node.frozen:
            node.photo = None

    def isolate(self, node: Node) -> None:
        """Cut a node from all its peers, not from us."""
        if node.isolated:
            return
        node.photo = self.replicas.fact(frozenset())
        self.keeper_lost(node, hung=True)
        self.session_runs_out(node)
        node.isolated = True
        self.touch(node)

    def cast_out(self, node: Node) -> None:
        """It lives and reaches everybody, but takes part in nothing until it is a new process."""
        if not node.alive or node.cast_out or node.phase is not Phase.SERVING:
            return
        self.keeper_lost(node, hung=True)
        self.session_runs_out(node)
        node.cast_out, node.since["cast_out"] = True, self.now
        self.touch(node)

    def rejoin_network(self, node: Node) -> None:
        """The peers are reachable again."""
        if node.isolated:
            node.isolated, node.photo = False, None
            self._back(node)

    def _back(self, node: Node) -> None:
        node.session += 1
        if node.config.is_broker and node.phase is Phase.SERVING:
            if self.registered(node.id):
                self.agenda.after(self.rng.uniform(0.2, 1.5), self.rejoin, node, node.run)
            else:
                node.phase = Phase.WAITING
                self.agenda.after(self.rng.uniform(0.3, 1.2), self.try_register, node)
        self.touch(node)
        if node.votes:
            self.keeper_back(node)

    def stop(self, node: Node, *, requested: bool) -> None:
        """A controlled shutdown: it leaves the ISRs first and ends as on SIGTERM."""
        if not node.alive or node.phase is Phase.STOPPING:
            return
        node.frozen = False  # a manager's TERM comes with CONT
        node.stop_requested = requested
        node.phase = Phase.STOPPING
        takes = self.rng.uniform(0.8, 3.6) if self.leader is not None else 30.0
        self.deregister(node)
        self.touch(node)
        self.agenda.after(takes, self._stopped, node, node.run)

    def _stopped(self, node: Node, run: int) -> None:
        if node.run == run and node.phase is Phase.STOPPING:
            self.end(node, exit_status=143)

    def heartbeats(self, node: Node) -> bool:
        """Whether a broker keeps its session alive."""
        return node.serves and not node.isolated and not node.cast_out

    def resign(self, epoch: int) -> None:
        """Nobody leads any more, unless somebody else does by now."""
        if self.epoch == epoch and self.leader is not None:
            self.leader = None
            self.leaderless_since = self.now
            self.changed_at = self.now

    def resign_if_alone(self, epoch: int) -> None:
        """A leader without a majority gives up."""
        if self.living < self.majority:
            self.resign(epoch)

    def lead(self, id_: str) -> None:
        """Somebody was elected."""
        self.leader = id_
        self.epoch += 1
        self.leader_since, self.leaderless_since = self.now, None
        self.changed_at = self.now
