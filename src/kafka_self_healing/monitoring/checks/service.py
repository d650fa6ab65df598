"""ServiceMonitoringPlugin: what the node's host says: its service manager, /proc, its disks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kafka_self_healing.model.evidence import CheckResult, HostFact, Kind, ServiceFact
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.checks.look import look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin

_READING_SHARE = 0.5
"""Part of the time limit that a reading of a disk may take: a hung disk must stay an answer."""


class ServiceMonitoringPlugin(MonitoringPlugin):
    """SERVICE (the manager's word, and what /proc and the file locks say) and HOST (disks)."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """SERVICE and HOST."""
        return frozenset({Kind.SERVICE, Kind.HOST})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:
        """SERVICE needs a service manager, HOST something to look at."""
        return target.service is not None if kind is Kind.SERVICE else bool(target.data_dirs)

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Look at the kind that is wanted. HOST of another machine brings nothing."""
        if context.kind is Kind.HOST and not await _is_here(target, context):
            return ()
        seeing = _service if context.kind is Kind.SERVICE else _host
        return await look(context, target.id, seeing(target, context))


async def _is_here(target: NodeConfig, context: CheckContext) -> bool:
    return await context.host.is_here(target.host, timeout_s=context.timeout_s * _READING_SHARE / 2)


async def _service(target: NodeConfig, context: CheckContext) -> ServiceFact:
    assert context.service is not None
    said = await context.service.status(timeout_s=context.timeout_s)
    if not await _is_here(target, context):
        return said  # its pid and its directories are not those of this machine
    lock_held = await context.host.lock_held(
        target.data_dirs, timeout_s=context.timeout_s * _READING_SHARE / 2
    )
    if not said.pid:
        return replace(said, lock_held=lock_held, tracer_pid=said.pid)
    process = await context.host.process(said.pid)
    if process is None:
        return replace(said, lock_held=lock_held)
    return replace(
        said,
        lock_held=lock_held,
        process_state=process.state,
        tracer_pid=process.tracer_pid,
    )


async def _host(target: NodeConfig, context: CheckContext) -> HostFact:
    limit_s = context.timeout_s * _READING_SHARE / 2
    data_dirs = await context.host.data_dirs(target.data_dirs, timeout_s=limit_s)
    disks = await context.host.disks(target.data_dirs, timeout_s=limit_s)
    return HostFact(reachable=True, disks=disks, data_dirs=data_dirs)
