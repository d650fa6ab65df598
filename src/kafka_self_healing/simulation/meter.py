"""What healing was worth, whoever did it: measured on the world's truth alone.

An episode is one failure of one node, from its end or freeze until it is healthy again. An act is
harmful, needless, or neither; what changed within the grace time before it is `overtaken`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from kafka_self_healing.model.control import Order
from kafka_self_healing.model.evidence import Family, Kind
from kafka_self_healing.model.recovery import ActClass, RecoveryRequest
from kafka_self_healing.simulation import faults
from kafka_self_healing.simulation.eyes import Eyes
from kafka_self_healing.simulation.hands import Hands
from kafka_self_healing.simulation.harm import BAD_WEATHER, GRACE_S
from kafka_self_healing.simulation.node import Node, Phase
from kafka_self_healing.simulation.replicas import NOBODY
from kafka_self_healing.simulation.world import UNUSABLE, World

PERIOD_S = 0.25
ON_ITS_WAY = frozenset({Phase.BOOTING, Phase.RECOVERING, Phase.WAITING})
SIGTERM_EXIT = 143
HALF = 0.5
"""A node that answers more often than not is not half dead."""


class Moment(StrEnum):
    """The way of a failure through whoever heals it."""

    DETECTED = "detect"
    DIAGNOSED = "diagnose"
    ACTED = "act"
    HANDED_OVER = "hand over"
    """A person was called: no act of the healer's own answers it."""
    HEALED = "heal"


class Trouble(StrEnum):
    """What an episode began with."""

    CRASH = "crash"
    TERMINATED = "terminated"
    HANG = "hang"
    HALF_DEAD = "half dead"
    """It runs, and does not do its work: its heap is full, it is cast out, or serves nobody."""


@dataclass(slots=True)
class Episode:
    """One failure of one node; moments are virtual seconds. `free_s`: for how long nothing stood
    in the way of healing it."""

    node: str
    trouble: Trouble
    since: float
    free_s: float = 0.0
    moments: dict[Moment, float] = field(default_factory=dict)

    def after(self, moment: Moment) -> float | None:
        """Return the seconds from the failure to a moment, if that was reached."""
        at = self.moments.get(moment)
        return None if at is None else at - self.since


@dataclass(slots=True)
class Count:
    """Acts, and what they were. `unwanted`: on a node that a person had taken out of service."""

    acts: int = 0
    needless: int = 0
    harmful: int = 0
    unwanted: int = 0
    overtaken: int = 0
    whys: list[str] = field(default_factory=list)


