"""The daemon: drain inputs, take one turn of the mind, journal it, then dispatch. Over and over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

from kafka_self_healing import __version__
from kafka_self_healing.clock import Clock
from kafka_self_healing.errors import ControlError, StorageError
from kafka_self_healing.healing import explain
from kafka_self_healing.healing.healer import Aborted, Input, LeaseChanged, Step, step
from kafka_self_healing.healing.memory import Memory, fold
from kafka_self_healing.healing.view import View
from kafka_self_healing.model.control import OperatorCommand, Order
from kafka_self_healing.model.event import (
    ConfigLoaded,
    DaemonStarted,
    DaemonStopped,
    Event,
    OperatorSaid,
    Told,
)
from kafka_self_healing.model.evidence import CheckResult, Kind
from kafka_self_healing.model.node import Cluster, NodeConfig, NodeId
from kafka_self_healing.model.notification import Notification
from kafka_self_healing.model.policy import Mode, Policy
from kafka_self_healing.model.recovery import RecoveryRequest, RecoveryResult, StepReport

_LOGGER = logging.getLogger(__name__)
T = TypeVar("T")
MAX_PENDING = 100_000
"""Inputs that may wait for the next turn; beyond that, looks are dropped (newer ones follow)."""
STORE_RETRY_S = 1.0
DRAIN_LIMIT_S = 300.0
STOPS = frozenset({Order.PAUSE, Order.MAINTENANCE})


class Store(Protocol):
    """The memory, as the loop uses it. All of it blocks and runs on the store's thread."""

    def append(
        self,
        events: Sequence[Event],
        notifications: Sequence[Notification] = (),
        channels: Sequence[str] = (),
    ) -> int:
        """Write all in one transaction; raises StorageError, then nothing was written."""

    def read(self, after: int) -> Iterable[Event]:
        """Return the events after an entry number."""

    def holds_lease(self) -> bool:
        """Whether this process may act for the cluster."""

    def follow(self) -> None:
        """Let the audit file follow the journal."""


class Eyes(Protocol):
    """The part that looks."""

    def look(self, nodes: Iterable[NodeId], kinds: Iterable[Kind]) -> None:
        """Look at these nodes now."""

    async def run(self) -> None:
        """Look until cancelled."""


class Hands(Protocol):
    """The part that acts."""

    async def execute(self, request: RecoveryRequest, node: NodeConfig) -> RecoveryResult:
        """Carry out one act."""


class Voice(Protocol):
    """The part that tells."""

    @property
    def channels(self) -> Sequence[str]:
        """The names of the configured channels."""

    def compose(self, told: Told) -> Notification:
        """Make a notification of a notice."""

    def notify(self) -> None:
        """Something new waits in the outbox."""

    async def run(self) -> None:
        """Deliver until cancelled."""

    async def alarm(self, text: str) -> None:
        """Tell all channels directly, without the store."""


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
        self._draining = False
        self._alarmed = False
        self._eyes: Eyes | None = None
        self._eyes_task: asyncio.Task[None] | None = None
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
                for task in (*side, self._eyes_task):
                    if task is not None:
                        task.cancel()

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
            now = self._clock.now().mono_s
            if self._draining:
                deadline = deadline or now + DRAIN_LIMIT_S
                if not self._acting or now >= deadline:
                    return
            await self._sleep()
            await self._turn()

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
        self._alarmed = False
        for item in said:
            if isinstance(item, _Said) and not item.journalled.done():
                item.journalled.set_result(None)
        for look in done.looks:
            if self._eyes is not None:
                self._eyes.look(look.nodes, look.kinds)
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
        why = await self._in_store(partial(self._changed_since, request))
        if why:
            self._put(Aborted(request.id, why))
            return
        node = self._cluster.nodes[request.node]
        task = self._group.create_task(self._act(request, node), name=f"act {request.id}")
        self._acting[request.id] = task

    def _changed_since(self, request: RecoveryRequest) -> str:
        """Say what has come between the decision and now, or "". Runs on the store's thread."""
        pending = [i.said if isinstance(i, _Said) else i for i in tuple(self._inbox)]
        commands = [i for i in pending if isinstance(i, OperatorCommand)]
        written = [e for e in self._store.read(self._seq) if isinstance(e, OperatorSaid)]
        for command in (*commands, *(event.command for event in written)):
            if command.order in STOPS and command.target in {"", request.node, self._cluster.name}:
                return f"{command.order.value} by {command.by} came first"
        return "" if self._store.holds_lease() else "the lease was lost"

    async def _act(self, request: RecoveryRequest, node: NodeConfig) -> None:
        try:
            result = await self._hands.execute(request, node)
            self._put(result)
        finally:
            self._acting.pop(request.id, None)
            self._awake.set()

    # -- operators -------------------------------------------------------------------------------

    async def reload(self, cluster: Cluster, policy: Policy, source: str) -> None:
        """Put a checked configuration in force; a changed inventory is looked at anew."""
        changed = cluster != self._cluster or policy != self._policy
        self._policy = policy
        if changed and self._eyes_task is not None:
            if cluster != self._cluster:
                self._cluster, self._view = cluster, View.cold(cluster)
            self._eyes_task.cancel()
            await asyncio.gather(self._eyes_task, return_exceptions=True)
            self._open_eyes()
        await self._note(ConfigLoaded(self._clock.now(), source, policy.mode.value))

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
        if name in {order.value for order in Order}:
            return await self._command(Order(name), request, by)
        if self._last is None:
            raise ControlError("the daemon has just started and has seen nothing yet: ask again")
        match name:
            case "status":
                return explain.status(self._last, self._policy, now)
            case "nodes":
                return explain.nodes(self._last, now)
            case "explain":
                node = str(request.get("node", ""))
                if node not in self._cluster.nodes:
                    known = ", ".join(self._cluster.nodes)
                    raise ControlError(f"there is no node {node!r}; there are: {known}")
                return explain.explain(self._last, self._policy, node, now)
            case _:
                raise ControlError(f"there is no command {name!r}")

    async def _command(self, order: Order, request: dict[str, Any], by: str) -> dict[str, Any]:
        target, reason = str(request.get("target", "")), str(request.get("reason", ""))
        until = request.get("until")
        if order in {Order.ACK, Order.APPROVE} and target not in self._memory.incidents:
            known = ", ".join(self._memory.incidents) or "none"
            raise ControlError(f"there is no open incident {target!r}; open: {known}")
        if order is Order.PAUSE and not reason:
            raise ControlError("a pause needs a reason: others will ask")
        command = OperatorCommand(
            order, by, reason[:500], target[:200], float(until) if until is not None else None
        )
        await self._say(command)
        return {"done": order.value, "by": by}


@asynccontextmanager
async def signals(handlers: dict[int, Callable[[], None]]) -> AsyncIterator[None]:
    """Handle these signals inside the block."""
    loop = asyncio.get_running_loop()
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
