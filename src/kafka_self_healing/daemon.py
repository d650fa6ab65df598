"""The daemon: drain inputs, take one turn of the mind, journal it, then dispatch. Over and over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from kafka_self_healing import __version__, orders
from kafka_self_healing.clock import Clock
from kafka_self_healing.daemon_ports import Eyes, Hands, Store, Voice
from kafka_self_healing.errors import ControlError, StorageError
from kafka_self_healing.healing import explain
from kafka_self_healing.healing.healer import Aborted, Input, LeaseChanged, Step, step
from kafka_self_healing.healing.memory import Memory, fold
from kafka_self_healing.healing.view import View
from kafka_self_healing.healing.waiting import plan_words
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.event import (
    ConfigLoaded,
    DaemonStarted,
    DaemonStopped,
    Event,
    OperatorSaid,
    Told,
)
from kafka_self_healing.model.evidence import CheckResult
from kafka_self_healing.model.node import Cluster, NodeConfig
from kafka_self_healing.model.policy import Mode, Policy
from kafka_self_healing.model.recovery import RecoveryRequest, StepReport

_LOGGER = logging.getLogger(__name__)
MAX_PENDING = 100_000
"""Inputs that may wait for the next turn; beyond that, looks are dropped (newer ones follow)."""
STORE_RETRY_S = 1.0
DRAIN_LIMIT_S = 300.0


@dataclass(slots=True)
class _Said:
    """An input that somebody waits for: `journalled` is done once its turn is written down."""

    said: Input
    journalled: asyncio.Future[None]


class Daemon:
    """One cluster's healer. `run` returns once it was asked to stop and is at a safe point."""

    def __init__(
        self,
        cluster: Cluster,
        policy: Policy,
        *,
        clock: Clock,
        store: Store,
        in_store: Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]],
        eyes: Callable[[Cluster, Policy, Callable[[CheckResult], None]], Eyes],
        hands: Callable[[Callable[[StepReport], Coroutine[Any, Any, None]]], Hands],
        voice: Voice,
        run_id: str,
        hear: Callable[[CheckResult], None] = lambda _result: None,
    ) -> None:
        self._cluster, self._policy = cluster, policy
        self._clock, self._store, self._in_store = clock, store, in_store
        self._make_eyes, self._voice, self._run_id, self._hear = eyes, voice, run_id, hear
        self._hands = hands(self._report)
        self._memory, self._view = Memory(), View.cold(cluster)
        self._inbox: list[Input | _Said] = []
        self._awake = asyncio.Event()
        self._last: Step | None = None
        self._seq = 0
        self._acting: dict[str, asyncio.Task[None]] = {}
        self._called_off: dict[str, str] = {}
        self._draining = False
        self._alarmed = False
        self._fresh: tuple[Cluster, Policy] | None = None
        self._eyes: Eyes | None = None
        self._eyes_task: asyncio.Task[None] | None = None
        self._drain_task: asyncio.Task[bool] | None = None
        self._group: asyncio.TaskGroup | None = None

    # -- life ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch and heal until `stop`. Raises StorageError if the store cannot be read at start."""
        await self._begin()
        async with asyncio.TaskGroup() as group:
            self._group = group
            side = [group.create_task(self._voice.run(), name="voice")]
            self._open_eyes()
            try:
                await self._loop()
                await self._end()
            finally:
                self._refuse_waiting()
                for task in (*side, self._eyes_task, self._drain_task):
                    if task is not None:
                        task.cancel()

    @property
    def memory(self) -> Memory:
        """What the healer remembers now: the fold of its journal."""
        return self._memory

    def stop(self) -> None:
        """Begin no act any more; `run` returns at the next safe point."""
        self._draining = True
        self._awake.set()

    async def _begin(self) -> None:
        self._memory = fold(Memory(), await self._in_store(partial(list, self._store.read(0))))
        started = DaemonStarted(
            self._clock.now(), __version__, self._policy.mode.value, self._run_id
        )
        self._memory = fold(self._memory, [started])
        self._seq = await self._in_store(partial(self._store.append, [started]))

    async def _end(self) -> None:
        stopped = DaemonStopped(self._clock.now(), "asked to stop")
        try:
            await self._in_store(partial(self._store.append, [stopped]))
            await self._in_store(self._store.follow)
        except StorageError as error:
            _LOGGER.warning("the end could not be journalled: %s", error)

    def _open_eyes(self) -> None:
        assert self._group is not None
        self._eyes = self._make_eyes(self._cluster, self._policy, self._on_look)
        self._eyes_task = self._group.create_task(self._eyes.run(), name="eyes")

    # -- inputs ----------------------------------------------------------------------------------

    def _on_look(self, result: CheckResult) -> None:
        self._hear(result)
        if len(self._inbox) < MAX_PENDING:
            self._put(result)

    def _put(self, said: Input | _Said) -> None:
        self._inbox.append(said)
        self._awake.set()

    async def _say(self, said: Input) -> None:
        """Hand in an input and wait until the turn that took it is journalled."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(_Said(said, future))
        await future

    async def _report(self, report: StepReport) -> None:
        """A step of an act begins or has ended; the hands wait until that is written down."""
        await self._say(report)

    # -- the loop --------------------------------------------------------------------------------

    async def _loop(self) -> None:
        deadline: float | None = None
        while True:
            if self._draining:
                now = self._clock.now().mono_s
                deadline = self._begin_to_drain(now) if deadline is None else deadline
                if now >= deadline:
                    await self._cut_off()
                    return
                if not self._acting and not self._owing():
                    return
            await self._sleep()
            await self._turn()

    def _begin_to_drain(self, now: float) -> float:
        """Have the hands go to a safe point; return when that has lasted too long."""
        assert self._group is not None
        self._drain_task = self._group.create_task(self._hands.drain(DRAIN_LIMIT_S), name="drain")
        return now + DRAIN_LIMIT_S

    def _owing(self) -> bool:
        """Whether something waits to be written down, and the store takes it."""
        return not self._alarmed and any(not isinstance(i, CheckResult) for i in self._inbox)

    async def _cut_off(self) -> None:
        """End the acts that reach no safe point, and write down that their end is unknown."""
        acts = list(self._acting.values())
        for task in acts:
            task.cancel()
        await asyncio.gather(*acts, return_exceptions=True)
        await self._turn()

    def _refuse_waiting(self) -> None:
        """Nothing is written down any more: say so to who still waits for it."""
        for item in self._inbox:
            if isinstance(item, _Said) and not item.journalled.done():
                item.journalled.set_exception(ControlError("the daemon is ending: not done"))

    async def _sleep(self) -> None:
        """Wait for an input, or for the moment at which the mind wants to look again."""
        wake = self._last.wake_s if self._last is not None else 0.0
        left = wake - self._clock.now().mono_s
        if self._inbox or left <= 0 or self._draining:
            await self._clock.sleep(0.05 if self._draining else 0)
        else:
            alarm = asyncio.create_task(self._clock.sleep(left))
            alarm.add_done_callback(lambda _: self._awake.set())
            await self._awake.wait()
            alarm.cancel()
            await asyncio.gather(alarm, return_exceptions=True)
        self._awake.clear()

    async def _turn(self) -> None:
        await self._renew()
        said, self._inbox = self._inbox, []
        inputs = [item.said if isinstance(item, _Said) else item for item in said]
        held = self._store.holds_lease()
        if held is not self._view.lease:
            inputs.append(LeaseChanged(held))
        policy = replace(self._policy, mode=Mode.OBSERVE) if self._draining else self._policy
        done = step(self._memory, self._view, inputs, policy, self._clock.now())
        try:
            await self._journal(done.events)
        except StorageError as error:
            await self._without_store(done, said, error)
            return
        self._memory, self._view, self._last = done.memory, done.view, done
        self._alarmed = self._alarmed and not done.events
        for item in said:
            if isinstance(item, _Said) and not item.journalled.done():
                item.journalled.set_result(None)
        for look in done.looks:
            if self._eyes is not None:
                self._eyes.look(look.nodes, look.kinds, reach=look.reach)
        for decision in done.decisions:
            _LOGGER.info(
                "decision: %s %s on node %s: %s",
                decision.answer.value,
                decision.request.action,
                decision.request.node,
                "; ".join(v.text for v in decision.reasons) or "all guards agree",
            )
            if decision.answer.value == "act":
                await self._dispatch(decision.request)

    async def _journal(self, events: Sequence[Event]) -> None:
        if not events:
            return
        told = [event for event in events if isinstance(event, Told)]
        letters = [self._voice.compose(event) for event in told]
        write = partial(self._store.append, events, letters, self._voice.channels)
        self._seq = await self._in_store(write)
        if letters:
            self._voice.notify()
        try:
            await self._in_store(self._store.follow)
        except StorageError as error:
            # The journal has it; the audit file catches up when it can be written again.
            _LOGGER.warning("the audit file is behind: %s", error)

    async def _without_store(
        self, done: Step, said: Sequence[Input | _Said], error: StorageError
    ) -> None:
        """Nothing was written, so nothing is done; the looks are kept, the rest is said again."""
        self._view = done.view
        self._inbox[:0] = [item for item in said if not isinstance(item, CheckResult)]
        _LOGGER.error("the store cannot be written, no act is done: %s", error)
        if not self._alarmed and self._group is not None:
            self._alarmed = True
            text = f"the healer cannot write its store and does no act: {error}"
            self._group.create_task(self._voice.alarm(text))
        await self._clock.sleep(STORE_RETRY_S)

    # -- acts ------------------------------------------------------------------------------------

    async def _dispatch(self, request: RecoveryRequest) -> None:
        """Read pause, maintenance and lease once more, then let the hands act."""
        assert self._group is not None
        try:
            why = await self._in_store(partial(self._written_since, request))
        except StorageError as error:
            why = f"the store cannot be read: {error}"
            await self._clock.sleep(STORE_RETRY_S)
        if why:
            self._put(Aborted(request.id, why))
            return
        node = self._cluster.nodes[request.node]
        task = self._group.create_task(self._act(request, node), name=f"act {request.id}")
        self._acting[request.id] = task

    def _written_since(self, request: RecoveryRequest) -> str:
        """Say what the store has to say against the act by now, or "". Runs on its thread."""
        written = [e.command for e in self._store.read(self._seq) if isinstance(e, OperatorSaid)]
        why = self._ordered_first(written, request)
        return why or ("" if self._store.holds_lease() else "the lease was lost")

    def _said_since(self, request: RecoveryRequest) -> str:
        """Say what waits for the next turn and speaks against the act, or ""."""
        if self._draining:
            return "the healer is shutting down"
        if self._fresh is not None:
            return "a new configuration came first"
        pending = [item.said if isinstance(item, _Said) else item for item in self._inbox]
        commands = [said for said in pending if isinstance(said, OperatorCommand)]
        return self._ordered_first(commands, request)

    def _ordered_first(self, commands: Sequence[OperatorCommand], request: RecoveryRequest) -> str:
        stops = [c for c in commands if request.node in orders.stopped_by(c, self._cluster)]
        return orders.came_first(stops[0]) if stops else ""

    async def _act(self, request: RecoveryRequest, node: NodeConfig) -> None:
        try:
            # In one breath with the hands' first: what comes later is theirs to be called off by.
            why = self._said_since(request)
            if not why:
                result = await self._hands.execute(request, node)
                why = self._called_off.pop(request.id, "")
            self._put(Aborted(request.id, why) if why else result)
        finally:
            self._acting.pop(request.id, None)
            self._awake.set()

    # -- operators -------------------------------------------------------------------------------

    async def reload(self, cluster: Cluster, policy: Policy, source: str) -> None:
        """Put a checked configuration in force from the next turn on; no act begins before that."""
        self._fresh = cluster, policy
        self._awake.set()
        await self._note(ConfigLoaded(self._clock.now(), source, policy.mode.value))

    async def _renew(self) -> None:
        """Take a new configuration over; a changed inventory is looked at anew."""
        if self._fresh is None:
            return
        (cluster, policy), self._fresh = self._fresh, None
        anew = cluster != self._cluster
        same_eyes = not anew and policy == self._policy
        self._cluster, self._policy = cluster, policy
        if anew:
            self._view = View.cold(cluster)
        if self._eyes_task is not None and not same_eyes:
            self._eyes_task.cancel()
            await asyncio.gather(self._eyes_task, return_exceptions=True)
            self._open_eyes()

    async def reload_failed(self, source: str, error: str) -> None:
        """Journal that a configuration was refused; the old one stays in force."""
        _LOGGER.error("the configuration was not reloaded, the old one stays: %s", error)
        now = self._clock.now()
        await self._note(ConfigLoaded(now, source, self._policy.mode.value, error))

    async def _note(self, event: Event) -> None:
        try:
            self._seq = await self._in_store(partial(self._store.append, [event]))
        except StorageError as error:
            _LOGGER.warning("not journalled: %s", error)

    async def control(self, request: dict[str, Any], by: str) -> dict[str, Any]:
        """Answer a request of the local socket; commands are journalled before the answer."""
        name, now = request.get("command"), self._clock.now()
        if isinstance(name, str) and name in {order.value for order in Order}:
            return await self._command(Order(name), request, by)
        if self._last is None:
            raise ControlError("the daemon has just started and has seen nothing yet: ask again")
        match name:
            case "status":
                return explain.status(self._last, self._policy, now)
            case "nodes":
                return explain.nodes(self._last, now)
            case "plan":
                return {"plan": plan_words(self._memory.plan, now)}
            case "explain":
                node, known = str(request.get("node", "")), self._last.cluster.nodes
                if node not in known:
                    there = ", ".join(known)
                    raise ControlError(f"there is no node {node!r}; there are: {there}")
                return explain.explain(self._last, self._policy, node, now)
            case _:
                raise ControlError(f"there is no command {name!r}")

    async def _command(self, order: Order, request: dict[str, Any], by: str) -> dict[str, Any]:
        command = orders.read(order, request, by, self._memory, self._cluster, self._clock.now())
        why = orders.came_first(command)
        called_off = self._hands.call_off(orders.stopped_by(command, self._cluster), why)
        self._called_off.update(dict.fromkeys(called_off, why))
        await self._say(command)
        return {"done": order.value, "by": by}
