"""What the tests of the hands share: a node, a request, and an engine that writes down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from kafka_self_healing.clock import Clock, SystemClock
from kafka_self_healing.hosts import CommandServiceManager, LocalHost, ServiceManager
from kafka_self_healing.instant import Instant
from kafka_self_healing.model.access import CommandService
from kafka_self_healing.model.incident import Condition
from kafka_self_healing.model.node import NodeConfig, Role
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


class Hands:
    """An engine for one node; `steps` is what it reported, `diary` also the commands between."""

    def __init__(
        self,
        manager: ServiceManager | None = None,
        *,
        actions: Mapping[str, RecoveryAction] | None = None,
        clock: Clock | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        self.steps: list[tuple[str, bool]] = []
        self.diary: list[str] = []
        self.on_report: Callable[[StepReport], None] = lambda _report: None
        clock = clock or SystemClock()
        host = LocalHost(clock)

        def service_of(config: NodeConfig) -> ServiceManager | None:
            if manager is None and isinstance(config.service, CommandService):
                return CommandServiceManager(config.service, host)
            return manager

        self.engine = RecoveryEngine(
            ServiceRestartPlugin().actions() if actions is None else actions,
            host=host,
            service_of=service_of,
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
