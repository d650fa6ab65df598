"""`Act`: one act under way, as `plugins.ActionContext` promises it to an action.

Whatever an action does to a node goes through here: no command is run outside of a step, no step
is begun before it is written down, and once the act is closed nothing more is begun.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from kafka_self_healing.clock import Clock
from kafka_self_healing.errors import (
    ActionRefused,
    ActionTimeout,
    CheckError,
    PluginError,
    StorageError,
)
from kafka_self_healing.healing.memory import STEP_STOP
from kafka_self_healing.hosts import (
    Asked,
    CommandOutcome,
    CommandResult,
    Host,
    Hosts,
    ServiceManager,
)
from kafka_self_healing.model.evidence import ServiceFact
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.model.recovery import ActClass, RecoveryRequest, StepReport

STEP_GRACE_S: Final = 5.0
"""How much longer than its limit a step may take: the command's own limit comes first (seconds)."""

ACT_MARGIN_S: Final = 10.0
"""What an act may take beside its steps, such as their journalling (seconds)."""

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the engine lends to every act.

    `draining`: whether no new step is to be begun; `may_act`: whether the lease is still ours.
    """

    hosts: Hosts
    clock: Clock
    report: Callable[[StepReport], Awaitable[None]]
    crash_point: Callable[[str], None]
    draining: Callable[[], bool]
    may_act: Callable[[], bool]


class Act:
    """The `ActionContext` of one act, and what the engine knows of it afterwards."""

    def __init__(
        self,
        request: RecoveryRequest,
        node: NodeConfig,
        service: ServiceManager | None,
        around: Surroundings,
    ) -> None:
        self._request, self._node, self._around = request, node, around
        self._service = None if service is None else _Dispatched(service, self)
        self._host = _host_of(node, around.hosts)
        self._step: str | None = None
        self._begun: list[str] = []
        self._closed = False
        self._called_off = ""
        self.touched = False
        """Whether any command was given, so that something may have been changed."""
        self.last: CommandResult | None = None
        """The last command that came back."""

    @property
    def node(self) -> NodeConfig:
        """The node that is acted on."""
        return self._node

    @property
    def limit_s(self) -> float:
        """Seconds that each step of the act may take."""
        return self._request.limit_s

    @property
    def timeout_s(self) -> float:
        """Seconds that the whole act may take; a RESTART has two steps."""
        steps = 2 if self._request.act_class is ActClass.RESTART else 1
        return steps * (self.limit_s + STEP_GRACE_S) + ACT_MARGIN_S

    @property
    def clock(self) -> Clock:
        """The time."""
        return self._around.clock

    @property
    def logger(self) -> logging.Logger:
        """For what is of use to the operator and is not in the result."""
        return _LOGGER

    @property
    def service(self) -> ServiceManager | None:
        """The node's service manager; None: not configured."""
        return self._service

    async def run(self, argv: Sequence[str], *, timeout_s: float) -> CommandResult:
        """Run a command on the node's host inside a step; its group is killed at the limit.

        It is the host that the node was on when the act began, whatever inventory has come since.
        """
        limit_s, host = min(timeout_s, self.limit_s), self._host
        if isinstance(host, CheckError):
            raise host
        return await self.dispatch(lambda: host.run(argv, timeout_s=limit_s))

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[None]:
        """Enclose one step: written down before it is begun, and after it ended without error.

        Raises ActionRefused: not begun, because the healer is shutting down or the journal cannot
        be written; ActionTimeout: it did not end within its limit.
        """
        self._admit(name)
        await self._tell(name, ended=False)
        self._begun.append(name)
        self._step = name
        try:
            async with asyncio.timeout(self.limit_s + STEP_GRACE_S):
                yield
        except TimeoutError:
            raise ActionTimeout(f"step {name} did not end within {self.limit_s:g} s") from None
        finally:
            self._step = None
        await self._tell(name, ended=True)

    async def dispatch(self, give: Callable[[], Awaitable[CommandResult]]) -> CommandResult:
        """Give one command that may change something. Only inside a step of an open act."""
        if self._closed:
            raise ActionRefused("the act is over")
        if self._called_off:
            raise ActionRefused(self._called_off)
        if self._step is None:
            raise PluginError(f"{self._request.action} gave a command outside of a step")
        if not self._around.may_act():
            raise ActionRefused("the lease was lost: another daemon acts for this cluster now")
        before, self.touched = self.touched, True
        self._around.crash_point("dispatch:before")
        self.last = await give()
        self._around.crash_point("dispatch:after")
        if self.last.outcome is CommandOutcome.NOT_STARTED:
            self.touched = before
        return self.last

    def call_off(self, why: str) -> bool:
        """Give no command any more. False: one has been given, so the act goes on."""
        if self.touched or self._closed:
            return False
        self._called_off = why
        return True

    def close(self) -> None:
        """Begin nothing any more, whatever the action still tries."""
        self._closed = True

    def _admit(self, name: str) -> None:
        if self._closed:
            raise ActionRefused(f"step {name} was not begun: the act is over")
        if self._called_off:
            raise ActionRefused(f"step {name} was not begun: {self._called_off}")
        if self._step is not None:
            raise PluginError(f"step {name} within step {self._step}")
        # A node that we have stopped is no safe point: its start is still owed.
        if self._around.draining() and STEP_STOP not in self._begun:
            raise ActionRefused(f"step {name} was not begun: the healer is shutting down")

    async def _tell(self, name: str, *, ended: bool) -> None:
        try:
            await self._around.report(StepReport(self._request.id, name, ended=ended))
        except StorageError as error:
            what = "the end of" if ended else "the beginning of"
            raise ActionRefused(
                f"nothing more was begun: {what} step {name} could not be journalled: {error}"
            ) from error


