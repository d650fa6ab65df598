"""MonitoringService: one task for each thing to look at, each with its own rhythm and deadline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from kafka_self_healing.clock import Clock
from kafka_self_healing.hosts import HostPool, Pool
from kafka_self_healing.model.evidence import HEALER, UNANSWERED, CheckResult, Kind, Outcome
from kafka_self_healing.model.health import NodeStatus
from kafka_self_healing.model.node import Cluster, NodeConfig, NodeId
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.monitoring.agenda import Agenda
from kafka_self_healing.monitoring.border import GRACE_S, ask
from kafka_self_healing.monitoring.checker import HealthChecker
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.monitoring.hints import Call, Hints
from kafka_self_healing.monitoring.rhythm import (
    KNOCKING,
    LEAST_PAUSE_S,
    chance_of,
    interval_s,
    next_beat,
    timeout_s,
)
from kafka_self_healing.monitoring.watch import NEVER, Watch
from kafka_self_healing.monitoring.witnesses import Witnesses
from kafka_self_healing.plugins import MonitoringPlugin, Scope

ALL_KINDS: Final = frozenset(Kind)

PROMPT_S: Final = 0.25
"""A look that is asked for waits so long for one that began by itself before: most have ended by
then, and their connections stay. What takes longer is cut off: its answer would be stale."""

REACH_INTERVALS: Final = 2.0
"""For so many intervals a host is asked what it reaches, once the mind has wanted to know."""

NEVER_YET: Final = float("-inf")

CLOCKS_DIFFER_S: Final = 0.01
"""The event loop's timers run on another clock than looks are stamped by, and round."""

_LOGGER = logging.getLogger(__name__)


