"""A fake plugin and a watched MonitoringService, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.unit.monitoring.virtual_time import LoopClock

from kafka_self_healing.model.access import CommandService
from kafka_self_healing.model.evidence import (
    CLUSTER_KINDS,
    HEALER,
    CheckResult,
    Fact,
    Kind,
    Outcome,
    ServiceFact,
)
from kafka_self_healing.model.node import Cluster, NodeConfig, Role
from kafka_self_healing.model.policy import Policy
from kafka_self_healing.monitoring import MonitoringService
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin

COMBINED = frozenset({Role.BROKER, Role.CONTROLLER})
Key = tuple[str, Kind]
Answer = Callable[[], Awaitable[Outcome]]


def make_cluster(number: int = 3, *, roles: frozenset[Role] = COMBINED) -> Cluster:
    """Return a cluster of `number` nodes with all ports."""
    service = CommandService(("start",), ("stop",), ("kill",), ("status",))
    nodes = {
        str(id_): NodeConfig(
            str(id_), roles, kafka_port=9092, controller_port=9093, jmx_port=9999, service=service
        )
        for id_ in range(1, number + 1)
    }
    return Cluster("test", nodes=nodes)


async def well() -> Outcome:
    """Answer at once."""
    return Outcome.ANSWERED


async def hang() -> Outcome:
    """Answer never."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets that event")


@dataclass
class FakePlugin(MonitoringPlugin):
    """Answers as told for each (node, kind), and keeps what it was asked."""

    offers: frozenset[Kind] = frozenset({Kind.PROTOCOL})
    answers: dict[Key, Answer] = field(default_factory=dict)
    asked: list[tuple[float, str, Kind, float]] = field(default_factory=list)
    contexts: dict[Key, CheckContext] = field(default_factory=dict)
    intervals: dict[Kind, float] = field(default_factory=dict)
    limits: dict[Kind, float] = field(default_factory=dict)
    facts: dict[Key, list[tuple[str, Fact | None]]] = field(default_factory=dict)
    running: Counter[Key] = field(default_factory=Counter)
    most_running: Counter[Key] = field(default_factory=Counter)
    most_at_once: int = 0
    cancelled: int = 0
    closed: int = 0

    @property
    def kinds(self) -> frozenset[Kind]:
        """What it was made with."""
        return self.offers

    def interval_s(self, target: NodeConfig, kind: Kind) -> float | None:
        """What it was made with."""
        return self.intervals.get(kind)

    def timeout_s(self, target: NodeConfig, kind: Kind) -> float | None:
        """What it was made with."""
        return self.limits.get(kind)

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Answer as told."""
        kind = context.kind
        key = target.id, kind
        started = context.clock.now().mono_s
        self.asked.append((started, target.id, kind, context.timeout_s))
        self.contexts[key] = context
        self.running[key] += 1
        self.most_running[key] = max(self.most_running[key], self.running[key])
        self.most_at_once = max(self.most_at_once, self.running.total())
        try:
            outcome = await self.answers.get(key, well)()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running[key] -= 1
        usual = ServiceFact(active="active") if kind is Kind.SERVICE else None
        about_all = kind in CLUSTER_KINDS
        ended = context.clock.now().mono_s
        return [
            CheckResult(
                observer=target.id if about_all else HEALER,
                subject=context.cluster.name if about_all else target.id,
                kind=kind,
                outcome=outcome,
                started=started,
                ended=ended,
                fact=fact,
                name=name,
            )
            for name, fact in self.facts.get(key, [("", usual)])
        ]

    async def close(self) -> None:
        """Count."""
        self.closed += 1

    def times(self, node: str, kind: Kind = Kind.PROTOCOL, since: float = 0.0) -> list[float]:
        """Return when this kind of `node` was asked, from `since` on."""
        return [at for at, id_, k, _ in self.asked if (id_, k) == (node, kind) and at >= since]


@dataclass
class Eyes:
    """A running service with its fake plugin and all that it said."""

    service: MonitoringService
    plugin: FakePlugin
    results: list[CheckResult]

    def of(self, node: str, kind: Kind = Kind.PROTOCOL) -> list[CheckResult]:
        """Return the results of one kind about (or from) `node`."""
        return [r for r in self.results if r.kind is kind and node in (r.subject, r.observer)]


@asynccontextmanager
async def open_eyes(
    plugin: FakePlugin, cluster: Cluster | None = None, policy: Policy | None = None
) -> AsyncIterator[Eyes]:
    """Run a service with `plugin` until the block ends."""
    results: list[CheckResult] = []
    service = MonitoringService(
        cluster or make_cluster(), policy or Policy(), [plugin], LoopClock(), results.append
    )
    running = asyncio.create_task(service.run())
    try:
        yield Eyes(service, plugin, results)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled(), "run() ended by itself"
