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
    ReachFact,
)
from kafka_self_healing.model.node import Cluster, NodeConfig, NodeId
from kafka_self_healing.monitoring.checks.look import HOST_SHARE, look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin

_SILENT: Final = frozenset({Outcome.TIMED_OUT, Outcome.UNREACHABLE})


class HostMonitoringPlugin(MonitoringPlugin):
    """HOST: data directories by a real read, their file systems, boot, clock; one round trip.

    Of a host that does not answer it says whether it still answers a ping. Of a node in doubt it
    says too which of the quorum's ports open from its host.
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
    keepers = _keepers(target, context.cluster) if context.reach else {}
    doors = tuple(keepers.values())
    question = Question(data_dirs=tuple(paths.values()), doors=doors, address=target.host)
    reading = await context.host.look(question, timeout_s=limit_s)
    return HostFact(
        reachable=True,
        boot_id=reading.boot_id,
        uptime_s=reading.uptime_s,
        clock_offset_s=reading.clock_offset_s,
        disks=_disks(target, paths, reading),
        data_dirs=_data_dirs(target, paths, reading),
        reaches=_reaches(keepers, reading) if context.reach else None,
    )


def _keepers(target: NodeConfig, cluster: Cluster) -> dict[NodeId, tuple[str, int]]:
    """Return where the other controllers, or members of the ensemble, are to be reached."""
    found = {}
    for id_ in cluster.keepers:
        node = cluster.nodes[id_]
        port = node.controller_port if node.is_voter else node.zookeeper_port
        if id_ != target.id and port is not None:
            found[id_] = (node.host, port)
    return found


def _reaches(
    keepers: dict[NodeId, tuple[str, int]], reading: Reading
) -> tuple[ReachFact, ...] | None:
    if reading.doors is None:
        return None
    return tuple(ReachFact(id_, open_) for id_, open_ in zip(keepers, reading.doors, strict=True))


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
