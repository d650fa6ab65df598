"""`RecoveryEngine`: carries out one request and says how it ended: done, failed or unknown.

The limits are hard. The action runs in a task of its own: past its time it is cancelled, and one
that does not heed that is cut off from the node and left behind. Only `done`, `failed` and
`unknown` come back; what became of the node is for a later look to say.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from kafka_self_healing.clock import Clock
from kafka_self_healing.errors import (
    ActionRefused,
    ActionTimeout,
    CheckError,
    PluginError,
    RecoveryError,
)
from kafka_self_healing.hosts import Hosts
from kafka_self_healing.hosts.command import OUTPUT_LIMIT_BYTES, printable
from kafka_self_healing.model.node import NodeConfig, NodeId
from kafka_self_healing.model.recovery import (
    ActOutcome,
    RecoveryRequest,
    RecoveryResult,
    StepReport,
)
from kafka_self_healing.plugins import RecoveryAction
from kafka_self_healing.recovery.act import Act, Surroundings

CANCEL_GRACE_S: Final = 5.0
"""How long a cancelled action may take to kill what it must and end (seconds)."""

_MESSAGE_LIMIT: Final = 1000
_LOGGER = logging.getLogger(__name__)


class RecoveryEngine:
    """Carries out acts by the actions it is given, one at a time on each node.

    `report` is awaited before and after each step; a step of which the beginning cannot be
    journalled (StorageError) is not begun. `redact` takes credentials out of what is kept.
    `crash_point` is called around each command, for tests that die there. `may_act` is asked just
    before each: whoever slept may have lost the lease to another daemon meanwhile.
    """

    def __init__(
        self,
        actions: Mapping[str, RecoveryAction],
        *,
        hosts: Hosts,
        clock: Clock,
        report: Callable[[StepReport], Awaitable[None]],
        crash_point: Callable[[str], None] = lambda _name: None,
        redact: Callable[[str], str] = str,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self._actions, self._hosts = dict(actions), hosts
        self._clock, self._redact = clock, redact
        self._around = Surroundings(
            hosts, clock, report, crash_point, lambda: self._draining, may_act
        )
        self._running: dict[NodeId, RecoveryRequest] = {}
        self._acts: dict[NodeId, Act] = {}
        self._strays: set[asyncio.Task[RecoveryResult]] = set()
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> Mapping[NodeId, RecoveryRequest]:
        """The requests that are being carried out now, by node."""
        return MappingProxyType(self._running)

    async def execute(self, request: RecoveryRequest, node: NodeConfig) -> RecoveryResult:
        """Carry out `request` on `node`, within its limits; raises nothing.

        A cancellation ends the act: a stop or a script is killed with its group, a start is left
        alone, and the result, which is unknown then, is returned so that it can be written down.
        """
        assert request.node == node.id, "a request is carried out on its own node"
        assert node.id not in self._running, "one act at a time on a node"
        assert request.limit_s > 0, "an act has a time limit"
        started = self._clock.now().mono_s
        act = Act(request, node, self._hosts.service(node.id), self._around)
        self._running[node.id], self._acts[node.id] = request, act
        self._idle.clear()
        try:
            result = await self._bounded(request, act)
        finally:
            act.close()
            del self._running[node.id], self._acts[node.id]
            if not self._running:
                self._idle.set()
        return self._tidy(result, request, started)

    def call_off(self, nodes: Collection[NodeId], why: str) -> list[str]:
        """End the acts on `nodes` that have given no command yet; return their requests' ids."""
        return [self._running[id_].id for id_, act in self._acts.items()
                if id_ in nodes and act.call_off(why)]  # fmt: skip

    async def drain(self, timeout_s: float) -> bool:
        """Begin no further step, and wait until every act is at a safe point and has ended.

        An act that has stopped its node goes on with the start; any other ends with its present
        step. False: not all had ended within `timeout_s` seconds. It cannot be taken back.
        """
        self._draining = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _bounded(self, request: RecoveryRequest, act: Act) -> RecoveryResult:
        action = self._actions.get(request.action)
        if action is None:
            known = ", ".join(self._actions) or "none"
            return _ending(
                act, request, ActOutcome.FAILED, f"there is no action {request.action}: {known}"
            )
        task = asyncio.create_task(_perform(action, request, act), name=f"perform {request.id}")
        try:
            await asyncio.wait({task}, timeout=act.timeout_s)
            why = f"the act did not end within {act.timeout_s:g} s"
        except asyncio.CancelledError:
            why = "the act was cut off: the healer is shutting down"
        if task.done():
            return task.result()
        act.close()
        task.cancel()
        # A task that outlives its cancellation must not be collected while it runs.
        self._strays.add(task)
        task.add_done_callback(self._strays.discard)
        await asyncio.wait({task}, timeout=CANCEL_GRACE_S)
        if not task.done():
            _LOGGER.error("%s of %s ignores its end and is left", request.action, request.id)
        return _ending(act, request, ActOutcome.UNKNOWN, why)

    def _tidy(
        self, result: RecoveryResult, request: RecoveryRequest, started: float
    ) -> RecoveryResult:
        """Put in what the engine knows better, and keep what an action says bounded and clean."""
        return replace(
            result,
            request=request.id,
            node=request.node,
            action=request.action,
            command=tuple(self._clean(word, _MESSAGE_LIMIT) for word in result.command),
            stdout=self._clean(result.stdout, OUTPUT_LIMIT_BYTES),
            stderr=self._clean(result.stderr, OUTPUT_LIMIT_BYTES),
            message=self._clean(result.message, _MESSAGE_LIMIT),
            started=started,
            ended=self._clock.now().mono_s,
        )

    def _clean(self, text: str, limit: int) -> str:
        # More than is kept is redacted, so that the cut does not go through a credential.
        data = text[: 2 * limit].encode("utf-8", "backslashreplace")
        return self._redact(printable(data))[:limit]


