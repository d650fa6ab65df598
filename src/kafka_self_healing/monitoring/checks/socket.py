"""SocketMonitoringPlugin: does anybody accept a connection on the node's port, with TLS if set?"""

from __future__ import annotations

from collections.abc import Sequence

from kafka_self_healing.model.access import TlsConfig
from kafka_self_healing.model.evidence import CheckResult, Kind
from kafka_self_healing.model.node import NodeConfig
from kafka_self_healing.monitoring.access import Access
from kafka_self_healing.monitoring.checks.look import look
from kafka_self_healing.plugins import CheckContext, MonitoringPlugin


class SocketMonitoringPlugin(MonitoringPlugin):
    """LISTENER. A frozen process still accepts: that proves the kernel, not the node.

    Where the listener has TLS a handshake is done, which a frozen process does not answer.
    """

    def __init__(self, access: Access | None = None) -> None:
        """Take the TLS contexts of `access`, which all checks may share."""
        self._access = access or Access()

    @property
    def kinds(self) -> frozenset[Kind]:
        """LISTENER."""
        return frozenset({Kind.LISTENER})

    def can_ask(self, target: NodeConfig, kind: Kind) -> bool:  # noqa: ARG002 - one kind
        """Return whether the node has a port."""
        return target.port is not None

    async def check(self, target: NodeConfig, context: CheckContext) -> Sequence[CheckResult]:
        """Connect once and close again; nothing is sent but TLS's handshake."""
        return await look(context, target.id, self._knock(target, context.timeout_s))

    async def _knock(self, target: NodeConfig, limit_s: float) -> None:
        assert target.port is not None
        tls = _tls(target)
        await self._access.wire.knock(
            target.host,
            target.port,
            tls=self._access.tls_context(tls),
            server_name=(tls.server_name if tls else None) or target.host,
            timeout_s=limit_s,
        )


def _tls(target: NodeConfig) -> TlsConfig | None:
    """Return how the port is spoken to on which the node answers for itself."""
    if target.is_broker or target.is_voter:
        return target.listener.tls
    return target.zookeeper.tls
