"""ZooKeeper mode: an ensemble holds the sessions, and a broker among the others is the controller.

Measured on Kafka 3.9 with ZooKeeper 3.8: a broker that starts while its old session still lives
gets NodeExists and exits 1; the metadata drop a dead broker only while a controller lives; `ruok`
is answered by members that serve nobody.
"""

from __future__ import annotations

from collections.abc import Callable

from kafka_self_healing.simulation.node import Node, Phase
from kafka_self_healing.simulation.world import World

SYNC_LIMIT_S = 10.0
"""How long a leader counts a silent follower (syncLimit x tickTime), and followers their leader."""

LAST_PING_S = 6.0
"""A session counts from its last ping: a third of it earlier, at most so long."""

NODE_EXISTS = "KeeperErrorCode = NodeExists"


class ZooKeeperWorld(World):
    """Brokers, and an ensemble. `ephemeral`: the ids below /brokers/ids, alive or not."""

    gives_up_s = 18.0

    ephemeral: set[str]
    controller: str | None = None
    on_refused: Callable[[Node], None] | None = None
    """Called when a broker has died of its own old registration."""

    def settle_down(self) -> None:
        """Every member follows, every broker is registered, one of them is the controller."""
        self.ephemeral = set(self.replicas.unfenced)
        for member in self.keepers:
            member.joins_at = -1.0
        self._control(self.rng.choice(sorted(self.ephemeral)))

    @property
    def able(self) -> int:
        """Members that take part: each says itself whether it serves."""
        return self.living

    @property
    def led(self) -> bool:
        """Whether the ensemble does its work: a hung leader is still called one."""
        return self.leader is not None and self.nodes[self.leader].votes

    @property
    def settled(self) -> bool:
        """Whether the ensemble serves and a controller lives."""
        return self.led and self.controller is not None and self._acts(self.controller)

    def _acts(self, id_: str) -> bool:
        return self.heartbeats(self.nodes[id_]) and id_ in self.ephemeral

    def registered(self, id_: str) -> bool:
        """Whether its ephemeral node exists."""
        return id_ in self.ephemeral

    def counted(self, node: Node) -> bool:
        """Whether the metadata list the broker, or the leader counts the member."""
        if node.config.is_broker:
            return node.id in self.replicas.unfenced
        return node.votes or self.synced(node)

    def synced(self, member: Node) -> bool:
        """Whether the leader counts a member as its follower."""
        if member.votes:
            return self.now >= member.joins_at
        return member.keeper_up and self.now - member.last_fetch <= SYNC_LIMIT_S

    def follows(self, node: Node) -> bool:
        """Whether it leads, or follows somebody."""
        return node.votes and self.leader is not None and self.now >= node.joins_at

    def mode(self, member: Node) -> str | None:
        """Return what a member that answers calls itself; None: it is not serving."""
        if member.isolated or member.cast_out:
            early = self.now - member.last_fetch < SYNC_LIMIT_S
            return "follower" if early else None
        if not self.follows(member):
            return None
        return "leader" if member.id == self.leader else "follower"

    def cast_out(self, node: Node) -> None:
        """A broker without a session hears no more from the controller: it tells what it knew."""
        if node.config.is_broker and node.photo is None:
            node.photo = self.replicas.fact(frozenset())
        super().cast_out(node)

    def _back(self, node: Node) -> None:
        super()._back(node)
        self.agenda.after(0.1, self._controller_acts)

    # --- the ensemble -----------------------------------------------------------------------------

    def keeper_lost(self, node: Node, *, hung: bool) -> None:
        """A dead one is missed at once, a silent one only after the sync limit."""
        if not node.votes:
            return
        node.last_fetch = self.now
        noticed = self.rng.uniform(8.0, SYNC_LIMIT_S) if hung else self.rng.uniform(0.3, 1.0)
        if node.id == self.leader:
            self.agenda.after(noticed, self._leaderless, node, node.run, self.epoch)
        elif self.living - 1 < self.majority:
            self.agenda.after(noticed, self.resign_if_alone, self.epoch)

    def _leaderless(self, leader: Node, run: int, epoch: int) -> None:
        if leader.run == run and leader.votes:
            return  # it woke up in time
        self.resign(epoch)
        self.agenda.after(self.rng.uniform(0.5, 1.5), self._elect)

    def keeper_back(self, node: Node) -> None:
        """A member follows soon, or there may be an election."""
        node.last_fetch = self.now
        if self.leader == node.id and node.joins_at <= self.now and node.phase is Phase.SERVING:
            self._sessions_anew()
            return
        node.joins_at = self.now + self.rng.uniform(0.5, 1.5)
        if self.leader is None:
            self.agenda.after(self.rng.uniform(0.3, 1.0), self._elect)

    def _elect(self) -> None:
        live = [member for member in self.keepers if member.votes]
        if self.leader is not None or len(live) < self.majority:
            return
        self.lead(self.rng.choice(live).id)
        for member in live:
            member.joins_at = self.now
        self._sessions_anew()
        for node in self.nodes.values():
            self.try_register(node)
        if self.controller is None or self.controller not in self.ephemeral:
            self.agenda.after(self.rng.uniform(0.2, 1.0), self._elect_controller)
        else:
            self._controller_acts()

    def _sessions_anew(self) -> None:
        """A leader gives every session its whole length when it begins, or goes on."""
        for id_ in sorted(self.ephemeral):
            node = self.nodes[id_]
            if not self.heartbeats(node):
                node.session += 1
                wait = self.cluster.session_timeout_s
                self.agenda.after(wait, self._session_over, node, node.session)

    # --- sessions, registrations, the controller ------------------------------------------------

    def session_runs_out(self, node: Node) -> None:
        """Its session counts from its last ping."""
        if node.id in self.ephemeral and self.heartbeats(node):
            node.session += 1
            session = self.cluster.session_timeout_s
            # The ensemble looks for expired sessions once in a tick.
            late = self.rng.uniform(0.0, self.cluster.tick_s)
            left = session - self.rng.uniform(0.0, min(LAST_PING_S, session / 3)) + late
            self.agenda.after(left, self._session_over, node, node.session)

    def _session_over(self, node: Node, session: int) -> None:
        if node.session != session or not self.led:
            return
        if node.id in self.ephemeral and not self.heartbeats(node):
            self._forget(node)

    def _forget(self, node: Node) -> None:
        """Its ephemeral node is gone; whoever is the controller hears of it."""
        self.ephemeral.discard(node.id)
        self.touch(node, expected=True)
        if self.controller == node.id:
            self.controller = None
            self.agenda.after(self.rng.uniform(0.2, 1.0), self._elect_controller)
        else:
            self.agenda.after(self.rng.uniform(0.05, 0.3), self._controller_acts)

    def _control(self, id_: str) -> None:
        self.controller = self.replicas.controller = id_
        self.replicas.changed()

    def _elect_controller(self) -> None:
        able = sorted(id_ for id_ in self.ephemeral if self._acts(id_))
        if self.controller is None and self.led and able:
            self._control(self.rng.choice(able))
            self._controller_acts()

    def _controller_acts(self) -> None:
        """The metadata follow the registrations."""
        if not self.settled:
            return
        listed = self.replicas.unfenced
        gone, come = listed - self.ephemeral, self.ephemeral - listed
        for id_ in sorted(gone):
            self.replicas.drop(id_)
            self.touch(self.nodes[id_], expected=True)
        for id_ in sorted(come):
            self.replicas.register(id_)
            self.touch(self.nodes[id_], expected=True)
        if gone or come:
            self.all_rejoin()

    def try_register(self, node: Node) -> None:
        """A broker registers, or dies of its own old registration."""
        out = node.isolated or node.cast_out
        ready = node.phase is Phase.WAITING and not node.frozen and not out
        if not ready or not self.led:
            return
        if node.id in self.ephemeral:
            node.last_words = NODE_EXISTS
            self.end(node, exit_status=1)
            if self.on_refused is not None:
                self.on_refused(node)
            return
        node.phase = Phase.SERVING
        self.ephemeral.add(node.id)
        self.touch(node)
        first = self.controller is None
        self.agenda.after(
            self.rng.uniform(0.02, 0.1), self._elect_controller if first else self._controller_acts
        )
        self.agenda.after(self.rng.uniform(0.2, 1.5), self.rejoin, node, node.run)

    def deregister(self, node: Node) -> None:
        """A controlled shutdown takes the ephemeral node with it."""
        if self.led and node.id in self.ephemeral:
            node.session += 1
            self._forget(node)