class MonitoringService:
    """Looks at every node of one cluster while `run` runs.

    `on_result` gets every result. A callback of `subscribe` gets the NodeStatus of a node each time
    that a look shows anything new: another outcome or another fact, not only a later time. Both
    are called in the event loop, must not block, and what they raise ends `run`.
    """

    def __init__(
        self,
        cluster: Cluster,
        policy: Policy,
        plugins: Sequence[MonitoringPlugin],
        clock: Clock,
        on_result: Callable[[CheckResult], None],
        *,
        hosts: Pool | None = None,
    ) -> None:
        self._cluster = cluster
        self._policy = policy
        self._plugins = tuple(plugins)
        self._clock = clock
        self._on_result = on_result
        self._hosts: Pool = hosts or HostPool(cluster, clock)
        self._own_hosts = hosts is None
        self._reach: dict[NodeId, float] = {}
        self._checker = HealthChecker(cluster.nodes, policy.silent_looks)
        self._subscribers: list[Callable[[NodeStatus], None]] = []
        self._agenda = Agenda(clock)
        self._watches = [watch for plugin in self._plugins for watch in self._watches_of(plugin)]
        self._at: dict[NodeId, list[Watch]] = {node: [] for node in cluster.nodes}
        self._about_all = [watch for watch in self._watches if watch.about_cluster]
        for watch in self._watches:
            if watch.node is not None and not watch.about_cluster:
                self._at[watch.node.id].append(watch)
        _spread(self._watches, policy.seed)
        self._hints = Hints(cluster, policy, self._checker, self._look_closer)

    @property
    def statuses(self) -> Mapping[NodeId, NodeStatus]:
        """The present status of every node."""
        return self._checker.statuses

    def subscribe(self, callback: Callable[[NodeStatus], None]) -> Callable[[], None]:
        """Have `callback` called whenever a NodeStatus changes; return what ends that.

        Looks that show what is known already are not told; `statuses` has their times.
        """
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def look(
        self, nodes: Iterable[NodeId], kinds: Iterable[Kind] = ALL_KINDS, *, reach: bool = False
    ) -> None:
        """Look at these kinds of these nodes now: each look begins after this call.

        A look that runs already does not count, and is not waited for unless it ends at once or was
        asked for itself: another one follows it. Several calls before that one begins are one look.
        PEERS and QUORUM are asked of the usual ones, whatever the nodes. `reach`: for a while their
        hosts are asked, too, whether they reach the quorum.
        """
        wanted, now = frozenset(kinds), self._clock.now().mono_s
        nodes = frozenset(nodes)
        if reach:
            until = now + REACH_INTERVALS * self._policy.interval_s
            self._reach.update(dict.fromkeys(nodes, until))
        about = [watch for node in nodes for watch in self._at.get(node, ())]
        for watch in (*about, *self._about_all):
            if watch.kind in wanted:
                self._ask(watch, now)

    async def run(self) -> None:
        """Look until cancelled; then close the plugins. No task is left behind."""
        try:
            async with asyncio.TaskGroup() as group:
                for watch in self._watches:
                    self._agenda.begin(watch)
                    group.create_task(self._keep_looking(watch), name=f"look at {watch.key}")
                group.create_task(self._agenda.run(), name="agenda")
        finally:
            for plugin in self._plugins:
                await _close(plugin)
            if self._own_hosts:
                await self._hosts.close()

    def _watches_of(self, plugin: MonitoringPlugin) -> Iterable[Watch]:
        for kind in sorted(plugin.kinds):
            able = [
                node
                for node in self._cluster.nodes.values()
                if (not node.kinds or kind in node.kinds) and plugin.can_ask(node, kind)
            ]
            if kind is Kind.PEERS or (plugin.scope is Scope.CLUSTER and kind is not Kind.QUORUM):
                witnesses = Witnesses(able, self._checker)
                for slot in range(witnesses.slots if kind is Kind.PEERS else min(1, len(able))):
                    yield Watch(plugin, kind, None, slot, witnesses)
                continue
            for node in able:
                yield Watch(plugin, kind, node)

    # -- one look --------------------------------------------------------------------------------

    async def _keep_looking(self, watch: Watch) -> None:
        while True:
            await watch.turn()
            watch.queued, watch.cut, watch.soon = False, False, NEVER
            watch.began = began = self._clock.now().mono_s
            target = self._target(watch, began)
            if target is not None:
                await self._look_once(watch, target, began)
            else:  # whoever asks again and again must not keep us from everything else
                await self._clock.sleep(LEAST_PAUSE_S)
            watch.began = None
            self._agenda.leave(watch)
            watch.looks += 1
            if watch.again:
                watch.again = False
                self._agenda.ask(watch)
            else:
                watch.wanted = False
                self._agenda.rest(watch, min(watch.soon, self._next(watch, target, began)))

    def _target(self, watch: Watch, now: float) -> NodeConfig | None:
        if watch.witnesses is None:
            return watch.node
        closely = self._checker.any_suspected(now)
        target = watch.witnesses.choose(watch.slot, now, closely=closely)
        if target is None and watch.slot == 0:
            name, why = self._cluster.name, "no node that answers is left to be asked"
            self._hear(
                CheckResult(HEALER, name, watch.kind, Outcome.NOT_ASKED, now, now, None, why)
            )
        return target

    async def _look_once(self, watch: Watch, target: NodeConfig, began: float) -> None:
        context = self._context(watch, target, began)
        watch.deadline = deadline = asyncio.timeout(context.timeout_s + GRACE_S)
        results = await ask(watch.plugin, target, context, deadline)
        watch.deadline = None
        if watch.cut and deadline.expired() and not self._waited_in_vain(watch, began):
            return  # it was not given the time to answer, so its silence says nothing
        watch.slow = any(result.outcome in UNANSWERED for result in results)
        for result in results:
            self._hear(result)

    def _context(self, watch: Watch, target: NodeConfig, now: float) -> LookContext:
        """Return what the look may use; the last one's, if nothing has changed."""
        limit_s = timeout_s(
            self._policy,
            suspected=self._suspected(watch, now),
            own_s=watch.plugin.timeout_s(target, watch.kind),
        )
        reach = watch.kind is Kind.HOST and now < self._reach.get(target.id, NEVER_YET)
        known = watch.context
        same = known is not None and known[0] is target
        if known and same and (known[1].timeout_s, known[1].reach) == (limit_s, reach):
            return known[1]
        context = LookContext(
            kind=watch.kind,
            cluster=self._cluster,
            timeout_s=limit_s,
            clock=self._clock,
            logger=_LOGGER,
            host=self._hosts.host(target.id),
            service=self._hosts.service(target.id),
            on_hint=partial(self._hear_hint, target.id),
            reach=reach,
        )
        watch.context = target, context
        return context

    def _suspected(self, watch: Watch, now: float) -> bool:
        """Whether to look closely: at a troubled node, and at the cluster while any node is."""
        if watch.node is None or watch.about_cluster:
            return self._checker.any_suspected(now)
        return self._checker.is_suspected(watch.node.id, now)

    def _next(self, watch: Watch, target: NodeConfig | None, began: float) -> float:
        """Return when the next look is due, counted from the beginning of this one."""
        now = self._clock.now().mono_s
        interval = interval_s(
            self._policy,
            watch.kind,
            suspected=self._suspected(watch, now),
            silent=target is not None and self._checker.is_silent(target.id),
            own_s=None if target is None else watch.plugin.interval_s(target, watch.kind),
        )
        chance = chance_of(self._policy.seed, watch.key, watch.looks)
        return max(now + LEAST_PAUSE_S, next_beat(began, interval, watch.phase, chance))

    # -- looks that somebody asks for --------------------------------------------------------------

    def _ask(self, watch: Watch, now: float, *, hinted: bool = False) -> None:
        """Have a look begin as soon as possible, after the one that runs, or instead of it.

        `hinted`: nobody needs it to begin now; at a suspected node the one that runs may then use
        the time that such a look has, and if it ends without an answer, that is one.
        """
        if watch.began is None:
            self._agenda.ask(watch)
            return
        watch.again = True
        deadline = watch.deadline
        if deadline is None or deadline.expired() or watch.context is None:
            return
        if watch.plugin.timeout_s(watch.context[0], watch.kind) is not None:
            return  # a program that runs for long is not begun anew each time that somebody asks
        suspected = self._suspected(watch, now)
        if watch.wanted and not suspected:
            return  # whoever asks often must not keep a slow node from ever answering
        whole = watch.wanted or (hinted and suspected)
        patience_s = self._policy.suspect_timeout_s if whole else PROMPT_S
        left_s = max(0.0, watch.began + patience_s - now)
        ends = asyncio.get_running_loop().time() + left_s
        if ends < (deadline.when() or ends):
            watch.cut = True
            deadline.reschedule(ends)

    def _waited_in_vain(self, watch: Watch, began: float) -> bool:
        """Whether a look that was cut off had all the time that a suspected node gets."""
        now = self._clock.now().mono_s
        whole_s = self._policy.suspect_timeout_s - CLOCKS_DIFFER_S
        return self._suspected(watch, now) and now - began >= whole_s

    def _look_closer(self, call: Call, now: float) -> None:
        """Look because of a hint, where that may show something and is not too much."""
        watches = self._about_all if call.node is None else self._at[call.node]
        for watch in watches:
            if watch.kind not in call.kinds:
                continue
            if watch.node is not None:
                if watch.plugin.interval_s(watch.node, watch.kind) is not None:
                    continue
                silent = watch.kind in KNOCKING and self._checker.is_silent(watch.node.id)
                if silent and not call.knock:
                    continue
            if call.at <= now:
                self._ask(watch, now, hinted=True)
            elif watch.began is not None:
                watch.soon = min(watch.soon, call.at)
            elif not watch.queued and watch.due > call.at:
                self._agenda.rest(watch, call.at)

    # -- what is heard ---------------------------------------------------------------------------

    def _hear(self, result: CheckResult) -> None:
        heard = self._checker.hear(result)
        self._on_result(result)
        if heard is not None:
            if heard.news and self._subscribers:
                status = self._checker.status(result.subject)
                for callback in tuple(self._subscribers):
                    callback(status)
            if heard.turned:
                self._hints.of_look(result, heard.track)
        elif self._checker.knows(result.observer):
            self._hints.of_witness(result)

    def _hear_hint(self, node: NodeId, why: str) -> None:
        self._hints.about(node, why, self._clock.now().mono_s)


def _spread(watches: Sequence[Watch], seed: int) -> None:
    """Lay the beats of each node, and of the witnesses of a round, evenly over the interval.

    Of the kinds that a hung node does not answer one is soon asked then, whenever it begins to
    hang, and that one calls the others.
    """
    shared: dict[tuple[str, bool], list[Watch]] = {}
    for watch in watches:
        whose = "" if watch.node is None else watch.node.id
        answering = watch.kind in KNOCKING and watch.kind is not Kind.LISTENER
        shared.setdefault((whose, answering), []).append(watch)
    for (whose, _), group in shared.items():
        for place, watch in enumerate(group):
            watch.phase = (chance_of(seed, whose) + place / len(group)) % 1.0


async def _close(plugin: MonitoringPlugin) -> None:
    try:
        await plugin.close()
    except Exception:
        # border: around a plugin call
        _LOGGER.exception("%s could not be closed", type(plugin).__name__)
