"""One daemon process of the simulation: the real composition, its four ports, and its death."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final, Protocol, TypeVar

from kafka_self_healing.app import daemon_of
from kafka_self_healing.clock import Clock
from kafka_self_healing.config import Settings
from kafka_self_healing.daemon import Daemon
from kafka_self_healing.errors import StorageError
from kafka_self_healing.model.evidence import CheckResult
from kafka_self_healing.model.node import Cluster, NodeId
from kafka_self_healing.ports import InStore, Ports
from kafka_self_healing.simulation.eyes import Weather
from kafka_self_healing.simulation.hands import Hands
from kafka_self_healing.simulation.tier_b.faults import Place
from kafka_self_healing.simulation.tier_b.hosts import Commands, SimHosts
from kafka_self_healing.simulation.tier_b.loop import VirtualClock, VirtualLoop
from kafka_self_healing.simulation.tier_b.network import Network
from kafka_self_healing.simulation.tier_b.smtp import PostOffice, SimSmtp
from kafka_self_healing.simulation.tier_b.wire import SimWire
from kafka_self_healing.simulation.world import World
from kafka_self_healing.storage import Journal, Store

T = TypeVar("T")
COMMIT_S: Final = 0.005
"""How long the store takes; it is done at once, and the loop hears of it so much later."""


class Killed(BaseException):
    """The process has ended at this line; what unwinds is only the simulation's own stack."""


class Fate(Protocol):
    """What watches over the processes."""

    def passes(self, process: Process, place: Place) -> bool:
        """A process comes by a place. Return whether it dies there."""

    def commits(self, process: Process) -> None:
        """A process has just committed."""

    def commands(self, process: Process, node: NodeId, verb: str) -> None:
        """A process is about to give a command."""

    def sees(self, process: Process, result: CheckResult) -> None:
        """A process has seen something."""


@dataclass(slots=True)
class Surroundings:
    """What all processes share. `disk_full`: nothing can be committed."""

    loop: VirtualLoop
    clock: VirtualClock
    world: World
    settings: Settings
    weather: Weather
    hands: Hands
    office: PostOffice
    rng: Random
    disk_full: bool = False


class Process:
    """Lives from `begin` until its task ends, or until it is killed."""

    def __init__(self, number: int, around: Surroundings, fate: Fate) -> None:
        self.number, self._around, self._fate = number, around, fate
        self.daemon: Daemon | None = None
        self.store: Store | None = None
        self.journal: Journal | None = None
        self.dead = self.stopping = False
        self.ended_at: float | None = None
        self._buried: asyncio.Future[None] = around.loop.create_future()
        self.working = 0
        """How many pieces of work are in the store."""

        self.network = Network(around.world, around.weather, around.clock, around.rng)
        self.wire = SimWire(self.network)
        self._commands = Commands(
            around.hands,
            self._before_command,
            partial(fate.passes, self, Place.AFTER_COMMAND),
        )
        self.task: asyncio.Task[None]

    @property
    def up(self) -> bool:
        """Whether it is there, be it frozen."""
        return not self.dead and self.ended_at is None

    def begin(self, on_end: Callable[[Process, asyncio.Task[None]], None]) -> None:
        """Start it."""
        loop = self._around.loop
        context = loop.context_of(self.number)
        self.task = loop.create_task(self._live(), name=f"daemon {self.number}", context=context)
        self.task.add_done_callback(partial(on_end, self))

    def kill(self, *, finish: bool) -> None:
        """SIGKILL: no line of it runs any more; the kernel closes its files and connections."""
        self._around.loop.freeze(self.number)
        self.dead, self.ended_at = True, self._around.loop.time()
        if not finish:
            self._commands.call_off()
        if self.store is not None:
            self.store.close()

    async def bury(self) -> None:
        """Run what `finally` blocks a killed process left, after all has been judged."""
        self._around.loop.thaw(self.number)
        self._buried.set_result(None)
        self.task.cancel()
        await asyncio.wait({self.task})
        if not self.task.cancelled():
            self.task.exception()

    # --- the composition ------------------------------------------------------------------------

    async def _live(self) -> None:
        around = self._around
        building = daemon_of(
            around.settings,
            around.clock,
            redact=str,
            crash_point=self._crash_point,
            hear=partial(self._fate.sees, self),
            ports=self.ports(),
        )
        async with building as daemon:
            self.daemon = daemon
            await daemon.run()

    def ports(self) -> Ports:
        """Return all that is replaced."""
        office, sent = self._around.office, partial(self._fate.passes, self, Place.AFTER_MAIL)
        return Ports(
            wire=self.wire,
            hosts=self._hosts,
            smtp=lambda **_how: SimSmtp(office, self.number, sent),
            executor=self._executor,
        )

    def _hosts(self, cluster: Cluster, clock: Clock) -> SimHosts:
        del cluster, clock
        return SimHosts(self.network, self._commands)

    @contextmanager
    def _executor(self) -> Iterator[InStore]:
        async def in_store(work: Callable[[], T]) -> T:
            if self.dead:
                raise StorageError("the process was killed")
            self.working += 1
            try:
                return await self._done(work)
            finally:
                self.working -= 1

        yield in_store

    async def _done(self, work: Callable[[], T]) -> T:
        """Do it inline, and let the loop hear of it a moment later."""
        error: StorageError | None = None
        try:
            result = work()
        except StorageError as wrong:
            error = wrong
        except Killed:
            await self._buried
            raise StorageError("the process was killed") from None
        if error is None and isinstance(result, Store):
            self.store = result
            self.journal = Journal(result, self._around.settings.cluster.name)
        await self._around.clock.sleep(COMMIT_S)
        if error is not None:
            raise error
        return result

    def _crash_point(self, name: str) -> None:
        if name not in {Place.BEFORE_COMMIT, Place.AFTER_COMMIT}:
            return
        place = Place(name)
        if place is Place.BEFORE_COMMIT and self._around.disk_full:
            full = sqlite3.OperationalError("database or disk is full")
            full.sqlite_errorname = "SQLITE_FULL"
            raise full
        if place is Place.AFTER_COMMIT:
            self._fate.commits(self)
        if self._fate.passes(self, place):
            raise Killed

    def _before_command(self, node: NodeId, verb: str) -> bool:
        if self._fate.passes(self, Place.BEFORE_COMMAND):
            return True
        self._fate.commands(self, node, verb)
        return False
