"""Troubles of disks, heaps, hosts and networks, with the timings measured on real Kafka."""

from __future__ import annotations

from typing import Final

from kafka_self_healing.simulation import faults
from kafka_self_healing.simulation.node import Node, Phase
from kafka_self_healing.simulation.world import World

REPLICA_LAG_S: Final = 30.0
"""replica.lag.time.max.ms: how long a follower may be behind before it leaves the ISR."""

ALL_GONE: Final = "Shutdown broker because all log dirs in /var/lib/kafka have failed"
NO_SPACE: Final = "java.io.IOException: No space left on device"
NO_MEMORY: Final = "java.lang.OutOfMemoryError: Java heap space"

Trouble = (
    faults.OneWayCut
    | faults.DiskFails
    | faults.HeapExhausted
    | faults.HostFreezes
    | faults.CastOut
    | faults.Zombie
)


def strike(world: World, fault: Trouble, node: Node) -> None:
    """Let one of them happen now."""
    match fault:
        case faults.OneWayCut(for_s=for_s):
            if node.config.is_broker and not node.muted:
                node.muted = True
                world.touch(node)
                world.agenda.after(REPLICA_LAG_S, _lag, world, node)
                world.agenda.after(for_s, _unmute, world, node)
        case faults.DiskFails():
            _disk_fails(world, fault, node)
        case faults.HeapExhausted(share=share):
            if node.alive:
                node.choked, node.since["choked"] = share, world.now
                node.last_words = NO_MEMORY
                world.touch(node)
        case faults.CastOut():
            world.cast_out(node)
        case faults.Zombie():
            if node.config.is_broker and node.serves:
                node.zombie, node.since["zombie"] = True, world.now
                world.touch(node)
                world.agenda.after(REPLICA_LAG_S, _flee, world, node, node.run)
        case faults.HostFreezes(for_s=for_s):
            node.no_shell = True
            world.freeze(node)
            world.touch(node)
            world.agenda.after(for_s, _thaw_host, world, node, node.run)


def _lag(world: World, node: Node) -> None:
    if not node.muted or not world.settled or not node.serves:
        return
    others = any(n.config.is_broker and n.serves and n is not node for n in world.nodes.values())
    world.replicas.lag(node.id, alone=others)
    world.touch(node, expected=True)


def _flee(world: World, node: Node, run: int) -> None:
    if node.run == run and node.serves:
        world.replicas.flee(node.id)
        world.touch(node, expected=True)


def _unmute(world: World, node: Node) -> None:
    node.muted = False
    world.touch(node)
    world.all_rejoin()


def _thaw_host(world: World, node: Node, run: int) -> None:
    node.no_shell = False
    world.touch(node)
    if node.run == run:
        world.thaw(node)


def _disk_fails(world: World, fault: faults.DiskFails, node: Node) -> None:
    if fault.how is faults.Disk.ONE_OF_TWO and not (node.config.is_broker and node.serves):
        return
    node.disk, node.since["disk"] = fault.how.value, world.now
    world.touch(node)
    match fault.how:
        case faults.Disk.FULL:
            world.agenda.after(world.rng.uniform(1.0, 5.0), _dies_of_it, world, node, node.run)
        case faults.Disk.DEAD:
            world.agenda.after(world.rng.uniform(0.3, 0.9), _dies_of_it, world, node, node.run)
        case faults.Disk.ONE_OF_TWO:
            world.replicas.lose_directory(node.id)
    if fault.for_s is not None:
        world.agenda.after(fault.for_s, _mend, world, node)


def _dies_of_it(world: World, node: Node, run: int) -> None:
    if node.run == run and node.alive and not node.frozen:
        node.last_words = NO_SPACE if node.disk == faults.Disk.FULL else ALL_GONE
        world.end(node, exit_status=1)


def _start(world: World, node: Node) -> None:
    world.start(node)


def _mend(world: World, node: Node) -> None:
    """Somebody makes room, or exchanges the disk; a directory comes back with a new process."""
    one = node.disk == faults.Disk.ONE_OF_TWO
    node.disk = ""
    world.touch(node)
    if one and node.phase is Phase.SERVING and not node.frozen:
        world.stop(node, requested=True)
        world.agenda.after(5.0, _start, world, node)
