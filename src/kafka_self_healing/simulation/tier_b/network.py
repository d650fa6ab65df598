"""The network of the simulation: answers that take time, and those that never come."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from random import Random
from typing import Final, NoReturn

from kafka_self_healing.clock import Clock
from kafka_self_healing.model.evidence import HostFact, Kind, Outcome
from kafka_self_healing.simulation import readings
from kafka_self_healing.simulation.eyes import Weather
from kafka_self_healing.simulation.node import Node
from kafka_self_healing.simulation.readings import Reading
from kafka_self_healing.simulation.tier_b.loop import VirtualLoop
from kafka_self_healing.simulation.world import World

GRID_S: Final = 0.2
"""Answers arrive on this grid, many at the same moment: each moment with news is a turn of the mind
and costs as much as a hundred answers. An ssh command takes as long."""


class Unanswered(Exception):
    """Nothing came back within the time limit."""


class Network:
    """Between one daemon and all nodes: the eyes' weather holds for every exchange."""

    def __init__(self, world: World, weather: Weather, clock: Clock, rng: Random) -> None:
        self.world, self.weather, self.clock = world, weather, clock
        self._rng = rng
        self._machine = readings.MachineFacts(world)
        self._by_host = {host_of(id_): node for id_, node in world.nodes.items()}

    def node(self, host: str) -> Node:
        """Return the node of a host name."""
        return self._by_host[host]

    def __iter__(self) -> Iterator[Node]:
        return iter(self._by_host.values())

    async def travel(self, timeout_s: float) -> None:
        """Be on the way there and back. Raises Unanswered, after the time limit."""
        weather, rng = self.weather, self._rng
        delay = 0.005 + 0.015 * rng.random()
        if weather.delay_s:
            delay += weather.delay_s * rng.random() ** 3
        lost = weather.loss > 0.0 and rng.random() < weather.loss
        if lost or delay >= timeout_s:
            await self.silence(timeout_s)
        now = self.clock.now().mono_s
        arrives = math.ceil((now + delay) / GRID_S) * GRID_S
        await self.clock.sleep(arrives - now)

    async def silence(self, timeout_s: float) -> None:
        """Wait for what does not come, up to the last moment of the grid. Raises Unanswered."""
        now = self.clock.now().mono_s
        ends = math.floor((now + timeout_s) / GRID_S) * GRID_S
        await self.clock.sleep(max(0.0, ends - now))
        raise Unanswered

    async def go_out(self, timeout_s: float) -> None:
        """Knock at the reference host. Raises Unanswered, after the time limit."""
        if self.world.cut_off_at is not None:
            await self.silence(timeout_s)
        await self.travel(timeout_s)

    async def read(self, node: Node, kind: Kind, timeout_s: float) -> Reading:
        """Ask a node for a kind of evidence: what is true when it is asked travels back.

        Raises Unanswered, after the time limit.
        """
        outcome, fact = self.truth(node, kind)
        if outcome is Outcome.TIMED_OUT:
            await self.silence(timeout_s)
        await self.travel(timeout_s)
        return outcome, fact

    def truth(self, node: Node, kind: Kind) -> Reading:
        """Return how a look of this kind would end now, and what it would bring."""
        match kind:
            case Kind.PEERS:
                return readings.peers(self.world, node)
            case Kind.QUORUM:
                return readings.quorum(self.world, node)
            case Kind.LOG:
                return readings.log(node)
            case Kind.CERTIFICATE:
                return readings.certificate(self.world, node)
            case _:
                return readings.read(self.world, node, kind, self._machine)

    def doors(
        self, node: Node, asked: tuple[tuple[str, int], ...]
    ) -> tuple[bool | None, ...] | None:
        """Return which of these ports of the quorum open from the node's host."""
        reading = readings.with_reach(self.world, node, self.truth(node, Kind.HOST))
        reaches = reading[1].reaches if isinstance(reading[1], HostFact) else None
        if reaches is None:
            return None
        opens = {host_of(one.node): one.open for one in reaches}
        return tuple(opens.get(host) for host, _ in asked)


def host_of(id_: str) -> str:
    """Return the host name of a node."""
    return f"node-{id_}.sim"


async def never() -> NoReturn:
    """Wait for ever."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    await loop.never()
