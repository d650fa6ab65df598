"""The truth about partitions: replicas, in-sync sets, leaders. Only a led quorum changes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kafka_self_healing.model.evidence import PartitionFact, PeersFact, TopicFact

NOBODY = "-1"


@dataclass(slots=True)
class Partition:
    """One partition. `leader` is NOBODY while it is offline."""

    topic: Topic
    id: int
    replicas: tuple[str, ...]
    isr: list[str]
    leader: str


@dataclass(slots=True)
class Topic:
    """One topic with its min.insync.replicas and whether a stale replica may become leader."""

    name: str
    min_isr: int
    unclean: bool = False
    partitions: list[Partition] = field(default_factory=list)


class Replicas:
    """All partitions of the cluster, and the metadata answer that every live broker gives."""

    def __init__(self, topics: list[Topic], brokers: tuple[str, ...]) -> None:
        self.topics = topics
        self.partitions = [part for topic in topics for part in topic.partitions]
        self.unfenced: set[str] = set()
        self.registered: set[str] = set()
        self.lost_data = 0
        self.lost: set[tuple[str, str, int]] = set()
        """Copies (broker, topic, partition) in a directory that has failed."""
        self.reassigning = False
        self.controller: str | None = None
        """The active controller, where the metadata tell it: in ZooKeeper mode."""
        self._brokers = brokers
        self._facts: dict[frozenset[str], PeersFact] = {}

    def changed(self) -> None:
        """Forget the prepared metadata answers."""
        self._facts.clear()

    def register(self, broker: str) -> None:
        """Count a broker in."""
        self.unfenced.add(broker)
        self.registered.add(broker)
        self.changed()

    def drop(self, broker: str) -> None:
        """Fence a broker: it leaves every ISR but the ones that would be empty."""
        self.unfenced.discard(broker)
        for part in self.partitions:
            if broker not in part.isr and part.leader != broker:
                continue
            if part.isr != [broker] and broker in part.isr:
                part.isr.remove(broker)
            if part.leader == broker or part.leader == NOBODY:
                self._elect(part)
        self.changed()

    def leave(self, broker: str) -> None:
        """A broker says goodbye: it leaves each ISR that others are in, and leads those no more."""
        for part in self.partitions:
            if broker in part.isr and len(part.isr) > 1:
                part.isr.remove(broker)
                if part.leader == broker:
                    self._elect(part)
        self.changed()

    def lag(self, broker: str, *, alone: bool) -> None:
        """A broker is out of reach of the others: what they lead loses it, what it leads them."""
        for part in self.partitions:
            if broker in part.isr and part.leader != broker and len(part.isr) > 1:
                part.isr.remove(broker)
            elif part.leader == broker and alone:
                part.isr = [broker]
        self.changed()

    def flee(self, broker: str) -> None:
        """Nobody can fetch from a broker: it alone is in the ISRs of what it leads."""
        for part in self.partitions:
            if part.leader == broker:
                part.isr = [broker]
        self.changed()

    def lose_directory(self, broker: str) -> None:
        """One of two directories of a broker is gone, with every second of its partitions."""
        mine = [part for part in self.partitions if broker in part.replicas]
        for part in mine[::2]:
            self.lost.add((broker, part.topic.name, part.id))
            if part.isr != [broker] and broker in part.isr:
                part.isr.remove(broker)
            if part.leader == broker:
                self._elect(part)
        self.changed()

    def new_directories(self, broker: str) -> None:
        """A new process of a broker has opened all its directories."""
        self.lost = {key for key in self.lost if key[0] != broker}

    def rejoin(self, broker: str, serves: Callable[[str], bool]) -> bool:
        """Let a counted-in broker catch up. True if a partition got a leader by it."""
        led = False
        for part in self.partitions:
            if broker not in part.replicas or (broker, part.topic.name, part.id) in self.lost:
                continue
            if part.leader == NOBODY:
                self._elect(part)
                led |= part.leader != NOBODY
            if broker not in part.isr and part.leader != NOBODY and serves(part.leader):
                part.isr.append(broker)
        self.changed()
        return led

    def _elect(self, part: Partition) -> None:
        for broker in part.replicas:
            lost = (broker, part.topic.name, part.id) in self.lost
            if broker in part.isr and broker in self.unfenced and not lost:
                part.leader = broker
                return
        part.leader = NOBODY
        if part.topic.unclean:
            for broker in part.replicas:
                if broker in self.unfenced:
                    part.leader, part.isr = broker, [broker]
                    self.lost_data += 1
                    return

    def fact(self, hidden: frozenset[str]) -> PeersFact:
        """Return the metadata answer; the same object until something changes.

        `hidden`: brokers that the answer wrongly leaves out (a lie).
        """
        known = self._facts.get(hidden)
        if known is None:
            listed = tuple(b for b in self._brokers if b in self.unfenced and b not in hidden)
            topics = tuple(
                TopicFact(
                    topic.name,
                    topic.min_isr,
                    topic.unclean,
                    tuple(
                        PartitionFact(p.id, p.replicas, tuple(p.isr), p.leader, self.reassigning)
                        for p in topic.partitions
                    ),
                )
                for topic in self.topics
            )
            known = self._facts[hidden] = PeersFact(listed, (), self.controller, topics)
        return known

    def in_sync(self, broker: str) -> bool:
        """Whether the broker is in the ISR of each of its partitions that have a leader."""
        return all(
            broker in part.isr
            for part in self.partitions
            if broker in part.replicas and part.leader != NOBODY
        )

    def hurt_by_losing(self, broker: str, alive: Callable[[str], bool]) -> list[str]:
        """Return partitions that fall under min ISR, or offline, when a live broker stops now."""
        hurt = []
        for part in self.partitions:
            if broker not in part.isr:
                continue
            left = [b for b in part.isr if b != broker and alive(b)]
            if len(left) < max(1, part.topic.min_isr):
                hurt.append(f"{part.topic.name}-{part.id}")
        return hurt

    def stale_start(self, broker: str, alive: Callable[[str], bool]) -> str:
        """Name a partition of which the broker would lead a stale copy: its holders are down."""
        for part in self.partitions:
            stale = broker in part.replicas and broker not in part.isr and part.topic.unclean
            if stale and part.leader == NOBODY and not any(alive(b) for b in part.isr):
                return f"{part.topic.name}-{part.id}"
        return ""
