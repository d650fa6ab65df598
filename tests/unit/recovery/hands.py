"""What the tests of the hands share: a node, a request, and an engine that writes down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from kafka_self_healing.clock import Clock, SystemClock
from kafka_self_healing.hosts import Host, HostPool, Hosts, LocalHost, ServiceManager
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.access import CommandService
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.node import Cluster, NodeConfig, NodeId, Role
from kafka_self_healing.model.recovery import (
    RecoveryRequest,
    RequestState,
    StepReport,
    StopStyle,
)
from kafka_self_healing.plugins import RecoveryAction
from kafka_self_healing.recovery import RecoveryEngine, ServiceRestartPlugin

BEGUN, ENDED = False, True
TURNS = 3
"""Turns of the event loop that writing down a step takes."""


def node(service: CommandService | None = None) -> NodeConfig:
    """Return node 1."""
    return NodeConfig("1", frozenset({Role.BROKER}), service=service)


def request(
    action: str = "service:start",
    *,
    limit_s: float = 5.0,
    stop_style: StopStyle = StopStyle.GRACEFUL,
    **more: Any,
) -> RecoveryRequest:
    """Return a request for node 1."""
    return RecoveryRequest(
        "R1", "I1", "1", action, Condition.PROCESS_GONE, 0, 1, RequestState.EXECUTING,
        Instant(100.0, 1_700_000_000.0), limit_s=limit_s, stop_style=stop_style, **more,
    )  # fmt: skip


def pool(config: NodeConfig) -> HostPool:
    """Return the hosts of a cluster of this one node."""
    return HostPool(Cluster("test", nodes={config.id: config}), SystemClock())


class OneManager:
    """Hosts of which every node has this manager and is on this machine."""

    def __init__(self, manager: ServiceManager | None, clock: Clock) -> None:
        self._manager, self._host = manager, LocalHost(clock)

    def host(self, node: NodeId) -> Host:
        """This machine."""
        return self._host

    def service(self, node: NodeId) -> ServiceManager | None:
        """The manager."""
        return self._manager


class Hands:
    """An engine for one node; `steps` is what it reported, `diary` also the commands between."""

    def __init__(
        self,
        manager: ServiceManager | None = None,
        *,
        actions: Mapping[str, RecoveryAction] | None = None,
        clock: Clock | None = None,
        redact: Callable[[str], str] = str,
        hosts: Hosts | None = None,
    ) -> None:
        self.steps: list[tuple[str, bool]] = []
        self.diary: list[str] = []
        self.on_report: Callable[[StepReport], None] = lambda _report: None
        clock = clock or SystemClock()
        self.engine = RecoveryEngine(
            ServiceRestartPlugin().actions() if actions is None else actions,
            hosts=hosts or OneManager(manager, clock),
            clock=clock,
            report=self._report,
            crash_point=self.diary.append,
            redact=redact,
        )

    async def _report(self, report: StepReport) -> None:
        self.on_report(report)
        assert report.request == "R1"
        self.steps.append((report.step, report.ended))
        self.diary.append(f"{report.step} {'ended' if report.ended else 'begun'}")
        for _ in range(TURNS):
            await asyncio.sleep(0)
