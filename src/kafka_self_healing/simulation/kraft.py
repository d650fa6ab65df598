"""KRaft: a quorum of controllers; a broker that starts waits until its old session has run out."""

from __future__ import annotations

from kafka_self_healing.simulation.node import Node, Phase
from kafka_self_healing.simulation.world import World


class KraftWorld(World):
    """A cluster whose controllers elect a leader among themselves."""

    gives_up_s = 62.0

    def settle_down(self) -> None:
        """Nothing else: the quorum is all."""

    @property
    def settled(self) -> bool:
        """Whether a controller leads."""
        return self.leader is not None

    @property
    def able(self) -> int:
        """Controllers with a process: of the others a start is the remedy."""
        return sum(voter.alive for voter in self.keepers)

    def registered(self, id_: str) -> bool:
        """Whether the broker is unfenced."""
        return id_ in self.replicas.unfenced

    def counted(self, node: Node) -> bool:
        """Whether the others still count the node in, as broker or as voter."""
        broker = node.config.is_broker and node.id in self.replicas.unfenced
        limit = 3 * self.cluster.fetch_timeout_s
        voter = node.config.is_voter and (node.votes or self.now - node.last_fetch <= limit)
        return broker or voter

    def follows(self, node: Node) -> bool:
        """Whether it votes and somebody leads."""
        return node.votes and self.leader is not None

    def keeper_lost(self, node: Node, *, hung: bool) -> None:  # noqa: ARG002  hung or dead: silent
        """A lost leader makes room at once; one without a majority notices after a while."""
        if not node.votes:
            return
        node.last_fetch = self.now
        left = self.living - 1
        if node.id == self.leader:
            self.resign(self.epoch)
            self.agenda.after(self.rng.uniform(1.0, 4.0), self._elect)
        elif left < self.majority:
            self.agenda.after(self.rng.uniform(2.6, 3.5), self.resign_if_alone, self.epoch)

    def keeper_back(self, node: Node) -> None:
        """A controller takes part again: it follows, or there may be an election."""
        node.last_fetch = self.now
        if self.leader is None:
            self.agenda.after(self.rng.uniform(1.0, 3.0), self._elect)

    def _elect(self) -> None:
        live = [v for v in self.keepers if v.votes]
        if self.leader is not None or len(live) < self.majority:
            return
        self.lead(self.rng.choice(live).id)
        for node in self.nodes.values():
            # A new controller gives every session its whole length again.
            if node.id in self.replicas.unfenced and not self.heartbeats(node):
                node.session += 1
                wait = self.cluster.session_timeout_s
                self.agenda.after(wait, self._session_over, node, node.session)
            self.try_register(node)
        self.all_rejoin()

    def session_runs_out(self, node: Node) -> None:
        """Its last heartbeat was up to 2 s ago; one that said goodbye is dropped at once."""
        if node.phase is Phase.STOPPING and self.leader is not None:
            self.replicas.drop(node.id)
            self.all_rejoin()
            return
        if node.id in self.replicas.unfenced and self.heartbeats(node):
            node.session += 1
            left = self.cluster.session_timeout_s - self.rng.uniform(0.0, 2.0)
            self.agenda.after(left, self._session_over, node, node.session)

    def _session_over(self, node: Node, session: int) -> None:
        if node.session != session or self.leader is None:
            return
        if node.id in self.replicas.unfenced and not self.heartbeats(node):
            self.replicas.drop(node.id)
            self.touch(node, expected=True)
            self.try_register(node)
            self.all_rejoin()

    def try_register(self, node: Node) -> None:
        """A broker waits, unregistered, until its old session has run out."""
        out = node.isolated or node.cast_out
        ready = node.phase is Phase.WAITING and not node.frozen and not out
        if not ready or self.leader is None or node.id in self.replicas.unfenced:
            return
        node.phase = Phase.SERVING
        self.replicas.register(node.id)
        self.touch(node)
        self.agenda.after(self.rng.uniform(0.2, 1.5), self.rejoin, node, node.run)

    def deregister(self, node: Node) -> None:
        """A controlled shutdown: it leaves the ISRs, and is listed until its process ends."""
        if self.leader is not None and node.id in self.replicas.unfenced:
            node.session += 1
            self.replicas.leave(node.id)
            self.all_rejoin()