async def _perform(action: RecoveryAction, request: RecoveryRequest, act: Act) -> RecoveryResult:
    """Let the action act; whatever it raises becomes a result."""
    try:
        return _require_result(await action.execute(request, act), request)
    except (ActionRefused, CheckError, OSError) as wrong:
        # Before the first command nothing can have changed; after it nobody knows.
        outcome = ActOutcome.UNKNOWN if act.touched else ActOutcome.FAILED
        message = str(wrong)
    except ActionTimeout as wrong:
        outcome, message = ActOutcome.UNKNOWN, str(wrong)
    except RecoveryError as wrong:
        outcome, message = ActOutcome.FAILED, str(wrong)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        outcome, message = ActOutcome.UNKNOWN, f"{request.action} cancelled itself"
    except Exception as wrong:
        # border: around a plugin call
        act.logger.warning("%s failed on node %s", request.action, request.node, exc_info=True)
        outcome, message = ActOutcome.UNKNOWN, f"{type(wrong).__name__}: {wrong}"
    return _ending(act, request, outcome, message)


def _require_result(result: object, request: RecoveryRequest) -> RecoveryResult:
    if not isinstance(result, RecoveryResult):
        raise PluginError(f"{request.action} returned {type(result).__name__}, no RecoveryResult")
    return result


def _ending(
    act: Act, request: RecoveryRequest, outcome: ActOutcome, message: str
) -> RecoveryResult:
    """Return the result of an act that did not make its own, with the last command it gave."""
    last = act.last
    if last is None:
        return RecoveryResult(request.id, request.node, request.action, outcome, message=message)
    return RecoveryResult(
        request.id,
        request.node,
        request.action,
        outcome,
        command=last.argv,
        exit_code=last.exit_code,
        stdout=last.stdout,
        stderr=last.stderr,
        message=message,
    )
