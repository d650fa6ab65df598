"""Tier B's fakes keep the contract of the real ones, and real checks read the same facts."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from random import Random

import pytest
from tests.contracts.service_manager import ROWS, Row

from kafka_self_healing import app
from kafka_self_healing.model.evidence import (
    CLUSTER_KINDS,
    CheckResult,
    HostFact,
    JvmFact,
    Kind,
    ProtocolFact,
    QuorumFact,
)
from kafka_self_healing.model.node import Cluster
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.plugins import MonitoringPlugin
from kafka_self_healing.simulation.eyes import Weather
from kafka_self_healing.simulation.hands import Hands
from kafka_self_healing.simulation.node import Node
from kafka_self_healing.simulation.runner import world_of
from kafka_self_healing.simulation.scenarios import Scenario, Shape
from kafka_self_healing.simulation.tier_b.hosts import Commands, SimHosts
from kafka_self_healing.simulation.tier_b.loop import VirtualClock, VirtualLoop
from kafka_self_healing.simulation.tier_b.network import Network
from kafka_self_healing.simulation.tier_b.runner import equipped
from kafka_self_healing.simulation.tier_b.wire import SimWire
from kafka_self_healing.simulation.world import World

KRAFT = Shape(combined=2, controllers=1, brokers=1, tls=True)
ZOOKEEPER = Shape(combined=0, brokers=3, members=3)


class Stage:
    """A world with one daemon's clients and hosts, and the real checks."""

    def __init__(self, loop: VirtualLoop, world: World) -> None:
        self.world, self.clock = world, VirtualClock(loop)
        self.network = Network(world, Weather(), self.clock, Random(1))
        hands = Hands(world, Random(2), lambda _life, _said: None)
        commands = Commands(hands, lambda _node, _verb: False, lambda: False)
        self.hosts = SimHosts(self.network, commands)
        self.wire = SimWire(self.network)
        self.plugins = app.checks(Access(self.clock, self.wire))
        nodes = {id_: equipped(node) for id_, node in world.cluster.nodes.items()}
        self.cluster: Cluster = replace(world.cluster, nodes=nodes)

    async def look(self, plugin: MonitoringPlugin, node: Node, kind: Kind) -> CheckResult:
        """Look once, as the eyes do."""
        target = self.cluster.nodes[node.id]
        context = LookContext(
            kind,
            self.cluster,
            Policy().timeout_s,
            self.clock,
            logging.getLogger("test"),
            self.hosts.host(node.id),
            self.hosts.service(node.id),
            lambda _why: None,
        )
        (result,) = await plugin.check(target, context)
        return result


def _in_virtual_time(shape: Shape, main: Callable[[Stage], Awaitable[None]]) -> None:
    world = world_of(Scenario(1, shape))
    with closing(VirtualLoop(world.agenda)) as loop:

        async def run() -> None:
            await main(Stage(loop, world))
            await loop.sweep()

        loop.run_until_complete(run())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_the_service_manager_keeps_the_contract(row: Row) -> None:
    """Each row of tests/contracts/service_manager.py, at a node that is down."""

    async def main(stage: Stage) -> None:
        node = stage.world.nodes["1"]
        stage.world.end(node, signal=9)
        await row(stage.hosts.service(node.id))

    _in_virtual_time(Shape(), main)


def _serving(_world: World, _node: Node) -> None:
    pass


def _dead(world: World, node: Node) -> None:
    world.end(node, signal=9)


def _frozen(world: World, node: Node) -> None:
    world.freeze(node)


def _starting(world: World, node: Node) -> None:
    node.recovery_s = 100.0
    world.end(node, signal=9)
    world.start(node)


@pytest.mark.parametrize("shape", [KRAFT, ZOOKEEPER], ids=["kraft", "zookeeper"])
@pytest.mark.parametrize("strike", [_serving, _dead, _frozen, _starting])
def test_the_real_checks_read_the_facts_of_tier_a(
    shape: Shape, strike: Callable[[World, Node], None]
) -> None:
    """Whatever the check makes of the client's answer is what `readings` says of the truth."""
    compared: set[Kind] = set()

    async def main(stage: Stage) -> None:
        for node in list(stage.world.nodes.values()):
            strike(stage.world, node)
            await stage.clock.sleep(8.0)
            for plugin in stage.plugins:
                for kind in sorted(plugin.kinds):
                    if await _same(stage, plugin, node, kind):
                        compared.add(kind)

    _in_virtual_time(shape, main)
    usual = {Kind.LISTENER, Kind.PROTOCOL, Kind.JVM, Kind.SERVICE, Kind.HOST, *CLUSTER_KINDS}
    assert usual <= compared


async def _same(stage: Stage, plugin: MonitoringPlugin, node: Node, kind: Kind) -> bool:
    """Compare one look with the truth. False: this check does not ask this node."""
    target = stage.cluster.nodes[node.id]
    known = target.kinds | CLUSTER_KINDS
    if kind not in known or not plugin.can_ask(target, kind) or kind is Kind.CERTIFICATE:
        return False
    truth = partial(stage.network.truth, node, kind)
    outcome, fact = truth()
    result = await stage.look(plugin, node, kind)
    hung_tls = kind is Kind.LISTENER and node.frozen and target.listener.tls is not None
    if not hung_tls:  # the kernel accepts, and nobody shakes hands
        assert (kind, result.outcome) == (kind, outcome)
    seen = result.fact
    if isinstance(fact, QuorumFact) and isinstance(seen, QuorumFact):
        assert (seen.leader, seen.mode, seen.synced) == (fact.leader, fact.mode, fact.synced)
        assert len(seen.voters or ()) == len(fact.voters or ())  # their stamps go on
    elif isinstance(fact, HostFact) and isinstance(seen, HostFact):
        assert (seen.data_dirs, seen.disks) == (fact.data_dirs, fact.disks)
    elif isinstance(fact, ProtocolFact) and isinstance(seen, ProtocolFact):
        assert replace(seen, refused=None) == fact
    elif not isinstance(fact, JvmFact) or node.config.is_broker:  # only brokers have a state
        assert seen == fact
    return True
