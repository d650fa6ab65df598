"""The built-in plugins keep the contract that third parties are asked to keep."""

from __future__ import annotations

import inspect
import logging
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from kafka_self_healing.app import checks
from kafka_self_healing.clock import SystemClock
from kafka_self_healing.hosts import LocalHost
from kafka_self_healing.model.access import ListenerAccess, TlsConfig, ZooKeeperAccess
from kafka_self_healing.model.evidence import CLUSTER_KINDS, HEALER, Kind, Outcome
from kafka_self_healing.model.node import Cluster, NodeConfig, Role
from kafka_self_healing.model.policy import DEFAULT_LADDERS, Policy
from kafka_self_healing.model.recovery import ACT_CLASS, ActClass, act_class
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.plugins import MonitoringPlugin, RecoveryAction, RecoveryPlugin, Scope
from kafka_self_healing.recovery import ServiceRestartPlugin

RECOVERY: list[RecoveryPlugin] = [ServiceRestartPlugin()]
ACTIONS = [action for plugin in RECOVERY for action in plugin.actions().values()]
CHECKS = checks()
LOOKS = [(plugin, kind) for plugin in CHECKS for kind in sorted(plugin.kinds)]


CERTIFICATE_INTERVAL_S = 3600.0
ACTED_UPON = frozenset(
    {Kind.LISTENER, Kind.PROTOCOL, Kind.PEERS, Kind.QUORUM, Kind.JVM, Kind.SERVICE, Kind.HOST}
)


def node_of(port: int, roles: frozenset[Role], *, tls: bool) -> NodeConfig:
    """Return a node that is asked on one port for everything."""
    access = ListenerAccess(tls=TlsConfig() if tls else None)
    return NodeConfig(
        "1",
        roles,
        kafka_port=port,
        controller_port=port,
        zookeeper_port=port,
        jmx_port=port,
        kafka=access,
        controller=access,
        zookeeper=ZooKeeperAccess(tls=access.tls),
        kinds=frozenset(Kind),
    )


def name_of(value: object) -> str:
    """Return how a case is called."""
    if isinstance(value, RecoveryAction):
        return value.name
    return value.value if isinstance(value, Kind) else type(value).__name__


@pytest.mark.parametrize("plugin", RECOVERY, ids=name_of)
def test_actions_are_offered_by_their_own_names(plugin: RecoveryPlugin) -> None:
    """What a ladder finds under a name calls itself so, and names have a family before a colon."""
    offered = plugin.actions()
    assert offered
    for name, action in offered.items():
        assert action.name == name
        family, colon, rest = name.partition(":")
        assert family
        assert colon
        assert rest


@pytest.mark.parametrize("action", ACTIONS, ids=name_of)
def test_only_a_start_is_not_disruptive(action: RecoveryAction) -> None:
    """The flag agrees with the class in whose column of the guard matrix the action is judged."""
    assert action.disruptive is (act_class(action.name) is not ActClass.START)


@pytest.mark.parametrize("action", ACTIONS, ids=name_of)
def test_actions_are_coroutines(action: RecoveryAction) -> None:
    """An action can be awaited, and so be bounded."""
    assert inspect.iscoroutinefunction(action.execute)


def test_every_action_that_is_named_by_default_exists() -> None:
    """The default ladders and the table of act classes name built-in actions only."""
    offered = {action.name for action in ACTIONS}
    assert {rung.action for rungs in DEFAULT_LADDERS.values() for rung in rungs} <= offered
    assert set(ACT_CLASS) == offered


@pytest.mark.parametrize("role", Role)
def test_each_kind_has_one_pair_of_eyes(role: Role) -> None:
    """No two built-in checks bring the same kind of one node: one fact would count as two."""
    node = node_of(9, frozenset({role}), tls=True)
    brought = [kind for plugin, kind in LOOKS if plugin.can_ask(node, kind)]
    assert len(brought) == len(set(brought))
    assert {Kind.LISTENER, Kind.PROTOCOL, Kind.CERTIFICATE} <= set(brought)


@pytest.mark.parametrize(("plugin", "kind"), LOOKS, ids=name_of)
def test_intervals_and_limits_of_their_own_are_possible(
    plugin: MonitoringPlugin, kind: Kind
) -> None:
    """What costs much, or hardly changes, has an interval of its own; each is longer than a look.

    The kinds that diagnoses and acts rest on have none: a suspicion must speed them up.
    """
    node = node_of(9, frozenset({Role.BROKER}), tls=True)
    interval_s, timeout_s = plugin.interval_s(node, kind), plugin.timeout_s(node, kind)
    if kind is Kind.CERTIFICATE:
        assert interval_s == CERTIFICATE_INTERVAL_S
    elif kind in ACTED_UPON:
        assert (interval_s, timeout_s) == (None, None)
    if interval_s is not None:
        assert interval_s > (timeout_s or Policy().timeout_s)


@pytest.mark.parametrize("plugin", CHECKS, ids=name_of)
def test_a_check_says_what_it_brings_and_whom_it_asks(plugin: MonitoringPlugin) -> None:
    """Kinds and scope are of the closed sets, and `check` is a coroutine."""
    assert plugin.kinds
    assert all(isinstance(kind, Kind) for kind in plugin.kinds)
    assert isinstance(plugin.scope, Scope)
    assert inspect.iscoroutinefunction(plugin.check)


@pytest.mark.parametrize(("plugin", "kind"), LOOKS, ids=name_of)
def test_a_node_that_is_not_configured_is_not_asked(plugin: MonitoringPlugin, kind: Kind) -> None:
    """Without ports, directories and a service manager there is nothing to ask."""
    assert plugin.can_ask(NodeConfig("1", frozenset({Role.BROKER})), kind) is False


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and that nobody else gets meanwhile."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


ON_HOST = {Kind.SERVICE, Kind.HOST, Kind.LOG}
OPT_IN = {Kind.CANARY, Kind.CUSTOM}  # they need settings of their own; see their own tests
NETWORK = [(p, k) for p, k in LOOKS if k not in ON_HOST | OPT_IN and p.scope is Scope.NODE]


@pytest.mark.parametrize(("plugin", "kind"), NETWORK, ids=name_of)
async def test_a_node_that_refuses_becomes_a_result(
    plugin: MonitoringPlugin, kind: Kind, closed_port: int
) -> None:
    """A closed port is a result of the wanted kind, by the right observer, and raises nothing."""
    tls = kind is Kind.CERTIFICATE
    nodes = [
        node_of(closed_port, frozenset({Role.BROKER, Role.CONTROLLER}), tls=tls),
        node_of(closed_port, frozenset({Role.ENSEMBLE}), tls=tls),
    ]
    target = next(node for node in nodes if plugin.can_ask(node, kind))
    clock = SystemClock()
    context = LookContext(
        kind=kind,
        cluster=Cluster("lab", nodes={"1": target}),
        timeout_s=2.0,
        clock=clock,
        logger=logging.getLogger(__name__),
        host=LocalHost(clock),
        service=None,
        on_hint=lambda _why: None,
    )
    asked = clock.now().mono_s
    results = await plugin.check(target, context)
    await plugin.close()
    assert results
    for result in results:
        assert result.kind is kind
        assert result.outcome is Outcome.REFUSED
        assert asked <= result.started <= result.ended <= clock.now().mono_s
        about_all = kind in CLUSTER_KINDS
        assert (result.observer, result.subject) == (("1", "lab") if about_all else (HEALER, "1"))
