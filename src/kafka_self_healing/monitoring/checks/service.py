"""ServiceMonitoringPlugin: what the node's service manager says, and the kernel of its process."""

from __future__ import annotations

from collections.abc import Sequence

from kafka_self_healing.model.evidence import CheckResult, Kind
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.checks.look import HOST_SHARE, look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin


class ServiceMonitoringPlugin(MonitoringPlugin):
    """SERVICE: one round trip to the node's host brings all of it."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """SERVICE."""
        return frozenset({Kind.SERVICE})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - one kind
        """Return whether the node has a service manager."""
        return target.service is not None

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Ask the manager once."""
        assert context.service is not None
        seeing = context.service.status(timeout_s=context.timeout_s * HOST_SHARE)
        return await look(context, target.id, seeing)
