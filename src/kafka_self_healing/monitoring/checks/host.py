"""HostMonitoringPlugin: can the node's host be asked, and what of its disks and its clock?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from kafka_self_healing.errors import CheckError
from kafka_self_healing.hosts import Question, Reading
from kafka_self_healing.model.evidence import (
    CheckResult,
    DataDirFact,
    DiskFact,
    HostFact,
    Kind,
    Outcome,
)
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.checks.look import HOST_SHARE, look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin

_SILENT: Final = frozenset({Outcome.TIMED_OUT, Outcome.UNREACHABLE})


class HostMonitoringPlugin(MonitoringPlugin):
    """HOST: data directories by a real read, their file systems, boot, clock; one round trip.

    Of a host that does not answer it says whether it still answers a ping.
    """

    @property
    def kinds(self) -> frozenset[Kind]:
        """HOST."""
        return frozenset({Kind.HOST})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - one kind
        """Return whether there is a way to the host, or something to look at on this one."""
        return target.access is not None or bool(target.data_dirs)

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Look once. A node on another machine, to which there is no way, brings nothing."""
        limit_s = context.timeout_s * HOST_SHARE
        if not await context.host.is_here(target.host, timeout_s=limit_s / 2):
            return ()

        def of_silence(wrong: CheckError) -> HostFact | None:
            if wrong.outcome not in _SILENT:
                return None
            return HostFact(reachable=False, ping=context.host.ping)

        return await look(context, target.id, _see(target, context, limit_s), or_else=of_silence)


async def _see(target: NodeConfig, context: CheckContext, limit_s: float) -> HostFact:
    paths = {path: path for path in target.data_dirs}
    if context.service is not None and paths:
        paths = await context.service.on_host(target.data_dirs, timeout_s=limit_s)
    question = Question(data_dirs=tuple(paths.values()), address=target.host)
    reading = await context.host.look(question, timeout_s=limit_s)
    return HostFact(
        reachable=True,
        boot_id=reading.boot_id,
        uptime_s=reading.uptime_s,
        clock_offset_s=reading.clock_offset_s,
        disks=_disks(target, paths, reading),
        data_dirs=_data_dirs(target, paths, reading),
    )


def _disks(target: NodeConfig, paths: dict[str, str], reading: Reading) -> tuple[DiskFact, ...]:
    """Return the facts under the names that the configuration has for the directories."""
    found = {disk.path: disk for disk in reading.disks or ()}
    return tuple(
        replace(found.get(paths.get(path, path), DiskFact(path)), path=path)
        for path in target.data_dirs
    )


def _data_dirs(
    target: NodeConfig, paths: dict[str, str], reading: Reading
) -> tuple[DataDirFact, ...]:
    found = {directory.path: directory for directory in reading.data_dirs or ()}
    return tuple(
        replace(found.get(paths.get(path, path), DataDirFact(path)), path=path)
        for path in target.data_dirs
    )
