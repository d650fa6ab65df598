"""ReferenceMonitoringPlugin: do we still reach anything outside of the cluster?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kafka_self_healing.errors import CheckError
from kafka_self_healing.model.evidence import CheckResult, Kind, Outcome
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.checks.look import look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin, Scope

_CONNECT_SHARE = 0.9
"""Part of a look's time in which a host may answer: what it says of its silence is to be heard."""


class ReferenceMonitoringPlugin(MonitoringPlugin):
    """LISTENER of the reference hosts, in the cluster's name: answered if one of them is reached.

    A host that refuses the connection is reached: the way to it is sound.
    """

    def __init__(self, access: Access, hosts: Sequence[tuple[str, int]]) -> None:
        """Take the hosts and their TCP ports; with none of them nothing is looked at."""
        self._access = access
        self._hosts = tuple(hosts)

    @property
    def kinds(self) -> frozenset[Kind]:
        """LISTENER."""
        return frozenset({Kind.LISTENER})

    @property
    def scope(self) -> Scope:
        """One look a round, whatever the number of nodes."""
        return Scope.CLUSTER

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - no node is asked
        """Return whether there are reference hosts."""
        return bool(self._hosts)

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:  # noqa: ARG002
        """Connect to all of them at once, and close again."""
        return await look(context, context.cluster.name, self._reach_one(context.timeout_s))

    async def _reach_one(self, limit_s: float) -> None:
        knocks = (self._missed(host, port, limit_s * _CONNECT_SHARE) for host, port in self._hosts)
        missed = await asyncio.gather(*knocks)
        if all(missed):
            raise CheckError(Outcome.UNREACHABLE, f"no reference host: {'; '.join(missed)}")

    async def _missed(self, host: str, port: int, limit_s: float) -> str:
        """Return why a host was not reached, or nothing."""
        try:
            await self._access.wire.knock(host, port, tls=None, server_name=host, timeout_s=limit_s)
        except CheckError as wrong:
            answered = wrong.outcome in {Outcome.REFUSED, Outcome.RESET}
            return "" if answered else str(wrong)
        return ""
