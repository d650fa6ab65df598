"""The examination: every look once, the cluster's own account, and the healer's rights on hosts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from kafka_self_healing.app import checks, reaching
from kafka_self_healing.clock import Clock, SystemClock
from kafka_self_healing.config import Settings
from kafka_self_healing.doctor import discovery, limits, looks, rights, topics
from kafka_self_healing.doctor.asking import Asking
from kafka_self_healing.doctor.discovery import BOOTSTRAP_NODES, Account
from kafka_self_healing.doctor.finding import Finding, problem
from kafka_self_healing.hosts import Hosts
from kafka_self_healing.model.evidence import CheckResult, Kind, PeersFact
from kafka_self_healing.model.node import Cluster, NodeConfig
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.border import ask
from kafka_self_healing.monitoring.context import LookContext
from kafka_self_healing.plugins import MonitoringPlugin
from kafka_self_healing.wire.kafka import KafkaWireError

LOOK_LIMIT_S: Final = 10.0
AT_ONCE: Final = 32
WITNESSES: Final = 2
_LOGGER = logging.getLogger(__name__)


class Examination:
    """Looks once at everything that healing will need. It changes nothing."""

    def __init__(
        self,
        cluster: Cluster,
        plugins: Sequence[MonitoringPlugin],
        hosts: Hosts,
        access: Access,
        clock: Clock,
        *,
        exempt_topics: frozenset[str] = frozenset(),
    ) -> None:
        self._cluster, self._plugins, self._hosts, self._clock = cluster, plugins, hosts, clock
        self._exempt = exempt_topics
        self._asking = Asking(access, LOOK_LIMIT_S)
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> AsyncIterator[Finding]:
        """Yield the findings: the healer's own, then the nodes' in order, then the cluster's."""
        for one in limits.findings_of(self._cluster):
            yield one
        examined = await asyncio.gather(*map(self._node, self._cluster.nodes.values()))
        witnessed: PeersFact | None = None
        for found, facts in examined:
            for one in found:
                yield one
            witnessed = witnessed or next(iter(facts), None)
        for one in await self._discovered():
            yield one
        if witnessed is not None:
            cluster = self._cluster.name
            for one in topics.findings_of(cluster, witnessed.topics or (), self._exempt):
                yield one

    async def _node(self, node: NodeConfig) -> tuple[list[Finding], list[PeersFact]]:
        """Return what is found at one node, and what it says as a witness."""
        witnesses = self._cluster.brokers[:WITNESSES]
        found: list[Finding] = []
        facts: list[PeersFact] = []
        async with self._turn:
            for plugin in self._plugins:
                for kind in sorted(plugin.kinds):
                    if (node.kinds and kind not in node.kinds) or not plugin.can_ask(node, kind):
                        continue
                    if kind is Kind.PEERS and node.id not in witnesses:
                        continue
                    for result in await self._look(plugin, node, kind):
                        found += looks.findings_of(node, result)
                        if isinstance(result.fact, PeersFact):
                            facts.append(result.fact)
            if node.is_broker:
                found += await self._asking.identity(node)
            found += await rights.findings_of(node, self._hosts)
        return found, facts

    async def _look(
        self, plugin: MonitoringPlugin, node: NodeConfig, kind: Kind
    ) -> tuple[CheckResult, ...]:
        context = LookContext(
            kind=kind,
            cluster=self._cluster,
            timeout_s=plugin.timeout_s(node, kind) or LOOK_LIMIT_S,
            clock=self._clock,
            logger=_LOGGER,
            host=self._hosts.host(node.id),
            service=self._hosts.service(node.id),
            on_hint=lambda _why: None,
        )
        return await ask(plugin, node, context)

    async def _discovered(self) -> list[Finding]:
        """Ask brokers until two have told of the cluster, and controllers until one knows."""
        accounts: list[Account] = []
        failed: list[Finding] = []
        nodes = self._cluster.nodes
        for id_ in self._cluster.brokers:
            if len(accounts) == BOOTSTRAP_NODES:
                break
            try:
                accounts.append(await self._asking.account(nodes[id_]))
            except KafkaWireError as wrong:
                failed.append(problem(id_, f"it cannot say who is in the cluster: {wrong}"))
        cluster_id = accounts[0].cluster_id if accounts else ""
        for id_ in self._cluster.voters:
            try:
                voters = await self._asking.voters(nodes[id_])
            except KafkaWireError:
                continue  # the look at QUORUM has told
            if voters:
                accounts.append(Account(id_, cluster_id, voters))
                break
        return [*failed, *discovery.findings_of(self._cluster, accounts)]


@asynccontextmanager
async def examining(settings: Settings) -> AsyncIterator[Examination]:
    """Make the examination of a configuration; its connections are closed after the block."""
    clock = SystemClock()
    async with reaching(settings.cluster, clock) as reach:
        plugins = checks(reach.access)
        try:
            yield Examination(
                settings.cluster,
                plugins,
                reach.hosts,
                reach.access,
                clock,
                exempt_topics=settings.policy.exempt_topics,
            )
        finally:
            await asyncio.gather(*(plugin.close() for plugin in plugins))