class Meter:
    """Watches one run. It asks the world, and hears of acts and faults."""

    def __init__(self, world: World, hands: Hands, eyes: Eyes) -> None:
        self.world, self.hands, self.eyes = world, hands, eyes
        self.count = Count()
        self.episodes: list[Episode] = []
        self.whole_since: float | None = None
        self._open: dict[str, Episode] = {}
        self._wakes: dict[str, int] = {}
        self._paused = False
        self._leased = True

    def begin(self) -> None:
        """Listen and look from now on."""
        self.hands.on_begin = self._act
        self.world.manager.on_restart = self._by_manager
        self._look()

    # --- what happens -----------------------------------------------------------------------------

    def strike(self, fault: faults.Fault) -> None:
        """Hear of a fault, before it strikes."""
        match fault:
            case faults.Says(order=Order.PAUSE | Order.RESUME as order):
                self._paused = order is Order.PAUSE
            case faults.LeaseLost(for_s=for_s):
                self._leased = False
                self.world.agenda.after(for_s, self._lease_back)
            case faults.Hang(target=target, for_s=for_s) if for_s is not None:
                node = self.world.nodes[target]
                if node.alive and not node.frozen:
                    self._wakes[target] = node.run
            case _:
                pass

    def _lease_back(self) -> None:
        self._leased = True

    def _look(self) -> None:
        whole = True
        for node in self.world.nodes.values():
            healthy = self.world.healthy(node)
            whole &= healthy or not node.commissioned
            found = self._open.get(node.id)
            if found is None:
                self._notice(node)
            elif healthy:
                found.moments[Moment.HEALED] = self.world.now
                del self._open[node.id]
            elif self._free(node):
                found.free_s += PERIOD_S
        whole = whole and all(
            part.leader != NOBODY and len(part.isr) == len(part.replicas)
            for part in self.world.replicas.partitions
        )
        if not whole:
            self.whole_since = None
        elif self.whole_since is None:
            self.whole_since = self.world.now
        self.world.agenda.after(PERIOD_S, self._look)

    def _notice(self, node: Node) -> None:
        half = _half_dead(node)
        sick = node.commissioned and (not node.alive or node.frozen or half)
        meant = not node.alive and (node.stop_requested or node.masked)
        if not sick or meant or any(act.request.node == node.id for act in self.hands.executing):
            return
        trouble, since = Trouble.CRASH, node.ended_at
        if half:
            trouble, since = Trouble.HALF_DEAD, node.snapshots[-1].at
        elif node.frozen:
            trouble, since = Trouble.HANG, node.snapshots[-1].at
        elif node.exit_status == SIGTERM_EXIT:
            trouble = Trouble.TERMINATED
        episode = self._open[node.id] = Episode(node.id, trouble, since)
        self.episodes.append(episode)

    def _free(self, node: Node) -> bool:
        """Whether it could be healed now: nothing forbids it, and a start would do it."""
        forbidden = node.masked or node.stop_requested or node.job or node.host_lock or node.tracer
        forbidden = forbidden or node.id in self.world.excused or self._paused
        hopeless = node.dies_after_s is not None or node.storage_missing or node.dark
        hopeless = hopeless or node.no_shell or node.disk in UNUSABLE
        hopeless = hopeless or node.isolated or self._expired(node)
        blind = node.lie is not None or not self.eyes.open or not self._leased
        blind = blind or self.eyes.weather.loss > BAD_WEATHER
        keeper = node.config.is_keeper
        way = node.phase in ON_ITS_WAY or (not keeper and not self.world.settled)
        return not (forbidden or hopeless or blind or way or node.by_hand)

    def _expired(self, node: Node) -> bool:
        return node.not_after is not None and self.world.now >= node.not_after

    # --- acts -------------------------------------------------------------------------------------

    def _act(self, request: RecoveryRequest) -> None:
        node = self.world.nodes[request.node]
        self._begun(node)
        if node.dark or node.no_shell:
            return  # it does not reach the host
        if request.act_class is ActClass.START:
            if node.alive:
                self._not_down(node, "a start")
            else:
                self._start(node)
        elif not node.alive:
            self._start(node)
        else:
            self._restart(node)

    def _by_manager(self, node: Node) -> None:
        self._begun(node)
        self._start(node)

    def _begun(self, node: Node) -> None:
        self.count.acts += 1
        episode = self._open.get(node.id)
        if episode is not None:
            episode.moments.setdefault(Moment.ACTED, self.world.now)
        stopped = not node.by_manager and (node.stop_requested or node.masked)
        if stopped or node.id in self.world.excused or self._paused:
            self.count.unwanted += 1

    def _start(self, node: Node) -> None:
        """Of a process that has ended; how it goes on is heard by `refused`."""
        if node.storage_missing and Kind.HOST in node.config.kinds:
            self._blame(node, "a start on a missing disk", node.since.get("storage_missing"))
        elif node.disk in UNUSABLE:
            self._needless(node, "a start on a disk that is full or dead")

    def refused(self, node: Node) -> None:
        """A broker has died of its old registration."""
        if not (node.ours or node.by_manager):
            return
        if node.lie is Family.THEIRS:  # the others did not list it: nobody could know
            self._needless(node, "a start that died of a registration nobody could see")
            return
        self._blame(node, "a start that died of the old registration", -1.0e9)

    def _not_down(self, node: Node, what: str) -> None:
        if self.world.was(node, self.world.now - GRACE_S).alive:
            self._needless(node, f"{what} of a process that lives")
        else:
            self.count.overtaken += 1

    def _restart(self, node: Node) -> None:
        """Of a running process: does it serve, would it have come back, whom does it hurt?"""
        then = self.world.was(node, self.world.now - GRACE_S)
        if node.frozen:
            if self._wakes.get(node.id) == node.run:
                self._needless(node, "a restart of one that wakes by itself")
            return
        if not then.alive or then.frozen:
            self.count.overtaken += 1
            return
        if node.choked or _half_dead(node):
            return
        if node.phase is Phase.SERVING:
            hurt = self._hurt(node)
            self._blame(node, f"a serving node was hit{hurt}", -1.0e9)
        elif node.phase in ON_ITS_WAY or node.phase is Phase.STOPPING:
            self._needless(node, f"a restart of one that is {node.phase.value}")

    def _hurt(self, node: Node) -> str:
        world = self.world
        left = sum(world.healthy(other) for other in world.keepers if other is not node)
        if node.votes and left < world.majority:
            return ", and a majority is gone"
        parts = world.replicas.hurt_by_losing(node.id, lambda id_: world.nodes[id_].serves)
        return f", and {len(parts)} partitions fell under min ISR" if parts else ""

    def _needless(self, node: Node, why: str) -> None:
        self.count.needless += 1
        self._why(node, f"needless: {why}")

    def _blame(self, node: Node, why: str, since: float | None) -> None:
        if since is not None and self.world.now - since <= GRACE_S:
            self.count.overtaken += 1
            return
        self.count.harmful += 1
        self._why(node, f"harmful: {why}")

    def _why(self, node: Node, text: str) -> None:
        self.count.whys.append(f"{self.world.now:.1f} node {node.id}: {text}")


def _half_dead(node: Node) -> bool:
    return node.alive and (node.choked >= HALF or node.cast_out or node.zombie)


def attach(episodes: Sequence[Episode], story: Sequence[tuple[float, str, Moment]]) -> None:
    """Put what was noticed, in order of time, to the episodes that it was about."""
    for at, node, moment in story:
        for episode in episodes:
            ends = episode.moments.get(Moment.HEALED, float("inf"))
            if episode.node == node and episode.since <= at <= ends:
                episode.moments.setdefault(moment, at)