def _host_of(node: NodeConfig, hosts: Hosts) -> Host | CheckError:
    try:
        return hosts.host(node.id)
    except CheckError as wrong:
        return wrong


class _Dispatched:
    """The node's service manager, as an action gets it: every command is a dispatch of the act."""

    def __init__(self, manager: ServiceManager, act: Act) -> None:
        self._manager, self._act = manager, act

    @property
    def spawns(self) -> bool:
        """Whether what it starts descends from us."""
        return self._manager.spawns

    @property
    def restarts(self) -> bool:
        """Whether `restart` is right after a kill."""
        return self._manager.restarts

    async def status(self, *, timeout_s: float) -> ServiceFact:
        """Return the manager's word; it changes nothing and needs no step."""
        return await self._manager.status(timeout_s=self._limit(timeout_s))

    async def start(self, *, timeout_s: float) -> CommandResult:
        """Ask for a start, within the limit of a step."""
        limit_s = self._limit(timeout_s)
        return await self._act.dispatch(lambda: self._manager.start(timeout_s=limit_s))

    async def stop(self, *, timeout_s: float) -> CommandResult:
        """Ask for an orderly stop, within the limit of a step."""
        limit_s = self._limit(timeout_s)
        return await self._act.dispatch(lambda: self._manager.stop(timeout_s=limit_s))

    async def kill(self, *, timeout_s: float) -> CommandResult:
        """Ask for the process to be killed at once, within the limit of a step."""
        limit_s = self._limit(timeout_s)
        return await self._act.dispatch(lambda: self._manager.kill(timeout_s=limit_s))

    async def restart(self, *, timeout_s: float) -> CommandResult:
        """Ask for a start of what was killed, within the limit of a step."""
        limit_s = self._limit(timeout_s)
        return await self._act.dispatch(lambda: self._manager.restart(timeout_s=limit_s))

    def privileged(self) -> tuple[tuple[str, ...], ...]:
        """Return the commands of the acts."""
        return self._manager.privileged()

    def log(self, lines: int) -> Asked | None:
        """Return the command that shows the last log lines."""
        return self._manager.log(lines)

    async def on_host(self, paths: Sequence[str], *, timeout_s: float) -> dict[str, str]:
        """Return where paths of the node are on its host."""
        return await self._manager.on_host(paths, timeout_s=self._limit(timeout_s))

    def _limit(self, timeout_s: float) -> float:
        return min(timeout_s, self._act.limit_s)
