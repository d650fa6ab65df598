"""ServiceRestartPlugin: start a node that is gone, or stop and start one that hangs.

An exit code of 0 says that the manager took the command, no more. So a restart looks at the
manager's status until the old process has ended before it starts a new one, and an act is done only
when another process, or another run, has been seen. What becomes of that one is for the looks that
follow to say.

A restart is two steps, whatever the manager: "stop" ends the process, "start" gives a new one. So
whoever finds it broken off between the two knows that a start is owed. After a KILL a manager that
knows `restart` (systemd, docker) gets that as its start: it may not have noticed the end yet, and
would answer a plain start with 0 and do nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kafka_self_healing.errors import ActionRefused, ActionTimeout, CheckError, RecoveryError
from kafka_self_healing.healing.memory import STEP_START, STEP_STOP
from kafka_self_healing.hosts import CommandOutcome, CommandResult, ServiceManager
from kafka_self_healing.model.access import SystemdService
from kafka_self_healing.model.evidence import ServiceFact
from kafka_self_healing.model.recovery import (
    ActOutcome,
    RecoveryRequest,
    RecoveryResult,
    StopStyle,
)
from kafka_self_healing.plugins import ActionContext, RecoveryAction, RecoveryPlugin

STOP_MARGIN_S: Final = 60.0
"""How much longer than the manager's own limit an orderly stop may take (seconds)."""

LOOK_S: Final = 10.0
"""Time limit of one look at the manager's status (seconds)."""

SHORTEST_LOOK_S: Final = 1.0
"""Also the last look before the limit gets this long (seconds)."""

LOOK_APART_S: Final = 0.2
"""Pause between looks while a process is ending or beginning (seconds)."""

AFTER_KILL_S: Final = 2.0
"""Time limit of the one look between a kill and a restart: neither may be held up (seconds)."""

PROOF_S: Final = 3.0
"""How long after a start another process is looked for (seconds)."""

_ENDED: Final = frozenset({"inactive", "failed"})
_SAID: Final = 300


class ServiceRestartPlugin(RecoveryPlugin):
    """Offers `service:start` and `service:restart` by the node's own service manager.

    `unsafe_start`: why a process started from here would not outlive us; "" = it would. Then no
    action is begun on a node whose manager starts it as our descendant.
    """

    def __init__(self, unsafe_start: str = "") -> None:
        self._unsafe_start = unsafe_start

    def actions(self) -> Mapping[str, RecoveryAction]:
        """Return both actions by name."""
        both = (ServiceStart(self._unsafe_start), ServiceRestart(self._unsafe_start))
        return {action.name: action for action in both}


class ServiceStart(RecoveryAction):
    """One step, "start"."""

    def __init__(self, unsafe_start: str = "") -> None:
        self._unsafe_start = unsafe_start

    @property
    def name(self) -> str:
        """service:start."""
        return "service:start"

    @property
    def disruptive(self) -> bool:
        """It interrupts nothing."""
        return False

    async def execute(self, request: RecoveryRequest, context: ActionContext) -> RecoveryResult:
        """Ask the manager for a start. Raises RecoveryError; at the limit it is left running.

        A start that returns 0 and leaves the process as it was failed.
        """
        service = _service(context, self._unsafe_start)
        before = ServiceFact(pid=request.pid_before, invocation=request.invocation_before)
        return await _start(service, before, request, context)


class ServiceRestart(RecoveryAction):
    """Step "stop", until the old process has ended, then step "start"."""

    def __init__(self, unsafe_start: str = "") -> None:
        self._unsafe_start = unsafe_start

    @property
    def name(self) -> str:
        """service:restart."""
        return "service:restart"

    @property
    def disruptive(self) -> bool:
        """It ends the running process."""
        return True

    async def execute(self, request: RecoveryRequest, context: ActionContext) -> RecoveryResult:
        """Stop by `request.stop_style`, look until the process has ended, start.

        Raises ActionRefused: the process is not the one that was judged, nothing was done;
        ActionTimeout: the process has not ended, or the start has not; RecoveryError: the manager
        refused, or the process is still the old one. CheckError: its status cannot be read, so
        that no end could be seen.
        """
        service = _service(context, self._unsafe_start)
        before = await service.status(timeout_s=LOOK_S)
        _require_same_run(before, request)
        kill = request.stop_style is StopStyle.KILL
        async with context.step(STEP_STOP):
            after = await _stop(service, before, request, context)
        if after is not None and not _ended(after) and _gone(before, after):
            return await _started_already(after, request, context)
        return await _start(service, before, request, context, killed=kill and service.restarts)


def _service(context: ActionContext, unsafe_start: str) -> ServiceManager:
    if context.service is None:
        raise ActionRefused(f"node {context.node.id} has no service manager")
    if unsafe_start and context.service.spawns:
        raise ActionRefused(unsafe_start)
    return context.service


def _require_same_run(now: ServiceFact, request: RecoveryRequest) -> None:
    """Whoever ended or replaced the process since it was judged has changed what is right."""
    if _ended(now):
        raise ActionRefused("the process has ended by itself or by others: nothing was done")
    pid, invocation = request.pid_before, request.invocation_before
    if _another(now.pid, pid) or _another(now.invocation, invocation):
        raise ActionRefused(
            f"the process is another one than was judged (pid {now.pid}, was {pid}): "
            "nothing was done"
        )


def _another(now: object, before: object) -> bool:
    """Whether both are known and differ; 0 is no process."""
    return bool(now) and bool(before) and now != before


def _ended(fact: ServiceFact) -> bool:
    return fact.active in _ENDED or fact.pid == 0


