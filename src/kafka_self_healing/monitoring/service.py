"""MonitoringService: one task for each thing to look at, each with its own rhythm and deadline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kafka_self_healing.clock import Clock
from kafka_self_healing.hosts import HostPool
from kafka_self_healing.model.evidence import CLUSTER_KINDS, HEALER, CheckResult, Kind, Outcome
from kafka_self_healing.model.health import NodeStatus
from kafka_self_healing.model.node import Cluster, NodeConfig, NodeId
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.monitoring.border import ask
from kafka_self_healing.monitoring.checker import HealthChecker
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.monitoring.rhythm import LEAST_PAUSE_S, interval_s, jittered, timeout_s
from kafka_self_healing.monitoring.witnesses import WITNESSES, Witnesses
from kafka_self_healing.plugins import MonitoringPlugin, Scope

ALL_KINDS: Final = frozenset(Kind)

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Watch:
    """One thing to look at: a kind of evidence at one node, or one of the witnesses of a round."""

    plugin: MonitoringPlugin
    kind: Kind
    node: NodeConfig | None
    slot: int = 0
    witnesses: Witnesses | None = None
    looks: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> str:
        """Its name in the hash that makes the jitter."""
        return f"{self.node.id if self.node else f'witness {self.slot}'}/{self.kind}"


class MonitoringService:
    """Looks at every node of one cluster while `run` runs.

    `on_result` gets every result, `subscribe`d callbacks every change of a NodeStatus; both are
    called in the event loop, and what they raise ends `run`.
    """

    def __init__(
        self,
        cluster: Cluster,
        policy: Policy,
        plugins: Sequence[MonitoringPlugin],
        clock: Clock,
        on_result: Callable[[CheckResult], None],
        *,
        hosts: HostPool | None = None,
    ) -> None:
        self._cluster = cluster
        self._policy = policy
        self._plugins = tuple(plugins)
        self._clock = clock
        self._on_result = on_result
        self._hosts = hosts or HostPool(cluster, clock)
        self._checker = HealthChecker(cluster.nodes, policy.silent_looks)
        self._subscribers: list[Callable[[NodeStatus], None]] = []
        self._group_looked: dict[frozenset[NodeId], float] = {}
        self._mute: set[tuple[NodeId, Kind]] = set()
        self._watches = [watch for plugin in self._plugins for watch in self._watches_of(plugin)]

    @property
    def statuses(self) -> Mapping[NodeId, NodeStatus]:
        """The present status of every node."""
        return self._checker.statuses

    def subscribe(self, callback: Callable[[NodeStatus], None]) -> Callable[[], None]:
        """Have `callback` called at every change of a NodeStatus; return what ends that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def look(self, nodes: Iterable[NodeId], kinds: Iterable[Kind] = ALL_KINDS) -> None:
        """Look at these kinds of these nodes now: each look begins after this call.

        A look that runs already does not count: another one follows it. Several calls before that
        one begins are one look. PEERS and QUORUM are asked of the usual ones, whatever the nodes.
        """
        wanted, about = frozenset(kinds), frozenset(nodes)
        for watch in self._watches:
            of_cluster = watch.node is None or watch.kind in CLUSTER_KINDS
            if watch.kind in wanted and (of_cluster or _node_of(watch) in about):
                watch.asked.set()

    async def run(self) -> None:
        """Look until cancelled; then close the plugins. No task is left behind."""
        try:
            async with asyncio.TaskGroup() as group:
                for watch in self._watches:
                    group.create_task(self._keep_looking(watch), name=f"look at {watch.key}")
        finally:
            for plugin in self._plugins:
                await _close(plugin)

    def _watches_of(self, plugin: MonitoringPlugin) -> Iterable[_Watch]:
        for kind in sorted(plugin.kinds):
            able = [
                node
                for node in self._cluster.nodes.values()
                if (not node.kinds or kind in node.kinds) and plugin.can_ask(node, kind)
            ]
            if kind is Kind.PEERS or (plugin.scope is Scope.CLUSTER and kind is not Kind.QUORUM):
                witnesses = Witnesses(able, self._checker)
                for slot in range(min(WITNESSES if kind is Kind.PEERS else 1, len(able))):
                    yield _Watch(plugin, kind, None, slot, witnesses)
                continue
            for node in able:
                yield _Watch(plugin, kind, node)

    async def _keep_looking(self, watch: _Watch) -> None:
        while True:
            watch.asked.clear()
            began = self._clock.now().mono_s
            target = self._target(watch)
            if target is not None:
                await self._look_once(watch, target)
            await self._rest(watch, target, began)
            watch.looks += 1

    def _target(self, watch: _Watch) -> NodeConfig | None:
        if watch.witnesses is None:
            return watch.node
        target = watch.witnesses.choose(watch.slot, watch.looks)
        if target is None and watch.slot == 0:
            now, name = self._clock.now().mono_s, self._cluster.name
            why = "no node that answers is left to be asked"
            self._hear(
                CheckResult(HEALER, name, watch.kind, Outcome.NOT_ASKED, now, now, None, why)
            )
        return target

    async def _look_once(self, watch: _Watch, target: NodeConfig) -> None:
        context = LookContext(
            kind=watch.kind,
            cluster=self._cluster,
            timeout_s=timeout_s(self._policy, suspected=self._suspected(watch)),
            clock=self._clock,
            logger=_LOGGER,
            host=self._hosts.host(target.id),
            service=self._hosts.service(target.id),
            on_hint=lambda why: self._hint(target.id, why),
        )
        for result in await ask(watch.plugin, target, context):
            self._hear(result)

    def _suspected(self, watch: _Watch) -> bool:
        """Whether to look closely: at a troubled node, and at the cluster while any node is."""
        if watch.node is None or watch.kind in CLUSTER_KINDS:
            return self._checker.any_troubled
        return self._checker.is_troubled(watch.node.id)

    async def _rest(self, watch: _Watch, target: NodeConfig | None, began: float) -> None:
        """Wait for the next look's time, counted from the beginning of this one, or to be asked."""
        if watch.asked.is_set():
            return
        interval = interval_s(
            self._policy,
            watch.kind,
            suspected=self._suspected(watch),
            silent=target is not None and self._checker.is_silent(target.id),
        )
        pause = jittered(interval, self._policy.seed, watch.key, watch.looks)
        left = max(LEAST_PAUSE_S, began + pause - self._clock.now().mono_s)
        alarm = asyncio.create_task(self._clock.sleep(left))
        alarm.add_done_callback(lambda _: watch.asked.set())
        try:
            await watch.asked.wait()
        finally:
            alarm.cancel()
            await asyncio.gather(alarm, return_exceptions=True)

    def _hear(self, result: CheckResult) -> None:
        status = self._checker.hear(result)
        self._on_result(result)
        if status is not None:
            for callback in tuple(self._subscribers):
                callback(status)
            track = status.track(result.kind, result.name)
            if track is not None and track.troubles and track.streak == 1:
                self._hint(status.node, f"{result.kind} is {result.outcome}")
        elif result.observer in self._checker.statuses:
            self._hear_witness(result)

    def _hear_witness(self, result: CheckResult) -> None:
        """A witness that stops answering is worth a look itself: once, not at each silence."""
        key = (result.observer, result.kind)
        if result.outcome is Outcome.ANSWERED:
            self._mute.discard(key)
        elif key not in self._mute:
            self._mute.add(key)
            self._hint(result.observer, f"{result.kind} is {result.outcome}")

    def _hint(self, node: NodeId, why: str) -> None:
        """Look at all kinds of `node` and of its groups at once.

        The groups not more than once a second: a thousand nodes that vanish together must not make
        a million looks.
        """
        _LOGGER.debug("looking at node %s at once: %s", node, why)
        now = self._clock.now().mono_s
        about = {node}
        for group in self._groups_of(node):
            if now - self._group_looked.get(group, -1e9) >= self._policy.suspect_interval_s:
                self._group_looked[group] = now
                about |= group
        self.look(about)

    def _groups_of(self, node: NodeId) -> list[frozenset[NodeId]]:
        groups = (frozenset(self._cluster.voters), frozenset(self._cluster.brokers))
        return [group for group in groups if node in group]


def _node_of(watch: _Watch) -> NodeId | None:
    return None if watch.node is None else watch.node.id


async def _close(plugin: MonitoringPlugin) -> None:
    try:
        await plugin.close()
    except Exception:
        # border: around a plugin call
        _LOGGER.exception("%s could not be closed", type(plugin).__name__)
