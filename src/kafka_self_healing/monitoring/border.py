"""Around a plugin call: whatever a plugin does, what comes back are results."""

from __future__ import annotations

import asyncio
from typing import Final

from kafka_self_healing.errors import CheckError, PluginError
from kafka_self_healing.model.evidence import CLUSTER_KINDS, HEALER, CheckResult, Outcome
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin, Scope

GRACE_S: Final = 0.25
"""How much longer than its time limit a check may take before it is cancelled (seconds)."""

_OUTCOMES: Final = frozenset(Outcome)
_SAID: Final = 500


async def ask(
    plugin: MonitoringPlugin,
    target: NodeConfig,
    context: CheckContext,
    deadline: asyncio.Timeout | None = None,
) -> tuple[CheckResult, ...]:
    """Have `plugin` look at `target` once. An error of it is a result too; nothing is raised.

    `deadline`: instead of the context's limit, which a well-behaved check keeps by itself. Only a
    cancellation of the caller goes through.
    """
    started = context.clock.now().mono_s
    try:
        async with deadline or asyncio.timeout(context.timeout_s + GRACE_S):
            results = tuple(await plugin.check(target, context))
            ended = context.clock.now().mono_s
            for result in results:
                _examine(result, plugin, started, ended)
            return results
    except TimeoutError:
        waited_s = min(context.timeout_s, context.clock.now().mono_s - started)
        outcome, error = Outcome.TIMED_OUT, f"no answer within {waited_s:.3g} s"
    except CheckError as wrong:
        known = wrong.outcome in _OUTCOMES
        outcome, error = Outcome(wrong.outcome) if known else Outcome.PROTOCOL, str(wrong)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        outcome, error = Outcome.PROTOCOL, f"{type(plugin).__name__} cancelled itself"
    except Exception as wrong:
        # border: around a plugin call
        context.logger.warning(
            "%s failed at node %s", type(plugin).__name__, target.id, exc_info=True
        )
        outcome, error = Outcome.PROTOCOL, f"{type(wrong).__name__}: {wrong}"
    ended = context.clock.now().mono_s
    about_all = context.kind in CLUSTER_KINDS or plugin.scope is Scope.CLUSTER
    observer, subject = (target.id, context.cluster.name) if about_all else (HEALER, target.id)
    return (
        CheckResult(observer, subject, context.kind, outcome, started, ended, error=error[:_SAID]),
    )


def _examine(result: CheckResult, plugin: MonitoringPlugin, started: float, ended: float) -> None:
    """Hold a result against the contract.

    A fact that is older than its look would be believed, one from the future for ever.
    """
    if result.kind not in plugin.kinds:
        raise PluginError(f"a result of kind {result.kind}, which the plugin does not offer")
    if not started <= result.started <= result.ended <= ended:
        raise PluginError(
            f"a result of {result.started:g}..{result.ended:g} s, "
            f"asked at {started:g} s and given at {ended:g} s"
        )