async def _stop(
    service: ServiceManager, before: ServiceFact, request: RecoveryRequest, context: ActionContext
) -> ServiceFact | None:
    """Have the process ended and return the status that shows it.

    None: it was killed, nothing shows its end yet, and the manager's restart needs no such sight.
    """
    limit_s = _stop_limit_s(before, request, context)
    deadline = context.clock.now().mono_s + limit_s
    kill = request.stop_style is StopStyle.KILL
    result = await (service.kill if kill else service.stop)(timeout_s=limit_s)
    verb = "kill" if kill else "stop"
    if result.outcome is CommandOutcome.NOT_STARTED:
        raise RecoveryError(f"{verb}: {_said(result)}")
    if kill and result.ok and service.restarts:
        seen = await _look(service, AFTER_KILL_S)
        return seen if seen is not None and _gone(before, seen) else None
    while True:
        left_s = deadline - context.clock.now().mono_s
        seen = await _look(service, left_s)
        if seen is not None and _gone(before, seen):
            return seen
        if seen is not None and _refused(result):
            raise RecoveryError(f"{verb} {_said(result)}; the process still runs")
        if left_s <= 0:
            raise ActionTimeout(
                f"the process was not seen to end within {limit_s:g} s of the {verb}; "
                "no start was begun"
            )
        await context.clock.sleep(min(LOOK_APART_S, left_s))


def _stop_limit_s(before: ServiceFact, request: RecoveryRequest, context: ActionContext) -> float:
    own = before.stop_timeout_s
    configured = context.node.service
    if own is None and not isinstance(configured, SystemdService | None):
        own = configured.stop_timeout_s
    if request.stop_style is StopStyle.KILL or own is None:
        return context.limit_s
    return min(context.limit_s, own + STOP_MARGIN_S)


async def _look(service: ServiceManager, left_s: float) -> ServiceFact | None:
    """Return the manager's word; None: it said nothing, which is asked again until the limit."""
    try:
        return await service.status(timeout_s=min(LOOK_S, max(left_s, SHORTEST_LOOK_S)))
    except CheckError:
        return None


def _gone(before: ServiceFact, now: ServiceFact) -> bool:
    another = _another(now.pid, before.pid) or _another(now.invocation, before.invocation)
    return _ended(now) or another


def _refused(result: CommandResult) -> bool:
    return not result.ok and result.outcome in {CommandOutcome.EXITED, CommandOutcome.SIGNALLED}


async def _started_already(
    seen: ServiceFact, request: RecoveryRequest, context: ActionContext
) -> RecoveryResult:
    """The manager has put a new process in the old one's place: a start could only do harm."""
    async with context.step(STEP_START):
        pass
    message = f"the service manager has started it again by itself (pid {seen.pid})"
    return RecoveryResult(
        request.id, request.node, request.action, ActOutcome.DONE, message=message
    )


async def _start(
    service: ServiceManager,
    before: ServiceFact,
    request: RecoveryRequest,
    context: ActionContext,
    *,
    killed: bool = False,
) -> RecoveryResult:
    verb = "restart" if killed else "start"
    # A start that failed leaves the step without an end: the start is still owed.
    async with context.step(STEP_START):
        result = await (service.restart if killed else service.start)(timeout_s=context.limit_s)
        if result.outcome in {CommandOutcome.UNKNOWN, CommandOutcome.TIMED_OUT}:
            raise ActionTimeout(
                f"{verb} has not ended within {context.limit_s:g} s"
                + (f" (unknown: {_said(result)})" if result.stderr else "")
                + ("; it was left running" if result.outcome is CommandOutcome.UNKNOWN else "")
            )
        if not result.ok:
            raise RecoveryError(f"{verb} {_said(result)}")
        unproven = await _require_another(service, before, context, verb)
    return RecoveryResult(
        request.id,
        request.node,
        request.action,
        ActOutcome.DONE,
        command=result.argv,
        exit_code=result.exit_code,
        stdout=result.stdout,
        stderr=result.stderr,
        message=unproven,
    )


async def _require_another(
    service: ServiceManager, before: ServiceFact, context: ActionContext, verb: str
) -> str:
    """Look for another process than before; return what could not be seen.

    Raises RecoveryError: it is still the same one, or the same ended run.
    """
    deadline = context.clock.now().mono_s + PROOF_S
    last: ServiceFact | None = None
    while True:
        left_s = deadline - context.clock.now().mono_s
        seen = await _look(service, left_s)
        last = seen or last
        if seen is not None and _replaced(before, seen):
            return ""
        if left_s <= 0:
            break
        await context.clock.sleep(min(LOOK_APART_S, left_s))
    if last is None:
        return f"{verb} returned 0; the service manager could not be asked what came of it"
    if last.pid and last.pid == before.pid:
        raise RecoveryError(f"{verb} returned 0 and did nothing: process {last.pid} is the old one")
    if last.pid == 0 and last.invocation and last.invocation == before.invocation:
        raise RecoveryError(f"{verb} returned 0 and started nothing")
    return f"{verb} returned 0; no process of it has been seen yet"


def _replaced(before: ServiceFact, now: ServiceFact) -> bool:
    """Whether another process runs, or another run has begun (and may have ended again)."""
    if before.invocation and _another(now.invocation, before.invocation):
        return True
    return bool(now.pid) and now.pid != before.pid


def _said(result: CommandResult) -> str:
    """Return how a command ended and the end of what it said."""
    how = {
        CommandOutcome.EXITED: f"ended with exit code {result.exit_code}",
        CommandOutcome.SIGNALLED: f"was ended by signal {result.signal}",
    }.get(result.outcome, result.outcome.value.replace("_", " "))
    said = (result.stderr or result.stdout).strip()[-_SAID:]
    return f"{how}: {said}" if said else how
